"""Writes the table of a stream as it goes, in constant memory even over hours.

One row per face and frame. A frame without a face gives one row with an empty `track`, so that the
table distinguishes frames without faces from frames that were never analysed. No pixels are kept.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from builder_tools.csv_files import csv_writer
from builder_tools.geometry import GEOMETRY_COLUMNS, geometry_cells
from builder_tools.geometry.table import REASONS
from builder_tools.media.partial import append, naming_full, partial_path
from builder_tools.results import FrameResult
from builder_tools.timeline.affect import affect_of

PROBABILITY_PREFIX = "p_"
FIRST_COLUMNS = (
    "frame",
    "time_s",
    "track",
    "face_px",
    "detection_score",
    "emotion",
    "probability",
)
RELATIVE_COLUMNS = ("relative_emotion", "relative_probability")
RELATIVE_PREFIX = "relative_p_"
DOUBTFUL = "doubtful"
"""Column after `LAST_COLUMNS`: 1 if the emotion is too uncertain to rely on; older tables lack
it."""
LAST_COLUMNS = ("valence", "arousal", "intensity", "affect_from")
TABLE_SUFFIXES = (".csv", ".parquet")
ROWS_A_GROUP = 4096
"""Rows held in memory before they are written to Parquet."""


def columns_of(
    emotions: Sequence[str], *, relative: bool = False, geometry: bool = False
) -> list[str]:
    """Return the columns of a timeline: `frame`, `time_s`, ..., `p_<emotion>`, ..., `doubtful`.

    Args:
        emotions: Class order of the model.
        relative: Whether faces were compared with their resting face: `relative_emotion`,
            `relative_probability` and `relative_p_<emotion>` follow.
        geometry: Whether `geometry.GEOMETRY_COLUMNS` follow.
    """
    return [
        *FIRST_COLUMNS,
        *(PROBABILITY_PREFIX + name for name in emotions),
        *LAST_COLUMNS,
        DOUBTFUL,
        *(RELATIVE_COLUMNS if relative else ()),
        *(RELATIVE_PREFIX + name for name in emotions if relative),
        *(GEOMETRY_COLUMNS if geometry else ()),
    ]


def rows_of(
    result: FrameResult, emotions: Sequence[str], *, relative: bool = False, geometry: bool = False
) -> Iterator[list[Any]]:
    """Yield a frame's rows, in the order of `columns_of`; None stands for a missing value."""
    start = [result.frame, round(result.time_s, 6)]
    if not result.faces:
        columns = columns_of(emotions, relative=relative, geometry=geometry)
        yield start + [None] * (len(columns) - len(start))
    for face in result.faces:
        affect = affect_of(face)
        cells = [
            face.face.track,
            round(max(face.face.box.width, face.face.box.height), 1),
            round(float(face.face.score), 4),
            face.emotion,
            round(float(face.probability), 5),
            *(round(float(face.probabilities[name]), 5) for name in emotions),
            *(None if v is None else round(v, 5) for v in (affect.valence, affect.arousal)),
            round(affect.intensity, 5),
            affect.source,
            int(face.doubtful),
        ]
        if relative and face.relative_probabilities is None:
            cells += [None] * (len(RELATIVE_COLUMNS) + len(emotions))
        elif relative:
            cells += [
                face.relative_emotion,
                round(float(face.relative_probability), 5),
                *(round(float(face.relative_probabilities[name]), 5) for name in emotions),
            ]
        yield start + cells + (geometry_cells(face.to_dict()) if geometry else [])


class _Rows(Protocol):
    """A destination for rows; those that an error keeps from being written are dropped.

    Attributes:
        num_rows: Number of rows, without those dropped.
    """

    num_rows: int

    def write(self, row: list[Any]) -> None:
        """Write a row, at once or later with others."""
        ...

    def flush(self) -> None:
        """Write the rows that wait."""
        ...

    def close(self) -> None:
        """Finish the file, without the rows that wait."""
        ...


class _CsvRows:
    def __init__(self, path: Path, columns: list[str]) -> None:
        self.num_rows = 0
        self._file = path.open("wb", buffering=0)
        self._append(columns)

    def write(self, row: list[Any]) -> None:
        self._append(row)
        self.num_rows += 1

    def flush(self) -> None:
        pass  # no row waits

    def close(self) -> None:
        self._file.close()

    def _append(self, row: list[Any]) -> None:
        line = io.StringIO(newline="")
        csv_writer(line).writerow(row)
        append(self._file, line.getvalue().encode())


