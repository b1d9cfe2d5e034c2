"""Figures of a cleaning run: what became of the images, sharpness, comparison of detectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from builder_tools.cleaning import STATUSES
from builder_tools.cleaning.preview import contact_sheet
from builder_tools.plots.canvas import FIRST_COLOUR, SECOND_COLOUR, axes_or_new

STATUS_COLOURS: Mapping[str, str] = {
    "ok": "#BBBBBB",
    "unreadable": "#000000",
    "no_face": "#D55E00",
    "multi_face": "#0072B2",
    "too_small": "#F0E442",
    "blurred": "#56B4E9",
    "duplicate": "#CC79A7",
}
"""Okabe-Ito colours, with grey for images without faults."""
PX_AN_INCH = 100
"""Resolution of contact sheets, so that at the default resolution they keep their pixel size."""


def plot_statuses(manifest: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw the number of images of each class by status, as stacked bars.

    Args:
        manifest: As in `CleaningReport.manifest`; the columns `emotion` and `status` are used.
        ax: Axes to draw on.
    """
    ax = axes_or_new(ax, (7, 4))
    emotions = sorted(manifest["emotion"].unique())
    counts = pd.crosstab(manifest["emotion"], manifest["status"]).reindex(index=emotions)
    left = np.zeros(len(emotions))
    for status in (status for status in STATUSES if status in counts):
        widths = counts[status].to_numpy()
        label = f"{status.replace('_', ' ')} ({widths.sum()})"
        colour = STATUS_COLOURS[status]
        ax.barh(range(len(emotions)), widths, left=left, color=colour, label=label)
        left += widths
    ax.set_yticks(range(len(emotions)), [emotion or "(no class)" for emotion in emotions])
    ax.invert_yaxis()
    ax.set(xlabel="images", xlim=(0, left.max() * 1.02 or 1))
    ax.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return ax


def plot_sharpness(
    manifest: pd.DataFrame, min_sharpness: float | None = None, ax: Axes | None = None
) -> Axes:
    """Draw a histogram of the faces' sharpness on a logarithmic axis.

    Args:
        manifest: As in `CleaningReport.manifest`; the column `sharpness` is used.
        min_sharpness: A limit to mark with a line; the title says how many are below it.
        ax: Axes to draw on.

    Raises:
        ValueError: If no image has a sharpness above 0.
    """
    values = manifest["sharpness"].to_numpy(float)
    values = values[np.isfinite(values)]
    if not (values > 0).any():
        raise ValueError("Expected a manifest with a sharpness over 0. Received: none.")
    ax = axes_or_new(ax, (6, 3.5))
    low, high = max(values[values > 0].min(), 0.1), values.max()
    edges = np.geomspace(low, max(high, low * 1.01) * 1.001, 41)
    ax.hist(np.maximum(values, low), edges, color=FIRST_COLOUR)
    ax.set(xscale="log", xlabel="sharpness (variance of the Laplacian)", ylabel="images")
    if min_sharpness is not None:
        ax.axvline(min_sharpness, color=SECOND_COLOUR, linewidth=1.5)
        under = int((values < min_sharpness).sum())
        ax.set_title(f"{under} of {len(values)} under {min_sharpness:g}", fontsize=10)
    return ax


def plot_detectors(comparison: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw the share found against time, one dot per detector; bars show the 95th percentile.

    Args:
        comparison: As returned by `compare_detectors`.
        ax: Axes to draw on.
    """
    ax = axes_or_new(ax, (6, 4))
    rows = comparison.dropna(subset=["found"])
    middle = rows["ms_median"].to_numpy()
    late = np.maximum(rows["ms_p95"].to_numpy() - middle, 0)
    ax.errorbar(
        middle, rows["found"], xerr=[np.zeros_like(late), late], fmt="o", color=FIRST_COLOUR
    )
    for name, x, y in zip(rows["detector"], middle, rows["found"], strict=True):
        ax.annotate(name, (x, y), xytext=(4, 5), textcoords="offset points", fontsize=9)
    ax.set(xscale="log", xlabel="ms an image (median, bar to the 95th percentile)")
    ax.set(ylabel="share of images with a face", ylim=(min(0.5, rows["found"].min()) - 0.05, 1.05))
    return ax


def plot_contact_sheet(
    images: Sequence[str | Path | np.ndarray],
    titles: Sequence[str] = (),
    *,
    columns: int = 10,
    size_px: int = 48,
    ax: Axes | None = None,
) -> Axes:
    """Draw many small images in rows; an image that cannot be read becomes a grey square.

    Args:
        images: Paths or `(H, W, 3)` uint8 RGB arrays; each is fitted into a square.
        titles: Short texts above the images, one per image, or none.
        columns: Number of images in a row.
        size_px: Side of a square.
        ax: Axes to draw on.

    Raises:
        ValueError: If there are no images, or the number of titles differs from theirs.
    """
    if not len(images) or (len(titles) and len(titles) != len(images)):
        raise ValueError(
            "Expected images, and a title for each or none. Received: "
            f"{len(images)} images, {len(titles)} titles."
        )
    columns, gap = min(columns, len(images)), size_px // 4 if len(titles) else 2
    sheet = contact_sheet(images, columns=columns, size_px=size_px, gap_px=gap)
    ax = axes_or_new(ax, (sheet.shape[1] / PX_AN_INCH, sheet.shape[0] / PX_AN_INCH))
    for place, title in enumerate(titles):
        top, left = place // columns * (size_px + gap) + gap, place % columns * (size_px + 2)
        ax.text(left, top - 1, title, fontsize=5, va="bottom")
    ax.imshow(sheet)
    ax.set_axis_off()
    return ax


def plot_dropped(
    source: str | Path, manifest: pd.DataFrame, *, most: int = 40, ax: Axes | None = None
) -> Axes:
    """Draw images that were dropped, with their statuses, to check a limit before trusting it.

    Args:
        source: The folder that was cleaned.
        manifest: As in `CleaningReport.manifest`, all of it or the rows of interest.
        most: Largest number of images, spread evenly over the manifest sorted by status.
        ax: Axes to draw on.

    Raises:
        ValueError: If no image was dropped.
    """
    dropped = manifest[~manifest["kept"]].sort_values(["status", "image_path"])
    if dropped.empty:
        raise ValueError("Expected dropped images in the manifest. Received: none.")
    chosen = dropped.iloc[np.unique(np.linspace(0, len(dropped) - 1, most).round().astype(int))]
    paths = [Path(source) / name for name in chosen["image_path"]]
    return plot_contact_sheet(paths, [name.replace("_", " ") for name in chosen["status"]], ax=ax)
