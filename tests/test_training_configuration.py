"""Configurations of training: which are refused, how they are kept, and what they change."""

import dataclasses
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras")

from toy_study import tiny_spec  # noqa: E402
from toy_training import CONFIG, TRAIN, VALID, tiny_is_a_network  # noqa: E402, F401

from builder_tools.networks import NETWORKS, Head  # noqa: E402
from builder_tools.training import Stage, TrainingConfig, train  # noqa: E402

pytestmark = pytest.mark.slow


def test_the_policy_comes_back_whatever_happens(tmp_path, monkeypatch):
    def fail(*_, **__):
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
        raise RuntimeError("no")

    broken = dataclasses.replace(tiny_spec(16), backbone=fail)
    monkeypatch.setitem(NETWORKS, "broken", broken)
    mixed = TrainingConfig(**{**CONFIG, "network": "broken", "precision": "mixed_bfloat16"})
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
        ({"optimizer": "lion"}, r"optimizer of \['adamw', 'adam', 'sgd', 'rmsprop'\].*lion"),
        ({"schedule": "steps"}, "schedule of.*steps"),
        ({"monitor": "loss"}, "monitor of.*'loss'"),
        ({"keep": "all"}, "keep of.*all"),
        ({"learning_rate": 0.0}, "learning_rate in"),
        ({"label_smoothing": 1.0}, "label_smoothing in"),
        ({"patience": 0}, "patience >= 1"),
        ({"epoch_faces": 0}, "epoch_faces >= 1"),
        ({"stages": Stage(32, 1)}, "Expected stages as a tuple"),
        ({"stages": ((32, 1),)}, "Expected stages as a tuple"),
        ({"stages": (Stage(32, 1, "heads"),)}, "Expected stages.*heads"),
        ({"stages": (Stage(32, 1.5),)}, "Expected stages"),
        ({"network": ["compact"]}, "Expected network of"),
        ({"head": None}, "Expected head as a Head"),
        ({"augmentation": "light"}, "Expected augmentation as an AugmentationStrength"),
        ({"batch_size": "64"}, "batch_size >= 1.*'64'"),
        ({"learning_rate": "0.1"}, "learning_rate in"),
        ({"fine_tune_learning_rate": -3.0}, "fine_tune_learning_rate in"),
        ({"class_weight_power": -1.0}, "class_weight_power in"),
        ({"class_weight_power": 400.0}, "class_weight_power in"),
        ({"weight_decay": float("inf")}, "weight_decay >= 0, a finite number"),
        ({"mixup": float("nan")}, "mixup >= 0, a finite number"),
        ({"seed": -1}, "seed in"),
        ({"seed": None}, "seed in"),
        ({"balanced_batches": "no"}, "balanced_batches True or False"),
    ],
)
def test_a_bad_configuration_is_refused_before_anything_is_written(change, message):
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**{**CONFIG, **change})


@pytest.mark.parametrize(
    "values",
    [
        {"stages": [1]},
        {"stages": [{"size": 32}]},
        {"stages": [{"size": 32, "epochs": 1, "more": 2}]},
        {"head": {"depth": 1}},
        {"augmentation": {"zoom": 1}},
        {"augmentation": 3},
    ],
)
def test_a_configuration_of_another_shape_is_refused(values):
    with pytest.raises(ValueError, match="Expected stages, head and augmentation"):
        TrainingConfig.from_dict(values)


def test_a_configuration_is_plain_json():
    config = TrainingConfig(**CONFIG)
    assert config.epochs == 4
    assert config.to_dict()["stages"] == [
        {"size": 12, "epochs": 2, "trainable": "all"},
        {"size": 16, "epochs": 2, "trainable": "all"},
    ]
    assert json.loads(json.dumps(config.to_dict())) == config.to_dict()


TWO_STEPS = """
import sys
import numpy as np
import keras
from toy_study import tiny_spec
from builder_tools.networks import NETWORKS
from builder_tools.training import Samples, Stage, TrainingConfig, train

NETWORKS["tiny"] = tiny_spec(12)
rng = np.random.default_rng(0)
images = rng.integers(0, 256, (8, 16, 16), np.uint8)
samples = Samples(images, np.eye(2, dtype=np.float32)[np.arange(8) % 2])
config = TrainingConfig(
    network="tiny", stages=(Stage(12, 1),), batch_size=4, warmup_epochs=0, precision="float32",
    ema_decay=0.5,
)
run = train(config, samples, samples, sys.argv[1])
assert int(run.model.optimizer.iterations) == 2
assert np.isfinite(run.history["loss"]).all()
print(keras.backend.backend(), run.config["backend"])
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_two_steps_under_other_back_ends(backend, tmp_path):
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    here = Path(__file__).resolve().parent
    places = os.pathsep.join([str(here), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"KERAS_BACKEND": backend, "PYTHONPATH": places}
    done = subprocess.run(
        [sys.executable, "-c", TWO_STEPS, str(tmp_path)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == f"{backend} {backend}\n"


def test_hidden_layers_come_from_the_configuration(tmp_path):
    config = TrainingConfig(**{**CONFIG, "head": Head(dense=(7,)), "stages": (Stage(12, 1),)})
    model = train(config, TRAIN, VALID, tmp_path).model
    assert model.get_layer("emotion").get_weights()[0].shape == (7, 3)
    assert json.loads((tmp_path / "config.json").read_text())["head"]["dense"] == [7]


@pytest.mark.parametrize("name", ["adam", "sgd", "rmsprop"])
def test_every_optimizer_learns(name, tmp_path):
    config = TrainingConfig(**{**CONFIG, "optimizer": name, "stages": (Stage(12, 3),)})
    losses = train(config, TRAIN, VALID, tmp_path).history["loss"]
    assert losses.iloc[-1] < losses.iloc[0]


def test_a_longer_epoch_than_the_faces(tmp_path):
    config = TrainingConfig(**{**CONFIG, "stages": (Stage(12, 1),), "epoch_faces": 160})
    model = train(config, TRAIN, VALID, tmp_path).model
    assert int(model.optimizer.iterations) == 10
