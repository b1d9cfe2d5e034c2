"""Csv files with the names of files in them.

Names are bytes; those that are no UTF-8 keep them (`surrogateescape`).
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TextIO


def read_csv(path: Path) -> list[list[str]]:
    """Return the rows of a csv, the header among them."""
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
        return list(csv.reader(file))


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a csv; None becomes an empty cell."""
    with open(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(_LineFeeds(file), lineterminator="\r\n")
        writer.writerow(columns)
        writer.writerows(rows)


class _LineFeeds:
    """Ends lines in a line feed alone, though csv is told otherwise: only characters of the line's
    end make it quote a cell, and a name may hold a carriage return."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, line: str) -> None:
        self._file.write(line.removesuffix("\r\n") + "\n")
