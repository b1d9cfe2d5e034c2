"""Figures of valence and arousal: agreement, intervals, correlations."""

import numpy as np
import pytest

from builder_tools.evaluation import (
    concordance,
    concordance_gain,
    evaluate_valence_arousal,
    rank_correlation,
)

RNG = np.random.default_rng(0)


def test_concordance_by_hand():
    x = np.array([1.0, 2, 3, 4])
    assert concordance(x, x) == pytest.approx(1)
    assert concordance(x, -x + 5) == pytest.approx(-1)
    # variance 1.25 on both sides, means 1 apart: 2 * 1.25 / (1.25 + 1.25 + 1)
    assert concordance(x, x + 1) == pytest.approx(2.5 / 3.5)
    # variances 1.25 and 5, covariance 2.5, means 2.5 apart: 5 / (6.25 + 6.25)
    assert concordance(x, 2 * x) == pytest.approx(5 / 12.5)
    assert concordance(x, np.zeros(4)) == 0
    assert np.isnan(concordance(np.ones(4), np.ones(4)))


def test_evaluation_agrees_with_numpy_and_has_intervals():
    reference = RNG.normal(0, 0.4, (500, 2))
    predicted = 0.6 * reference + RNG.normal(0, 0.2, (500, 2)) + [0.1, 0]
    found = evaluate_valence_arousal(reference, predicted)
    for axis, one in enumerate((found.valence, found.arousal)):
        x, y = reference[:, axis], predicted[:, axis]
        r = np.corrcoef(x, y)[0, 1]
        ccc = 2 * np.cov(x, y, bias=True)[0, 1] / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)
        assert one.pearson.value == pytest.approx(r) and one.ccc.value == pytest.approx(ccc)
        assert one.rmse.value == pytest.approx(np.sqrt(((x - y) ** 2).mean()))
        assert one.pearson.low < r < one.pearson.high
        spread = (one.pearson.high - one.pearson.low) / (2 * 1.96)
        assert spread == pytest.approx((1 - r**2) / np.sqrt(500), rel=0.25)  # Fisher's formula
    mean = (found.valence.ccc.value + found.arousal.ccc.value) / 2
    assert found.mean_ccc.value == pytest.approx(mean)
    assert evaluate_valence_arousal(reference, predicted) == found
    assert evaluate_valence_arousal(reference, predicted, seed=1) != found
    assert found.to_dict()["arousal_rmse"] == round(found.arousal.rmse.value, 4)
    assert len(found.to_dict()["mean_ccc_95"]) == 2


def test_gain_is_the_difference_of_both_on_the_same_faces():
    reference = RNG.normal(0, 0.4, (500, 2))
    coarse = 0.6 * reference + RNG.normal(0, 0.2, (500, 2))
    fine = 0.98 * coarse + 0.02 * reference
    gain = concordance_gain(reference, fine, coarse)
    apart = [evaluate_valence_arousal(reference, one).mean_ccc for one in (fine, coarse)]
    assert gain.value == pytest.approx(apart[0].value - apart[1].value)
    # each alone is too uncertain to tell them apart, on the same faces they can be
    assert apart[0].low < apart[1].high and gain.low > 0
    back = concordance_gain(reference, coarse, fine)
    assert (back.value, back.low, back.high) == pytest.approx((-gain.value, -gain.high, -gain.low))
    same = concordance_gain(reference, fine, fine)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    with pytest.raises(ValueError, match=r"\(n, 2\)"):
        concordance_gain(reference, fine, fine[:, 0])


def test_wrong_series_are_refused():
    good = np.zeros((4, 2))
    for wrong in (np.zeros((3, 2)), np.zeros(4), np.zeros((4, 3))):
        with pytest.raises(ValueError, match=r"\(n, 2\)"):
            evaluate_valence_arousal(good, wrong)
    with pytest.raises(ValueError, match="finite"):
        evaluate_valence_arousal(good, np.full((4, 2), np.nan))
    with pytest.raises(ValueError, match="at least 2"):
        concordance(np.ones(1), np.ones(1))


def test_rank_correlation_is_spearmans():
    from scipy.stats import spearmanr

    x = RNG.normal(size=200)
    y = x**3 + RNG.normal(size=200)
    found, expected = rank_correlation(x, y), spearmanr(x, y)
    assert found.correlation.value == pytest.approx(expected.statistic)
    assert found.correlation.low < expected.statistic < found.correlation.high
    assert found.p_value == pytest.approx(1 / 2000) and found.n == 200
    nothing = rank_correlation(x, RNG.normal(size=200))
    assert nothing.p_value > 0.05
    small = rank_correlation(np.arange(4.0), np.array([0.0, 1, 2, 3]), permutations=4000)
    assert small.p_value == pytest.approx(2 / 24, abs=0.02)  # of 24 orders, two are as extreme
    assert np.isnan(rank_correlation(np.ones(9), np.arange(9.0)).p_value)


def test_partial_rank_correlation_sees_only_what_groups_leave():
    groups = np.repeat([0, 1, 2], 100)
    level = 10.0 * groups
    between = rank_correlation(level + RNG.normal(size=300), level + RNG.normal(size=300))
    x, y = level + RNG.normal(size=300), level + RNG.normal(size=300)
    inside = rank_correlation(x, y, groups=groups)
    assert between.correlation.value > 0.8
    assert abs(inside.correlation.value) < 0.2 and inside.p_value > 0.001
    shared = RNG.normal(size=300)
    both = rank_correlation(shared - level, shared + level, groups=groups)
    assert both.correlation.value > 0.95 and both.p_value < 0.01
    assert np.isnan(rank_correlation(level, x, groups=groups).correlation.value)
