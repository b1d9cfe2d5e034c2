"""Training on a toy that is learnt in seconds: it learns, and a run in pieces is the run in one."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras")

from toy_study import pattern, tiny_network  # noqa: E402

from builder_tools import training  # noqa: E402
from builder_tools.networks import NETWORKS, NetworkSpec  # noqa: E402
from builder_tools.training import Samples, Stage, TrainingConfig, train  # noqa: E402

pytestmark = pytest.mark.slow

CONFIG = {
    "network": "tiny",
    "stages": (Stage(12, 2), Stage(16, 2)),
    "batch_size": 16,
    "learning_rate": 0.02,
    "precision": "float32",
    "seed": 3,
}


def toy_samples(count: int, seed: int) -> Samples:
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    images = np.stack([pattern(int(label), 20, rng) for label in labels])
    return Samples(images, np.eye(3, dtype=np.float32)[labels])


TRAIN, VALID = toy_samples(71, 0), toy_samples(30, 1)


@pytest.fixture(scope="module", autouse=True)
def tiny_is_a_network():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, "tiny", NetworkSpec(tiny_network, 16, "a toy"))
        yield


class Killed(BaseException):
    """What ends a run from outside."""


def run_killed(folder: Path, *, epoch: int, config: TrainingConfig) -> None:
    """Trains until the second batch of an epoch (from 0)."""

    class Assassin(training._Progress):
        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch

        def on_train_batch_end(self, batch, logs=None):
            if self.epoch == epoch and batch == 1:
                raise Killed

        def on_epoch_end(self, epoch, logs=None):
            pass

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(training, "_Progress", Assassin)
        train(config, TRAIN, VALID, folder)


@pytest.fixture(scope="module")
def config() -> TrainingConfig:
    return TrainingConfig(**CONFIG)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, config):
    """A run in one piece: its folder and its `TrainingRun`."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    return folder, train(config, TRAIN, VALID, folder)


@pytest.fixture(scope="module")
def pieces(tmp_path_factory, config):
    """The same run, killed in the middle of both stages and where the second begins."""
    folder = tmp_path_factory.mktemp("runs") / "pieces"
    for epoch in (1, 2, 3):
        run_killed(folder, epoch=epoch, config=config)
        assert len(pd.read_csv(folder / "history.csv")) == epoch
        (folder / "partial.keras").write_bytes(b"half a model")
        (folder / "history.partial").write_text("epoch,si")
    return folder, train(config, TRAIN, VALID, folder)


def test_the_loss_falls_and_the_toy_is_learnt(tmp_path):
    longer = TrainingConfig(**{**CONFIG, "stages": (Stage(16, 12),)})
    run = train(longer, TRAIN, VALID, tmp_path)
    assert run.history["loss"].iloc[-3:].mean() < 0.6 * run.history["loss"].iloc[0]
    assert run.history["val_categorical_accuracy"].iloc[-1] > 0.8


def test_the_folder_tells_the_run(whole, config):
    folder, run = whole
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "history.csv", "last.keras"]
    begun = json.loads((folder / "config.json").read_text())
    assert begun == run.config
    assert config.to_dict().items() <= begun.items()
    assert {"commit", "backend", "keras"} <= set(begun)


def test_history_has_a_row_an_epoch(whole):
    folder, run = whole
    history = pd.read_csv(folder / "history.csv")
    pd.testing.assert_frame_equal(history, run.history, check_dtype=False)
    assert history["epoch"].tolist() == [0, 1, 2, 3]
    assert history["size"].tolist() == [12, 12, 16, 16]
    assert (history["seconds"] > 0).all()
    figures = {"loss", "categorical_accuracy", "val_loss", "val_categorical_accuracy"}
    assert set(history) == {"epoch", "size", "seconds"} | figures


def test_the_schedule_spans_the_whole_run(whole, config):
    """71 faces are 5 batches: 20 steps, a warm-up of 5 and a cosine that ends at 0."""
    optimizer = whole[1].model.optimizer
    assert int(optimizer.iterations) == 20
    schedule = optimizer._learning_rate
    assert float(schedule(0)) == pytest.approx(0)
    assert float(schedule(5)) == pytest.approx(config.learning_rate)
    assert float(schedule(20)) == pytest.approx(0, abs=1e-9)


