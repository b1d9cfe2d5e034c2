"""Csv files with names of files in them, which may hold anything but a NUL.

Lines end in a line feed alone. The csv module quotes a cell for the characters of the line's end,
and only for those; a carriage return that is not quoted ends a row where it is read again. So it
is told that lines end in both, and `LineFeeds` takes the carriage return away.

Names are bytes; those that are no UTF-8 keep them (`surrogateescape`). What holds text alone, as
Parquet and figures do, gets them from `name_as_text`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from builder_tools.fields import read_text

if TYPE_CHECKING:
    import pandas as pd

DELIMITERS = (",", ";", "\t", "|")
_BOTH = "\r\n"


class LineFeeds(io.TextIOBase):
    """A text file to write whole csv lines to that end in `\\r\\n`; it ends them in `\\n`.

    Args:
        file: Opened for text with `newline=""`.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, line: str) -> int:
        """Write one line."""
        return self._file.write(line.removesuffix(_BOTH) + "\n")


def csv_writer(file: TextIO) -> Any:
    """Return a `csv.writer` whose rows read back whole, whatever stands in their cells.

    Args:
        file: Opened for text with `newline=""`.
    """
    return csv.writer(LineFeeds(file), lineterminator=_BOTH)


def name_as_text(name: str) -> str:
    """Return the name of a file as UTF-8 can hold it: bytes that are none become `\\xe9`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def read_csv(path: Path) -> list[list[str]]:
    """Return the rows of a csv, the header among them.

    Raises:
        ValueError: If it is none; says the file and the line.
        OSError: If it cannot be read.
    """
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
        return _rows(csv.reader(file), path)


def read_any_csv(path: Path) -> list[list[str]]:
    """Return the rows of a csv as spreadsheets and other hands write them, the header among them.

    Cells are parted by `,`, `;`, tabs or `|`, the text is as `read_text` takes it.

    Raises:
        ValueError: If it is none; says the file and the line.
        OSError: If it cannot be read.
    """
    text = read_text(path, errors="surrogateescape")  # names that are no UTF-8 stay what they are
    lines = text.removeprefix("sep=;\n").removeprefix("sep=,\n")
    header = lines.partition("\n")[0].strip()
    delimiter = max(DELIMITERS, key=header.count)
    return _rows(csv.reader(io.StringIO(lines, newline=""), delimiter=delimiter), path)


def _rows(reader: Any, path: Path) -> list[list[str]]:
    try:
        return list(reader)
    except csv.Error as error:
        raise ValueError(
            f"Expected a csv in {path}. Line {reader.line_num} is none: {error}."
        ) from error


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a csv; None becomes an empty cell."""
    with open(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv_writer(file)
        writer.writerow(columns)
        writer.writerows(rows)


@contextmanager
def any_name_in_tables() -> Iterator[None]:
    """Have tables that are made within a `with`, or a function decorated so, hold any name.

    The strings of Arrow, which pandas takes where it is installed, refuse what is no UTF-8.
    """
    import pandas as pd

    with pd.option_context("mode.string_storage", "python"):
        yield


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a DataFrame as csv, without its index."""
    with open(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        table.to_csv(LineFeeds(file), index=False, lineterminator=_BOTH)
