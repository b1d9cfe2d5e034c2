"""Tuning on a toy that trains in seconds: it searches, survives a kill, and tells what it found."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
pytest.importorskip("keras_tuner")

from toy_study import tiny_spec
from toy_tuning import TRAIN, VALID, Imagined, tiny_is_a_network, toy_hypermodel  # noqa: F401

from builder_tools.networks import NETWORKS
from builder_tools.training import TrainingConfig
from builder_tools.tuning import (
    EmotionHyperModel,
    SearchSpace,
    hyperparameters_of,
    summarise_trials,
    tune,
)

pytestmark = pytest.mark.slow


def search_until_killed(folder: str) -> None:
    """What the killed process runs; a trial takes long enough to be killed in the middle."""
    NETWORKS["tiny"] = tiny_spec(16)
    tune(toy_hypermodel(epochs=6), TRAIN, VALID, trials=2, folder=folder)


@pytest.fixture(scope="module")
def resumed(tmp_path_factory):
    """A real search killed within its second trial, and gone on with: the folder before, after."""
    folder = tmp_path_factory.mktemp("killed")
    code = "import sys; sys.path[:0] = ['tests']; import test_tuning as t; "
    command = [sys.executable, "-c", f"{code}t.search_until_killed({str(folder)!r})"]
    process = subprocess.Popen(
        command, cwd=Path(__file__).parents[1], stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        second = _wait_for(folder, "tiny-*/trial_1/run/last.keras", process)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    before = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")}
    assert len(pd.read_csv(second.with_name("history.csv"))) < 6, "it had ended before the kill"
    result = tune(toy_hypermodel(epochs=6), TRAIN, VALID, trials=2, folder=folder)
    return folder, before, result


def _wait_for(folder: Path, name: str, process: subprocess.Popen) -> Path:
    deadline_s = time.monotonic() + 90
    while time.monotonic() < deadline_s and process.poll() is None:
        found = list(folder.glob(name))
        if found:
            return found[0]
        time.sleep(0.02)
    raise AssertionError(f"no {name} came (exit code {process.poll()})")


def test_a_killed_search_goes_on(resumed):
    folder, before, result = resumed
    project = next(folder.glob("tiny-*"))
    assert result.trials["status"].tolist() == ["completed"] * 2
    for trial, kept in ((0, 6), (1, 1)):
        name = f"trial_{trial}/run/history.csv"
        rows = before[Path(project.name) / name].decode().splitlines()
        assert (project / name).read_text().splitlines()[: kept + 1] == rows[: kept + 1]
    ended = json.loads(before[Path(project.name) / "trial_0" / "trial.json"])
    assert json.loads((project / "trial_0" / "trial.json").read_text()) == ended
    begun = json.loads(before[Path(project.name) / "trial_1" / "trial.json"])["hyperparameters"]
    again = json.loads((project / "trial_1" / "trial.json").read_text())["hyperparameters"]
    assert again["values"] == begun["values"]


def test_a_finished_search_is_not_run_again(resumed, monkeypatch):
    folder, _, result = resumed
    monkeypatch.setattr(EmotionHyperModel, "fit", None)
    again = tune(toy_hypermodel(epochs=6), TRAIN, VALID, trials=2, folder=folder)
    pd.testing.assert_frame_equal(again.trials, result.trials)
    assert again.best == result.best


def test_the_folder_tells_the_search(resumed):
    folder, _, result = resumed
    table = pd.read_csv(result.table)
    assert table["trial"].tolist() == [0, 1]
    assert table["epochs"].tolist() == [6, 6]
    assert (table["score"] == table["val_accuracy"]).all()
    assert (table["parameters"] > 1900).all() and (table["seconds"] > 0).all()
    assert {"learning_rate", "optimizer", "dropout"} <= set(hyperparameters_of(table))
    best = json.loads(result.config.read_text())
    assert TrainingConfig.from_dict(best) == result.best
    assert best["learning_rate"] == table.loc[table["score"].idxmax(), "learning_rate"]
    assert {path.parts[-3] for path in folder.rglob("*.keras")} == {result.network.parts[-3]}


def test_the_score_is_the_best_epoch_of_the_run(resumed):
    folder, _, result = resumed
    for row in result.trials.itertuples():
        history = pd.read_csv(next(folder.glob(f"tiny-*/trial_{row.trial}/run/history.csv")))
        assert row.score == history["val_accuracy"].max()
        assert row.best_epoch == history["val_accuracy"].idxmax() + 1


@pytest.fixture(scope="module")
def imagined(tmp_path_factory):
    """A search of six trials for what the score is of: every dimension more costs time."""
    pinned = {"dense_layers": (0, 0), "decay_rate": (0.9, 0.9), "label_smoothing": (0.0, 0.0)}
    pinned |= {"optimizer": ("adam",), "augmentation": ("off",)}
    space = SearchSpace(learning_rate=(1e-3, 2e-2), **pinned)
    hypermodel = Imagined(space=space)
    folder = tmp_path_factory.mktemp("imagined")
    return hypermodel, tune(hypermodel, TRAIN, VALID, trials=6, folder=folder)


def test_the_search_learns_from_its_trials(imagined):
    _, result = imagined
    scores = result.trials["score"]
    assert scores[:3].mean() < scores[3:].mean()
    assert result.best_trial["trial"] >= 3
    assert result.best_trial["score"] > 0.85
    points = result.trials[hyperparameters_of(result.trials)]
    assert not points.duplicated().any()


def test_the_summary_names_what_went_with_the_score(imagined):
    _, result = imagined
    summary = summarise_trials(result.trials)
    assert summary["association"].dropna().between(0, 1).all()
    assert summary.loc["dropout", "direction"] == -1
    assert summary.loc["learning_rate", "best"] == result.best.learning_rate
    pd.testing.assert_frame_equal(
        summarise_trials(pd.read_csv(result.table)), summary, check_dtype=False
    )


def test_the_summary_of_hand_worked_trials():
    trials = pd.DataFrame(
        {
            "trial": range(5),
            "status": ["completed"] * 4 + ["failed"],
            "score": [0.1, 0.2, 0.3, 0.4, np.nan],
            "optimizer": ["sgd", "sgd", "adam", "adam", "sgd"],
            "dropout": [0.4, 0.3, 0.2, 0.1, 0.9],
            "weight_decay": [np.nan, np.nan, 0.1, 0.1, np.nan],
        }
    )
    summary = summarise_trials(trials)
    assert list(summary.index) == ["dropout", "optimizer", "weight_decay"]
    assert summary.loc["dropout", ["association", "direction"]].tolist() == [1.0, -1]
    assert summary.loc["dropout", "favoured"] == pytest.approx(0.15)
    # Means 0.15 and 0.35 around 0.25: 4 * 0.01 of 0.05.
    assert summary.loc["optimizer", "association"] == pytest.approx(0.8)
    assert summary.loc["optimizer", "favoured"] == "adam"
    assert summary.loc["weight_decay", "trials"] == 2
    assert np.isnan(summary.loc["weight_decay", "association"])


def test_more_trials_go_on_where_the_search_ended(tmp_path):
    first = tune(Imagined(), TRAIN, VALID, trials=2, folder=tmp_path)
    more = Imagined()
    second = tune(more, TRAIN, VALID, trials=3, folder=tmp_path)
    assert more.calls == 1
    assert second.trials["trial"].tolist() == [0, 1, 2]
    pd.testing.assert_frame_equal(second.trials[:2], first.trials)


def test_out_of_time_it_stops_between_trials_and_goes_on_later(tmp_path):
    with pytest.raises(RuntimeError, match="Expected time for a trial"):
        tune(Imagined(), TRAIN, VALID, trials=3, folder=tmp_path, minutes=0)
    assert len(tune(Imagined(), TRAIN, VALID, trials=1, folder=tmp_path).trials) == 1
    result = tune(Imagined(), TRAIN, VALID, trials=3, folder=tmp_path, minutes=0)
    assert result.trials["status"].tolist() == ["completed"]
    assert len(tune(Imagined(), TRAIN, VALID, trials=3, folder=tmp_path, minutes=9).trials) == 3
