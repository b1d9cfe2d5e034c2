"""Temperature and risk-coverage, worked by hand."""

import numpy as np
import pytest

from builder_tools.decisions import apply_temperature
from builder_tools.emotions import EmotionSet
from builder_tools.evaluation import (
    evaluate,
    expected_calibration_error,
    fit_temperature,
    reliability_bins,
    risk_coverage,
)


def test_temperature_divides_the_logits():
    found = apply_temperature(np.array([[0.8, 0.2], [0.5, 0.5]]), 2.0)
    np.testing.assert_allclose(found, [[2 / 3, 1 / 3], [0.5, 0.5]])  # sqrt(.8) : sqrt(.2) = 2 : 1
    certain = apply_temperature(np.array([[1.0, 0.0]]), 1.0)
    np.testing.assert_allclose(certain, [[1.0, 0.0]], atol=1e-11)


def test_fitted_temperature_is_that_of_the_logits():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20_000, 3)) * 2
    true = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (true.cumsum(axis=1) > rng.random((len(true), 1))).argmax(axis=1)
    too_sure = apply_temperature(true, 0.5)
    assert fit_temperature(labels, too_sure) == pytest.approx(2.0, rel=0.05)
    assert fit_temperature(labels, true) == pytest.approx(1.0, rel=0.05)


def test_risk_coverage_takes_equally_sure_images_together():
    sure = np.array([0.9, 0.8, 0.8, 0.6])
    probabilities = np.column_stack([sure, 1 - sure])
    curve = risk_coverage(np.array([0, 0, 1, 0]), probabilities)
    np.testing.assert_allclose(curve.threshold, [0.9, 0.8, 0.6])
    np.testing.assert_allclose(curve.coverage, [0.25, 0.75, 1.0])
    np.testing.assert_allclose(curve.accuracy, [1.0, 2 / 3, 0.75])
    assert curve.at_threshold(0.7) == (0.75, pytest.approx(2 / 3))
    assert curve.at_threshold(0.95)[0] == 0.0
    assert curve.at_accuracy(0.7) is None  # four images are too few to say


def test_the_largest_share_that_is_right_often_enough():
    sure = np.linspace(0.99, 0.6, 100)
    right = np.ones(100, int)
    right[60:80] = 0  # 60 right, then 20 wrong, then 20 right
    probabilities = np.column_stack([sure, 1 - sure])
    curve = risk_coverage(1 - right, probabilities)
    threshold, coverage = curve.at_accuracy(0.95)
    assert coverage == pytest.approx(0.63)  # 60 / 63 = 0.952, 60 / 64 = 0.9375
    assert threshold == pytest.approx(sure[62])
    assert curve.at_accuracy(0.8) == (pytest.approx(sure[-1]), 1.0)


@pytest.mark.parametrize(
    "judged",
    [
        fit_temperature,
        risk_coverage,
        reliability_bins,
        expected_calibration_error,
        lambda y_true, found: evaluate(y_true, found, EmotionSet(("happy", "sad"))),
    ],
)
@pytest.mark.parametrize(
    ("y_true", "probabilities", "message"),
    [
        ([], np.zeros((0, 2)), "n >= 1"),
        ([0, 1, 1], np.eye(2), "n >= 1"),
        ([[0], [1]], np.eye(2), "n >= 1"),
        ([0, 1], [0.4, 0.6], "n >= 1"),
        ([0, -1], np.eye(2), "labelled -1"),
        ([0, 1], [[np.nan, 1], [0.5, 0.5]], "finite probabilities"),
        ([0, 1], [[3.0, -2.0], [0.0, 1.0]], "sum of 1 .* 1 rows that are not"),
        ([0, 1], [[1.01, -0.01], [0.0, 1.0]], "sum of 1 .* 1 rows that are not"),
        ([0, 1], [[2.5, 1.0], [0.3, 0.2]], "sum of 1 .* 2 rows that are not"),
    ],
)
def test_what_is_no_probability_of_a_class_is_refused(judged, y_true, probabilities, message):
    """Logits gave a calibration error of 1.0, no images a temperature of 0.68, without a word."""
    with pytest.raises(ValueError, match=f"Expected .*{message}"):
        judged(np.array(y_true, int), np.array(probabilities))


def test_probabilities_may_be_rounded():
    rounded = np.array([[0.33, 0.33, 0.33], [0.98, 0.01, 0.0]])
    assert evaluate(np.array([0, 0]), rounded, EmotionSet(list("abc"))).accuracy.value == 1
    assert risk_coverage(np.array([0, 1]), rounded).threshold.tolist() == [0.98, 0.33]
    first = np.array([[1 + 1e-7], [0.25]], np.float32)
    pairs = np.hstack([first, 1 - first])
    assert pairs.min() < 0
    assert evaluate(np.array([0, 1]), pairs, EmotionSet(list("ab"))).accuracy.value == 1
