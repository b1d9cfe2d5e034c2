"""CSV files that contain file names, which may hold any character except NUL.

Lines end in a line feed alone. The csv module quotes a cell only if it contains a character of
the line terminator, and an unquoted carriage return ends a row when the file is read back. So the
module is told that lines end in both, and `LineFeeds` removes the carriage return.

Names are bytes; those that are not valid UTF-8 keep their bytes (`surrogateescape`). Formats that
hold only text, such as Parquet and figures, get them from `name_as_text`.
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
    """A text file that takes whole CSV lines ending in `\\r\\n` and writes them with `\\n`.

    Args:
        file: A file opened in text mode with `newline=""`.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, line: str) -> int:
        """Write one line."""
        return self._file.write(line.removesuffix(_BOTH) + "\n")


def csv_writer(file: TextIO) -> Any:
    """Return a `csv.writer` whose rows read back intact, whatever their cells contain.

    Args:
        file: A file opened in text mode with `newline=""`.
    """
    return csv.writer(LineFeeds(file), lineterminator=_BOTH)


def name_as_text(name: str) -> str:
    """Return a file name as valid UTF-8; bytes that are not become escapes such as `\\xe9`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def read_csv(path: Path) -> list[list[str]]:
    """Return the rows of a CSV file, including the header.

    Raises:
        ValueError: If it is not a CSV file; names the file and the line.
        OSError: If it cannot be read.
    """
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
        return _rows(csv.reader(file), path)


def read_any_csv(path: Path) -> list[list[str]]:
    """Return the rows of a CSV file from a spreadsheet or another source, including the header.

    Cells are separated by `,`, `;`, tabs or `|`, which a first line such as `sep=;` may name; the
    text is decoded as by `read_text`.

    Raises:
        ValueError: If it is not a CSV file; names the file and the line.
        OSError: If it cannot be read.
    """
    text = read_text(path, errors="surrogateescape")  # names that are not UTF-8 stay unchanged
    first, _, below = text.partition("\n")
    named = first.strip('"').removeprefix("sep=")
    names_delimiter = first.strip('"') in [f"sep={each}" for each in DELIMITERS]
    lines = below if names_delimiter else text
    header = lines.partition("\n")[0].strip()
    delimiter = named if names_delimiter else max(DELIMITERS, key=header.count)
    return _rows(csv.reader(io.StringIO(lines, newline=""), delimiter=delimiter), path)


def _rows(reader: Any, path: Path) -> list[list[str]]:
    try:
        return list(reader)
    except csv.Error as error:
        raise ValueError(
            f"Expected a csv in {path}. Line {reader.line_num} is none: {error}."
        ) from error


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file; None becomes an empty cell."""
    with open(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv_writer(file)
        writer.writerow(columns)
        writer.writerows(rows)


@contextmanager
def any_name_in_tables() -> Iterator[None]:
    """Let tables created in a `with` block, or in a decorated function, hold any file name.

    Arrow strings, which pandas uses where Arrow is installed, reject anything but UTF-8.
    """
    import pandas as pd

    with pd.option_context("mode.string_storage", "python"):
        yield


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a DataFrame as CSV, without its index."""
    with open(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        table.to_csv(LineFeeds(file), index=False, lineterminator=_BOTH)
