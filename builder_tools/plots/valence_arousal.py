"""Figures of valence and arousal: the circumplex, densities and trajectories on it."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle

from builder_tools.emotions import EmotionSet
from builder_tools.plots.canvas import axes_or_new

GRID = 81
"""Grid points per side that densities are drawn from."""
MOST_FACES = 2000
"""Most faces of a class that a density is estimated from."""
DENSEST_SHARES = (0.5, 0.9)
"""Shares of a class's faces inside its contours."""


def plot_circumplex(
    emotions: EmotionSet, *, title: str = "", ax: Axes | None = None
) -> Axes:  # fmt: skip
    """Draw the empty plane: unit disc, axes, and the emotions at their anchors.

    Args:
        emotions: Emotions to mark; those without an anchor are left out.
        title: Title of the figure.
        ax: Axes to draw on.
    """
    ax = axes_or_new(ax, (5.5, 5.5))
    ax.add_patch(Circle((0, 0), 1, fill=False, color="0.4", linewidth=1))
    for line in (ax.axhline, ax.axvline):
        line(0, color="0.8", linewidth=0.8, zorder=0)
    names_at: dict[tuple[float, float], list[str]] = {}
    for name, anchor in zip(emotions, emotions.anchors, strict=True):
        if not np.isnan(anchor).any():
            names_at.setdefault(tuple(anchor.tolist()), []).append(name)
    for place, names in names_at.items():
        ax.plot(*place, "o", color=_dark(emotions, names[0]), markeredgecolor="black", zorder=4)
        ax.annotate(
            "/".join(names), place, (4, 4), textcoords="offset points", fontsize=8, zorder=5
        )
    ax.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), aspect="equal", title=title)
    ax.set(xlabel="valence", ylabel="arousal")
    return ax


def plot_density(
    places: np.ndarray,
    labels: np.ndarray,
    emotions: EmotionSet,
    *,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw where the faces of each class lie: contours around half and 90 % of them.

    Classes with fewer than ten faces, or with all faces at one place or on one line, are drawn as
    dots.

    Args:
        places: `(n, 2)` valence and arousal.
        labels: `(n,)` indices into `emotions`.
        emotions: The classes.
        title: Title of the figure.
        ax: Axes to draw on.
    """
    ax = plot_circumplex(emotions, title=title, ax=ax)
    axis = np.linspace(-1.05, 1.05, GRID)
    for label, emotion in enumerate(emotions):
        own, colour = places[labels == label], _dark(emotions, emotion)
        density = _density(own, axis)
        if density is None:
            ax.plot(*own.T, ".", color=colour, markersize=4)
            continue
        grid, levels = density
        ax.contour(axis, axis, grid, levels, colors=[colour], linewidths=[0.8, 1.6], alpha=0.9)
    return ax


def plot_trajectories(
    ways: np.ndarray,
    labels: np.ndarray,
    emotions: EmotionSet,
    *,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw trajectories on the plane, each from a small dot to a large one, in emotion colours.

    Args:
        ways: `(steps, n, 2)`: stages of the labeller (`ValenceArousalLabeller.trajectory`), or
            faces of a video over time.
        labels: `(n,)` indices into `emotions`, one per trajectory.
        emotions: The classes.
        title: Title of the figure.
        ax: Axes to draw on.

    Raises:
        ValueError: If there is not one label per trajectory.
    """
    if ways.ndim != 3 or ways.shape[1:] != (len(labels), 2):
        raise ValueError(
            f"Expected ways (steps, {len(labels)}, 2), one a label. Received: {ways.shape}."
        )
    ax = plot_circumplex(emotions, title=title, ax=ax)
    for number, label in enumerate(labels):
        colour = _dark(emotions, emotions[label])
        ax.plot(*ways[:, number].T, "-", color=colour, linewidth=0.8, alpha=0.7)
        ax.plot(*ways[0, number], ".", color=colour, markersize=3)
        ax.plot(*ways[-1, number], ".", color=colour, markersize=7)
    return ax


def _dark(emotions: EmotionSet, emotion: str) -> tuple[float, ...]:
    """Return the emotion's colour, darkened if it would not be visible on white."""
    colour = np.array(emotions.colour_rgb(emotion)) / 255
    return tuple(colour * (0.75 if colour.mean() > 0.7 else 1))


def _density(places: np.ndarray, axis: np.ndarray) -> tuple[np.ndarray, list[float]] | None:
    """Return the density on a grid and its levels around 90 % and half of it, or None if none."""
    from scipy.stats import gaussian_kde

    if len(places) < 10 or np.linalg.matrix_rank(places - places.mean(axis=0), tol=1e-6) < 2:
        return None
    rows = np.random.default_rng(0).permutation(len(places))[:MOST_FACES]
    x, y = np.meshgrid(axis, axis)
    grid = gaussian_kde(places[rows].T)(np.stack([x.ravel(), y.ravel()])).reshape(x.shape)
    if not grid.any():  # so narrow that it misses all points of the grid
        return None
    ordered = np.sort(grid.ravel())[::-1]
    share = ordered.cumsum() / ordered.sum()
    levels = sorted(float(ordered[np.searchsorted(share, part)]) for part in DENSEST_SHARES)
    return (grid, levels) if levels[0] < levels[1] else None
