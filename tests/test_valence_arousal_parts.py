"""The labeller's parts: manifolds as scikit-learn's; orientation, shifts and anchors by hand."""

import numpy as np
import pandas as pd
import pytest
from toy_study import votes

from builder_tools.datasets.ferplus import is_face, vote_distribution
from builder_tools.datasets.sampling import stratified_sample
from builder_tools.emotions import FERPLUS_VOTE_COLUMNS
from builder_tools.valence_arousal import (
    AnchorLabeller,
    read_labels,
    vote_entropy,
    vote_shares,
    vote_weighted_anchors,
)
from builder_tools.valence_arousal.labeller import class_means
from builder_tools.valence_arousal.orientation import clip_to_disc, fit_orientation, staged_shift
from builder_tools.valence_arousal.reducers import (
    IsomapReducer,
    PcaReducer,
    neighbour_graph,
    shortest_paths,
)
from studies.labellers.validation import procrustes_distance


def _roll(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Gives a strip rolled up in three dimensions, and where its points lie on it."""
    rng = np.random.default_rng(seed)
    along, across = rng.uniform(5, 14, n), rng.uniform(0, 8, n)
    points = np.stack([along * np.cos(along), across, along * np.sin(along)], axis=1)
    arc = (along * np.sqrt(1 + along**2) + np.arcsinh(along)) / 2
    return points.astype(np.float32), np.stack([arc, across], axis=1)


def test_isomap_is_that_of_scikit_learn():
    from sklearn.manifold import Isomap

    points, _ = _roll(400)
    other = _roll(60, seed=1)[0]
    theirs = Isomap(n_neighbors=8).fit(points)
    ours = IsomapReducer(neighbours=8).fit(points)
    signs = np.sign((theirs.embedding_ * ours.embedding_).sum(axis=0))
    assert ours.embedding_ == pytest.approx(theirs.embedding_ * signs, abs=2e-3)
    assert ours.transform(other) == pytest.approx(theirs.transform(other) * signs, abs=2e-3)
    assert ours.geodesics_ == pytest.approx(theirs.dist_matrix_, rel=1e-5)


def test_isomap_unrolls_a_roll_which_pca_cannot():
    points, flat = _roll(1200)
    unrolled = IsomapReducer(neighbours=8).fit(points).embedding_
    assert procrustes_distance(unrolled, flat) < 0.02
    assert procrustes_distance(PcaReducer().fit(points).embedding_, flat) > 0.3


def test_landmarks_place_themselves_where_they_were_fitted():
    points, _ = _roll(300)
    reducer = IsomapReducer(neighbours=8).fit(points)
    assert reducer.transform(points[:40]) == pytest.approx(reducer.embedding_[:40], abs=1e-3)


def test_shortest_paths_by_hand():
    graph = neighbour_graph(np.array([[0.0], [1], [3], [6]], np.float32), 1)
    expected = [[0, 1, 3, 6], [1, 0, 2, 5], [3, 2, 0, 3], [6, 5, 3, 0]]
    assert shortest_paths(graph).tolist() == expected
    assert shortest_paths(graph, n_jobs=2).tolist() == expected


def test_a_graph_in_pieces_is_refused():
    points = np.concatenate([_roll(30)[0], _roll(30)[0] + 1000])
    with pytest.raises(ValueError, match=r"one piece.*falls into 2, of 30, 30.*more neighbours"):
        IsomapReducer(neighbours=4).fit(points)


def test_copies_of_a_face_do_not_tear_the_graph():
    points = np.repeat(_roll(40)[0], 3, axis=0)
    places = IsomapReducer(neighbours=16).fit(points).embedding_
    assert places[::3] == pytest.approx(places[1::3], abs=1e-3)


def test_orientation_finds_the_turn_that_was_made():
    places = np.array([[0.0, 0], [2, 0], [0, 1], [1, 1]])
    mirror = np.array([[0.0, 1], [1, 0]])
    targets = 0.25 * places @ mirror + [0.1, -0.2]
    found = fit_orientation(places, targets)
    assert found.apply(places) == pytest.approx(targets)
    assert found.scale == pytest.approx(0.25) and found.shift == pytest.approx([0.1, -0.2])
    assert found.rotation == pytest.approx(mirror)


def test_staged_shift_by_hand():
    places, labels = np.array([[0.5, 0.0], [0.1, 0.0], [2.0, 2.0]]), np.array([0, 0, 1])
    centres = np.array([[0.3, 0.0], [1.0, 1.0]])
    anchors = np.array([[0.8, 0.5], [np.nan, np.nan]])
    way = staged_shift(places, labels, centres, anchors, stages=2, pull=0.5)
    assert way[0] == pytest.approx(places)
    assert way[1] == pytest.approx(np.array([[0.9, 0.5], [0.7, 0.5], [1.5, 1.5]]))
    assert way[2] == pytest.approx(np.array([[0.85, 0.5], [0.75, 0.5], [1.25, 1.25]]))
    moved = staged_shift(places, labels, centres, anchors, stages=1, pull=0.0)[-1]
    assert class_means(moved, labels, 2)[0] == pytest.approx([0.8, 0.5])


def test_clipping_keeps_direction():
    assert clip_to_disc(np.array([[3.0, 4.0], [0.3, 0.4]])).tolist() == [[0.6, 0.8], [0.3, 0.4]]


def test_class_means_and_stratified_samples():
    labels = np.array([0] * 80 + [2] * 20)
    means = class_means(np.stack([labels, labels * 2], axis=1).astype(float), labels, 3)
    assert means[[0, 2]].tolist() == [[0, 0], [2, 4]] and np.isnan(means[1]).all()
    rows = stratified_sample(labels, 10, np.random.default_rng(0))
    assert np.bincount(labels[rows]).tolist() == [8, 0, 2] and (np.diff(rows) > 0).all()
    again = stratified_sample(labels, 10, np.random.default_rng(0))
    assert (rows == again).all()
    assert len(stratified_sample(labels, None, np.random.default_rng(0))) == 100


def test_anchors_and_votes_by_hand():
    assert AnchorLabeller().fit_transform(None, np.array([4, 6])).tolist() == [
        [0.81, 0.51], [-0.63, -0.27],
    ]  # fmt: skip
    counted = np.array([votes(happiness=6, surprise=3, fear=1), votes(neutral=5, NF=5)])
    found = vote_weighted_anchors(counted)  # the single vote for fear is dropped
    assert found[0] == pytest.approx([(2 * 0.81 + 0.40) / 3, (2 * 0.51 + 0.67) / 3], abs=1e-6)
    assert found[1] == pytest.approx([0, 0])
    with pytest.raises(ValueError, match="Expected labels"):
        AnchorLabeller().fit().transform(None)


@pytest.mark.parametrize(
    "wrong",
    [
        *([-1, 4], [9], [4.0], [[6, 3, 0, 0, 0, 0, 0, 0, 0]], [[0.5, 0.5]]),
        [[1.2, -0.2, 0, 0, 0, 0, 0, 0, 0]],
        [[np.nan] * 9],
    ],
)
def test_what_are_no_labels_and_no_shares_is_refused(wrong):
    with pytest.raises(ValueError, match=r"Expected labels 0\.\.\.8.*Received"):
        AnchorLabeller().fit().transform(None, wrong)


def test_votes_may_be_a_table_in_any_order_of_columns():
    counted = np.array([votes(happiness=6, surprise=3, fear=1), votes(neutral=5, anger=5)])
    table = pd.DataFrame(counted, columns=list(FERPLUS_VOTE_COLUMNS)).iloc[:, ::-1]
    for function in (vote_entropy, vote_shares, vote_weighted_anchors, vote_distribution, is_face):
        assert np.array_equal(function(table), function(counted)), function.__name__


def test_entropy_of_votes_by_hand():
    counted = np.array([votes(happiness=10), votes(happiness=5, surprise=5), votes(NF=10)])
    assert vote_entropy(counted) == pytest.approx([0, 1, 0])
    assert len(FERPLUS_VOTE_COLUMNS) == counted.shape[1]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", ";\r\n"])
def test_labels_that_a_spreadsheet_wrote_are_read(encoding, ending, tmp_path):
    """A German or Russian one: semicolons, and commas in numbers."""
    lines = [
        "name;path;split;emotion;valence;arousal",
        "a.png;a.png;train;happy;0,5;-0,25",
        ";;;;;",
    ]
    (tmp_path / "labels.csv").write_text(ending.join(lines), encoding=encoding, newline="")
    rows = read_labels(tmp_path / "labels.csv")
    assert rows.to_dict("records") == [
        {"name": "a.png", "path": "a.png", "split": "train", "emotion": "happy"}
        | {"valence": 0.5, "arousal": -0.25}
    ]
