"""The study end to end on the command line: what `train` leaves and logs, and how it is judged."""
# ruff: noqa: F811 - fixtures by their names.

import csv
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras")

from toy_release import (  # noqa: E402, F401
    changed_model,
    evaluate,
    experiments,
    shipped,
    study_faces,
    surroundings,
)
from toy_study import write_kaggle  # noqa: E402

from builder_tools.card_text import card_markdown  # noqa: E402
from builder_tools.cards import ModelCard, verify_files  # noqa: E402
from builder_tools.classifier import EmotionClassifier  # noqa: E402
from builder_tools.cli import main  # noqa: E402
from builder_tools.datasets.ferplus import is_face, load_ferplus  # noqa: E402
from builder_tools.datasets.identity import data_sha256  # noqa: E402
from builder_tools.decisions import apply_decision  # noqa: E402
from builder_tools.emotions import NINE_EMOTIONS  # noqa: E402
from builder_tools.evaluation import format_report  # noqa: E402
from builder_tools.release import add_rows, log_experiment, read_rows  # noqa: E402

pytestmark = pytest.mark.slow

PROTOCOLS = ["ferplus-majority-8", "ferplus-nine", "ferplus-majority-7"]


def test_every_run_is_in_the_log_beside_it_too(shipped):
    """`runs/experiments.csv`, where `--run` names no other place."""
    with (shipped.root / "experiments.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == experiments(shipped)[:1]


def test_the_card_says_what_the_model_is(shipped):
    card = shipped.card
    assert (card.name, card.file, card.emotions) == ("toy", "model.onnx", NINE_EMOTIONS.names)
    assert card.input_size == 24, "the size of the last stage is deployed"
    verify_files(shipped.model, card)
    assert EmotionClassifier(shipped.model).predict(np.zeros((2, 48, 48, 3), np.uint8)).shape == (
        2,
        9,
    )
    for text in (card.licence, card.intended_use, card.limits, card.preprocessing):
        assert text
    assert set(card.decision) == set(NINE_EMOTIONS)


def test_the_card_says_how_it_was_trained(shipped):
    training = shipped.card.training
    faces = load_ferplus(shipped.source)
    assert training["data"] == "ferplus"
    assert training["data_sha256"] == data_sha256(faces.rows(is_face(faces.votes)))
    assert training["pictures"] == {"train": 53, "valid": 27, "test": 27}
    assert training["class_counts"] == dict.fromkeys(NINE_EMOTIONS, 6) | {"neutral": 5}
    assert training["seed"] == 7
    assert training["commit"]
    assert training["budget"]["epochs"] == 3
    assert training["budget"]["minutes"] >= 0
    config = training["config"]
    assert (config["network"], config["precision"], config["seed"]) == ("tiny", "float32", 7)
    assert config["stages"] == [
        {"size": 16, "epochs": 1, "trainable": "all"},
        {"size": 24, "epochs": 2, "trainable": "all"},
    ]
    parity = training["parity"]
    assert (parity["faces"], parity["changed_argmax"]) == (27, 0)
    assert parity["max_abs_difference"] < 1e-4


def test_the_card_has_figures_of_every_protocol_the_data_allow(shipped):
    """Original FER2013 labels of other images are no labels."""
    metrics = shipped.card.metrics["test"]
    assert list(metrics) == PROTOCOLS
    assert [metrics[name]["n"] for name in PROTOCOLS] == [24, 27, 21]
    assert metrics["ferplus-nine"]["without_duplicates"]["n"] == 26
    assert all("balanced_decision" in found for found in metrics.values())


def test_figures_are_drawn(shipped):
    drawn = sorted((shipped.root / "reports/figures").iterdir())
    assert [path.name for path in drawn] == ["toy_confusion.png", "toy_curves.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)


def test_a_second_time_goes_on_logs_again_and_prints_results_only(shipped, capfd):
    before = experiments(shipped)
    assert (len(before), before[0]["note"], before[0]["model"]) == (1, "first", "toy")
    weights = (shipped.root / "run/last.keras").read_bytes()
    arguments = [*shipped.arguments[:-7], "second", *shipped.arguments[-6:]]
    capfd.readouterr()
    assert main(arguments) == 0
    assert capfd.readouterr().out == format_report(shipped.card.metrics["test"]) + "\n"
    after = experiments(shipped)
    assert after[0] == before[0]
    assert [row["note"] for row in after] == ["first", "second"]
    assert after[1] | {"note": "", "date": ""} == before[0] | {"note": "", "date": ""}
    assert (shipped.root / "run/last.keras").read_bytes() == weights
    assert ModelCard.read(shipped.model).metrics == shipped.card.metrics


def test_evaluate_reprints_exactly_the_figures_of_the_card(shipped, capfd):
    assert evaluate(shipped) == 0
    out, err = capfd.readouterr()
    assert out == format_report(shipped.card.metrics["test"]) + "\n"
    assert "exactly the figures of the card of toy" in err
    assert evaluate(shipped, "--json") == 0
    assert json.loads(capfd.readouterr().out) == shipped.card.metrics["test"]


def test_evaluate_on_another_split_says_that_the_card_is_silent(shipped, capfd):
    assert evaluate(shipped, "--split", "valid") == 0
    out, err = capfd.readouterr()
    assert "ferplus-nine" in out
    assert "holds no figures for valid" in err


def test_evaluate_takes_the_kaggle_form(shipped, tmp_path):
    source = write_kaggle(tmp_path / "kaggle", study_faces())
    assert main(["evaluate", "--source", str(source), "--model", str(shipped.model)]) == 0


def test_a_card_with_other_figures_is_called_out(shipped, tmp_path, capfd):
    def flatter(test):
        test["ferplus-nine"]["accuracy"] += 0.0001

    model = changed_model(shipped, tmp_path / "flattered", flatter)
    assert evaluate(shipped, model=model) == 1
    assert "NOT the figures of the card of toy: ['ferplus-nine']" in capfd.readouterr().err


def test_figures_that_cannot_be_checked_here_are_named(shipped, tmp_path, capfd):
    def more(test):
        test["fer2013-7"] = test["ferplus-majority-7"]

    model = changed_model(shipped, tmp_path / "more", more)
    assert evaluate(shipped, model=model) == 0
    assert "Not compared, labels absent: fer2013-7" in capfd.readouterr().err


def test_the_log_keeps_columns_that_are_no_longer_written(shipped, tmp_path):
    log = tmp_path / "reports" / "experiments.csv"
    log.parent.mkdir()
    log.write_text("date,gone,model\n2020-01-01,kept,old\n")
    for note in ("one", "two, with a comma"):
        log_experiment(log, shipped.card, note)
    rows = pd.read_csv(log, keep_default_na=False).to_dict("records")
    assert [row["gone"] for row in rows] == ["kept", "", ""]
    assert [row["model"] for row in rows] == ["old", "toy", "toy"]
    assert [row["note"] for row in rows] == ["", "one", "two, with a comma"]
    nine = shipped.card.metrics["test"]["ferplus-nine"]["accuracy"]
    assert [row["nine_class_accuracy"] for row in rows[1:]] == [str(nine)] * 2
    assert list(log.parent.iterdir()) == [log]


def test_an_unwritable_place_is_found_out_before_training(shipped, tmp_path, capfd):
    (tmp_path / "file").touch()
    arguments = ["train", "--source", str(shipped.source), "--run", str(tmp_path / "run")]
    assert main([*arguments, "--models", str(tmp_path / "file")]) == 2
    assert str(tmp_path / "file") in capfd.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_full_disk_ends_the_run_and_it_goes_on(shipped, tmp_path, monkeypatch, capfd):
    """The model of the second epoch does not fit; nothing half-written is left."""
    import errno

    arguments = ["train", "--source", str(shipped.source), "--network", "tiny", "--name", "full"]
    arguments += ["--stages", "16:2", "--batch-size", "32", "--precision", "float32"]
    for option, name in (("--run", "run"), ("--models", "models"), ("--reports", "reports")):
        arguments += [option, str(tmp_path / name)]
    save, saved = keras.Model.save, []

    def save_once(model, path, *rest, **options):
        saved.append(path)
        if len(saved) == 2:
            Path(path).write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return save(model, path, *rest, **options)

    monkeypatch.setattr(keras.Model, "save", save_once)
    assert main(arguments) == 2
    assert "No space left on device" in capfd.readouterr().err
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "config.json",
        "data.json",
        "history.csv",
        "last.keras",
        "teaching.json",
    }
    monkeypatch.undo()
    assert main(arguments) == 0


def test_decisions_are_fitted_on_valid(shipped):
    card = shipped.card
    assert 0.2 <= card.temperature <= 5
    assert card.abstain_below is None or 1 / 9 < card.abstain_below <= 1
    faces = np.stack([face.image for face in study_faces()[:5]])[..., None].repeat(3, axis=-1)
    natural = EmotionClassifier(shipped.model).predict(faces)
    balanced = EmotionClassifier(shipped.model, decision="balanced").predict(faces)
    expected = apply_decision(natural, card.emotions, card.decision)
    np.testing.assert_allclose(balanced, expected, atol=1e-6)


def test_a_finished_run_ships_a_model_that_averages_both_sides(shipped, tmp_path):
    """The run is over, so nothing is trained again; the figures are those of both sides."""
    arguments = [*shipped.arguments, "--flip-average", "--models", str(tmp_path)]
    assert main([*arguments, "--reports", str(tmp_path / "reports")]) == 0
    card = ModelCard.read(tmp_path / "toy")
    assert card.flip_average and not shipped.card.flip_average
    assert card.training["config"] == shipped.card.training["config"]
    assert evaluate(shipped, model=tmp_path / "toy") == 0


def test_the_card_has_slices_doubt_and_a_page(shipped):
    card, test = shipped.card, shipped.card.metrics["test"]
    for thirds in card.metrics["slices"].values():
        assert sum(row["n"] for row in thirds) == test["ferplus-majority-8"]["n"]
        assert thirds[0]["to"] <= thirds[1]["to"] <= thirds[2]["to"]
        mean = sum(row["n"] * row["accuracy"] for row in thirds)
        whole = test["ferplus-majority-8"]
        assert mean == pytest.approx(whole["n"] * whole["accuracy"], abs=0.01)
    assert {"brightness", "contrast", "sharpness"} == set(card.metrics["slices"])
    assert ("sure" in test["ferplus-nine"]) == (card.abstain_below is not None)
    assert "sure" not in test["ferplus-majority-8"]
    assert (shipped.model / "README.md").read_text() == card_markdown(card)


def test_figures_can_be_written_again(shipped, tmp_path):
    model = changed_model(shipped, tmp_path / "old", lambda test: test.clear())
    assert evaluate(shipped, "--update-card", model=model) == 0
    assert ModelCard.read(model).metrics == shipped.card.metrics


def test_rows_that_are_added_at_the_same_time_are_all_kept(tmp_path):
    log = tmp_path / "runs" / "experiments.csv"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: add_rows(log, [{"number": number}]), range(24)))
    assert sorted(int(row["number"]) for row in read_rows(log)) == list(range(24))
