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
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from builder_tools.fields import encoding_of

if TYPE_CHECKING:
    import pandas as pd

DELIMITERS = (",", ";", "\t", "|")
_BOTH = "\r\n"
_EMPTY = ' \t\r\n",;|'
_MOST_HEAD = 65536
"""Characters of a header; what has no line end before is no table, and maybe huge."""


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
    text is UTF-8, or UTF-16 if it begins with its mark. Empty lines before the header are left out.

    Raises:
        ValueError: If it is not a CSV file; names the file and the line.
        OSError: If it cannot be read.
    """
    with _opened(path, "surrogateescape") as (lines, delimiter, _):
        return _rows(csv.reader(lines, delimiter=delimiter), path)


@dataclass(frozen=True)
class Sheet:
    """What a CSV file from a spreadsheet holds.

    Args:
        columns: Names of the columns, without spaces around them.
        rows: The rows that are not empty, by the line that each begins on, as an editor numbers
            them. None has more cells than there are columns.
    """

    columns: list[str]
    rows: dict[int, list[str]]


def read_sheet(path: Path, errors: str = "surrogateescape", *, named_rows: bool = False) -> Sheet:
    """Return the content of a CSV file from a spreadsheet or another source, by line.

    The file is read as by `read_any_csv`. Rows may end in more separators than the header.

    Args:
        path: The file.
        errors: How to handle bytes that are not text, as in `bytes.decode`.
        named_rows: Whether all rows may begin with a name that has no column, as R writes them. It
            is left out. Not for numbers, as `1,25` may be one of a spreadsheet.

    Raises:
        ValueError: If it is not such a file, or a row has more cells than there are columns; names
            the file and the line.
        OSError: If it cannot be read.
    """
    with _opened(path, errors) as (lines, delimiter, before):
        reader, rows, begins = csv.reader(lines, delimiter=delimiter), {}, before + 1
        try:
            columns = [name.strip() for name in next(reader, [])]
            begins += reader.line_num
            for row in reader:
                if any(map(str.strip, row)):
                    rows[begins] = row
                begins = before + 1 + reader.line_num
        except (csv.Error, UnicodeError) as error:
            raise ValueError(
                f"Expected a csv in UTF-8 or UTF-16: {path}. Line {begins} is none: {error}."
            ) from error
    width = len(columns)
    is_named = named_rows and all(len(row) == width + 1 for row in rows.values())
    if is_named and any(row[-1].strip() for row in rows.values()):
        rows = {number: row[1:] for number, row in rows.items()}
    for number, row in rows.items():
        if any(map(str.strip, row[width:])):
            raise ValueError(
                f"Expected at most {width} cells, as in the header, in line {number} of {path}. "
                f"Received {len(row)}: {row}. Quote cells that hold the separator, and name every "
                "column."
            )
    return Sheet(columns, {number: row[:width] for number, row in rows.items()})


def read_sheet_columns(path: Path) -> list[str]:
    """Return the columns that `read_sheet` would, but read no rows.

    Raises:
        ValueError: If it is not a CSV file.
        OSError: If it cannot be read.
    """
    with _opened(path, "surrogateescape") as (lines, delimiter, _):
        try:
            return [
                name.strip()
                for name in next(csv.reader([lines.readline(_MOST_HEAD)], delimiter=delimiter))
            ]
        except csv.Error as error:
            raise ValueError(f"Expected a csv in {path}. Its header is none: {error}.") from error


def read_table(
    path: Path, errors: str = "surrogateescape", *, named_rows: bool = False
) -> pd.DataFrame:
    """Return what `read_sheet` does as text, with lines as the index and "" for missing cells.

    Of columns with one name, the first counts.
    """
    import pandas as pd

    sheet = read_sheet(path, errors, named_rows=named_rows)
    places = {name: place for place, name in reversed(list(enumerate(sheet.columns)))}
    cells = {
        name: [row[place] if place < len(row) else "" for row in sheet.rows.values()]
        for name, place in sorted(places.items(), key=lambda item: item[1])
    }
    return pd.DataFrame(cells, index=list(sheet.rows), dtype=object)


@contextmanager
def _opened(path: Path, errors: str) -> Iterator[tuple[TextIO, str, int]]:
    """Open a CSV file at its header: its lines, what separates cells, how many lines are before."""
    with path.open(encoding=encoding_of(path), errors=errors, newline="") as lines:
        try:
            named, before, head, second = _beginning(lines)
        except UnicodeError as error:
            raise ValueError(
                f"Expected a csv in UTF-8 or UTF-16: {path}. Received other text: {error}. Save it "
                "as CSV UTF-8."
            ) from error
        lines.seek(0)
        for _ in range(before):
            lines.readline()
        yield lines, named or _delimiter_of(head, second), before


def _beginning(lines: TextIO) -> tuple[str | None, int, str, str]:
    """Return the separator that is named, the lines above the header, it, and the next line."""
    named, before = None, 0
    while head := lines.readline(_MOST_HEAD):
        sign = head.rstrip("\r\n").strip('"').removeprefix("sep=")
        if named is None and head.strip().strip('"').startswith("sep=") and sign in DELIMITERS:
            named = sign
        elif head.strip(_EMPTY):
            break
        before += 1
    return named, before, head, lines.readline(_MOST_HEAD)


def _delimiter_of(head: str, second: str) -> str:
    """Return what separates the cells of a header; if that is undecided, those of its first row."""

    def cells(line: str, sign: str, strict: bool = True) -> int:
        try:
            return len(next(csv.reader([line], delimiter=sign, strict=strict), []))
        except csv.Error:  # a quote ends before a character that separates nothing
            return 0

    counts = {
        sign: (cells(head, sign), cells(second, sign), cells(head, sign, strict=False))
        for sign in DELIMITERS
    }
    return max(DELIMITERS, key=counts.__getitem__)


def _rows(reader: Any, path: Path) -> list[list[str]]:
    try:
        return list(reader)
    except (csv.Error, UnicodeError) as error:
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
