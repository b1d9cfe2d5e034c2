"""Writes figures to files, completely or not at all, without a display."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from builder_tools.media.partial import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 120


def without_screen() -> None:
    """Have matplotlib draw without a display and names verbatim; call before the first figure."""
    import matplotlib

    matplotlib.use("agg")
    matplotlib.rcParams["text.parse_math"] = False  # a file may be called $5 for $6


def figure_format(path: Path) -> str:
    """Return the format in which a figure of this name is written; PNG if it has no extension.

    Raises:
        ValueError: If the extension is not that of a figure format.
    """
    from matplotlib.backend_bases import FigureCanvasBase

    form = path.suffix.lower().removeprefix(".") or "png"
    if form not in FigureCanvasBase.filetypes:
        endings = [f".{one}" for one in sorted(FigureCanvasBase.filetypes)]
        raise ValueError(f"Expected a figure that ends in one of {endings}. Received: {path}.")
    return form


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure in the format that its name implies, and close it."""
    import matplotlib.pyplot as plt

    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        figure.savefig(partial, dpi=DPI, format=figure_format(path))
    plt.close(figure)
    return path
