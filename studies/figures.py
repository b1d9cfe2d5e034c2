"""Figures of the studies: networks against their cost, gains, learning curves, choices.

Each function takes `ax` (None for a new figure) and returns the axes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.transforms import Bbox

from builder_tools.plots.canvas import FIRST_COLOUR, SECOND_COLOUR, axes_or_new

LINE_STYLES = ("-", "--", ":", "-.")
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#B8A500")
"""The Okabe-Ito palette, with the yellow darkened to be visible on white."""

MARKERS = "os^vDPX*"
NAME_PLACES = [(x, y) for y in (3, -9, 12, -18, 21, -27, 30, -36) for x in (5, -5)]
"""Possible offsets of a name from its point, in points, the best first."""
NEAR_NAME = 10
"""A name offset vertically by more than this many points is joined to its point by a line."""


def plot_screening(
    table: pd.DataFrame,
    cost: str = "ms_per_face",
    score: str = "valid_eight_accuracy",
    ax: Axes | None = None,
) -> Axes:
    """Draw each network's score against its cost (log scale), labelled with its name.

    Args:
        table: One row per network: `network`, `cost` and `score` columns.
        cost: Column of the horizontal axis.
        score: Column of the vertical axis.
        ax: Where to draw.
    """
    ax = axes_or_new(ax, (9, 6))
    ax.scatter(table[cost], table[score], color=FIRST_COLOUR, zorder=3)
    ax.set_xscale("log")
    ax.set(xlabel=cost.replace("_", " "), ylabel=score.replace("_", " "))
    ax.grid(alpha=0.3)
    _name_points(ax, table["network"], table[[cost, score]].to_numpy())
    return ax


def _name_points(ax: Axes, names: Sequence[str], points: np.ndarray) -> None:
    """Write each name beside its point, at the first offset where it covers nothing else."""
    ax.margins(x=0.12, y=0.06)
    taken = [Bbox.from_extents(*(at - 4), *(at + 4)) for at in ax.transData.transform(points)]
    offset = {"textcoords": "offset points", "fontsize": 7.5}
    line = {"arrowstyle": "-", "linewidth": 0.5, "shrinkA": 0, "shrinkB": 0}
    for name, point in zip(names, points, strict=True):
        for x, y in NAME_PLACES:
            side = "left" if x > 0 else "right"
            text = ax.annotate(name, point, xytext=(x, y), ha=side, **offset)
            place = text.get_window_extent()
            if not place.count_overlaps(taken):
                break
            text.remove()
        else:
            (x, y), text = NAME_PLACES[0], ax.annotate(name, point, NAME_PLACES[0], **offset)
        if abs(y) > NEAR_NAME:
            ax.annotate("", point, xytext=(x, y), arrowprops=line, **offset)
        taken.append(place)


def plot_gains(summary: pd.DataFrame, figure: str = "accuracy", ax: Axes | None = None) -> Axes:
    """Draw each variant's gain over the baseline with its interval, in percentage points.

    Intervals above 0 are blue, those below 0 orange, and those that include 0 grey.

    Args:
        summary: Output of `ablations.summarise`.
        figure: accuracy, macro_f1 or mean_recall.
        ax: Where to draw.
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
    """Draw recall by emotion (columns) and variant (rows), in per cent.

    Args:
        summary: Output of `ablations.summarise`.
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


def plot_grid(
    table: pd.DataFrame, score: str = "valid_eight_accuracy", ax: Axes | None = None
) -> Axes:
    """Draw a score by features (rows) and model (columns), in per cent.

    Args:
        table: One row per combination: `features`, `model` and the score, 0...1.
        score: Column of the score.
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
    table: pd.DataFrame, score: str = "valid_eight_accuracy", ax: Axes | None = None
) -> Axes:
    """Draw a score against the number of training faces (log scale), one line per combination.

    Args:
        table: One row per trial: `features`, `model`, `train_faces` and the score, 0...1.
        score: Column of the score.
        ax: Where to draw. Networks trained on pixels are dashed.
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
    """Draw each model's gain over the deep one with its paired 95 % interval, in percentage points.

    Args:
        table: One row per model: `key` and `<prefix>_<figure>_gain[_low|_high]`.
        figures: Names of at most two figures.
        prefix: Prefix of the protocol's columns.
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


def plot_choice(scan: pd.DataFrame, figure: str, ax: Axes | None = None) -> Axes:
    """Draw a figure of `scan_manifolds` over neighbours, one line per number of landmarks.

    Args:
        scan: Output of `scan_manifolds`.
        figure: Its column: `residual_variance`, `trustworthiness`, `continuity` or `seconds`.
        ax: Where to draw.

    Raises:
        ValueError: If there is no such column.
    """
    if figure not in scan:
        raise ValueError(f"Expected a figure of {list(scan)}. Received: {figure!r}.")
    ax = axes_or_new(ax, (5, 3.5))
    sizes = sorted(scan["landmarks"].unique())
    shades = np.linspace(0.25, 1, len(sizes))
    for number, (size, shade) in enumerate(zip(sizes, shades, strict=True)):
        rows = scan[scan["landmarks"] == size].sort_values("neighbours")
        style = LINE_STYLES[number % len(LINE_STYLES)]
        colour = tuple(1 - shade * (1 - part) for part in to_rgb(FIRST_COLOUR))
        ax.plot(rows["neighbours"], rows[figure], style, marker=".", color=colour, label=str(size))
    ax.set(xlabel="neighbours", ylabel=figure.replace("_", " "))
    ax.legend(title="landmarks", frameon=False, fontsize=8)
    return ax


def plot_pull(scans: dict[str, pd.DataFrame], ax: Axes | None = None) -> Axes:
    """Draw the mean CCC over the strength of the shift towards the class.

    Args:
        scans: Name of a labeller -> its output of `scan_pull`.
        ax: Where to draw.
    """
    ax = axes_or_new(ax, (5, 3.5))
    for number, (name, scan) in enumerate(scans.items()):
        colour = (FIRST_COLOUR, SECOND_COLOUR, "0.3")[number % 3]
        style = LINE_STYLES[number % len(LINE_STYLES)]
        ax.plot(scan["strength"], scan["mean_ccc"], style, marker=".", color=colour, label=name)
    ax.set(xlabel="strength of the shift (1 = the anchor itself)", ylabel="mean CCC")
    ax.legend(frameon=False, fontsize=8)
    return ax
