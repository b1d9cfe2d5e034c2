"""The items of an archive: the files from folders, globs and lists, each with its identity."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from builder_tools.csv_files import name_as_text
from builder_tools.fields import read_text
from builder_tools.media import IMAGE_SUFFIXES
from builder_tools.media.listing import files_below, names_apart
from builder_tools.timeline.archived import IMAGES, VIDEO
from builder_tools.timeline.exhibits import VIDEO_SUFFIXES

IMAGES_A_PART = 64
_MADE = {VIDEO: "", IMAGES: "at any rotation"}
"""How parts are made, where that has changed: those of earlier versions are made anew."""


@dataclass(frozen=True)
class Item:
    """A part of the data set: one video, or several images.

    Args:
        kind: `video` or `images`.
        paths: The files.
        names: Their names in the column `source`, distinct within an archive.
        identity: Name of the part; changes when a file is replaced.
    """

    kind: str
    paths: tuple[str, ...]
    names: tuple[str, ...]
    identity: str

    @property
    def part(self) -> str:
        """Name of its Parquet file."""
        return f"{self.identity}.parquet"

    @property
    def size(self) -> int:
        """Total size of the files in bytes; the largest items are started first."""
        return sum(Path(path).stat().st_size for path in self.paths if Path(path).exists())


def find_items(sources: Sequence[str | Path], settings_hash: str) -> tuple[list[Item], list[str]]:
    """Return the parts to be made, and the files left out with the reasons.

    Args:
        sources: Videos, images, folders (searched), globs, and `.txt` lists with a path per line.
        settings_hash: Hash of how the files are analysed; other settings make other parts.

    Raises:
        FileNotFoundError: If a source matches nothing.
        ValueError: If there is neither a video nor an image among them.
    """
    videos: list[tuple[Path, str]] = []
    images: list[tuple[Path, str]] = []
    left_out: list[str] = []
    seen: set[Path] = set()
    for path, name, reason in _files(sources):
        name, own = name_as_text(name), Path(os.path.realpath(path))
        if own in seen:
            continue
        seen.add(own)
        suffix = path.suffix.lower()
        if reason is not None:
            left_out.append(f"{name}: {reason}")
        elif suffix in VIDEO_SUFFIXES:
            videos.append((path, name))
        elif suffix in IMAGE_SUFFIXES:
            images.append((path, name))
        else:
            left_out.append(f"{name}: neither a video nor an image by its name")
    if not videos and not images:
        raise ValueError(f"Expected videos or images in {[str(s) for s in sources]}. Found none.")
    videos, images = _named_apart(videos), _named_apart(images)
    items = [_item(VIDEO, [one], settings_hash) for one in videos]
    images.sort(key=lambda one: one[1])
    for first in range(0, len(images), IMAGES_A_PART):
        items.append(_item(IMAGES, images[first : first + IMAGES_A_PART], settings_hash))
    return items, left_out


def _named_apart(files: Sequence[tuple[Path, str]]) -> list[tuple[Path, str]]:
    return [(path, name_as_text(name)) for path, name in names_apart(files)]


def _item(kind: str, files: Sequence[tuple[Path, str]], settings_hash: str) -> Item:
    digest = hashlib.sha256((settings_hash + _MADE[kind]).encode())
    for path, name in files:
        status = path.stat() if path.exists() else None
        facts = (name, status.st_size, status.st_mtime_ns) if status else (name, "missing")
        digest.update(repr((str(path.absolute()), *facts)).encode("utf-8", "surrogateescape"))
    paths, names = (tuple(map(str, column)) for column in zip(*files, strict=True))
    return Item(kind, paths, names, f"{kind}-{digest.hexdigest()[:24]}")


def _files(sources: Iterable[str | Path]) -> Iterator[tuple[Path, str, str | None]]:
    """Yield every file, its name (relative to a given folder), and why it is left out or None."""
    for source in sources:
        path = Path(source)
        if path.is_dir():
            for one, reason in files_below(path):
                yield one, one.relative_to(path).as_posix(), reason
        elif path.suffix.lower() == ".txt" and path.is_file():
            lines = read_text(path, errors="surrogateescape").split("\n")
            if any("\0" in line for line in lines):
                raise ValueError(f"Expected a list with a path a line in {path}. It is no text.")
            for line in filter(None, map(str.strip, lines)):
                yield path.parent / line, line, None
        elif path.exists():
            yield path, path.name, None
        elif found := sorted(glob.glob(str(source), recursive=True)):
            yield from _files(found)
        else:
            raise FileNotFoundError(f"Nothing at {str(source)!r}. Check the spelling.")