class _ParquetRows:
    """Rows in groups.

    The end of a Parquet file, without which it cannot be read, grows with each group. So there is
    always room for it: before a group is written, the file grows by the group's own Parquet file.
    """

    def __init__(self, path: Path, columns: list[str]) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise ImportError(
                "Parquet tables need pyarrow: pip install pyarrow (or 'builder-tools[video]'), or "
                "name a .csv."
            ) from error
        self._arrow, self._schema = pyarrow, parquet_schema(columns)
        self.num_rows = 0
        self._waiting: list[list[Any]] = []
        self._file = path.open("wb", buffering=0)
        self._take_room([])
        self._writer = pyarrow.parquet.ParquetWriter(self._file, self._schema)

    def write(self, row: list[Any]) -> None:
        self._waiting.append(row)
        self.num_rows += 1
        if len(self._waiting) >= ROWS_A_GROUP:
            self.flush()

    def flush(self) -> None:
        if not self._waiting:
            return
        columns = [list(column) for column in zip(*self._waiting, strict=True)]
        batch = self._arrow.record_batch(columns, schema=self._schema)
        try:
            self._take_room([batch])
        except OSError:
            self.num_rows -= len(self._waiting)
            self._waiting = []
            raise
        self._waiting = []  # first, as a signal that comes meanwhile is raised after the writing
        self._writer.write_batch(batch)

    def close(self) -> None:
        self._writer.close()
        self._file.truncate()
        self._file.close()

    def _take_room(self, batches: Sequence[Any]) -> None:
        place, alone = self._file.tell(), io.BytesIO()
        with self._arrow.parquet.ParquetWriter(alone, self._schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
        try:
            append(self._file, bytes(len(alone.getbuffer())))
        finally:
            self._file.seek(place)


def parquet_schema(columns: Sequence[str]):
    """Return the Arrow schema of a timeline's columns: strings, integers or floats."""
    import pyarrow

    words = {"emotion", "affect_from", "relative_emotion", *REASONS}
    kinds = dict.fromkeys(words, pyarrow.string()) | dict.fromkeys(
        ("frame", "track", DOUBTFUL), pyarrow.int64()
    )
    return pyarrow.schema([(name, kinds.get(name, pyarrow.float64())) for name in columns])


class TimelineWriter:
    """Writes results to a table as they come.

    A context manager: the file appears under its name if the `with` block succeeds; after an
    exception nothing is left.

    Args:
        path: Path ending in .csv, or .parquet if pyarrow is installed; missing folders are created.
        emotions: Class order of the model.
        relative: Whether faces were compared with their resting face (`columns_of`).
        geometry: Whether their geometry was requested (`columns_of`).

    Raises:
        ValueError: If the path has another suffix.
        ImportError: If Parquet is requested without pyarrow.
        OSError: If the path cannot be written to; raised at once, not after hours.
    """

    def __init__(
        self,
        path: str | Path,
        emotions: Sequence[str],
        *,
        relative: bool = False,
        geometry: bool = False,
    ) -> None:
        self.path, self.emotions = Path(path), tuple(emotions)
        self._optional = {"relative": relative, "geometry": geometry}
        kind = check_table_name(self.path)
        self._partial = partial_path(self.path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.is_dir():
                raise IsADirectoryError(f"{self.path} is a folder")
            self._rows: _Rows = kind(self._partial, columns_of(self.emotions, **self._optional))
        except OSError as error:
            with suppress(OSError):
                self._partial.unlink(missing_ok=True)
            raise OSError(
                f"Cannot write {self.path}: {error.strerror or error}. Try another folder."
            ) from error

    def write(self, result: FrameResult) -> None:
        """Add the result of a frame.

        Raises:
            OSError: As `flush`.
        """
        for row in rows_of(result, self.emotions, **self._optional):
            with naming_full(self.path):
                self._rows.write(row)

    @property
    def num_rows(self) -> int:
        """Number of rows, without those that found no room on the disk."""
        return self._rows.num_rows

    def flush(self) -> None:
        """Write the rows that are still in memory.

        Raises:
            OSError: If they find no room on the disk; the rows before them stay, and the table can
                be finished with those.
        """
        with naming_full(self.path):
            self._rows.flush()

    def __enter__(self) -> TimelineWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self.flush()
            with naming_full(self.path):
                self._rows.close()
            if kind is None:
                os.replace(self._partial, self.path)
        finally:
            self._partial.unlink(missing_ok=True)


def check_table_name(path: Path) -> type:
    """Return the class that writes a table of this name.

    Raises:
        ValueError: If its suffix is not one of `TABLE_SUFFIXES`.
    """
    kinds = dict(zip(TABLE_SUFFIXES, (_CsvRows, _ParquetRows), strict=True))
    if path.suffix.lower() not in kinds:
        raise ValueError(
            f"Expected a table that ends in one of {list(kinds)}. Received: {path.name!r}."
        )
    return kinds[path.suffix.lower()]
