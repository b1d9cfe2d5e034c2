"""Networks of valence and arousal: losses by hand, heads, targets, configurations, training."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras")

from toy_study import pattern, tiny_spec  # noqa: E402

from builder_tools.augmentation import AUGMENTATIONS, FaceBatches  # noqa: E402
from builder_tools.decisions import apply_temperature, nearness  # noqa: E402
from builder_tools.evaluation import concordance  # noqa: E402
from builder_tools.networks import NETWORKS, Head, build_network  # noqa: E402
from builder_tools.tasks import TASKS  # noqa: E402
from builder_tools.training import Samples, Stage, TrainingConfig, run, train  # noqa: E402
from builder_tools.training.losses import (  # noqa: E402
    AffectLoss,
    EmotionAffectLoss,
    EmotionLoss,
    concordances,
)
from builder_tools.training.objectives import task_figures  # noqa: E402

pytestmark = pytest.mark.slow

PLACES = np.array([[0.8, 0.5], [-0.6, -0.3], [0.0, 0.6]], np.float32)
REFERENCE = np.array([[0, 0.3], [0.5, -0.2], [1, 0.1]], np.float32)
FOUND = np.array([[0, 0.3], [0.25, -0.2], [0.5, 0.1]], np.float32)
MEAN_CCC = (8 / 13 + 1) / 2
"""Valence: means 1/2 and 1/4, variances 1/6 and 1/24, covariance 1/12: (1/6) / (13/48) = 8/13.
Arousal is equal."""
MSE = (0.25**2 + 0.5**2) / 6


@pytest.fixture(scope="module", autouse=True)
def tiny_is_a_network():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, "tiny", tiny_spec(16))
        yield


def toy_samples(task: str, count: int = 60, seed: int = 0) -> Samples:
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    images = np.stack([pattern(int(label), 16, rng) for label in labels])
    parts = {"emotion": np.eye(3, dtype=np.float32)[labels], "va": PLACES[labels]}
    parts["both"] = np.concatenate([parts["emotion"], parts["va"]], axis=1)
    return Samples(images, parts[task])


def toy_config(task: str, **changes) -> TrainingConfig:
    values = {
        "network": "tiny",
        "head": Head(task=task, dropout=0.0),
        "stages": (Stage(16, 6),),
        "batch_size": 16,
        "learning_rate": 0.02,
        "precision": "float32",
        "augmentation": AUGMENTATIONS["off"],
    }
    return TrainingConfig(**(values | changes))


def number(value) -> float:
    return float(keras.ops.convert_to_numpy(value))


def test_the_loss_of_places_by_hand():
    assert number(AffectLoss()(REFERENCE, FOUND)) == pytest.approx(1 - MEAN_CCC + MSE, abs=1e-6)
    weighted = AffectLoss(ccc_weight=0.5, mse_weight=2.0)
    assert number(weighted(REFERENCE, FOUND)) == pytest.approx(
        0.5 * (1 - MEAN_CCC) + 2 * MSE, abs=1e-6
    )
    assert number(AffectLoss(ccc_weight=0)(REFERENCE, FOUND)) == pytest.approx(MSE, abs=1e-7)


def test_concordance_is_that_of_the_evaluation():
    rng = np.random.default_rng(0)
    reference, found = rng.uniform(-1, 1, (2, 200, 2)).astype(np.float32)
    found = 0.4 * found + 0.5 * reference
    agreement = keras.ops.convert_to_numpy(concordances(reference, found))
    expected = [concordance(reference[:, axis], found[:, axis]) for axis in (0, 1)]
    assert agreement == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("count", [1, 4])
def test_equal_faces_give_a_finite_loss_and_slope(count):
    """A last batch of one face, or one of the same labels, has no spread."""
    import tensorflow as tf

    if keras.backend.backend() != "tensorflow":
        pytest.skip("slopes are taken with TensorFlow")
    same = keras.ops.ones((count, 2)) * 0.3
    answers = tf.Variable(same)
    with tf.GradientTape() as tape:
        loss = AffectLoss()(same, answers)
    assert number(loss) == pytest.approx(1)
    assert np.isfinite(tape.gradient(loss, answers).numpy()).all()


def test_the_loss_of_both_is_the_sum():
    shares = np.array([[1, 0], [0, 1], [0.5, 0.5]], np.float32)
    found = np.array([[0.8, 0.2], [0.4, 0.6], [0.5, 0.5]], np.float32)
    emotion = EmotionLoss(label_smoothing=0.1)
    loss = EmotionAffectLoss(emotion, AffectLoss(), 0.7)
    rows = np.concatenate([shares, REFERENCE], 1), np.concatenate([found, FOUND], 1)
    expected = number(emotion(shares, found)) + 0.7 * (1 - MEAN_CCC + MSE)
    assert number(loss(*rows)) == pytest.approx(expected, abs=1e-6)
    stored = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    again = keras.saving.deserialize_keras_object(stored)
    assert number(again(*rows)) == pytest.approx(expected, abs=1e-6)


LOSSES_ELSEWHERE = """
import numpy as np
from builder_tools.training.losses import AffectLoss, EmotionAffectLoss, EmotionLoss
from test_va_regressor import FOUND, MEAN_CCC, MSE, REFERENCE
import keras
rows = np.concatenate([np.full((3, 2), 0.5, np.float32), REFERENCE], 1)
found = np.concatenate([np.full((3, 2), 0.5, np.float32), FOUND], 1)
loss = EmotionAffectLoss(EmotionLoss(), AffectLoss())(rows, found)
expected = np.log(2) + 1 - MEAN_CCC + MSE
assert abs(float(keras.ops.convert_to_numpy(loss)) - expected) < 1e-6
print(keras.backend.backend())
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_the_losses_under_other_back_ends(backend):
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    here = os.path.dirname(os.path.abspath(__file__))
    places = os.pathsep.join([here, os.path.dirname(here), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", LOSSES_ELSEWHERE],
        capture_output=True,
        text=True,
        env=os.environ | {"KERAS_BACKEND": backend, "PYTHONPATH": places},
        timeout=300,
    )
    assert (done.returncode, done.stdout) == (0, f"{backend}\n"), done.stderr[-2000:]


@pytest.mark.parametrize(("task", "width"), [("emotion", 9), ("va", 2), ("both", 11)])
def test_the_head_has_the_outputs_of_its_task(task, width):
    """The baseline leaves 256 features; each output has a bias."""
    network = build_network("baseline_cnn", 9, 48, head=Head(task=task))
    assert network.output_shape == (None, width)
    assert network.count_params() - network.get_layer("backbone").count_params() == 257 * width
    faces = np.random.default_rng(0).uniform(0, 255, (3, 48, 48, 3)).astype(np.float32)
    if task != "emotion":
        network.get_layer("affect").set_weights([np.zeros((256, 2)), np.array([-1.0, 0.5])])
    found = keras.ops.convert_to_numpy(network(faces, training=False))
    if task != "va":
        np.testing.assert_allclose(found[:, :9].sum(axis=1), 1, atol=1e-6)
    if task != "emotion":
        np.testing.assert_allclose(found[:, -2:], np.tanh([[-1.0, 0.5]] * 3), atol=1e-6)
    with pytest.raises(ValueError, match=r"Expected task of .*'valence'"):
        Head(task="valence")


@pytest.mark.parametrize("task", ["va", "both"])
def test_the_toy_is_learnt(task):
    found = train(toy_config(task), toy_samples(task), toy_samples(task, 30, 1), None)
    last = found.history.iloc[-1]
    assert last["val_ccc"] > 0.9 and last["val_rmse"] < 0.2
    assert ("val_accuracy" in last) == (task == "both")
    assert ("accuracy" in last) == (task == "both")
    if task == "both":
        assert last["val_accuracy"] > 0.9
    assert found.config["head"]["task"] == task


def test_figures_of_an_epoch_by_hand():
    config = toy_config("both", affect_weight=0.5, ccc_weight=1.0, mse_weight=2.0)
    shares = np.array([[1, 0], [0, 1], [1, 0]], np.float32)
    answers = np.array([[0.8, 0.2], [0.4, 0.6], [0.4, 0.6]], np.float32)
    figures = task_figures(
        config, np.concatenate([shares, REFERENCE], 1), np.concatenate([answers, FOUND], 1)
    )
    assert figures["val_accuracy"] == pytest.approx(2 / 3)
    assert figures["val_ccc"] == pytest.approx(MEAN_CCC, abs=1e-6)
    assert figures["val_rmse"] == pytest.approx(np.sqrt(MSE), abs=1e-6)
    entropy = -np.log([0.8, 0.6, 0.4]).mean()
    assert figures["val_loss"] == pytest.approx(entropy + 0.5 * (1 - MEAN_CCC + 2 * MSE), abs=1e-5)


def test_a_run_of_both_in_pieces_is_the_run_in_one(tmp_path, monkeypatch):
    config = toy_config("both", stages=(Stage(16, 2),), keep="best", monitor="val_ccc")
    whole = train(config, toy_samples("both"), toy_samples("both", 30, 1), tmp_path / "whole")

    class Assassin(run.Progress):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt
            super().on_epoch_begin(epoch, logs)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(run, "Progress", Assassin)
        train(config, toy_samples("both"), toy_samples("both", 30, 1), tmp_path / "pieces")
    again = train(config, toy_samples("both"), toy_samples("both", 30, 1), tmp_path / "pieces")
    for one, other in zip(whole.model.get_weights(), again.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_balanced_batches_ask_the_emotions_alone():
    """Valence outweighs every share here; taken for a class it would fill the batches."""
    shares = np.repeat(np.array([[0.6, 0.4], [0.4, 0.6]], np.float32), [30, 10], axis=0)
    targets = np.concatenate([shares, np.full((40, 2), 0.9, np.float32)], axis=1)
    images = np.zeros((40, 4, 4), np.uint8)
    batches = FaceBatches(images, targets, shuffle_seed=0, balanced=True, classes=shares)
    assert np.bincount(shares[batches.order].argmax(axis=1)).tolist() == [20, 20]


@pytest.mark.parametrize(
    ("task", "changes", "message"),
    [
        ("va", {"label_smoothing": 0.1, "focal_gamma": 2.0}, "focal_gamma.*label_smoothing"),
        ("va", {"balanced_batches": True}, "balanced_batches"),
        ("va", {"monitor": "val_accuracy"}, "val_ccc"),
        ("emotion", {"monitor": "val_ccc"}, "val_macro_f1.*'emotion'"),
        ("both", {"ccc_weight": 0, "mse_weight": 0}, "above 0"),
        ("va", {"mse_weight": -1}, "mse_weight >= 0"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(task, changes, message):
    with pytest.raises(ValueError, match=message):
        toy_config(task, **changes)


def test_a_configuration_of_old_is_one_of_emotions():
    old = TrainingConfig().to_dict()
    for name in ("affect_weight", "ccc_weight", "mse_weight"):
        del old[name]
    del old["head"]["task"]
    assert TrainingConfig.from_dict(old) == TrainingConfig()
    both = toy_config("both", affect_weight=0.3)
    assert TrainingConfig.from_dict(json.loads(json.dumps(both.to_dict()))) == both


def test_shares_that_are_off_by_a_rounding_are_taken():
    """One that is 1 less all others may be -3e-8, and a sum of float16 may be 1.001."""
    shares = np.array([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7]], np.float32)
    less = shares.copy()
    less[:, 2] = -6e-8
    for given in (less, shares * np.float32(1.0000002), shares.astype(np.float16)):
        TASKS["emotion"].check_targets(given)
        TASKS["both"].check_targets(np.c_[given, [[-1, 1], [0, 0]]])


@pytest.mark.parametrize(
    ("task", "targets"),
    [
        ("va", np.zeros((4, 3))),
        ("both", np.zeros((4, 3))),
        ("va", np.full((4, 2), 1.1)),
        ("both", np.array([[1, 0, 0, np.nan]])),
    ],
)
def test_targets_of_another_task_are_refused(task, targets, tmp_path):
    with pytest.raises(ValueError, match=f"targets of the task '{task}'"):
        TASKS[task].check_targets(targets)
    samples = Samples(np.zeros((len(targets), 16, 16), np.uint8), targets)
    with pytest.raises(ValueError, match="targets"):
        train(toy_config(task), samples, samples, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_nearness_by_hand():
    """Half a unit from one centre and 0.25 from the other: logits -2 and -1/2."""
    centres = np.array([[0.5, 0.0], [-0.25, 0.0]])
    found = nearness(np.zeros((1, 2)), centres)
    weights = np.exp([-2, -0.5])
    np.testing.assert_allclose(found[0], weights / weights.sum())
    wider = apply_temperature(found, 4.0)[0]
    weights = np.exp([-0.5, -0.125])
    np.testing.assert_allclose(wider, weights / weights.sum())
    equal = nearness(np.array([[0.2, 0.9]]), np.zeros((2, 2)))
    assert equal.argmax() == 0 and equal[0].tolist() == [0.5, 0.5]
