"""Figures: what they show is what was given, on axes of one's own or new ones."""

import numpy as np
import pandas as pd
import pytest

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")

import matplotlib.pyplot as plt  # noqa: E402

from builder_tools.emotions import EmotionSet  # noqa: E402
from builder_tools.evaluation import evaluate, risk_coverage  # noqa: E402
from builder_tools.plots import (  # noqa: E402
    plot_confusion,
    plot_reliability,
    plot_risk_coverage,
    plot_training_curves,
)

Y_TRUE = np.array([0, 0, 0, 1])
SURE = np.array([0.9, 0.8, 0.3, 0.4])
PROBABILITIES = np.stack([SURE, 1 - SURE], axis=1)
HISTORY = pd.DataFrame({"loss": [2.0, 1.5, 1.0], "val_loss": [2.1, 1.7, 1.4], "size": [32, 32, 48]})


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def confusion(ax):
    found = evaluate(Y_TRUE, PROBABILITIES, EmotionSet(("happy", "sad")))
    return plot_confusion(found.confusion, ("happy", "sad"), ax)


FIGURES = {
    "confusion": confusion,
    "curves": lambda ax: plot_training_curves(HISTORY, ax=ax),
    "risk": lambda ax: plot_risk_coverage(risk_coverage(Y_TRUE, PROBABILITIES), 0.7, ax),
    "reliability": lambda ax: plot_reliability(Y_TRUE, PROBABILITIES, ax),
}


@pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES)
def test_draws_where_told_and_on_a_new_figure(draw):
    ax = plt.figure().subplots()
    assert draw(ax) is ax
    other = draw(None)
    assert other is not ax
    other.figure.canvas.draw()


def test_confusion_shows_counts_and_names():
    ax = confusion(None)
    assert [text.get_text() for text in ax.texts] == ["2", "1", "0", "1"]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["happy", "sad"]
    assert ax.get_title() == "accuracy 0.750"


def test_curves_show_both_lines_and_the_size_change():
    ax = plot_training_curves(HISTORY)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), HISTORY["loss"])
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), HISTORY["val_loss"])
    assert [text.get_text().strip() for text in ax.texts] == ["48 px"]
    assert ax.lines[2].get_xdata()[0] == 2.5


def test_curves_without_validation_or_metric():
    assert len(plot_training_curves(HISTORY[["loss"]]).lines) == 1
    with pytest.raises(ValueError, match="Received: 'accuracy'"):
        plot_training_curves(HISTORY, "accuracy")


def test_reliability_names_its_error():
    """Each image in its own bin: gaps 0.1, 0.2, 0.7, 0.4 of four, mean 0.35."""
    assert plot_reliability(Y_TRUE, PROBABILITIES).get_title() == "calibration error 0.350"
