"""Pages and figures of the studies, made from their tables alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from builder_tools.media import replacing


def markdown(table: pd.DataFrame) -> str:
    """Return a table as Markdown, with each value formatted by `cell`."""
    lines = ["| " + " | ".join(map(str, table.columns)) + " |", "|" + "---|" * len(table.columns)]
    lines += ["| " + " | ".join(map(cell, row)) + " |" for row in table.itertuples(index=False)]
    return "\n".join(lines)


def cell(value: Any) -> str:
    """Return a value formatted for a table: four digits, commas in thousands, NaN left empty."""
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def interval(
    row: Mapping[str, Any], name: str, form: str = ".3f", *, scale: float = 1, absent: str = "-"
) -> str:
    """Return a figure of a row with its interval: `0.760 [0.745, 0.775]`.

    Args:
        row: Row with `<name>`, `<name>_low` and `<name>_high`.
        name: Name of the figure.
        form: Format of each number; `+.1f` for gains.
        scale: Factor for each number; 100 for percentage points.
        absent: Text to return if the row has no such figure.
    """
    if name not in row or pd.isna(row[name]):
        return absent
    value, low, high = (f"{scale * row[name + end]:{form}}" for end in ("", "_low", "_high"))
    return f"{value} [{low}, {high}]"


def points(row: Mapping[str, Any], name: str) -> str:
    """Return a gain in percentage points with its interval: `+3.0 [+1.4, +4.6]`."""
    return interval(row, name, "+.1f", scale=100)


def joined(values: Iterable[Any]) -> str:
    """Return the distinct values in order, joined by semicolons."""
    return "; ".join(dict.fromkeys(map(str, values)))


def write_table(path: Path, table: pd.DataFrame) -> Path:
    """Write a table as csv, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        table.to_csv(partial, index=False, lineterminator="\n")
    return path


def write_page(path: Path, sections: Iterable[str]) -> Path:
    """Write a Markdown page of sections separated by empty lines, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        partial.write_text("\n\n".join(part for part in sections if part) + "\n", encoding="utf-8")
    return path


def draw(
    path: Path, onto: Callable[[Any], Any], size_inches: tuple[float, float], *, columns: int = 1
) -> Path:
    """Write a figure as PNG, atomically.

    Args:
        path: Where to write.
        onto: Called with the axes, or with an array of them if there are several columns.
        size_inches: Width and height.
        columns: Number of plots side by side.
    """
    from matplotlib.figure import Figure

    path.parent.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=size_inches, layout="constrained")
    onto(figure.subplots(1, columns))
    with replacing(path) as partial:
        figure.savefig(partial, dpi=110, format="png")
    return path
