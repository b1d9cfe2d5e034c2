"""The rows of a batch in progress as lines of a journal.

Each row is stored with a stamp of its image's file from before it was read: rows are made again
from the first file onwards that has changed, or that could not be read and can be by now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from builder_tools.detectors import DETECTOR_FAILED
from builder_tools.inference.batch import BatchRow
from builder_tools.journal import Journal
from builder_tools.media.images import can_be_read

Stamp = tuple[int, int, int] | None


def stamp_of(path: Path) -> Stamp:
    """Return size, modification time and change time (ns), which tell a file from its successor.

    None if there is no file.
    """
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def add_row(journal: Journal, row: BatchRow, stamp: Stamp) -> None:
    """Write a row to disk, with the stamp of its image from before it was read."""
    journal.add({"row": asdict(row), "stamp": stamp})


def begin_rows(journal: Journal, paths: Sequence[Path], *, restart: bool) -> list[BatchRow]:
    """Return the rows that are still valid.

    Args:
        journal: Journal of the batch.
        paths: The images in the order of the rows.
        restart: Whether to discard all rows.

    Raises:
        ValueError: If the journal belongs to another batch; it is left unchanged.
    """

    def read(value: Mapping[str, Any]) -> BatchRow:
        _stamp_in(value)
        lists = {name: tuple(value["row"][name]) for name in ("faces", "probabilities")}
        return BatchRow(**{**value["row"], **lists})

    def holds(place: int, value: Mapping[str, Any]) -> bool:
        return (
            place < len(paths)
            and stamp_of(paths[place]) == _stamp_in(value)
            and not (_could_not_be_read(value["row"]) and can_be_read(paths[place]))
        )

    return journal.begin(read, holds=holds, restart=restart)


def _could_not_be_read(row: Mapping[str, Any]) -> bool:
    return row["status"] == "unreadable" and not row["reason"].startswith(DETECTOR_FAILED)


def _stamp_in(value: Mapping[str, Any]) -> Stamp:
    return tuple(value["stamp"]) if value["stamp"] else None
