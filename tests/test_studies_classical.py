"""The table of classical and hybrid models on a toy FER+: rows, resuming, hybrids, report."""

from __future__ import annotations

import csv
import json

import numpy as np
import pandas as pd
import pytest

from builder_tools.cards import ModelCard
from builder_tools.classical.hybrids import SoftVoting
from builder_tools.cli import main
from builder_tools.datasets.ferplus import ferplus_table
from builder_tools.emotions import NINE_EMOTIONS
from builder_tools.release.log import read_rows
from studies.classical.__main__ import main as table_main
from studies.classical.faces import StudyFaces
from studies.classical.hybrids import best_classical, cross_validated, hybrid_keys
from studies.classical.jobs import rows_of, run_all
from studies.classical.plan import Entry, chosen_plan, whole_plan
from studies.classical.report import read_table, write_report
from studies.table import NO_TIME
from tests.toy_study import toy_faces, write_official

COUNTS = {"train": 12, "valid": 6, "test": 4}
ENTRIES = [
    Entry("hog", "logistic"),
    Entry("eigenfaces", "neighbours"),
    Entry("hog", "logistic", sampler="smote"),
    Entry("hog", "logistic", fraction=0.5),
]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_official(tmp_path_factory.mktemp("data") / "ferplus", toy_faces(COUNTS))


@pytest.fixture(scope="module")
def made(source, tmp_path_factory):
    """A finished table: study, csv."""
    root = tmp_path_factory.mktemp("classical")
    study = StudyFaces(ferplus_table(source), root / "out", n_jobs=1)
    assert run_all(ENTRIES, study, root / "classical.csv", search=False) == {}
    return study, root / "classical.csv"


@pytest.fixture(scope="module")
def rows(made):
    return {row["key"]: row for row in rows_of(made[1], made[0])}


def test_every_row_and_hybrid_is_there(rows):
    assert set(rows) == {
        "deep",
        *(entry.key for entry in ENTRIES),
        "vote-deep+1",
        "stack-deep+1",
        "vote-deep+2",
        "stack-deep+2",
        "stack_oof-2",
    }


def test_rows_say_what_was_measured(rows):
    row = rows["hog-logistic"]
    assert float(row["valid_nine_accuracy"]) == 1  # the toy's classes are easily told apart
    assert int(row["train_faces"]) == 108
    assert int(rows["hog-logistic-0.5"]["train_faces"]) == 54
    for name in ("fit_s", "ms_per_face", "ms_per_face_batch", "size_mb"):
        assert float(row[name]) > 0
    assert float(row["valid_nine_recall_happy"]) == 1
    gain = float(row["valid_eight_accuracy"]) - float(rows["deep"]["valid_eight_accuracy"])
    assert float(row["eight_accuracy_gain"]) == pytest.approx(gain, abs=2e-4)
    assert float(row["eight_accuracy_gain_low"]) <= gain <= float(row["eight_accuracy_gain_high"])
    assert float(rows["deep"]["eight_macro_f1_gain"]) == 0


@pytest.mark.parametrize("key, count", [("hog-logistic", 12), ("hog-logistic-0.5", 6)])
def test_cards_count_the_classes_of_the_faces_learnt(made, key, count):
    training = ModelCard.read(made[0].model_folder(key)).training
    assert training["class_counts"] == dict.fromkeys(NINE_EMOTIONS, count)
    assert training["pictures"] == {"train": 9 * count}


def test_hybrids_lean_on_who_is_right(rows):
    """On patterns the shipped network guesses: the classical member gets nearly all the weight."""
    weights = json.loads(rows["vote-deep+1"]["params"])["weights"]
    assert weights[0] > 0.8
    assert float(rows["vote-deep+1"]["valid_nine_accuracy"]) == 1


def test_rows_are_not_made_again(made, monkeypatch):
    from studies.classical import jobs

    monkeypatch.setattr(jobs, "run_entry", lambda *_, **__: pytest.fail("made again"))
    monkeypatch.setattr(jobs, "run_hybrid", lambda *_, **__: pytest.fail("made again"))
    before = made[1].read_text()
    assert run_all(ENTRIES, *made, search=False) == {}
    assert made[1].read_text() == before


def test_no_row_is_begun_when_the_time_is_over(made, tmp_path):
    csv_path = tmp_path / "none.csv"
    left = run_all(ENTRIES[:2], made[0], csv_path, minutes=1e-9)
    assert left == dict.fromkeys(["deep", "hog-logistic", "eigenfaces-neighbours"], NO_TIME)
    assert not csv_path.exists()


