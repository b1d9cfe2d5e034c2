"""Trials that fail, and searches that are refused: what is recorded, and what is left alone."""

import json
import os

import numpy as np
import pandas as pd
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras_tuner = pytest.importorskip("keras_tuner")

from toy_study import toy_faces, write_official  # noqa: E402
from toy_tuning import (  # noqa: E402, F401
    SMALL,
    SPACE,
    TRAIN,
    VALID,
    Imagined,
    tiny_is_a_network,
    toy_samples,
)

from builder_tools.cli import main  # noqa: E402
from builder_tools.networks import build_network  # noqa: E402
from builder_tools.training import Samples, run  # noqa: E402
from builder_tools.tuning import EmotionHyperModel, tune  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("error", [MemoryError, keras_tuner.errors.FailedTrialError])
def test_a_failed_trial_is_recorded_and_the_search_goes_on(tmp_path, error):
    hypermodel = Imagined(failing=(1, 3, 4, 5), error=error)
    result = tune(hypermodel, TRAIN, VALID, trials=6, folder=tmp_path)
    assert result.failed["trial"].tolist() == [0, 2, 3, 4]
    assert result.failed["error"].str.contains("no room for that").all()
    assert result.failed["score"].isna().all()
    assert tune(hypermodel, TRAIN, VALID, trials=6, folder=tmp_path).failed.equals(result.failed)
    assert hypermodel.calls == 6


def test_when_every_trial_fails_the_last_reason_is_told(tmp_path):
    hypermodel = Imagined(failing=range(9))
    with pytest.raises(RuntimeError, match=r"All 2 failed, the last with: MemoryError: no room"):
        tune(hypermodel, TRAIN, VALID, trials=2, folder=tmp_path)
    assert pd.read_csv(tmp_path / "trials.csv")["status"].tolist() == ["failed", "failed"]


def test_a_trial_whose_loss_is_not_finite_has_failed(tmp_path, monkeypatch):
    class Diverged(run.Validation):
        def on_epoch_end(self, epoch, logs=None):
            weights = self.model.get_weights()
            self.model.set_weights([w * np.nan if w.dtype.kind == "f" else w for w in weights])
            super().on_epoch_end(epoch, logs)

    monkeypatch.setattr(run, "Validation", Diverged)
    hypermodel = EmotionHyperModel("tiny", 3, space=SPACE, **{**SMALL, "epochs": 1})
    hp = keras_tuner.HyperParameters()
    with pytest.raises(
        keras_tuner.errors.FailedTrialError, match="a finite val_loss after any epoch"
    ):
        hypermodel.fit(hp, None, TRAIN, VALID, folder=tmp_path / "run")


class Ending(Imagined):
    """Ends its process in the first trial."""

    def __init__(self, end: type[BaseException]) -> None:
        super().__init__()
        self.end = end

    def fit(self, *arguments, **options):
        raise self.end


def test_a_trial_that_keeps_killing_its_process_is_given_up(tmp_path):
    class Kill(BaseException):
        """Nobody hears of it, as of a real one."""

    for _ in range(3):
        with pytest.raises(Kill):
            tune(Ending(Kill), TRAIN, VALID, trials=2, folder=tmp_path)
    result = tune(Imagined(), TRAIN, VALID, trials=2, folder=tmp_path)
    assert result.trials["status"].tolist() == ["failed", "completed"]
    assert "ended 3 times" in result.failed["error"].item()


def test_a_trial_is_not_given_up_because_somebody_stops_the_search(tmp_path):
    for _ in range(5):
        with pytest.raises(KeyboardInterrupt):
            tune(Ending(KeyboardInterrupt), TRAIN, VALID, trials=2, folder=tmp_path)
    result = tune(Imagined(), TRAIN, VALID, trials=2, folder=tmp_path)
    assert result.trials["status"].tolist() == ["completed"] * 2


@pytest.mark.parametrize("options", [{}, {"overwrite": True}])
def test_a_search_in_progress_is_left_alone(tmp_path, options):
    refused = []

    class Visited(Imagined):
        def fit(self, *arguments, **more):
            try:
                tune(Imagined(), TRAIN, VALID, trials=1, folder=tmp_path, **options)
            except BlockingIOError as error:
                refused.append(str(error))
            return super().fit(*arguments, **more)

    result = tune(Visited(), TRAIN, VALID, trials=2, folder=tmp_path)
    assert result.trials["status"].tolist() == ["completed"] * 2
    assert len(refused) == 2
    assert refused[0].startswith(f"Expected to be the only one to work in {tmp_path}. Another")


def test_a_search_whose_trials_ran_on_another_machine_is_logged(tmp_path, monkeypatch):
    """Its folder has no files of theirs; they only sent what they measured."""
    faces = write_official(tmp_path / "data", toy_faces({"train": 6, "valid": 3, "test": 1}))
    monkeypatch.setattr(EmotionHyperModel, "fit", Imagined().fit)
    command = ["tune", "--source", str(faces), "--network", "tiny", "--size", "16", "--trials", "1"]
    assert main([*command, "--folder", str(tmp_path / "runs" / "search")]) == 0
    (row,) = pd.read_csv(tmp_path / "runs" / "experiments.csv").to_dict("records")
    assert (row["study"], row["commit"], row["parameters"]) == ("search", "unknown", 99)


