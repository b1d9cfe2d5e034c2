"""Figures of the experiments: networks against their cost, gains of the ablations."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from builder_tools.plots.canvas import FIRST_COLOUR, SECOND_COLOUR, axes_or_new


def plot_screening(
    table: pd.DataFrame,
    cost: str = "ms_per_face",
    score: str = "valid_eight_accuracy",
    ax: Axes | None = None,
) -> Axes:
    """Draw each network's score against its cost (log scale), named.

    Args:
        table: One row a network: `network`, `cost` and `score` columns.
        cost: Column of the horizontal axis.
        score: Column of the vertical axis.
        ax: Where to draw.
    """
    ax = axes_or_new(ax, (9, 6))
    ax.scatter(table[cost], table[score], color=FIRST_COLOUR, zorder=3)
    for _, row in table.iterrows():
        ax.annotate(
            row["network"],
            (row[cost], row[score]),
            xytext=(4, 3),
            textcoords="offset points",
            fontsize=7.5,
        )
    ax.set_xscale("log")
    ax.set(xlabel=cost.replace("_", " "), ylabel=score.replace("_", " "))
    ax.grid(alpha=0.3)
    return ax


def plot_gains(summary: pd.DataFrame, figure: str = "accuracy", ax: Axes | None = None) -> Axes:
    """Draw each variant's gain on the baseline with its interval, in points.

    Args:
        summary: Of `experiments.summary.summarise`.
        figure: accuracy, macro_f1, mean_recall or recall_<emotion>.
        ax: Where to draw. Blue: the interval leaves 0 out; grey: it does not.
    """
    ax = axes_or_new(ax, (6.5, 0.35 * len(summary) + 1))
    others = summary[summary["group"] != "baseline"].iloc[::-1]
    gain, low, high = (100 * others[f"{figure}_gain{end}"] for end in ("", "_low", "_high"))
    colours = np.where(low > 0, FIRST_COLOUR, np.where(high < 0, SECOND_COLOUR, "0.6"))
    places = np.arange(len(others))
    ax.axvline(0, color="0.4", linewidth=1)
    ax.hlines(places, low, high, color=colours, linewidth=3)
    ax.scatter(gain, places, color=colours, zorder=3)
    ax.set_yticks(places, others["group"] + ": " + others["variant"], fontsize=8)
    ax.set(xlabel=f"{figure.replace('_', ' ')}, points against the baseline")
    return ax


def plot_recalls(summary: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw recall by emotion (columns) and variant (rows), in percent.

    Args:
        summary: Of `experiments.summary.summarise`.
        ax: Where to draw.
    """
    ends = ("_gain", "_low", "_high")
    columns = [c for c in summary if c.startswith("recall_") and not c.endswith(ends)]
    ax = axes_or_new(ax, (8, 0.38 * len(summary) + 1.2))
    values = 100 * summary[columns].to_numpy(float)
    ax.imshow(values, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        colour = "white" if value > 60 else "black"
        ax.text(column, row, f"{value:.0f}", ha="center", va="center", color=colour, fontsize=8)
    ax.set_xticks(range(len(columns)), [c.removeprefix("recall_") for c in columns], rotation=30)
    ax.set_yticks(range(len(summary)), summary["group"] + ": " + summary["variant"], fontsize=8)
    return ax
