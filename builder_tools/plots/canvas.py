"""What all figures share: new axes if none are given, and two colours."""

from __future__ import annotations

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

FIRST_COLOUR, SECOND_COLOUR = "#0072B2", "#D55E00"
"""Blue and vermilion of the Okabe-Ito palette, distinguishable with any colour vision."""


def axes_or_new(ax: Axes | None, size_inches: tuple[float, float]) -> Axes:
    """Return `ax`, or the axes of a new figure of the given size."""
    return plt.subplots(figsize=size_inches, layout="constrained")[1] if ax is None else ax
