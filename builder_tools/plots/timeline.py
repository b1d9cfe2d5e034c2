"""Figures of results over time: emotions stacked, the path of affect, highlights, exhibits."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from builder_tools.emotions import EmotionSet
from builder_tools.plots.canvas import FIRST_COLOUR, SECOND_COLOUR, axes_or_new

MOST_POINTS = 400
PREFIX = "p_"


def plot_emotions_over_time(
    table: pd.DataFrame, track: int | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the probabilities stacked over time, hatched where nobody was seen.

    Args:
        table: A timeline (`time_s`, `track`, `p_<emotion>`, ...).
        track: One person; the mean of everybody by default.
        ax: Where to draw.

    Raises:
        ValueError: If there is nobody of that track, or nobody at all.
    """
    ax = axes_or_new(ax, (9, 3.5))
    means = _mean_by_time(table, track, [c for c in table if c.startswith(PREFIX)])
    names = [column.removeprefix(PREFIX) for column in means]
    emotions = EmotionSet(names)
    colours = ["#{:02x}{:02x}{:02x}".format(*emotions.colour_rgb(name)) for name in names]
    ax.patch.set(hatch="///", edgecolor="0.75", facecolor="white")
    stacked = means.fillna(0).to_numpy().T
    ax.stackplot(means.index, stacked, labels=names, colors=colours, step="mid", linewidth=0)
    ax.set(xlim=(means.index[0], max(means.index[-1], means.index[0] + 1e-3)), ylim=(0, 1))
    ax.set(xlabel="time, s", ylabel="probability")
    ax.set_title("everybody" if track is None else f"person {track}")
    handles, labels = ax.get_legend_handles_labels()
    legend = (1.01, 0.5)
    ax.legend(handles[::-1], labels[::-1], loc="center left", bbox_to_anchor=legend, frameon=False)
    return ax


def plot_affect_path(table: pd.DataFrame, track: int | None = None, ax: Axes | None = None) -> Axes:
    """Draw the path on the valence-arousal plane, from dark (early) to bright (late).

    Args:
        table: A timeline with `valence` and `arousal`.
        track: One person; the mean of everybody by default.
        ax: Where to draw. The emotions' own places are marked.

    Raises:
        ValueError: If there is nobody of that track, or nobody at all.
    """
    ax = axes_or_new(ax, (5.5, 5))
    means = _mean_by_time(table, track, ["valence", "arousal"])
    points = means.to_numpy(float)
    pieces = np.stack([points[:-1], points[1:]], axis=1)
    known = np.isfinite(pieces).all(axis=(1, 2))
    path = LineCollection(pieces[known], cmap="viridis", linewidths=1.5)
    path.set_array(means.index.to_numpy()[:-1][known])
    ax.add_collection(path)
    ax.scatter(*points[np.isfinite(points).all(axis=1)][-1], color=SECOND_COLOUR, zorder=3, s=30)
    _draw_plane(ax, EmotionSet([c.removeprefix(PREFIX) for c in table if c.startswith(PREFIX)]))
    if known.any():
        ax.figure.colorbar(path, ax=ax, label="time, s", shrink=0.8)
    ax.set_title("everybody" if track is None else f"person {track}")
    return ax


def plot_video(table: pd.DataFrame, most_people: int = 3) -> Figure:
    """Draw a video: emotions over time and path of affect, of those longest in sight.

    Args:
        table: A timeline with at least one face.
        most_people: How many people get a row.
    """
    tracks = table["track"].value_counts().index[:most_people].tolist() or [None]
    figure, rows = plt.subplots(
        len(tracks),
        2,
        figsize=(13, 3.6 * len(tracks)),
        width_ratios=(2.2, 1),
        squeeze=False,
        layout="constrained",
    )
    for track, (left, right) in zip(tracks, rows, strict=True):
        plot_emotions_over_time(table, track, left)
        plot_affect_path(table, track, right)
    return figure


