"""Figures of results over time: stacked emotions, the path of affect, highlights, places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from builder_tools.emotions import EmotionSet
from builder_tools.languages import emotion_word, said
from builder_tools.plots.canvas import (
    FIRST_COLOUR,
    SECOND_COLOUR,
    axes_or_new,
    colours_of,
    legend_beside,
)
from builder_tools.tracking.flicker import LONGEST_STEP_S, periods_shown

MOST_POINTS = 400
PREFIX = "p_"
BAND_EDGE = {"edgecolor": "0.35", "linewidth": 0.4}
"""Edges make light bands, such as that of neutral, stand out from paper and from each other."""
ABSENT = {"facecolor": "0.9", "edgecolor": "0.7", "hatch": "///"}
LEGEND_INCHES = 0.36
"""Height of a name in a legend, broken once."""
ROW_INCHES = 1.35
AROUSAL_DASHES = (0, (4, 2))

Tracks = int | Sequence[int] | None
"""One person, several together, or everybody."""


def plot_emotions_over_time(
    table: pd.DataFrame, track: Tracks = None, ax: Axes | None = None, *, language: str = "en"
) -> Axes:
    """Draw the probabilities stacked over time, hatched where nobody was seen.

    Args:
        table: A timeline (`time_s`, `track`, `p_<emotion>`, ...).
        track: One person, or several for their mean; None for the mean of everybody.
        ax: Axes to draw on.
        language: Language of the words, one of `LANGUAGES`.

    Raises:
        ValueError: If there is no such track, or nobody at all.
    """
    ax = axes_or_new(ax, (9, 3.5))
    _draw_bands(ax, table, track)
    ax.set(xlabel=said("time_axis", language), ylabel=said("probability", language))
    ax.set_title(_who(track, language))
    handles = _emotion_handles(table, language)
    ax.legend(handles=handles[::-1], loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return ax


def plot_affect_path(
    table: pd.DataFrame, track: Tracks = None, ax: Axes | None = None, *, language: str = "en"
) -> Axes:
    """Draw the path on the valence-arousal plane, from dark (early) to bright (late).

    The anchors of the emotions are marked.

    Args:
        table: A timeline with `valence` and `arousal`.
        track: One person, or several for their mean; None for the mean of everybody.
        ax: Axes to draw on.
        language: Language of the words, one of `LANGUAGES`.

    Raises:
        ValueError: If there is no such track, nobody at all, or nobody with these values, as with
            a model whose classes have no anchors.
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
    _draw_plane(ax, EmotionSet([c.removeprefix(PREFIX) for c in _columns(table)]), language)
    if known.any():
        ax.figure.colorbar(path, ax=ax, label=said("time_axis", language), shrink=0.8)
    ax.set_title(_who(track, language))
    return ax


def plot_video(
    table: pd.DataFrame,
    people: Sequence[int] | None = None,
    *,
    most_people: int = 10,
    title: str | None = None,
    note: str = "",
    highlights: Sequence[tuple[float, float]] = (),
    faces: Mapping[int, np.ndarray] | None = None,
    language: str = "en",
) -> Figure:
    """Draw a video: for each person, emotions and valence and arousal over time, in one row.

    With several people, the first row is the mean of all. With more than `most_people`, those seen
    longest have a row, and the last row is the mean of the others. No face is drawn unless given.

    Args:
        table: A timeline with at least one face.
        people: Tracks that are people, those seen longest first; all by default.
        most_people: Largest number of people with their own row.
        title: Title of the figure.
        note: A sentence below the title.
        highlights: (start, end) in seconds, best first; framed and numbered in every row.
        faces: Track -> `(h, w, 3)` uint8 RGB, drawn next to the row.
        language: Language of the words, one of `LANGUAGES`.

    Raises:
        ValueError: If there is nobody to draw.
    """
    ranked = table["track"].value_counts().index.tolist() if people is None else list(people)
    shown, others = sorted(ranked[:most_people]), ranked[most_people:]
    rows: list[Tracks] = [*shown, *([others] if others else [])]
    rows = [ranked or None, *rows] if len(ranked) > 1 else rows or [None]
    height = ROW_INCHES * len(rows) + 1.7
    figure, grid = plt.subplots(
        len(rows),
        2,
        figsize=(12, height),
        width_ratios=(2.2, 1),
        squeeze=False,
        sharex=True,
        sharey="col",
        layout="constrained",
    )
    for tracks, (left, right) in zip(rows, grid, strict=True):
        _draw_bands(left, table, tracks)
        _draw_affect(right, table, tracks)
        who = _who(tracks, language, of_others=tracks is others and bool(others))
        left.set_ylabel(
            f"{who}\n{_seen_s(table, tracks):.1f} {said('seconds', language)}",
            rotation=0,
            ha="right",
            va="center",
            labelpad=8,
        )
        for ax in (left, right):
            _mark(ax, highlights)
        if faces and tracks in shown and tracks in faces:
            inset = left.inset_axes((1.005, 0.1, 0.11 * ROW_INCHES * 8 / height, 0.8))
            inset.imshow(faces[tracks])
            inset.set_axis_off()
    for ax, name in zip(grid[0], ("emotions", "affect"), strict=True):
        ax.set_title(said(name, language), fontsize="medium")
    for ax in grid[-1]:
        ax.set_xlabel(said("time_axis", language))
    handles = [*_emotion_handles(table, language), *_other_handles(language)]
    handles = handles if highlights else handles[:-1]
    figure.legend(handles=handles, loc="outside lower center", ncols=6, frameon=False)
    heading = "\n".join(filter(None, (title or said("film", language), note)))
    figure.suptitle(heading)
    return figure