def test_a_run_in_pieces_is_the_run_in_one(whole, pieces):
    (_, one), (folder, several) = whole, pieces
    assert int(several.model.optimizer.iterations) == 20
    for expected, found in zip(one.model.get_weights(), several.model.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)
    columns = ["epoch", "size", "loss", "val_loss"]
    np.testing.assert_allclose(several.history[columns], one.history[columns], rtol=1e-4)
    saved = keras.models.load_model(folder / "last.keras")
    for expected, found in zip(several.model.get_weights(), saved.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_what_weight_decay_leaves_out_is_remembered(whole, config):
    """A checkpoint does not keep it: a resumed run must say it again."""
    resumed = train(config, TRAIN, VALID, whole[0]).model
    decayed = {
        v.name for v in resumed.trainable_variables if resumed.optimizer._use_weight_decay(v)
    }
    assert decayed == {"kernel"}
    assert {v.name for v in resumed.trainable_variables} == {"kernel", "bias", "gamma", "beta"}


def test_a_finished_run_is_only_read(whole, config, monkeypatch):
    folder, run = whole
    before = (folder / "last.keras").read_bytes()
    monkeypatch.setattr(training, "_fit", None)
    again = train(config, TRAIN, VALID, folder)
    pd.testing.assert_frame_equal(again.history, run.history)
    assert (folder / "last.keras").read_bytes() == before
    for expected, found in zip(run.model.get_weights(), again.model.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_row_without_its_model_is_written_again(tmp_path, monkeypatch):
    """A kill between history and model costs an epoch, not the schedule."""
    one_epoch = TrainingConfig(**{**CONFIG, "stages": (Stage(12, 2),)})
    replaced = []

    def replace(source, target):
        replaced.append(Path(target).name)
        if replaced.count("last.keras") == 2:
            raise Killed
        os.rename(source, target)

    monkeypatch.setattr(training.os, "replace", replace)
    with pytest.raises(Killed):
        train(one_epoch, TRAIN, VALID, tmp_path)
    monkeypatch.undo()
    assert len(pd.read_csv(tmp_path / "history.csv")) == 2
    run = train(one_epoch, TRAIN, VALID, tmp_path)
    assert run.history["epoch"].tolist() == [0, 1]
    assert int(run.model.optimizer.iterations) == 10


def test_another_configuration_is_refused(whole):
    other = TrainingConfig(**{**CONFIG, "learning_rate": 0.01, "seed": 4})
    with pytest.raises(ValueError, match=r"begun with.*'learning_rate': 0\.02.*'seed': 3"):
        train(other, TRAIN, VALID, whole[0])


def test_other_faces_are_refused(whole, config):
    fewer = Samples(TRAIN.images[:40], TRAIN.targets[:40])
    with pytest.raises(ValueError, match=r"as many faces.*40 faces.*20 steps"):
        train(config, fewer, VALID, whole[0])


def test_the_policy_comes_back_whatever_happens(tmp_path, monkeypatch):
    def fail(*_, **__):
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
        raise RuntimeError("no")

    mixed = TrainingConfig(**{**CONFIG, "precision": "mixed_bfloat16"})
    monkeypatch.setattr(training, "_fit", fail)
    for before in ("float32", "mixed_float16"):
        keras.config.set_dtype_policy(before)
        try:
            with pytest.raises(RuntimeError, match="no"):
                train(mixed, TRAIN, VALID, tmp_path / before)
            assert keras.config.dtype_policy().name == before
        finally:
            keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stages": ()}, "Expected stages"),
        ({"stages": (Stage(0, 3),)}, "Expected stages"),
        ({"stages": (Stage(32, 3), Stage(48, 0))}, "Expected stages"),
        ({"network": "vgg99"}, "vgg99"),
    ],
)
def test_a_bad_configuration_is_refused_before_anything_is_written(change, message):
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**{**CONFIG, **change})


def test_a_configuration_is_plain_json():
    config = TrainingConfig(**CONFIG)
    assert config.epochs == 4
    assert config.to_dict()["stages"] == [{"size": 12, "epochs": 2}, {"size": 16, "epochs": 2}]
    assert json.loads(json.dumps(config.to_dict())) == config.to_dict()


TWO_STEPS = """
import sys
import numpy as np
import keras
from toy_study import tiny_network
from builder_tools.networks import NETWORKS, NetworkSpec
from builder_tools.training import Samples, Stage, TrainingConfig, train

NETWORKS["tiny"] = NetworkSpec(tiny_network, 12, "a toy")
rng = np.random.default_rng(0)
images = rng.integers(0, 256, (8, 16, 16), np.uint8)
samples = Samples(images, np.eye(2, dtype=np.float32)[np.arange(8) % 2])
config = TrainingConfig(
    network="tiny", stages=(Stage(12, 1),), batch_size=4, warmup_epochs=0, precision="float32"
)
run = train(config, samples, samples, sys.argv[1])
assert int(run.model.optimizer.iterations) == 2
assert np.isfinite(run.history["loss"]).all()
print(keras.backend.backend(), run.config["backend"])
"""


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_two_steps_under_each_keras_back_end(backend, tmp_path):
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    here = Path(__file__).resolve().parent
    environment = os.environ | {"KERAS_BACKEND": backend, "PYTHONPATH": str(here)}
    done = subprocess.run(
        [sys.executable, "-c", TWO_STEPS, str(tmp_path)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == f"{backend} {backend}\n"
