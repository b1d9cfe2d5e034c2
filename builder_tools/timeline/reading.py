"""Reads timelines back and checks them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from builder_tools.emotions import EmotionSet
from builder_tools.timeline.writer import (
    FIRST_COLUMNS,
    LAST_COLUMNS,
    PROBABILITY_PREFIX,
    check_table_name,
)


def read_timeline(path: str | Path) -> pd.DataFrame:
    """Read a timeline that `TimelineWriter` wrote; its rows are in order of time.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a timeline; names the columns it lacks.
    """
    path = Path(path)
    check_table_name(path)
    if not path.is_file():
        raise FileNotFoundError(f"No timeline at {str(path)!r}. Check the spelling.")
    try:
        table = pd.read_parquet(path) if path.suffix.lower() == ".parquet" else pd.read_csv(path)
    except (ValueError, UnicodeDecodeError) as error:
        raise ValueError(f"Cannot read {str(path)!r} as a table: {error}.") from error
    check_timeline(table, str(path))
    table["track"] = table["track"].astype("Int64")
    return table.sort_values(["time_s", "track"], kind="stable", ignore_index=True)


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
    names = {name: name for name in ("valence", "arousal", "intensity")}
    if measure in names:
        return measure
    names |= {name: PROBABILITY_PREFIX + name for name in emotions_of(table)}
    if measure not in names:
        raise ValueError(f"Expected one of {list(names)}. Received: measure={measure!r}.")
    return names[measure]
