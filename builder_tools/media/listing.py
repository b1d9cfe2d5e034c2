"""Lists the images, or files of any kind, in a folder, and what else is there.

A file counts as an image if it has an image's suffix (`IMAGE_SUFFIXES`) or its first bytes are
surely an image's. Files that cannot be read (empty, damaged, a broken link) are listed all the
same: they are the user's images, and the reader reports what is wrong. Hidden files and folders,
including the `._` files that macOS leaves, are ignored.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from builder_tools.media.addresses import without_file_scheme
from builder_tools.media.formats import (
    IMAGE_SUFFIXES,
    SIGNATURE_BYTES,
    formats_in_words,
    is_surely_image,
)

NO_CONTENT = "no file with content (a dead link, a pipe, a device)"
NO_IMAGE = f"no image of a known format ({formats_in_words()})"
_IGNORED_NAMES = frozenset({"__macosx", "thumbs.db", "desktop.ini"})
_SHOWN = 5


@dataclass(frozen=True)
class FoundImages:
    """The images of a folder.

    Args:
        folder: The folder that holds them.
        paths: The images, in natural order; a folder's own before those of its subfolders.
        left_out: Reason for leaving files out -> their names relative to `folder`.
    """

    folder: Path
    paths: tuple[Path, ...]
    left_out: Mapping[str, tuple[str, ...]]

    @property
    def names(self) -> tuple[str, ...]:
        """Names relative to the folder, with `/`; bare names for images directly inside.

        They are decoded as UTF-8, whatever the file system's encoding is set to, since CSV files
        are written and read that way.
        """
        names = (path.relative_to(self.folder).as_posix() for path in self.paths)
        return tuple(os.fsencode(name).decode("utf-8", "surrogateescape") for name in names)

    def sentences(self) -> list[str]:
        """Return a sentence per reason for the user: `3 left out because ...: notes.txt, ...`."""
        return [
            f"{len(names)} left out because {'it is' if len(names) == 1 else 'they are'} {reason}: "
            f"{', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''}"
            for reason, names in self.left_out.items()
        ]


def list_images(folder: str | Path) -> list[Path]:
    """List the images directly inside a folder in natural order (0, 1, 2, ..., 10).

    Raises:
        FileNotFoundError: If there is no such folder.
        NotADirectoryError: If it is a file.
    """
    folder = _checked(folder)
    found = (entry for entry in _visible(folder) if _why_not(entry) is None)
    return sorted((Path(entry.path) for entry in found), key=lambda path: _natural(path.name))


def find_images(folder: str | Path, *, without: str | Path | None = None) -> FoundImages:
    """List the images in a folder and all its subfolders, and what was left out.

    Links to folders are followed, but no folder is visited twice.

    Args:
        folder: Where to look.
        without: A folder that is not looked into, because results are written there; it need
            not exist.

    Raises:
        FileNotFoundError: If there is no such folder.
        NotADirectoryError: If it is a file.
    """
    folder = _checked(folder)
    paths: list[Path] = []
    left_out: dict[str, list[str]] = {}
    seen: set[tuple[int, int]] = set()
    if without is not None and os.path.isdir(without):
        status, place = os.stat(without), Path(without).resolve()
        seen.add((status.st_dev, status.st_ino))
        if place.is_relative_to(folder.resolve()) and os.listdir(place):
            name = place.relative_to(folder.resolve()).as_posix()
            left_out["the folder that results are written to"] = [name]
    for entry, reason in _walk(folder, _why_not, seen):
        path = Path(entry)
        if reason is None:
            paths.append(path)
        else:
            left_out.setdefault(reason, []).append(path.relative_to(folder).as_posix())
    return FoundImages(folder, tuple(paths), {why: tuple(names) for why, names in left_out.items()})


def files_below(folder: str | Path) -> Iterator[tuple[Path, str | None]]:
    """Yield every file below a folder, whatever its kind, and why it cannot be read, or None.

    A broken link comes with None, too, since the reader reports where it leads. Links to folders
    are followed, but no folder is visited twice.

    Raises:
        FileNotFoundError: If there is no such folder.
        NotADirectoryError: If it is a file.
    """
    for entry, reason in _walk(_checked(folder), _why_closed, set()):
        yield Path(entry), reason


def _walk(
    folder: Path, why_not: Callable[[os.DirEntry[str]], str | None], seen: set[tuple[int, int]]
) -> Iterator[tuple[str, str | None]]:
    """Yield every file below a folder and the reason to leave it out, None if there is none."""
    try:
        here = folder.stat()
        entries = sorted(_visible(folder), key=lambda entry: _natural(entry.name))
    except OSError as error:
        yield str(folder), f"a folder that cannot be opened ({error.strerror})"
        return
    if (here.st_dev, here.st_ino) in seen:
        return
    seen.add((here.st_dev, here.st_ino))
    for entry in entries:
        if not _is_folder(entry):
            yield entry.path, why_not(entry)
    for entry in entries:
        if _is_folder(entry):
            yield from _walk(Path(entry.path), why_not, seen)


def _checked(folder: str | Path) -> Path:
    if folder == "":
        raise ValueError("Expected a folder of images. Received an empty text; '.' is this one.")
    folder = Path(without_file_scheme(folder) if isinstance(folder, str) else folder)
    if not folder.exists():
        raise FileNotFoundError(f"Expected a folder of images. Nothing is at {str(folder)!r}.")
    if not folder.is_dir():
        raise NotADirectoryError(f"Expected a folder of images. Received a file: {folder}.")
    return folder


def _visible(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return [
            entry
            for entry in entries
            if not entry.name.startswith(".") and entry.name.casefold() not in _IGNORED_NAMES
        ]


def _why_not(entry: os.DirEntry[str]) -> str | None:
    """Return why a file is not an image; None if it is one, even if damaged."""
    if _is_folder(entry):
        return "a folder"
    if os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES:
        return None
    try:
        if not entry.is_file():
            return NO_CONTENT
        with open(entry.path, "rb") as file:
            return None if is_surely_image(file.read(SIGNATURE_BYTES)) else NO_IMAGE
    except OSError as error:
        return f"a file that cannot be opened ({error.strerror})"


def _why_closed(entry: os.DirEntry[str]) -> str | None:
    """Return why an entry has no content to wait for; None for files and broken links."""
    is_open = os.path.isfile(entry.path) or not os.path.exists(entry.path)
    return None if is_open else NO_CONTENT


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def natural_key(name: str) -> list[tuple[bool, tuple[list[str | int], str]]]:
    """Return a key that sorts relative names naturally, a folder's files before its subfolders."""
    *folders, last = name.split("/")
    return [*((True, _natural(folder)) for folder in folders), (False, _natural(last))]


def _natural(name: str) -> tuple[list[str | int], str]:
    parts = re.split(r"(\d+)", name.casefold())
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], name


def names_apart(files: Sequence[tuple[Path, str]]) -> list[tuple[Path, str]]:
    """Make names distinct by prefixing equal ones with as many parent folders as it takes.

    Args:
        files: Paths, each with its current name, which is the end of the path.
    """
    named = list(files)
    for more in range(1, max((len(path.absolute().parts) for path, _ in files), default=0)):
        count = Counter(name for _, name in named)
        if len(count) == len(named):
            break
        for place, (path, own) in enumerate(files):
            if count[named[place][1]] > 1:
                parts = path.absolute().parts[-len(Path(own).parts) - more :]
                named[place] = path, Path(*parts).as_posix()
    return named