def test_a_row_that_fails_does_not_end_the_table(made, tmp_path, monkeypatch):
    from studies.classical import jobs

    def fail_on_hog(entry, study, **options):
        if entry.features == "hog":
            raise ValueError("no hog today")
        return {"key": entry.key, "data_sha256": "", "seed": 0}

    monkeypatch.setattr(jobs, "run_entry", fail_on_hog)
    csv_path = tmp_path / "some.csv"
    left = run_all(ENTRIES[:2], made[0], csv_path, hybrids=False)
    assert left == {"hog-logistic": "no hog today"}
    assert [row["key"] for row in read_rows(csv_path)] == ["deep", "eigenfaces-neighbours"]


@pytest.mark.parametrize("key", ["hog-logistic", "stack_oof-2"])
def test_evaluate_gives_the_figures_of_the_card(made, source, key, capsys):
    folder = made[0].model_folder(key)
    card = ModelCard.read(folder)
    assert card.metrics["valid"]["ferplus-nine"]["n"] == 54 and set(card.metrics) == {"valid"}
    assert "MIT" in card.licence and "An expression is not a feeling" in card.limits
    options = ["--data", "ferplus", "--source", str(source), "--split", "valid"]
    assert main(["evaluate", "--model", str(folder), *options]) == 0
    assert "exactly the figures of the card" in capsys.readouterr().err


def test_img_and_img_batch_take_a_classical_model(made, astronaut, tmp_path, capsys):
    from builder_tools.media import write_image

    model = str(made[0].model_folder("hog-logistic"))
    photo = write_image(tmp_path / "photos" / "astronaut.png", astronaut)
    assert main(["img", str(photo), "--model", model, "--detector", "haar", "--json"]) == 0
    face = json.loads(capsys.readouterr().out)["faces"][0]
    assert sum(face["probabilities"].values()) == pytest.approx(1, abs=1e-3)
    out = tmp_path / "out.csv"
    batch = ["img-batch", str(photo.parent), "--csv", str(out), "--model", model]
    assert main([*batch, "--detector", "haar"]) == 0
    with out.open() as file:
        assert [row["image_path"] for row in csv.DictReader(file)] == ["astronaut.png"]


def test_report_and_figures_are_made_from_the_table_alone(made, tmp_path):
    written = write_report(made[1], tmp_path)
    assert [path.name for path in written] == [
        "classical.md",
        "classical_grid.png",
        "classical_curves.png",
        "classical_gains.png",
    ]
    text = written[0].read_text()
    for words in ("## Hybrids", "## Learning curves", "## Balancing", "stack_oof-2", "50 %"):
        assert words in text
    assert all(path.stat().st_size > 1000 for path in written)


def test_a_deep_row_made_again_is_the_one_that_gains_are_over(made, tmp_path):
    table = pd.read_csv(made[1])
    deep = table["key"] == "deep"
    again = table[deep].assign(config_sha256="another")
    again["valid_eight_accuracy"] += 0.01
    pd.concat([table, again]).to_csv(tmp_path / "again.csv", index=False)
    first, second = (
        read_table(path).set_index("key") for path in (made[1], tmp_path / "again.csv")
    )
    lost = first["eight_accuracy_gain"] - second["eight_accuracy_gain"]
    assert lost.drop("deep").dropna().to_numpy() == pytest.approx(0.01)
    assert second.loc["deep", ["eight_accuracy_gain", "seeds"]].tolist() == [0, 1]


@pytest.mark.slow  # a network is trained
def test_a_network_is_trained_on_the_same_faces(made):
    from builder_tools.training import Stage, TrainingConfig
    from studies.classical.network import curve_config, run_network

    quick = TrainingConfig(network="compact_tiny", stages=(Stage(16, 1),), precision="float32")
    row = run_network(0.5, made[0], config=quick)
    assert (row["key"], row["features"], row["train_faces"]) == ("compact-0.5", "", 54)
    recalls = [row[name] for name in row if name.startswith("valid_nine_recall_")]
    assert row["valid_nine_accuracy"] == pytest.approx(np.mean(recalls), abs=1e-3)  # 6 of each
    assert not (made[0].folder / "seed-0" / "networks" / "compact-0.5").exists()
    assert curve_config(300).epoch_faces == 2500
    assert curve_config(7000).epoch_faces is None