def _draw_bands(ax: Axes, table: pd.DataFrame, track: Tracks) -> None:
    means = _mean_by_time(table, track, _columns(table))
    names = [column.removeprefix(PREFIX) for column in means]
    _draw_absence(ax, means)
    half = means.index[0]
    edges = np.stack([means.index - half, means.index + half], axis=1).ravel()
    ax.stackplot(
        edges,
        means.to_numpy().T.repeat(2, axis=1),
        labels=names,
        colors=[_hex(names, name) for name in names],
        **BAND_EDGE,
    )
    ax.set(xlim=_limits(means), ylim=(0, 1), yticks=(0, 0.5, 1))


def _draw_affect(ax: Axes, table: pd.DataFrame, track: Tracks) -> None:
    """Draw valence and arousal; nothing but their axes if no class of the model has them."""
    ax.axhline(0, color="0.7", linewidth=0.8)
    ax.set(ylim=(-1, 1), yticks=(-1, 0, 1))
    columns = ["valence", "arousal"]
    if not _rows(table, track)[columns].notna().all(axis=1).any():
        return
    means = _mean_by_time(table, track, columns)
    _draw_absence(ax, means)
    ax.plot(means.index, means["valence"], color=FIRST_COLOUR, linewidth=1.6)
    ax.plot(
        means.index, means["arousal"], color=SECOND_COLOUR, linewidth=1.6, linestyle=AROUSAL_DASHES
    )
    ax.set_xlim(_limits(means))


def _draw_absence(ax: Axes, means: pd.DataFrame) -> None:
    """Hatch the periods in which nobody was seen."""
    step = means.index[1] - means.index[0] if len(means) > 1 else 1.0
    absent = means.isna().all(axis=1).to_numpy().astype(int)
    edges = np.diff(np.concatenate([[0], absent, [0]]))
    for start, end in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True):
        ax.axvspan(start * step, end * step, **ABSENT, linewidth=0, zorder=0)


def _mark(ax: Axes, highlights: Sequence[tuple[float, float]]) -> None:
    for rank, (start, end) in enumerate(highlights, start=1):
        ax.axvspan(start, end, facecolor="none", edgecolor="black", linewidth=1.4, zorder=4)
        ax.text(
            *(start, 0.95, f" {rank} "),
            transform=ax.get_xaxis_transform(),
            va="top",
            fontsize="small",
            fontweight="bold",
            zorder=5,
            bbox={"facecolor": "white", "edgecolor": "black", "pad": 1.0},
        )


def _who(track: Tracks, language: str, *, of_others: bool = False) -> str:
    if track is None:
        return said("everybody", language)
    if pd.api.types.is_list_like(track):
        return said("others" if of_others else "everybody_of", language, count=len(track))
    return said("person", language, track=track)


def _seen_s(table: pd.DataFrame, track: Tracks) -> float:
    """Return how long any of the tracks was in sight, in seconds; gaps count as in summaries."""
    sights = _rows(table, track).dropna(subset=["emotion"])
    times = sights["time_s"]
    gaps = times.groupby(sights["track"], dropna=False).diff().fillna(0.0)
    spans = np.stack([times - gaps.clip(upper=LONGEST_STEP_S), times])
    starts, ends = spans[:, np.argsort(spans[0], kind="stable")]
    until = np.maximum.accumulate(np.concatenate([starts[:1], ends]))[:-1]
    return float(np.maximum(ends - np.maximum(starts, until), 0).sum())


def _emotion_handles(table: pd.DataFrame, language: str) -> list[Patch]:
    names = [column.removeprefix(PREFIX) for column in _columns(table)]
    return [
        Patch(facecolor=_hex(names, name), **BAND_EDGE, label=emotion_word(name, language))
        for name in names
    ]


def _other_handles(language: str) -> list[Line2D | Patch]:
    """Return the legend's other entries: valence, arousal, nobody and, last, highlights."""
    valence, arousal, nobody, highlight = (
        said(word, language) for word in ("valence", "arousal", "nobody", "highlight")
    )
    return [
        Line2D([], [], color=FIRST_COLOUR, label=valence),
        Line2D([], [], color=SECOND_COLOUR, linestyle=AROUSAL_DASHES, label=arousal),
        Patch(**ABSENT, label=nobody),
        Patch(facecolor="none", edgecolor="black", linewidth=1.4, label=highlight),
    ]


