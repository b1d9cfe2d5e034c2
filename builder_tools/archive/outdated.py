"""Parts that no longer belong to an archive: those of replaced, removed or regrouped files.

Whoever reads the folder of the parts as one data set would find rows of them twice, or of another
model.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from builder_tools.archive.items import Item
from builder_tools.archive.work import PATHS, told_by
from builder_tools.timeline.archived import IMAGES, SOURCE, VIDEO

PART_NAME = re.compile(rf"({VIDEO}|{IMAGES})-[0-9a-f]{{24}}\.parquet")


def remove_outdated(
    parts: Path, items: Sequence[Item]
) -> tuple[int, tuple[str, ...], tuple[str, ...]]:
    """Remove parts with a file whose rows another part has now, or whose files are all gone.

    A file is gone if it is missing, but others were found in its folder: a disk that is not
    connected loses nothing. Parts of sources that are not given this time stay, and so does what
    this package did not write.

    Args:
        parts: Folder of the parts, in which nobody else is writing.
        items: The parts that belong to the sources.

    Returns:
        Number of parts removed; names of the parts of earlier versions, which stay: they do not
        tell where their files lay; and parts, each with one of its files, whose files are missing
        together with all others of their folders, which stay, too.
    """
    current = {item.part for item in items}
    covered = set()
    for item in items:
        told = told_by(parts / item.part)
        read = {file[SOURCE] for file in told["files"]} if told else set()
        own = zip(item.names, item.paths, strict=True)
        covered.update(os.path.realpath(path) for name, path in own if name in read)
    near = {os.path.dirname(path) for path in covered}

    def is_gone(path: str) -> bool:
        return os.path.dirname(path) in near and _is_missing(path)

    removed, untold, missing = 0, [], []
    for part in sorted(parts.iterdir()):
        if part.name in current or not PART_NAME.fullmatch(part.name):
            continue
        told = told_by(part)
        paths = told.get(PATHS) if told else None
        if told and paths is None:
            untold.append(part.name)
        elif paths and (not covered.isdisjoint(paths) or all(map(is_gone, paths))):
            part.unlink()
            removed += 1
        elif paths and all(map(_is_missing, paths)):
            one = (told["files"] or told["failed"])[0]  # perhaps none of its images could be read
            missing.append(f"{part.name} of {one[SOURCE]}")
    return removed, tuple(untold), tuple(missing)


def _is_missing(path: str) -> bool:
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:  # a disk that fails, or a folder that this user may not read
        return False
    return False
