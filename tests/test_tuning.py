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
keras_tuner = pytest.importorskip("keras_tuner")

from toy_study import pattern, tiny_spec  # noqa: E402

from builder_tools.networks import NETWORKS, build_network  # noqa: E402
from builder_tools.training import Samples, Stage, TrainingConfig  # noqa: E402
from builder_tools.tuning import (  # noqa: E402
    EmotionHyperModel,
    SearchSpace,
    hyperparameters_of,
    summarise_trials,
    tune,
)

pytestmark = pytest.mark.slow

SMALL = {"epochs": 2, "batch_size": 16, "precision": "float32"}
SPACE = SearchSpace(dense_layers=(0, 1), dense_width=(8, 16), learning_rate=(1e-3, 2e-2))


def toy_samples(count: int, seed: int, classes: int = 3) -> Samples:
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    images = np.stack([pattern(int(label), 16, rng) for label in labels])
    return Samples(images, np.eye(3, dtype=np.float32)[labels])


TRAIN, VALID = toy_samples(48, 0), toy_samples(24, 1)


class Imagined(EmotionHyperModel):
    """Trains nothing: the score is best at a learning rate of 0.003 without dropout."""

    def __init__(
        self, *, failing=(), error: type[Exception] = MemoryError, space=SPACE, **options
    ) -> None:
        super().__init__("tiny", 3, space=space, **SMALL, **options)
        self.failing, self.error, self.calls = failing, error, 0

    def fit(self, hp, model, train, valid, *, monitor, folder, callbacks=()):
        self.calls += 1
        if self.calls in self.failing:
            raise self.error("no room for that")
        config = self.config(hp)
        score = 0.9 - 0.2 * np.log10(config.learning_rate / 3e-3) ** 2 - 0.3 * config.head.dropout
        figures = {"val_accuracy": score, "val_macro_f1": score - 0.1, "val_loss": 1 - score}
        return {**figures, "best_epoch": 1, "epochs": 2, "seconds": 3.0, "parameters": 99}


def toy_hypermodel(**options) -> EmotionHyperModel:
    return EmotionHyperModel("tiny", 3, space=SPACE, **{**SMALL, **options})


