"""Guards against overwriting an input, or a file that the user did not name.

Files are compared as the file system sees them: hard and symbolic links count as the same file,
and so do names that differ only in case or Unicode normalization, as many file systems treat
them as one.
"""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path

from builder_tools.media.addresses import without_file_scheme
from builder_tools.media.formats import IMAGE_SUFFIXES
from builder_tools.media.partial import refuse_device


def check_outputs(
    outputs: Mapping[str, str | os.PathLike | None], inputs: Iterable[str | os.PathLike]
) -> None:
    """Refuse to overwrite an input or a device, and to write two outputs to one place.

    Args:
        outputs: Name of each output -> its path, or None if it is not wanted.
        inputs: The inputs: files, and folders, which stand for the images in them. Anything that
            is not a file (an address, a camera) is ignored.

    Raises:
        ValueError: If an output is refused; names it and what stands in its way.
    """
    places: dict[str, str] = {}
    existing: list[tuple[str, Path, os.stat_result]] = []
    for name, path in outputs.items():
        if path is None:
            continue
        refuse_device(path)
        found = _stat(_placed(path))
        other = places.setdefault(place_key(path), name)
        if other != name:
            raise ValueError(f"Expected different files for {other} and {name}. Received: {path}.")
        if found:
            existing.append((name, Path(path), found))
    for source in inputs if existing else ():
        status = _stat(source)
        for name, path, found in existing if status else ():
            is_in_it = (
                stat.S_ISDIR(status.st_mode)
                and path.suffix.lower() in IMAGE_SUFFIXES
                and Path(source).resolve() in path.resolve().parents
            )
            if is_in_it or os.path.samestat(status, found):
                raise ValueError(
                    f"Expected another file to write than the one to read. Received for {name}: "
                    f"{path}, which is {source} or in it. Name another one."
                )


def check_own(path: Path, start: str) -> None:
    """Refuse to replace a file that this package did not write.

    Args:
        path: The file that would be replaced; it need not exist.
        start: What it begins with if this package wrote it.

    Raises:
        ValueError: If there is something else.
    """
    there = Path(_placed(path))
    if not os.path.lexists(there) or (there.is_file() and not there.stat().st_size):
        return
    mark, found = start.encode(), b""
    if there.is_file():
        with there.open("rb") as file:
            found = file.read(len(mark))
    if found != mark:
        raise ValueError(
            f"Expected nothing at {path}, or what an earlier run wrote there (it begins with "
            f"{start!r}). Something else is there: move it away, or name another output."
        )


class UnusedPaths:
    """Paths that nothing has taken, with a number added to the name if need be: `photo_2.png`."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._numbers: dict[Path, int] = {}

    def take(self, path: Path) -> None:
        """Mark a path as taken, whether or not something is there."""
        self._taken.add(place_key(path))

    def next(self, wanted: Path) -> Path:
        """Return the wanted path, or the first numbered one after the last that was returned."""
        number = self._numbers.get(wanted, 1)
        free = _numbered(wanted, number)
        while os.path.lexists(free) or place_key(free) in self._taken:
            number += 1
            free = _numbered(wanted, number)
        self._numbers[wanted] = number
        return free


def _numbered(path: Path, number: int) -> Path:
    return path if number == 1 else path.with_name(f"{path.stem}_{number}{path.suffix}")


def place_key(path: str | os.PathLike) -> str:
    """Return a key that is equal for paths that a file system may treat as the same."""
    return unicodedata.normalize("NFC", _placed(path)).casefold()


def _placed(path: str | os.PathLike) -> str:
    """Return where a path will lead, its last link not followed, once its folders are made.

    Until then nothing is found at `missing/../a.csv`; and the parent of a link is its target's.
    """
    folder, name = os.path.split(os.fspath(path))
    return os.path.normpath(os.path.join(os.path.realpath(folder), name))


def _stat(path: object) -> os.stat_result | None:
    if not isinstance(path, str | os.PathLike):
        return None
    try:
        return os.stat(without_file_scheme(path) if isinstance(path, str) else path)
    except (OSError, ValueError):
        return None
