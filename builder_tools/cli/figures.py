"""Figures into files, whole or not at all, without a screen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from builder_tools.media.partial import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 120


def without_screen() -> None:
    """Have matplotlib draw into memory; before the first figure."""
    import matplotlib

    matplotlib.use("agg")


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG and close it."""
    import matplotlib.pyplot as plt

    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        figure.savefig(partial, dpi=DPI, format="png")
    plt.close(figure)
    return path