def test_report_needs_the_deep_row(made, tmp_path):
    lines = made[1].read_text().splitlines()
    broken = tmp_path / "broken.csv"
    broken.write_text("\n".join(line for line in lines if not line.startswith("deep,")))
    with pytest.raises(ValueError, match="Expected the row 'deep'"):
        write_report(broken, tmp_path / "reports")
    assert not (tmp_path / "reports").exists()


def test_verb_runs_a_part_of_the_table(source, tmp_path, capsys):
    options = ["--source", str(source), "--runs", str(tmp_path / "out"), "--jobs", "1"]
    options += ["--reports", str(tmp_path), "--features", "eigenfaces", "--models", "logistic"]
    assert table_main([*options, "--fraction", "0.5", "--no-hybrids"]) == 0
    assert "classical.md" in capsys.readouterr().out
    with (tmp_path / "classical.csv").open() as file:
        row = list(csv.DictReader(file))[-1]
    assert row["key"] == "eigenfaces-logistic-0.5"
    assert "model__C" in row["params"]  # searched


def test_rows_of_other_data_are_not_added(made, tmp_path, capsys):
    """The report would compare them with the deep model's row of the first data."""
    other = write_official(tmp_path / "other", toy_faces(COUNTS | {"train": 13}))
    before = made[1].read_bytes()
    options = ["--source", str(other), "--runs", str(tmp_path / "out"), "--jobs", "1"]
    assert table_main([*options, "--reports", str(made[1].parent)]) == 2
    message = capsys.readouterr().err
    assert "rows of the data" in message and "--reports" in message
    assert made[1].read_bytes() == before
    assert not (tmp_path / "out").exists()


def test_verb_refuses_unknown_names(capsys):
    assert table_main(["--features", "eyes", "--list"]) == 2
    assert table_main(["--models", "oracle", "--list"]) == 2
    assert "Expected" in capsys.readouterr().err
    assert table_main(["--fraction", "2", "--list"]) == 2
    assert "fraction in (0, 1]. Received: 2.0" in capsys.readouterr().err


def test_plan_covers_both_registries():
    from builder_tools.classical import FEATURES, MODELS, SAMPLERS

    plan = whole_plan()
    assert len({entry.key for entry in plan}) == len(plan)
    assert {entry.model for entry in plan} == set(MODELS)
    assert {entry.sampler for entry in plan} == set(SAMPLERS)
    used = {part for entry in plan for part in entry.features.split("+")}
    assert set(FEATURES) - used == {"landmarks5"}
    tenth = chosen_plan(fractions=[0.1])
    assert {entry.fraction for entry in tenth} == {0.1}


def test_parts_of_the_training_faces_hold_smaller_parts_and_every_class(made):
    study = made[0]
    small, large = (set(study.training_rows(part).tolist()) for part in (0.01, 0.6))
    assert small < large
    assert (np.bincount(study.labels("train")[sorted(small)]) == 6).all()


def row_of(key: str, features: str, accuracy: float, **changes: object) -> dict:
    row = {"key": key, "features": features, "model": "logistic", "fraction": "1.0"}
    return row | {"valid_eight_accuracy": accuracy} | changes


def test_members_are_chosen_on_valid_with_features_of_their_own():
    rows = [
        row_of("a", "hog", 0.6),
        row_of("b", "hog", 0.7),
        row_of("c", "lbp", 0.5),
        row_of("d", "network", 0.9),
        row_of("e", "gabor", 0.8, fraction="0.5"),
        row_of("f", "b & deep", 0.9, model="vote"),
        row_of("deep", "", 0.9),
    ]
    assert [row["key"] for row in best_classical(rows, "eight")] == ["b", "c"]
    assert hybrid_keys(rows, "eight")["stack_oof-2"] == ("stack_oof", ("b", "c"))
    assert hybrid_keys(rows[3:4], "eight") == {}


def test_cross_validated_hybrids_never_weigh_with_the_face_itself(monkeypatch):
    labels = np.tile([0, 1], 20)
    asked = []
    original = SoftVoting.fit_probabilities

    def noting(self, probabilities, y, **kin):
        asked.append(probabilities[0, :, 0].tolist())
        return original(self, probabilities, y, **kin)

    monkeypatch.setattr(SoftVoting, "fit_probabilities", noting)
    first = np.linspace(0.01, 0.99, 40)
    member = np.column_stack([first, 1 - first])
    found = cross_validated(SoftVoting([]), np.stack([member, member]), labels)
    np.testing.assert_allclose(found, member)
    assert sorted(len(part) for part in asked) == [32] * 5
    counts = np.unique(np.concatenate(asked), return_counts=True)[1]
    assert (counts == 4).all()  # each face weighs for every fold but its own