def plot_highlights(
    viewers: pd.DataFrame,
    common: np.ndarray,
    segments: Sequence[tuple[float, float]],
    measure: str,
    ax: Axes | None = None,
) -> Axes:
    """Draw every viewer's reaction, the common one, and the segments chosen.

    Args:
        viewers: A column a viewer, index `time_s`, in sigmas; NaN where a face is missing.
        common: `(n,)` the median viewer's.
        segments: (start, end) in seconds, best first.
        measure: What it is.
        ax: Where to draw.
    """
    ax = axes_or_new(ax, (10, 3.5))
    for name in viewers:
        ax.plot(viewers.index, viewers[name], color="0.75", linewidth=0.8)
    ax.plot(viewers.index, common, color=FIRST_COLOUR, linewidth=1.6, label="median viewer")
    for rank, (start, end) in enumerate(segments, start=1):
        ax.axvspan(start, end, color=SECOND_COLOUR, alpha=0.2, linewidth=0)
        place = ((start + end) / 2, 0.97)
        ax.text(*place, str(rank), transform=ax.get_xaxis_transform(), ha="center", va="top")
    ax.axhline(0, color="0.4", linewidth=0.6)
    ax.set(xlabel="time in the film, s", ylabel=f"{measure}, sigmas from usual")
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    return ax


def plot_shares(
    names: Sequence[str],
    shares: Sequence[dict[str, tuple[float, float, float]]],
    ax: Axes | None = None,
) -> Axes:
    """Draw the emotions' shares of several places as bars with their intervals.

    Args:
        names: Of the places.
        shares: For each place and emotion: value, low end, high end; 0...1.
        ax: Where to draw.
    """
    emotions = EmotionSet(list(shares[0]))
    ax = axes_or_new(ax, (1.5 + 1.1 * len(emotions), 3.8))
    width = 0.8 / len(names)
    for index, (name, values) in enumerate(zip(names, shares, strict=True)):
        middle, low, high = np.array([values[emotion] for emotion in emotions]).T
        places = np.arange(len(emotions)) + (index - (len(names) - 1) / 2) * width
        errors = np.maximum([middle - low, high - middle], 0)
        ax.bar(places, middle, width * 0.92, yerr=errors, label=name, ecolor="0.3")
    ax.set_xticks(range(len(emotions)), list(emotions), rotation=30, ha="right")
    ax.set(ylabel="share", ylim=(0, None))
    ax.legend(frameon=False, fontsize=8)
    return ax


def plot_places(
    places: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]],
    emotions: EmotionSet,
    ax: Axes | None = None,
) -> Axes:
    """Draw places on the valence-arousal plane with their intervals.

    Args:
        places: By name: (value, low, high) of valence, and of arousal.
        emotions: Whose own places to mark.
        ax: Where to draw.
    """
    ax = axes_or_new(ax, (5.5, 5))
    for name, ((x, x_low, x_high), (y, y_low, y_high)) in places.items():
        across, up = [[x - x_low], [x_high - x]], [[y - y_low], [y_high - y]]
        ax.errorbar(x, y, xerr=np.maximum(across, 0), yerr=np.maximum(up, 0), fmt="o", label=name)
    _draw_plane(ax, emotions)
    ax.legend(frameon=False, fontsize=8)
    return ax


def _mean_by_time(table: pd.DataFrame, track: int | None, columns: list[str]) -> pd.DataFrame:
    """Return means over at most `MOST_POINTS` equal stretches of time; NaN where nobody was."""
    rows = table if track is None else table[table["track"] == track]
    seen = rows.dropna(subset=columns)
    if not len(seen):
        raise ValueError(f"Expected a face in the timeline. Received: none, track={track}.")
    end = float(table["time_s"].max())
    times = np.sort(table["time_s"].unique())
    step = max(end / MOST_POINTS, float(np.median(np.diff(times))) if len(times) > 1 else 1.0)
    index = np.floor(seen["time_s"] / step + 1e-6).astype(int)
    means = seen[columns].groupby(index.to_numpy()).mean()
    means = means.reindex(range(int(end / step + 1e-6) + 1))
    means.index = (means.index + 0.5) * step
    return means


def _draw_plane(ax: Axes, emotions: EmotionSet) -> None:
    ax.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    ax.axvline(0, color="0.8", linewidth=0.8, zorder=0)
    for name, (x, y) in zip(emotions, emotions.anchors, strict=True):
        if np.isfinite(x) and (x or y):
            ax.text(x, y, name, color="0.5", fontsize=8, ha="center", va="center", zorder=0)
    ax.set(xlim=(-1, 1), ylim=(-1, 1), aspect="equal", xlabel="valence", ylabel="arousal")
