"""Figures of valence and arousal, and what is said of manifolds and labels by them."""

import numpy as np
import pytest
from toy_study import ToyFace, pattern, votes, write_official

from builder_tools.datasets.ferplus import load_ferplus, nine_class_table
from builder_tools.evaluation import (
    concordance,
    concordance_gain,
    evaluate_valence_arousal,
    rank_correlation,
    root_mean_squared_error,
)
from builder_tools.valence_arousal import AnchorLabeller, ValenceArousalLabeller, faces_of
from studies.labellers.choice import scan_manifolds, scan_pull
from studies.labellers.validation import (
    judge_labels,
    judge_within_classes,
    manifold_quality,
    procrustes_distance,
    residual_variance,
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
    assert root_mean_squared_error(x, x + np.array([0, 0, 2, 0])) == pytest.approx(1)


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


def test_residual_variance_is_nothing_for_a_true_map():
    places = RNG.uniform(size=(300, 2))
    distances = np.linalg.norm(places[:, None] - places[None], axis=2)
    rows = np.arange(300)
    assert residual_variance(3 * distances, places, rows) == pytest.approx(0, abs=1e-9)
    flat = places * [1, 0]
    on_line = np.abs(flat[:, None, 0] - flat[None, :, 0])
    expected = 1 - np.corrcoef(distances.ravel(), on_line.ravel())[0, 1] ** 2
    assert residual_variance(distances, flat, rows) == pytest.approx(expected)
    some = np.array([5, 17])
    assert residual_variance(distances[some], places, some) == pytest.approx(0, abs=1e-9)


def test_quality_of_a_plane():
    points = RNG.normal(size=(200, 5)) * [1, 1, 0.01, 0.01, 0.01]
    good = manifold_quality(points, points[:, :2])
    bad = manifold_quality(points, RNG.normal(size=(200, 2)))
    assert min(good.trustworthiness, good.continuity) > 0.99
    assert max(bad.trustworthiness, bad.continuity) < 0.6


def test_procrustes_distance_ignores_place_turn_and_scale():
    places = RNG.normal(size=(50, 2))
    turned = 7 * places @ np.array([[0.0, 1], [1, 0]]) + 3
    assert procrustes_distance(turned, places) == pytest.approx(0, abs=1e-12)
    assert procrustes_distance(RNG.normal(size=(50, 2)), places) > 0.5


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Happy faces with more or fewer surprise votes, and neutral ones."""
    faces = []
    for number in range(120):
        surprise = number % 4
        count = votes(happiness=10 - surprise, surprise=surprise)
        if number % 2:
            count = votes(neutral=9 - surprise, sadness=surprise + 1)
        kind = 3 if number % 2 else 0
        image = pattern(kind, 48, np.random.default_rng(number))
        split = "train" if number < 80 else "valid" if number < 100 else "test"
        faces.append(ToyFace(f"fer{number:07d}.png", split, image, count))
    return nine_class_table(load_ferplus(write_official(tmp_path_factory.mktemp("m"), faces)))


def test_labels_that_know_the_votes_are_told_from_those_that_know_the_class(mixed):
    from builder_tools.valence_arousal import vote_weighted_anchors

    reference = vote_weighted_anchors(mixed.votes)
    perfect = judge_labels(reference, mixed.votes)
    assert perfect.mean_ccc.value == pytest.approx(1)
    known = judge_within_classes(reference, mixed)
    assert known.valence.correlation.value == pytest.approx(1)
    assert known.happy_surprise.correlation.value > 0.9
    assert known.happy_surprise.n == int((mixed.labels == 4).sum())
    anchors = AnchorLabeller().fit_transform(None, mixed.labels)
    blind = judge_within_classes(anchors, mixed)
    for one in (blind.valence, blind.arousal, blind.happy_surprise, blind.disagreement):
        assert np.isnan(one.correlation.value)
    assert judge_labels(anchors, mixed.votes).mean_ccc.value < 1


def test_scans_give_a_row_for_every_choice(mixed):
    train, valid = mixed.split("train"), mixed.split("test")
    labeller = ValenceArousalLabeller(neighbours=40, landmarks=70, pca=10)
    labeller.fit(faces_of(train), train.labels)
    held_out = labeller.points(faces_of(mixed))
    points = labeller.points(faces_of(train))
    found = scan_manifolds(
        points, train.labels, held_out, neighbours=(2, 40), landmarks=(50, 70), seed=0
    )
    assert found[["neighbours", "landmarks"]].values.tolist() == [
        [2, 50],
        [40, 50],
        [2, 70],
        [40, 70],
    ]
    whole = found[found["neighbours"] == 40]
    assert whole["residual_variance"].between(0, 1).all() and (whole["trustworthiness"] > 0.5).all()
    torn = found[found["neighbours"] == 2]
    assert torn["trustworthiness"].isna().all()
    pulls = scan_pull(labeller, valid, (0.0, 1.0))
    anchor = judge_labels(AnchorLabeller().fit_transform(None, valid.labels), valid.votes)
    assert pulls["mean_ccc"].iat[1] == pytest.approx(anchor.mean_ccc.value)


def test_the_report_says_what_its_rows_hold(mixed):
    import pandas as pd

    from studies.labellers.compare import (
        Candidate,
        compare,
        findings,
        labeller_table,
        quality_table,
        within_table,
    )

    train, test = mixed.split("train"), mixed.rows(mixed.table["split"].to_numpy() != "train")
    points = faces_of(test)[np.arange(len(test))].reshape(len(test), -1)
    candidates = (
        Candidate("class anchor", "anchor"),
        Candidate("plane", "pca", {"pca": 10, "landmarks": 70}),
    )
    rows = [row for one in candidates for row in compare(one, train, test, points=points)]
    table = pd.DataFrame(rows)
    assert table["labeller"].tolist() == ["class anchor", "plane", "plane"]
    assert table["class_known"].tolist() == ["yes", "no", "yes"]
    drawn = labeller_table(table).splitlines()
    assert len(drawn) == 2 + 3 and f"{table['mean_ccc'].iat[1]:.3f} [" in drawn[3]
    assert "constant" in within_table(table).splitlines()[2]
    assert len(quality_table(table).splitlines()) == 2 + 1
    said = findings(table)
    gain = table["mean_ccc"].iat[2] - table["mean_ccc"].iat[0]
    assert f"{table['mean_ccc'].iat[0]:.3f}" in said[0] and f"plane {gain:+.4f} [" in said[0]
    assert said[0].endswith("no difference found.")
    assert "nothing found" in said[-1]  # the patterns know nothing of the votes
