"""Figures of a data set: class balance, image sizes, brightness, and what images look like."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from builder_tools.datasets.measures import mean_images
from builder_tools.datasets.table import SPLITS, ImageTable
from builder_tools.plots.canvas import FIRST_COLOUR, SECOND_COLOUR, axes_or_new

THIRD_COLOUR, NO_SPLIT_COLOUR = "#009E73", "0.6"
COLOUR_OF_SPLIT = {
    "train": FIRST_COLOUR,
    "valid": SECOND_COLOUR,
    "test": THIRD_COLOUR,
    "": NO_SPLIT_COLOUR,
}
MEASURES = {"brightness": "mean grey, 0...255", "contrast": "standard deviation of grey"}

_GAP_PX = 2


def plot_class_balance(table: ImageTable, ax: Axes | None = None) -> Axes:
    """Draw the share of each class in each split; the legend shows the number of images.

    Args:
        table: The images.
        ax: Axes to draw on.
    """
    ax = axes_or_new(ax, (7, 3.6))
    splits = [split for split in (*SPLITS, "") if split in set(table.table["split"])]
    width = 0.8 / len(splits)
    for number, split in enumerate(splits):
        own = table.labels[(table.table["split"] == split).to_numpy()]
        share = np.bincount(own, minlength=len(table.emotions)) / len(own)
        places = np.arange(len(share)) + (number - (len(splits) - 1) / 2) * width
        label = f"{split or 'not split'}, {len(own):,}"
        ax.bar(places, 100 * share, width, color=COLOUR_OF_SPLIT[split], label=label)
    ax.set_xticks(range(len(table.emotions)), list(table.emotions), rotation=45, ha="right")
    ax.set(ylabel="share of the split, %", title="class balance")
    ax.legend(frameon=False)
    return ax


def plot_image_sizes(measures: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw width against height; the area of a dot grows with its number of images.

    Args:
        measures: From `measure_images`.
        ax: Axes to draw on.
    """
    ax = axes_or_new(ax, (4.5, 4))
    count = measures.groupby(["width_px", "height_px"]).size()
    widths, heights = (count.index.get_level_values(level) for level in (0, 1))
    area = 15 + 300 * count.to_numpy() / count.max()
    ax.scatter(widths, heights, s=area, color=FIRST_COLOUR, alpha=0.6, linewidths=0)
    longest = 1.1 * max(widths.max(), heights.max())
    ax.plot([0, longest], [0, longest], color="0.8", linewidth=1, zorder=0)
    ax.set(xlim=(0, longest), ylim=(0, longest), xlabel="width, px", ylabel="height, px")
    sizes = "one size" if len(count) == 1 else f"{len(count):,} sizes"
    ax.set_title(f"{len(measures):,} images, {sizes}")
    return ax


def plot_by_class(
    measures: pd.DataFrame, measure: str = "brightness", ax: Axes | None = None
) -> Axes:
    """Draw the distribution of a measure in each class: median, quartiles, 5 % and 95 %.

    Args:
        measures: From `measure_images`.
        measure: One of `MEASURES`.
        ax: Axes to draw on.

    Raises:
        ValueError: If the measure is unknown.
    """
    if measure not in MEASURES:
        raise ValueError(f"Expected one of {list(MEASURES)}. Received: measure={measure!r}.")
    ax = axes_or_new(ax, (7, 3))
    names = sorted(set(measures["emotion"]))
    values = [measures.loc[measures["emotion"] == name, measure] for name in names]
    ax.boxplot(
        values,
        whis=(5, 95),
        showfliers=False,
        patch_artist=True,
        boxprops={"facecolor": FIRST_COLOUR, "alpha": 0.5},
        medianprops={"color": "black"},
    )
    ax.set_xticks(range(1, len(names) + 1), names, rotation=45, ha="right")
    ax.set(ylabel=MEASURES[measure], title=measure)
    return ax


def plot_samples(
    table: ImageTable,
    ax: Axes | None = None,
    *,
    per_class: int = 10,
    size_px: int = 48,
    seed: int = 0,
) -> Axes:
    """Draw sample images, one row per class.

    Args:
        table: The images.
        ax: Axes to draw on.
        per_class: Number of images per class, fewer if there are no more.
        size_px: Side of each image.
        seed: Seed of their choice.
    """
    rng, images = np.random.default_rng(seed), table.resized(size_px)
    present = [name for name in table.emotions if (table.table["emotion"] == name).any()]
    rows = []
    for name in present:
        own = np.flatnonzero((table.table["emotion"] == name).to_numpy())
        rows.append(images[np.sort(rng.permutation(own)[:per_class])])
    ax = axes_or_new(ax, (0.5 * per_class + 1.8, 0.5 * len(present) + 0.2))
    step = size_px + _GAP_PX
    ax.imshow(_mosaic(rows, per_class, size_px))
    ax.set_yticks(step * np.arange(len(present)) + size_px / 2, present)
    ax.set_xticks([])
    return _bare(ax)


def plot_mean_faces(table: ImageTable, ax: Axes | None = None, *, size_px: int = 48) -> Axes:
    """Draw the mean image of each class side by side.

    Args:
        table: The images.
        ax: Axes to draw on.
        size_px: Side of each mean image.
    """
    means = mean_images(table, size_px)
    ax = axes_or_new(ax, (0.9 * len(means) + 0.3, 1.4))
    ax.imshow(_mosaic([np.stack(list(means.values()))], len(means), size_px))
    step = size_px + _GAP_PX
    ax.set_xticks(step * np.arange(len(means)) + size_px / 2, list(means), fontsize=8)
    ax.set_yticks([])
    return _bare(ax)


def _mosaic(rows: list[np.ndarray], columns: int, size_px: int) -> np.ndarray:
    """Arrange images on white in rows of `columns` cells."""
    step = size_px + _GAP_PX
    canvas = np.full((len(rows) * step - _GAP_PX, columns * step - _GAP_PX, 3), 255, np.uint8)
    for row, images in enumerate(rows):
        for column, image in enumerate(images):
            top, left = row * step, column * step
            canvas[top : top + size_px, left : left + size_px] = image
    return canvas


def _bare(ax: Axes) -> Axes:
    """Remove the frame and the tick marks from an image's axes."""
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax
