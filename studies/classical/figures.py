"""Figures of the classical study: features and models, learning curves, gains on a network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from builder_tools.plots.canvas import FIRST_COLOUR, SECOND_COLOUR, axes_or_new

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#B8A500")
"""Okabe-Ito, the yellow darkened to be seen on white."""

MARKERS = "os^vDPX*"


def plot_grid(
    table: pd.DataFrame, score: str = "test_eight_accuracy", ax: Axes | None = None
) -> Axes:
    """Draw a score by features (rows) and model (columns), in per cent.

    Args:
        table: One row a combination: `features`, `model` and the score, 0...1.
        score: Column.
        ax: Where to draw. Combinations that were not run stay empty.
    """
    grid = 100 * table.pivot_table(index="features", columns="model", values=score, sort=False)
    grid = grid.loc[grid.max(axis=1).sort_values(ascending=False).index]
    ax = axes_or_new(ax, (1.1 * grid.shape[1] + 2, 0.5 * grid.shape[0] + 1.5))
    values = grid.to_numpy()
    ax.imshow(values, cmap="Blues", aspect="auto", vmin=np.nanmin(values) - 10)
    middle = (np.nanmin(values) + np.nanmax(values)) / 2
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            colour = "white" if value > middle else "black"
            ax.text(column, row, f"{value:.1f}", ha="center", va="center", color=colour, fontsize=8)
    ax.set_xticks(range(grid.shape[1]), grid.columns, rotation=30, ha="right")
    ax.set_yticks(range(grid.shape[0]), grid.index)
    ax.set(title=f"{score.replace('_', ' ')}, per cent")
    return ax


def plot_learning_curves(
    table: pd.DataFrame, score: str = "test_eight_accuracy", ax: Axes | None = None
) -> Axes:
    """Draw a score against the number of training faces, a line a combination.

    Args:
        table: One row a trial: `features`, `model`, `train_faces` and the score, 0...1.
        score: Column.
        ax: Where to draw. Faces are on a logarithmic scale; dashed: a network from pixels.
    """
    ax = axes_or_new(ax, (7.5, 5))
    groups = table.groupby(["features", "model"], sort=False)
    for number, ((features, model), own) in enumerate(groups):
        own = own.sort_values("train_faces")
        ax.plot(
            own["train_faces"],
            100 * own[score],
            color=COLOURS[number % len(COLOURS)],
            marker=MARKERS[number // len(COLOURS) % len(MARKERS)],
            linestyle="-" if features else "--",
            label=f"{features}, {model}" if features else model,
        )
    ax.set_xscale("log")
    ax.set(xlabel="training faces", ylabel=f"{score.replace('_', ' ')}, per cent")
    ax.grid(alpha=0.3)
    ax.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    return ax


def plot_hybrid_gains(
    table: pd.DataFrame,
    figures: Sequence[str] = ("accuracy", "macro_f1"),
    prefix: str = "eight",
    ax: Axes | None = None,
) -> Axes:
    """Draw each model's gain on the deep one with its paired 95 % interval, in points.

    Args:
        table: One row a model: `key` and `<prefix>_<figure>_gain[_low|_high]`.
        figures: At most two: which figures.
        prefix: Of the protocol's columns.
        ax: Where to draw.
    """
    ax = axes_or_new(ax, (7, 0.45 * len(table) + 1.2))
    places = np.arange(len(table))[::-1]
    for name, colour, shift in zip(
        figures, (FIRST_COLOUR, SECOND_COLOUR), (0.12, -0.12), strict=False
    ):
        start = f"{prefix}_{name}_gain"
        gain, low, high = (100 * table[start + end] for end in ("", "_low", "_high"))
        ax.hlines(places + shift, low, high, color=colour, linewidth=2.5)
        ax.scatter(gain, places + shift, color=colour, zorder=3, label=name.replace("_", " "))
    ax.axvline(0, color="0.4", linewidth=1)
    ax.set_yticks(places, table["key"], fontsize=8)
    ax.set(xlabel="points against the deep model alone")
    ax.legend(fontsize=8)
    return ax