@pytest.mark.parametrize(
    "changed",
    [
        {"train": toy_samples(48, 7)},
        {"valid": toy_samples(30, 1)},
        {"objective": "val_macro_f1"},
        {"seed_of_trials": 5},
    ],
)
def test_a_folder_with_another_search_is_refused_and_left_alone(tmp_path, changed):
    tune(Imagined(), TRAIN, VALID, trials=1, folder=tmp_path)
    before = sorted(tmp_path.rglob("*"))
    hypermodel = Imagined(seed=changed.pop("seed_of_trials", 0))
    faces = {"train": TRAIN, "valid": VALID} | changed
    with pytest.raises(ValueError, match="holds one begun with"):
        tune(hypermodel, trials=1, folder=tmp_path, **faces)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("begun", "other"),
    [
        ({"epoch_faces": 24}, {}),
        ({"batch_norm_momentum": 0.9}, {"batch_norm_momentum": 0.8}),
        ({"batch_norm_momentum": 0.0}, {}),
        ({}, {"batch_norm_momentum": 0.0}),
    ],
)
def test_a_search_does_not_go_on_without_an_option_it_was_begun_with(tmp_path, begun, other):
    tune(Imagined(**begun), TRAIN, VALID, trials=1, folder=tmp_path)
    (name,) = {*begun, *other}
    with pytest.raises(ValueError, match=f"holds one begun with {{'{name}': {begun.get(name)}}}"):
        tune(Imagined(**other), TRAIN, VALID, trials=2, folder=tmp_path)
    assert len(tune(Imagined(**begun), TRAIN, VALID, trials=2, folder=tmp_path).trials) == 2


def test_a_search_does_not_go_on_from_other_weights_of_the_same_name(tmp_path):
    weights, folder = tmp_path / "start.keras", tmp_path / "search"
    build_network("tiny", 3, 16).save(weights)
    options = {"weights": weights, "space": SPACE}
    tune(Imagined(**options), TRAIN, VALID, trials=1, folder=folder)
    kept = weights.read_bytes()
    build_network("tiny", 3, 16).save(weights)
    with pytest.raises(ValueError, match=r"begun with {'weights_sha256': '[0-9a-f]{64}'}"):
        tune(Imagined(**options), TRAIN, VALID, trials=2, folder=folder)
    weights.write_bytes(kept)
    assert len(tune(Imagined(**options), TRAIN, VALID, trials=2, folder=folder).trials) == 2
    # A search begun by earlier code does not tell the hash; one that has ended needs no file.
    file = folder / "search.json"
    told = json.loads(file.read_text())
    file.write_text(json.dumps({n: v for n, v in told.items() if n != "weights_sha256"}))
    assert len(tune(Imagined(**options), TRAIN, VALID, trials=2, folder=folder).trials) == 2
    file.write_text(json.dumps(told))
    weights.unlink()
    assert len(tune(Imagined(**options), TRAIN, VALID, trials=2, folder=folder).trials) == 2


def test_overwrite_removes_the_search_and_nothing_else(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    tune(Imagined(), TRAIN, VALID, trials=2, folder=tmp_path)
    other = Imagined(seed=5)
    result = tune(other, TRAIN, VALID, trials=1, folder=tmp_path, overwrite=True)
    assert (other.calls, len(result.trials)) == (1, 1)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert len(list(tmp_path.glob("tiny-*"))) == 1


def test_a_table_that_is_of_no_search_is_not_replaced(tmp_path):
    (tmp_path / "trials.csv").write_text("mine")
    with pytest.raises(FileExistsError, match=r"'trials.csv'.*another folder"):
        tune(Imagined(), TRAIN, VALID, trials=1, folder=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["trials.csv"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trials": 0}, r"Expected trials >= 1. Received: 0"),
        ({"objective": "accuracy"}, r"val_macro_f1.*Received: objective='accuracy'"),
        ({"train": toy_samples(9, 0, classes=1)}, r"at least two classes.*label 0 only"),
        ({"valid": toy_samples(9, 0, classes=1)}, r"Expected valid faces of at least two"),
        ({"valid": Samples(VALID.images, VALID.targets[:, :2])}, r"valid targets \(n, 3\)"),
        ({"valid": Samples(VALID.images[:5], VALID.targets)}, r"5 faces, 24 targets"),
    ],
)
def test_wrong_input_is_refused_and_leaves_nothing(tmp_path, options, message):
    asked = {"train": TRAIN, "valid": VALID, "trials": 1, "folder": tmp_path / "new"}
    with pytest.raises(ValueError, match=message):
        tune(Imagined(), **asked | options)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
@pytest.mark.parametrize("pattern", ["search.json", "tiny-*/oracle.json", "*/trial_0/trial.json"])
def test_a_damaged_search_is_named(tmp_path, pattern, content):
    tune(Imagined(), TRAIN, VALID, trials=1, folder=tmp_path)
    (file,) = tmp_path.glob(pattern)
    file.write_text(content)
    with pytest.raises(ValueError, match=r"Expected .*(damaged|begun with)") as refused:
        tune(Imagined(), TRAIN, VALID, trials=1, folder=tmp_path)
    assert str(tmp_path) in str(refused.value)
