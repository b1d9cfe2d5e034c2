"""Figures of balancing and augmentation: what was made, from what, and how it looks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from builder_tools.balancing.making import AUGMENTED, COPIED, INTERPOLATED, ORIGINAL
from builder_tools.plots.canvas import axes_or_new

ORIGIN_COLOURS = {
    ORIGINAL: "#0072B2",
    INTERPOLATED: "#E69F00",
    AUGMENTED: "#009E73",
    COPIED: "#CC79A7",
}
"""Colours of the Okabe-Ito palette, distinguishable with any colour vision."""
GAP_PX = 2


def plot_class_counts(
    labels: np.ndarray, provenance: pd.DataFrame, names: list[str], ax: Axes | None = None
) -> Axes:
    """Draw each class's number of images before (outlined) and after balancing, by origin.

    Args:
        labels: `(n,)`, labels of the originals.
        provenance: Provenance of the result, as in `FaceSMOTE.provenance_`.
        names: Name of each label.
        ax: Axes to draw on.
    """
    ax = axes_or_new(ax, (7, 4))
    places = np.arange(len(names))
    before = np.bincount(np.asarray(labels), minlength=len(names))
    bottom = np.zeros(len(names))
    for origin, colour in ORIGIN_COLOURS.items():
        of_origin = provenance.loc[provenance["origin"] == origin, "label"].to_numpy(np.int64)
        if len(of_origin):
            counts = np.bincount(of_origin, minlength=len(names))
            ax.bar(places, counts, 0.7, bottom=bottom, color=colour, label=origin)
            bottom += counts
    ax.bar(places, before, 0.85, fill=False, edgecolor="black", linewidth=1, label="before")
    ax.set_xticks(places, names, rotation=45, ha="right")
    ax.set(ylabel="images", title="class sizes before and after balancing")
    ax.legend(frameon=False)
    return ax


def plot_interpolations(
    images: np.ndarray,
    balanced: np.ndarray,
    provenance: pd.DataFrame,
    rows: np.ndarray,
    ax: Axes | None = None,
) -> Axes:
    """Draw rows of parent, synthetic image and neighbour.

    Args:
        images: The originals, `(n, H, W)` or `(n, H, W, 3)` uint8.
        balanced: The balanced images.
        provenance: Provenance of the balanced images.
        rows: Rows of the balanced images that are interpolated.
        ax: Axes to draw on.

    Raises:
        ValueError: If a row is not an interpolated image.
    """
    table = provenance.iloc[np.asarray(rows)]
    if not len(table) or (table["origin"] != INTERPOLATED).any():
        raise ValueError(
            f"Expected rows of interpolated images. Received: {table['origin'].tolist()}."
        )
    columns = images[table["parent"]], balanced[table["row"]], images[table["neighbour"]]
    ax = _show(np.stack(columns, axis=1), ax)
    _head_columns(ax, ["parent", "made", "neighbour"])
    height = images.shape[1] + GAP_PX
    weights = [f"{weight:.2f}" for weight in table["weight"]]
    ax.set_yticks([height * i + height / 2 for i in range(len(weights))], weights, fontsize=8)
    ax.set_ylabel("weight of the neighbour")
    return ax


def plot_augmentations(
    images: np.ndarray,
    augment: Callable[..., np.ndarray],
    *,
    draws: int = 7,
    ax: Axes | None = None,
) -> Axes:
    """Draw faces, each with several augmented versions next to it.

    Args:
        images: `(n, H, W)` or `(n, H, W, 3)` uint8, one per row of the figure.
        augment: Augmentation as returned by `augmentation_model`.
        draws: Number of augmented versions of each face.
        ax: Axes to draw on.
    """
    from builder_tools.balancing.making import augment as augmented

    columns = [images, *(augmented(images, augment) for _ in range(draws))]
    ax = _show(np.stack(columns, axis=1), ax)
    _head_columns(ax, ["original", *[""] * draws])
    ax.set_yticks([])
    return ax


def _show(images: np.ndarray, ax: Axes | None) -> Axes:
    """Show images `(rows, columns, H, W[, 3])` in a grid with white gaps."""
    rows, columns, height, width = images.shape[:4]
    grid = np.full(
        (rows * (height + GAP_PX), columns * (width + GAP_PX), *images.shape[4:]), 255, np.uint8
    )
    for row, column in np.ndindex(rows, columns):
        top, left = row * (height + GAP_PX), column * (width + GAP_PX)
        grid[top : top + height, left : left + width] = images[row, column]
    ax = axes_or_new(ax, (0.8 * columns + 0.8, 0.8 * rows + 0.5))
    ax.imshow(grid, cmap="gray", vmin=0, vmax=255)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    return ax


def _head_columns(ax: Axes, names: list[str]) -> None:
    width = ax.images[0].get_array().shape[1] / len(names)
    ax.set_xticks([width * (i + 0.5) for i in range(len(names))], names, fontsize=8)
    ax.xaxis.tick_top()
