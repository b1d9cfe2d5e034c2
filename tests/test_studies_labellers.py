"""Labellers and regressors compared: what is said of manifolds and labels, and their pages."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("keras")

from toy_study import ToyFace, pattern, votes, write_official

from builder_tools.datasets.ferplus import load_ferplus, nine_class_table
from builder_tools.valence_arousal import AnchorLabeller, ValenceArousalLabeller, faces_of
from studies.figures import plot_choice, plot_pull
from studies.labellers.__main__ import main as labellers
from studies.labellers.choice import scan_manifolds, scan_pull
from studies.labellers.compare import Candidate, compare
from studies.labellers.report import findings, labeller_table, quality_table, within_table
from studies.labellers.validation import (
    judge_labels,
    judge_within_classes,
    manifold_quality,
    procrustes_distance,
    residual_variance,
)
from studies.regressors.__main__ import Trial
from studies.regressors.__main__ import main as regressors
from studies.regressors.report import CCC, DIRECT, NEAREST, beside_the_classifier

RNG = np.random.default_rng(0)
REPORTS = Path(__file__).parents[1] / "reports"


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
def mixed_folder(tmp_path_factory):
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
    return write_official(tmp_path_factory.mktemp("m"), faces)


@pytest.fixture(scope="module")
def mixed(mixed_folder):
    return nine_class_table(load_ferplus(mixed_folder))


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
    drawn = labeller_table(table)
    assert drawn["CCC mean"].iat[1].startswith(f"{table['mean_ccc'].iat[1]:.3f} [")
    assert "constant" in within_table(table).iloc[0].tolist()
    assert quality_table(table)["manifold"].tolist() == ["plane"]
    said = findings(table)
    gain = table["mean_ccc"].iat[2] - table["mean_ccc"].iat[0]
    assert f"{table['mean_ccc'].iat[0]:.3f}" in said[0] and f"plane {gain:+.4f} [" in said[0]
    assert said[0].endswith("no difference found.")
    assert "nothing found" in said[-1]  # the patterns know nothing of the votes


def test_choices_are_drawn_a_line_a_landmark_number():
    scan = pd.DataFrame(
        {"neighbours": [5, 10, 5, 10], "landmarks": [100, 100, 200, 200], "continuity": 0.9}
    )
    ax = plot_choice(scan, "continuity")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["100", "200"]
    with pytest.raises(ValueError, match="trust"):
        plot_choice(scan, "trust")
    pull = pd.DataFrame({"strength": [0.0, 1.0], "mean_ccc": [0.2, 0.9]})
    ax = plot_pull({"isomap": pull})
    assert ax.lines[0].get_ydata().tolist() == [0.2, 0.9]


def test_steps_keep_their_rows_and_the_page_is_made_of_them(mixed_folder, tmp_path, capsys):
    words = ["--reports", str(tmp_path), "--source", str(mixed_folder)]
    assert labellers([*words, "--steps", "compare", "--list"]) == 0
    assert "compare: class anchor" in capsys.readouterr().out
    for csv_file in REPORTS.glob("valence_arousal_*.csv"):
        shutil.copy(csv_file, tmp_path)
    assert labellers([*words, "--list"]) == 0
    assert capsys.readouterr().out == "", "the tables hold every row of the command"
    assert labellers([*words, "--report"]) == 0
    page = (tmp_path / "valence_arousal.md").read_bytes()
    assert page == (REPORTS / "valence_arousal.md").read_bytes()


def test_regressors_are_known_by_all_that_makes_them(tmp_path, capsys):
    words = ["--reports", str(tmp_path)]
    shutil.copy(REPORTS / "va_regressors.csv", tmp_path)
    known = ["votes", "anchor", "pca", "umap", "isomap", "isomap-network"]
    assert regressors([*words, "--list", "--labellers", *known]) == 0
    assert capsys.readouterr().out == "", "the table holds every row of the command"
    networks = ["--networks", "compact:emotion", "compact:va", "--labellers", "votes"]
    assert regressors([*words, "--list", *networks, "--seeds", "0", "1"]) == 0
    assert capsys.readouterr().out.split() == ["compact_emotion_none", "compact_va_votes"]
    assert regressors([*words, "--report"]) == 0
    page = (tmp_path / "va_regressors.md").read_bytes()
    assert page == (REPORTS / "va_regressors.md").read_bytes()


def test_regressors_of_another_precision_or_start_are_others(tmp_path, capsys):
    words = ["--reports", str(tmp_path), "--networks", "compact:emotion"]
    rows = pd.read_csv(REPORTS / "va_regressors.csv").copy()  # in one piece
    rows.to_csv(tmp_path / "va_regressors.csv", index=False)
    assert regressors([*words, "--list", "--precision", "float32"]) == 0
    assert capsys.readouterr().out.split() == ["compact_emotion_none"]
    both = [rows, rows.assign(precision="float32", config_sha256="other", commit="later")]
    pd.concat(both).to_csv(tmp_path / "va_regressors.csv", index=False)
    assert regressors([*words, "--report"]) == 0
    page = (tmp_path / "va_regressors.md").read_text().split("\n## ")
    before = (REPORTS / "va_regressors.md").read_text().split("\n## ")
    assert page[: len(before) - 1] == before[:-1]
    assert sum("px, float32" in part for part in page) == len(before) - 1
    made = [Trial("votes", "vgg16", "va", "all", 10, 32, 0, *more) for more in (
        ("random",), ("random", "float32"), ("base.keras",))]  # fmt: skip
    assert [one.folder for one in made] == [
        "vgg16_va_votes_s0",
        "vgg16_va_votes_s0_float32",
        "vgg16_va_votes_s0_base.keras",
    ]


def row_of(labeller: str, task: str, ccc: float, nearest: float, direct: float) -> dict:
    row = {"labeller": labeller, "network": "n", "task": task, "base": "random", "seeds": 1}
    for name, value in ((CCC, ccc), (NEAREST, nearest), (DIRECT, direct)):
        row |= {name: value, f"{name}_low": value - 0.1, f"{name}_high": value + 0.1}
    return row


def test_regressors_stand_beside_the_classifier_of_their_start():
    rows = [row_of("none", "emotion", 0.5, 0.4, 0.6), row_of("votes", "va", 0.75, 0.3, np.nan)]
    rows += [row_of("votes", "both", 0.6, 0.85, 0.55), row_of("a", "va", 0.1, 0.6, np.nan)]
    rows[3]["network"] = "another"
    found = beside_the_classifier(pd.DataFrame(rows))
    assert found[
        ["task", "places: CCC", "nearest centre beside classes", "own classes"]
    ].to_numpy().tolist() == [
        ["va", "above", "below", "-"],
        ["both", "not told apart", "above", "not told apart"],
    ]
