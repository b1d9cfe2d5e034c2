"""What figures share: new axes if none are given, colours, and a legend that covers nothing."""

from __future__ import annotations

from textwrap import fill

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

FIRST_COLOUR, SECOND_COLOUR = "#0072B2", "#D55E00"
"""Blue and vermilion of the Okabe-Ito palette, distinguishable with any colour vision."""


def axes_or_new(ax: Axes | None, size_inches: tuple[float, float]) -> Axes:
    """Return `ax`, or the axes of a new figure of the given size."""
    return plt.subplots(figsize=size_inches, layout="constrained")[1] if ax is None else ax


def colours_of(count: int) -> list[tuple[float, ...]]:
    """Return so many different colours: of a palette, or beyond its ten in the order of a scale."""
    if count <= 10:
        return list(plt.get_cmap("tab10").colors[:count])
    return [plt.get_cmap("turbo")(number / (count - 1)) for number in range(count)]


def legend_beside(ax: Axes) -> None:
    """Add a legend to the right of the axes, where it covers nothing; long names are broken."""
    ax.set_anchor("NW")
    handles, names = ax.get_legend_handles_labels()
    ax.legend(
        handles,
        [fill(name, 36) for name in names],
        frameon=False,
        fontsize=8,
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
    )
