"""Reads timelines back and checks them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from builder_tools.emotions import EmotionSet
from builder_tools.timeline.writer import (
    FIRST_COLUMNS,
    LAST_COLUMNS,
    PROBABILITY_PREFIX,
    check_table_name,
)

AFFECT = ("valence", "arousal", "intensity")
"""Measures of every timeline, besides its emotions."""
EVERY_ROW, WHOLE = ("frame", "time_s"), ("frame", "track")
"""Columns with a number in every row, also of frames without a face, and with whole numbers."""


def read_timeline(path: str | Path) -> pd.DataFrame:
    """Read a timeline that `TimelineWriter` wrote; its rows are in order of time.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a timeline; names the columns it lacks, or the cell that is no
            number.
    """
    table = _read(path, pd.read_csv, pd.read_parquet)
    columns = ["frame", "time_s", "track", "face_px", "detection_score", *AFFECT]
    for column in (*columns, *probability_columns(table)):
        table[column] = _numbers(table[column], str(path))
    table["track"] = table["track"].astype("Int64")
    return table.sort_values(["time_s", "track"], kind="stable", ignore_index=True)


def read_emotions(path: str | Path) -> EmotionSet:
    """Return the emotions of a timeline, in class order, without reading its rows.

    Raises:
        FileNotFoundError, ValueError: As `read_timeline`.
    """
    return emotions_of(_read(path, partial(pd.read_csv, nrows=0), _parquet_columns))


def length_s(table: pd.DataFrame) -> float:
    """Return the length of a recording in seconds; its last image is shown as long as most are.

    Args:
        table: Its timeline, with at least one row.
    """
    times = table["time_s"].drop_duplicates()
    return float(times.max()) + (float(times.diff().median()) if len(times) > 1 else 0.0)


def _read(
    path: str | Path,
    csv: Callable[[Path], pd.DataFrame],
    parquet: Callable[[Path], pd.DataFrame],
) -> pd.DataFrame:
    """Read a timeline with one of two functions, by its name, and check its columns."""
    path = Path(path)
    check_table_name(path)
    if not path.is_file():
        raise FileNotFoundError(f"No timeline at {str(path)!r}. Check the spelling.")
    try:
        table = (parquet if path.suffix.lower() == ".parquet" else csv)(path)
    except (ValueError, UnicodeDecodeError) as error:
        raise ValueError(f"Cannot read {str(path)!r} as a table: {error}.") from error
    check_timeline(table, str(path))
    return table


def _numbers(cells: pd.Series, name: str) -> pd.Series:
    """Return the cells of a column as numbers, NaN where there is none.

    Raises:
        ValueError: If a cell holds something else, or no number though each row has one.
    """
    numbers = pd.to_numeric(cells, errors="coerce").astype(float)
    wrong = ~np.isfinite(numbers) & (cells.notna() | (cells.name in EVERY_ROW))
    kind = "numbers"
    if cells.name in WHOLE:
        kind, wrong = "whole numbers", wrong | (numbers % 1 != 0) & numbers.notna()
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise ValueError(
            f"Expected {kind} in the column {cells.name!r} of {name!r}. Received: "
            f"{cells.tolist()[row]!r} in row {row + 1} below the header."
        )
    return numbers.astype(int) if cells.name == "frame" else numbers


def _parquet_columns(path: Path) -> pd.DataFrame:
    from pyarrow.parquet import read_schema

    return pd.DataFrame(columns=read_schema(path).names)


def check_timeline(table: pd.DataFrame, name: str) -> None:
    """Refuse a table that lacks columns of a timeline."""
    missing = [column for column in (*FIRST_COLUMNS, *LAST_COLUMNS) if column not in table]
    if missing or not probability_columns(table):
        raise ValueError(
            f"Expected a timeline as `video --timeline` writes it. {name} lacks the columns "
            f"{missing or [PROBABILITY_PREFIX + '<emotion>']}."
        )


def probability_columns(table: pd.DataFrame) -> list[str]:
    """Return the columns with probabilities, in class order."""
    return [column for column in table if column.startswith(PROBABILITY_PREFIX)]


def emotions_of(table: pd.DataFrame) -> EmotionSet:
    """Return the emotions of a timeline, in class order."""
    return EmotionSet([c.removeprefix(PROBABILITY_PREFIX) for c in probability_columns(table)])


def measure_column(table: pd.DataFrame, measure: str) -> str:
    """Return the column of a measure: `valence`, `arousal`, `intensity` or an emotion.

    Raises:
        ValueError: If there is no such column.
    """
    if measure in AFFECT:
        return measure
    emotions = emotions_of(table)
    if measure not in emotions:
        names = [*AFFECT, *emotions]
        raise ValueError(f"Expected one of {names}. Received: measure={measure!r}.")
    return PROBABILITY_PREFIX + measure
