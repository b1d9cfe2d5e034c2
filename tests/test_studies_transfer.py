"""The transfer study: which cells there are, and what its table says of made rows."""

import contextlib
import csv
import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("keras")

from studies import transfer
from studies.plans import read_answers
from studies.table import Job
from studies.transfer import (
    EPOCH_FACES,
    EPOCHS,
    PLAN,
    STARTS,
    cell,
    main,
    transfer_table,
    transfer_trials,
)

REPORTS = Path(__file__).parents[1] / "reports"


def test_every_cell_sees_as_many_faces():
    trials = list(transfer_trials())
    assert {trial.config.epochs for trial in trials} == {EPOCHS}
    assert {trial.config.epoch_faces for trial in trials} == {EPOCH_FACES}
    assert len(trials) == 5 * 3 * 3 * 3 + 5 * 3 * 3, "networks, depths, shares, seeds; scratch"


def test_frozen_cells_come_first_and_scratch_learns_altogether():
    trials = list(transfer_trials())
    assert all("-frozen-" in trial.variant for trial in trials[:45])
    scratch = [trial for trial in trials if trial.variant.startswith("scratch")]
    assert {trial.config.weights for trial in scratch} == {None}
    assert {stage.trainable for trial in scratch for stage in trial.config.stages} == {"all"}
    assert {trial.config.feature_copies for trial in scratch} == {0}
    others = [trial for trial in trials if trial not in scratch]
    assert {trial.group for trial in others} == set(STARTS)
    weights = {trial.group: trial.config.weights for trial in others}
    assert weights == {
        "efficientnet_lite0": "pretrained",
        "face_mobilenet": "pretrained",
        "face_resnet": "pretrained",
        "vgg16": "runs/pretraining/vgg16.keras",
        "resnet50": "runs/pretraining/resnet50.keras",
    }, "no path of a machine"


def test_cells_that_were_run_are_the_same_cells_today():
    """Their rows are found again by these hashes."""
    jobs = {trial.key: Job(trial.key, trial.outcome, dict) for trial in transfer_trials()}
    with (REPORTS / "experiments.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["study"] == "transfer"]
    assert rows
    for row in rows:
        assert jobs[row["trial"]].config_sha256 == row["config_sha256"], row["trial"]


def chosen(*words: str) -> list[str]:
    """What `--list` names, of a log without rows."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main([*words, "--list", "--reports", "gone"]) == 0
    return out.getvalue().splitlines()


def test_cells_are_chosen_by_network_start_depth_and_share():
    wanted = ("--depths", "frozen", "last", "--shares", "100", "--seeds", "0")
    assert chosen("--groups", "vgg16", *wanted) == [
        "vgg16-distilled-frozen-100-s0",
        "vgg16-distilled-last-100-s0",
    ]
    assert len(chosen("--starts", "scratch", "--shares", "5", "--seeds", "1", "2")) == 10


def test_a_choice_of_nothing_is_refused(capsys):
    assert main(["--depths", "middle", "--list"]) == 2
    assert "Expected some of ['frozen', 'last', 'all']. Received: ['middle']" in (
        capsys.readouterr().err
    )


def test_what_ran_elsewhere_joins_the_log_without_training(tmp_path, monkeypatch):
    """A folder with a row and answers is all that is needed; nothing else is begun."""
    trial = cell("vgg16", "distilled", "all", 100, 0)
    folder = tmp_path / "runs" / trial.key
    folder.mkdir(parents=True)
    of = {"trial": trial.key, "config_sha256": Job("", trial.outcome, dict).config_sha256}
    (folder / "row.json").write_text(json.dumps(row("all", 0.5) | of))
    np.save(folder / "valid.npy", np.eye(9)[[1, 2]])
    monkeypatch.setattr(transfer, "PLAN", dataclasses.replace(PLAN, write=lambda *_: []))
    words = ["--runs", str(tmp_path / "runs"), "--reports", str(tmp_path)]
    assert main([*words, "--finished"]) == 0
    found = pd.read_csv(tmp_path / "experiments.csv")
    assert found["trial"].tolist() == [trial.key]
    assert found["config_sha256"].tolist() == [Job("", trial.outcome, dict).config_sha256]
    assert set(read_answers(tmp_path, "valid")) == {trial.key}
    only = ["--groups", "vgg16", "--depths", "all", "--shares", "100", "--seeds", "0"]
    assert main([*words, *only, "--starts", "distilled"]) == 0, "without a process, too"


@pytest.mark.parametrize("words", [[], ["--in-process"]])
def test_without_distilled_weights_it_says_what_makes_them(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(transfer, "PLAN", dataclasses.replace(PLAN, write=lambda *_: []))
    only = ["--groups", "resnet50", "--depths", "frozen", "--shares", "5", "--seeds", "0"]
    assert main([*only, *words]) == 1
    assert "`python -m studies.pretraining resnet50` makes it" in capsys.readouterr().err


def test_the_last_layers_are_the_networks_own():
    config = cell("face_mobilenet", "faces", "last", 25, 0).config
    assert [stage.trainable for stage in config.stages] == ["head", 15]


def row(depth: str, accuracy: float) -> dict:
    trial = cell("face_mobilenet", "faces", depth, 5, 0)
    return {
        "trial": trial.key,
        "group": trial.group,
        "variant": trial.variant,
        "seed": "0",
        "minutes": 1.0,
        "valid_eight_accuracy": accuracy,
        "valid_eight_accuracy_95": json.dumps([accuracy - 0.1, accuracy + 0.1]),
        "valid_eight_macro_f1": accuracy,
        "valid_eight_mean_recall": accuracy,
    }


def test_gains_are_those_on_the_frozen_cell_face_by_face():
    """Of eight faces that count, five are right when frozen, seven with the last layers."""
    labels = np.array([*range(8), -1])
    frozen, last = labels.copy(), labels.copy()
    frozen[:3], last[0] = 7, 7
    rows = pd.DataFrame([row("frozen", 5 / 8), row("last", 7 / 8), row("all", 0.5)])
    answers = dict(zip(rows["trial"][:2], (frozen, last), strict=True))
    table = transfer_table(rows, answers, labels).set_index("depth")
    assert table["accuracy_gain"]["last"] == pytest.approx(2 / 8)
    assert table["mean_recall_gain"]["last"] == pytest.approx(2 / 8)
    assert table["accuracy_gain"]["frozen"] == 0
    assert np.isnan(table["accuracy_gain"]["all"]), "its answers were not kept"
    assert table["accuracy_low"]["all"] == pytest.approx(0.4)
    assert table["share"].tolist() == [5, 5, 5]