def _columns(table: pd.DataFrame) -> list[str]:
    return [column for column in table if column.startswith(PREFIX)]


def _hex(names: Sequence[str], name: str) -> str:
    return "#{:02x}{:02x}{:02x}".format(*EmotionSet(names).colour_rgb(name))


def _limits(means: pd.DataFrame) -> tuple[float, float]:
    half = means.index[0]
    return means.index[0] - half, max(means.index[-1] + half, 1e-3)


def plot_highlights(
    viewers: pd.DataFrame,
    common: np.ndarray,
    segments: Sequence[tuple[float, float]],
    measure: str,
    ax: Axes | None = None,
) -> Axes:
    """Draw every viewer's reaction, the common one and the chosen segments.

    Args:
        viewers: One column per viewer, index `time_s`, in sigmas; NaN where a face is missing.
        common: `(n,)`, the reaction of the median viewer.
        segments: (start, end) in seconds, best first.
        measure: Name of the measure.
        ax: Axes to draw on.
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
    """Draw the emotions' shares at several places as bars with intervals.

    Args:
        names: Names of the places.
        shares: For each place and emotion, the value and the low and high ends; 0...1.
        ax: Axes to draw on.
    """
    emotions = EmotionSet(list(shares[0]))
    ax = axes_or_new(ax, (4 + 1.1 * len(emotions), max(3.8, LEGEND_INCHES * len(names))))
    width, colours = 0.8 / len(names), colours_of(len(names))
    for index, (name, values) in enumerate(zip(names, shares, strict=True)):
        middle, low, high = np.array([values[emotion] for emotion in emotions]).T
        places = np.arange(len(emotions)) + (index - (len(names) - 1) / 2) * width
        errors = np.maximum([middle - low, high - middle], 0)
        style = {"label": name, "color": colours[index], "ecolor": "0.3"}
        style["error_kw"] = {"elinewidth": min(1.5, 15 * width)}
        ax.bar(places, middle, width * 0.92, yerr=errors, **style)
    ax.set_xticks(range(len(emotions)), list(emotions), rotation=30, ha="right")
    ax.set(ylabel="share", ylim=(0, None))
    legend_beside(ax)
    return ax


def plot_places(
    places: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]],
    emotions: EmotionSet,
    ax: Axes | None = None,
) -> Axes:
    """Draw places on the valence-arousal plane with their intervals.

    Args:
        places: Name -> (value, low, high) of valence, and the same of arousal.
        emotions: Emotions whose anchors to mark.
        ax: Axes to draw on.
    """
    ax = axes_or_new(ax, (8, max(5, LEGEND_INCHES * len(places))))
    colours = colours_of(len(places))
    for (name, (across, up)), colour in zip(places.items(), colours, strict=True):
        (x, x_low, x_high), (y, y_low, y_high) = across, up
        errors = np.maximum([[x - x_low, x_high - x], [y - y_low, y_high - y]], 0)[..., None]
        ax.errorbar(x, y, errors[1], errors[0], fmt="o", label=name, color=colour)
    _draw_plane(ax, emotions)
    legend_beside(ax)
    return ax


def _rows(table: pd.DataFrame, track: Tracks) -> pd.DataFrame:
    if track is None:
        return table
    return table[table["track"].isin(track if pd.api.types.is_list_like(track) else [track])]


def _mean_by_time(table: pd.DataFrame, track: Tracks, columns: list[str]) -> pd.DataFrame:
    """Return means over equal periods, about `MOST_POINTS` at most; NaN where nobody was seen."""
    seen = _rows(table, track).dropna(subset=columns)
    if not len(seen):
        raise ValueError(
            f"Expected a face with {columns} in the timeline. Received: none, track={track}."
        )
    end = float(table["time_s"].max())
    times = np.sort(table["time_s"].unique())
    step = max(end / MOST_POINTS, float(np.median(np.diff(times))) if len(times) > 1 else 1.0)
    index, looked = (
        np.floor(one / step + 1e-6).astype(int) for one in (seen["time_s"].to_numpy(), times)
    )
    means = seen[columns].groupby(index).mean()
    means = means.reindex(periods_shown(looked, int(end / step + 1e-6) + 1, step))
    means.index = (np.arange(len(means)) + 0.5) * step
    return means


def _draw_plane(ax: Axes, emotions: EmotionSet, language: str = "en") -> None:
    ax.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    ax.axvline(0, color="0.8", linewidth=0.8, zorder=0)
    placed = []
    for name, (x, y) in zip(emotions, emotions.anchors, strict=True):
        if np.isfinite(x) and (x or y):
            while any(abs(x - a) < 0.3 and abs(y - b) < 0.065 for a, b in placed):
                y += 0.07  # a word is moved rather than written over another
            placed.append((x, y))
            word = emotion_word(name, language)
            ax.text(x, y, word, color="0.5", fontsize=8, ha="center", va="center", zorder=0)
    ax.set(xlim=(-1, 1), ylim=(-1, 1), aspect="equal")
    ax.set(xlabel=said("valence", language), ylabel=said("arousal", language))
