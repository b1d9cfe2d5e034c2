"""Figures of how good a model is: confusion, calibration, training curves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from builder_tools.evaluation import (
    RiskCoverage,
    expected_calibration_error,
    reliability_bins,
)
from builder_tools.evaluation.calibration import LEAST_IMAGES
from builder_tools.plots.canvas import FIRST_COLOUR, SECOND_COLOUR, axes_or_new


def plot_confusion(
    confusion: Sequence[Sequence[int]] | np.ndarray, emotions: Sequence[str], ax: Axes | None = None
) -> Axes:
    """Draw the confusion matrix: colours show shares of the row, numbers count images.

    Args:
        confusion: `(k, k)` counts as stored in an `Evaluation` or a card: rows are true emotions,
            columns are predictions.
        emotions: Their names, in label order.
        ax: Axes to draw on.
    """
    ax = axes_or_new(ax, (6, 5.5))
    confusion, names = np.asarray(confusion), list(emotions)
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(confusion):
        colour = "white" if shares[row, column] > 0.5 else "black"
        ax.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=8)
    ax.set_xticks(range(len(names)), names, rotation=45, ha="right")
    ax.set_yticks(range(len(names)), names)
    ax.set(
        xlabel="predicted",
        ylabel="true",
        title=f"accuracy {np.trace(confusion) / confusion.sum():.3f}",
    )
    return ax


def plot_training_curves(
    history: pd.DataFrame, metric: str = "loss", ax: Axes | None = None
) -> Axes:
    """Draw a metric over the epochs, for training and, if known, validation faces.

    Args:
        history: One row per epoch, in order; the columns `metric` and optionally `val_<metric>`.
            With a column `size`, epochs where the image size changes are marked.
        metric: Name of the column.
        ax: Axes to draw on.

    Raises:
        ValueError: If there is no such column.
    """
    if metric not in history:
        raise ValueError(f"Expected a metric of {list(history)}. Received: {metric!r}.")
    ax = axes_or_new(ax, (6, 4))
    epochs = np.arange(1, len(history) + 1)
    ax.plot(epochs, history[metric], color=FIRST_COLOUR, label="training")
    if f"val_{metric}" in history:
        ax.plot(epochs, history[f"val_{metric}"], color=SECOND_COLOUR, label="validation")
    if "size" in history:
        sizes = history["size"].to_numpy()
        for epoch in np.flatnonzero(np.diff(sizes)) + 1:
            ax.axvline(epoch + 0.5, color="0.7", linewidth=1, linestyle=":")
            place, label = (epoch + 0.5, 1), f" {sizes[epoch]:g} px"
            ax.text(*place, label, transform=ax.get_xaxis_transform(), va="top", fontsize=8)
    ax.set(xlabel="epoch", ylabel=metric.replace("_", " "))
    ax.legend(frameon=False)
    return ax


def plot_reliability(y_true: np.ndarray, probabilities: np.ndarray, ax: Axes | None = None) -> Axes:
    """Draw how often predictions are right against how confident they are; the diagonal is ideal.

    The area of a dot grows with its number of images.

    Args:
        y_true: `(n,)` int labels.
        probabilities: `(n, k)`; the prediction is the class with the highest.
        ax: Axes to draw on.
    """
    ax = axes_or_new(ax, (4.5, 4.5))
    count, sure, right = reliability_bins(y_true, probabilities)
    error = expected_calibration_error(y_true, probabilities)
    ax.plot([0, 1], [0, 1], color="0.6", linestyle="--", linewidth=1)
    ax.plot(sure, right, color=FIRST_COLOUR, linewidth=1)
    ax.scatter(sure, right, s=10 + 300 * count / count.sum(), color=FIRST_COLOUR)
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    ax.set(xlabel="highest probability", ylabel="share right")
    ax.set_title(f"calibration error {error:.3f}")
    return ax


def plot_risk_coverage(
    curve: RiskCoverage, threshold: float | None = None, ax: Axes | None = None
) -> Axes:
    """Draw how often the most confident predictions are right, against their share of the images.

    Args:
        curve: From `risk_coverage`.
        threshold: A threshold of doubt to mark, or None.
        ax: Axes to draw on.
    """
    ax = axes_or_new(ax, (5.5, 4))
    shown = curve.coverage * curve.images >= LEAST_IMAGES
    ax.plot(curve.coverage[shown], curve.accuracy[shown], color=FIRST_COLOUR)
    if threshold is not None:
        coverage, accuracy = curve.at_threshold(threshold)
        ax.plot([coverage], [accuracy], "o", color=SECOND_COLOUR)
        ax.annotate(f"{threshold:.2f}", (coverage, accuracy), (6, 6), textcoords="offset points")
    ax.set(xlim=(0, 1), xlabel="share of images answered", ylabel="share of answers right")
    ax.grid(alpha=0.3)
    return ax
