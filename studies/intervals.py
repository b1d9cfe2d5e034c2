"""Uncertainty of figures: 95 % intervals over faces, and over seeds where there are several.

The bootstrap of `builder_tools` shows how much other faces would change a figure. With one seed
nothing more is known, so a gain of one seed is marked as such and no claim is made from it. With
several seeds their spread counts as well: the interval of the mean is Student's, widened by that
over faces, which all seeds share:

    half width = sqrt(mean(half width over faces ** 2) + (t * standard deviation) ** 2 / seeds)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from builder_tools.evaluation import Figure

LEVEL = 0.95
ONE_SEED = "one seed"
SHARES = ("accuracy", "macro_f1", "mean_recall")
"""Figures clipped to between 0 and 1, which Student's interval for two seeds may exceed."""


def over_seeds(figures: Sequence[Figure]) -> Figure:
    """Return the mean of a figure over seeds, with its interval over seeds and faces.

    Args:
        figures: One per seed, each with its interval over the same faces.
    """
    if len(figures) == 1:
        return figures[0]
    from scipy.stats import t

    value, low, high = np.array([(one.value, one.low, one.high) for one in figures]).T
    count, mean = len(value), float(value.mean())
    of_seeds = t.ppf((1 + LEVEL) / 2, count - 1) * value.std(ddof=1) / np.sqrt(count)
    below, above = (
        float(np.sqrt(np.mean(side**2) + of_seeds**2)) for side in (value - low, high - value)
    )
    return Figure(mean, mean - below, mean + above)


def recentred(figure: Figure, value: float) -> Figure:
    """Return a figure moved to another value, keeping the width of its interval."""
    return Figure(value, value + figure.low - figure.value, value + figure.high - figure.value)


def latest(rows: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Return the last row of each variant and seed: a changed configuration adds another.

    Args:
        rows: Rows of a study, in the order in which they were made.
        by: Columns that tell variants apart.
    """
    return rows.drop_duplicates([*by, "seed"], keep="last")


def by_variant(rows: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Return one row for each set of rows that differ only in their seed.

    Args:
        rows: One per variant and seed, or several, of which the `latest` counts. `<name>_low` and
            `<name>_high` are a figure's interval.
        by: Columns that tell variants apart.

    Returns:
        Means over seeds, intervals over seeds and faces, the number of `seeds`, and, for figures
        with intervals, the standard deviation over seeds `<name>_sd` (NaN for one seed). Text is
        that of the first seed.
    """
    figures = [name for name in rows if {f"{name}_low", f"{name}_high"} <= set(rows)]
    rows = latest(rows, by)
    found = []
    for _, own in rows.groupby(list(by), sort=False, dropna=False):
        row = own.iloc[0].to_dict()
        numbers = own.select_dtypes("number").columns.difference([*by, "seed"])
        row |= own[numbers].mean().to_dict() | {"seeds": len(own)}
        for name in figures:
            ends = own[[name, f"{name}_low", f"{name}_high"]].to_numpy(float)
            one = over_seeds([Figure(*each) for each in ends])
            if name in SHARES:
                one = Figure(*np.clip([one.value, one.low, one.high], 0, 1))
            row |= {name: one.value, f"{name}_low": one.low, f"{name}_high": one.high}
            row[f"{name}_sd"] = own[name].std(ddof=1)
        found.append(row)
    return pd.DataFrame(found)


def gain_columns(gains: Mapping[str, Figure]) -> dict[str, float]:
    """Return gains as columns of a row: `<figure>_gain`, also with `_low` and `_high`."""
    return {
        f"{name}_gain{end}": value
        for name, gain in gains.items()
        for end, value in {"": gain.value, "_low": gain.low, "_high": gain.high}.items()
    }


def verdict(low: float, high: float, seeds: int, than: str) -> str:
    """Return in words what the interval of a gain allows one to claim."""
    if seeds == 1:
        return f"{ONE_SEED}, interval over faces alone: no claim"
    if low > 0:
        return f"better than {than}"
    return f"worse than {than}" if high < 0 else f"not told apart from {than}"