@pytest.fixture(scope="module", autouse=True)
def tiny_is_a_network():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, "tiny", tiny_spec(16))
        yield


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
def weights(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("weights") / "tiny.keras"
    build_network("tiny", 3, 16).save(file)
    return file


def test_with_weights_a_trial_has_two_phases_and_gives_the_best_of_both(weights, tmp_path):
    space = SearchSpace(unfrozen=(3, "all"), optimizer=("adam",), learning_rate=(0.01, 0.01))
    hypermodel = toy_hypermodel(weights=weights, head_epochs=2)
    hypermodel.space = space
    hp = keras_tuner.HyperParameters()
    hp.Fixed("fine_tune_factor", 1.0)
    model = hypermodel.build(hp)
    figures = hypermodel.fit(hp, model, TRAIN, VALID, folder=tmp_path / "run")
    history = pd.read_csv(tmp_path / "run" / "history.csv")
    assert history["phase"].tolist() == [0, 0, 1, 1]
    assert figures["val_accuracy"] == history["val_accuracy"].max()
    best = history.loc[history["val_accuracy"].idxmax()]
    assert figures["val_macro_f1"] == best["val_macro_f1"]
    found = model.predict(np.repeat(VALID.images[..., None], 3, -1), verbose=0).argmax(1)
    assert (found == VALID.targets.argmax(1)).mean() == pytest.approx(figures["val_accuracy"])


def test_it_works_in_any_tuner_of_keras_tuner(tmp_path):
    tuner = keras_tuner.RandomSearch(
        toy_hypermodel(epochs=1),
        objective="val_accuracy",
        max_trials=1,
        directory=tmp_path,
        project_name="any",
    )
    tuner.search(TRAIN, VALID)
    [trial] = tuner.oracle.get_best_trials(1)
    model = tuner.get_best_models(1)[0]
    found = model.predict(np.repeat(VALID.images[..., None], 3, -1), verbose=0).argmax(1)
    assert (found == VALID.targets.argmax(1)).mean() == pytest.approx(trial.score)
    assert (tmp_path / "any" / "trial_0" / "run" / "history.csv").is_file()


def test_from_scratch_there_is_one_phase_and_nothing_to_unfreeze(weights):
    hp = keras_tuner.HyperParameters()
    config = toy_hypermodel().config(hp, monitor="val_macro_f1")
    assert config.stages == (Stage(16, 2, "all"),)
    assert (config.keep, config.monitor, config.weights) == ("best", "val_macro_f1", None)
    assert config.schedule == "exponential"
    assert not {"unfrozen", "fine_tune_factor"} & set(hp.values)
    fine_tuned = keras_tuner.HyperParameters()
    hypermodel = toy_hypermodel(weights=weights, head_epochs=1)
    hypermodel.space = SearchSpace(unfrozen=(2, 4))
    stages = hypermodel.config(fine_tuned).stages
    assert stages == (Stage(16, 1, "head"), Stage(16, 2, 2))
    assert {"unfrozen", "fine_tune_factor"} <= set(fine_tuned.values)


def test_what_has_no_effect_has_no_value():
    hp = keras_tuner.HyperParameters()
    space = SearchSpace(schedule=("exponential", "cosine"))
    hypermodel = EmotionHyperModel("tiny", 3, space=space)
    hypermodel.config(hp)
    assert "weight_decay" not in hp.values and "dense_width_1" not in hp.values
    assert hypermodel.config(hp).weight_decay == 0
    drawn = {"optimizer": "adamw", "weight_decay": 0.0123456, "schedule": "cosine"}
    hp.values |= {**drawn, "dense_layers": 1, "dense_width_1": 256}
    config = hypermodel.config(hp)
    assert (config.weight_decay, config.head.dense) == (0.01235, (256,))


def test_a_pinned_value_is_not_searched():
    hp = keras_tuner.HyperParameters()
    space = SearchSpace(
        dropout=(0.3, 0.3), optimizer=("adamw",), dense_layers=(1, 1), dense_width=(32,)
    )
    config = EmotionHyperModel("tiny", 3, space=space).config(hp)
    assert (config.head.dropout, config.optimizer, config.head.dense) == (0.3, "adamw", (32,))
    assert not {"dropout", "optimizer", "dense_layers", "dense_width_1"} & set(hp.values)


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


def test_a_trial_whose_loss_is_not_finite_has_failed(tmp_path):
    class Diverging(EmotionHyperModel):
        def config(self, hp, *, monitor="val_accuracy"):
            import dataclasses

            config = super().config(hp, monitor=monitor)
            return dataclasses.replace(config, optimizer="sgd", learning_rate=1.0)

    bright = Samples(TRAIN.images, np.full_like(TRAIN.targets, 3e38))
    bright.targets[:, 0] = 1.0
    hypermodel = Diverging("tiny", 3, space=SPACE, **{**SMALL, "epochs": 1})
    hp = keras_tuner.HyperParameters()
    valid = Samples(VALID.images, np.full_like(VALID.targets, 3e38))
    with pytest.raises(keras_tuner.errors.FailedTrialError, match="not finite"):
        hypermodel.fit(hp, None, bright, valid, folder=tmp_path / "run")


def test_a_trial_that_keeps_killing_its_process_is_given_up(tmp_path):
    class Deadly(Imagined):
        def fit(self, *arguments, **options):
            if self.calls == 0:
                raise KeyboardInterrupt  # as good as a kill: no clean end
            return super().fit(*arguments, **options)

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            tune(Deadly(), TRAIN, VALID, trials=2, folder=tmp_path)
    alive = Imagined()
    result = tune(alive, TRAIN, VALID, trials=2, folder=tmp_path)
    assert result.trials["status"].tolist() == ["failed", "completed"]
    assert "ended 3 times" in result.failed["error"].item()


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
        ({"hypermodel": (4, "tiny")}, r"at least 8 px"),
    ],
)
def test_wrong_input_is_refused_and_leaves_nothing(tmp_path, options, message):
    hypermodel = Imagined(size=4) if "hypermodel" in options else Imagined()
    options.pop("hypermodel", None)
    asked = {"train": TRAIN, "valid": VALID, "trials": 1, "folder": tmp_path / "new"}
    with pytest.raises(ValueError, match=message):
        tune(hypermodel, **asked | options)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"dropout": (0.5, 0.1)}, "Expected dropout as"),
        ({"dropout": (0.0, 1.0)}, "Expected dropout as"),
        ({"learning_rate": (0.0, 0.1)}, "Expected learning_rate as"),
        ({"optimizer": ("adam", "lion")}, r"Expected distinct optimizer of.*lion"),
        ({"schedule": ()}, "Expected distinct schedule"),
        ({"augmentation": ("off", "off")}, "Expected distinct augmentation"),
        ({"dense_width": (0,)}, "Expected dense_width >= 1"),
        ({"unfrozen": ("some",)}, "Expected unfrozen as"),
        ({"dropout": 0.5}, "Expected dropout as a tuple"),
        ({"optimizer": "adam"}, "Expected optimizer as a tuple"),
        ({"dropout": ("a", "b")}, "Expected dropout as"),
    ],
)
def test_an_impossible_space_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        SearchSpace(**wrong)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("vgg99",), {}, r"Expected one of \[.*network='vgg99'"),
        (("tiny", 1), {}, "num_classes of at least 2"),
        (("tiny", 3), {"epochs": 0}, "Expected stages"),
        (("tiny", "3"), {}, "num_classes of at least 2"),
        (("tiny", 3), {"epochs": "9"}, "Expected stages"),
        (("tiny", 3), {"head_epochs": -1}, "head_epochs >= 0"),
        (("tiny", 3), {"seed": -1}, "Expected seed in"),
        (("tiny", 3), {"space": {"dropout": (0, 1)}}, "Expected space as a SearchSpace"),
    ],
)
def test_an_impossible_hypermodel_is_refused(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        EmotionHyperModel(*arguments, **options)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
@pytest.mark.parametrize("pattern", ["search.json", "tiny-*/oracle.json", "*/trial_0/trial.json"])
def test_a_damaged_search_is_named(tmp_path, pattern, content):
    tune(Imagined(), TRAIN, VALID, trials=1, folder=tmp_path)
    (file,) = tmp_path.glob(pattern)
    file.write_text(content)
    with pytest.raises(ValueError, match=r"Expected .*(damaged|begun with)") as refused:
        tune(Imagined(), TRAIN, VALID, trials=1, folder=tmp_path)
    assert str(tmp_path) in str(refused.value)
