"""What changes a training batch (degrading, mixup, cutmix), and averaged weights."""

import os
from types import SimpleNamespace

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras")

from toy_training import CONFIG, TRAIN, VALID, run_killed, tiny_is_a_network  # noqa: E402, F401

from builder_tools.augmentation import (  # noqa: E402
    DEGRADATIONS,
    FaceBatches,
    degrade_faces,
    mix_faces,
)
from builder_tools.networks import batch_norm_layers  # noqa: E402
from builder_tools.training import Stage, TrainingConfig, train  # noqa: E402
from builder_tools.training.batches import BatchChanges  # noqa: E402
from builder_tools.training.optimizers import OPTIMIZERS, build_optimizer  # noqa: E402

RNG = np.random.default_rng
PAIR = np.stack([np.full((8, 8), 0, np.uint8), np.full((8, 8), 200, np.uint8)])
TARGETS = np.eye(2, dtype=np.float32)


class Dice(SimpleNamespace):
    """A generator whose draws are known."""


def test_mixup_blends_images_and_targets_alike():
    dice = Dice(permutation=lambda n: np.array([1, 0]), beta=lambda a, b: np.array([0.75, 0.4]))
    faces, targets = mix_faces(PAIR, TARGETS, dice, mixup=0.2)
    np.testing.assert_allclose(faces[0], 50, rtol=1e-6)  # 0.75 * 0 + 0.25 * 200
    np.testing.assert_allclose(faces[1], 80, rtol=1e-6)
    np.testing.assert_allclose(targets, [[0.75, 0.25], [0.6, 0.4]], rtol=1e-6)


def test_cutmix_counts_the_pixels_that_were_pasted():
    middles = iter([4, 4, 0, 0])
    dice = Dice(
        permutation=lambda n: np.array([1, 0]),
        beta=lambda a, b: np.array([0.75, 0.75]),
        integers=lambda side: next(middles),
    )
    faces, targets = mix_faces(PAIR, TARGETS, dice, cutmix=1.0)
    # A quarter of 8x8 is 4x4: whole in the middle, a quarter of it left in the corner.
    assert (faces[0] == 200).sum() == 16 and faces[0, 2:6, 2:6].min() == 200
    assert (faces[1] == 0).sum() == 4 and faces[1, :2, :2].max() == 0
    np.testing.assert_allclose(targets, [[0.75, 0.25], [0.0625, 0.9375]])


def test_mixing_keeps_shapes_and_sums():
    faces = RNG(0).integers(0, 256, (16, 6, 6, 3), dtype=np.uint8)
    labels = np.eye(4, dtype=np.float32)[RNG(1).integers(0, 4, 16)]
    mixed, targets = mix_faces(faces, labels, RNG(2), mixup=0.4, cutmix=1.0)
    assert mixed.shape == faces.shape and mixed.min() >= 0 and mixed.max() <= 255
    np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=1e-6)
    assert ((targets > 0).sum(axis=1) <= 2).all()


@pytest.mark.parametrize("number", range(len(DEGRADATIONS)))
@pytest.mark.parametrize("shape", [(32, 32), (32, 32, 3)])
def test_each_degradation_keeps_shape_and_changes_more_when_stronger(number, shape):
    image = np.kron(RNG(3).integers(0, 256, (8, 8)), np.ones((4, 4))).astype(np.uint8)
    image = image if len(shape) == 2 else np.repeat(image[..., None], 3, axis=2)
    change, (low, high) = DEGRADATIONS[number]
    weak, strong = (low, high) if number in (1, 2) else (high, low)
    if number == 4:
        weak, strong = 1.0, high
    changed = [change(image, strength, RNG(4)) for strength in (weak, strong)]
    far = [np.abs(c.astype(int) - image).mean() for c in changed]
    assert all(c.shape == shape and c.dtype == np.uint8 for c in changed)
    assert far[1] > far[0], "the stronger one is farther from the image"


def test_degrading_touches_the_share_asked_for():
    faces = RNG(5).integers(0, 256, (400, 16, 16), dtype=np.uint8)
    before = faces.copy()
    found = degrade_faces(faces, RNG(6), probability=0.3)
    touched = (found != before).any(axis=(1, 2)).mean()
    assert 0.24 < touched < 0.36
    np.testing.assert_array_equal(faces, before)
    np.testing.assert_array_equal(degrade_faces(faces, RNG(6), probability=0.3), found)


def test_batches_change_anew_each_epoch_and_alike_each_time():
    faces = RNG(7).integers(0, 256, (20, 8, 8), dtype=np.uint8)
    targets = np.eye(2, dtype=np.float32)[np.arange(20) % 2]
    options = {"batch_size": 8, "shuffle_seed": 1}
    batches = FaceBatches(faces, targets, changes=BatchChanges(degrade=1.0), **options)
    plain = FaceBatches(faces, targets, **options)
    first = batches[0][0]
    assert first.shape == plain[0][0].shape and not np.array_equal(first, plain[0][0])
    np.testing.assert_array_equal(batches[0][0], first)
    batches.start_epoch(1)
    batches.start_epoch(0)
    np.testing.assert_array_equal(batches[0][0], first)
    with pytest.raises(ValueError, match="shuffle_seed"):
        FaceBatches(faces, targets, changes=BatchChanges(mixup=0.2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"degrade": 1.5}, "degrade in"),
        ({"mixup": -1}, "mixup >= 0"),
        ({"ema_decay": 1.0}, "ema_decay in"),
        ({"ema_decay": 0.9, "patience": 2}, "without early stopping"),
    ],
)
def test_bad_values_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**CONFIG, **change)


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_an_average_of_weights_by_hand(name):
    """Weights w1, w2, w3 after three steps at 0.5: (w1 / 4 + w2 / 2 + w3) / (7 / 4)."""
    optimizer = build_optimizer(name, 0.1, weight_decay=0.0, ema_decay=0.5)
    weight, after = keras.Variable([4.0, -2.0]), []
    for gradient in ([1.0, 3.0], [-2.0, 1.0], [0.5, 0.5]):
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [weight])
        after.append(keras.ops.convert_to_numpy(weight).copy())
    optimizer.finalize_variable_values([weight])
    expected = (after[0] / 4 + after[1] / 2 + after[2]) / 1.75
    np.testing.assert_allclose(keras.ops.convert_to_numpy(weight), expected, rtol=1e-5)


def test_an_average_that_hardly_forgets_is_the_mean():
    optimizer = build_optimizer("sgd", 1.0, weight_decay=0.0, ema_decay=1 - 1e-9)
    weight = keras.Variable([0.0])
    for gradient in ([-1.0], [-1.0], [-4.0]):  # Without momentum 1, 2, 6.
        optimizer.momentum, optimizer.nesterov = 0.0, False
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [weight])
    optimizer.finalize_variable_values([weight])
    np.testing.assert_allclose(keras.ops.convert_to_numpy(weight), [3], rtol=1e-5)


@pytest.mark.slow
def test_averaged_weights_end_alike_in_one_and_in_pieces(tmp_path):
    config = TrainingConfig(**CONFIG, ema_decay=0.8, degrade=0.3, mixup=0.2)
    whole = train(config, TRAIN, VALID, tmp_path / "whole")
    run_killed(tmp_path / "pieces", epoch=2, config=config)
    pieces = train(config, TRAIN, VALID, tmp_path / "pieces")
    for one, other in zip(whole.model.get_weights(), pieces.model.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert whole.history["val_accuracy"].iloc[-1] > 0.6, "it learns the toy all the same"


@pytest.mark.slow
def test_the_network_holds_the_average_and_not_the_last_weights(tmp_path):
    short = CONFIG | {"stages": (Stage(12, 2),)}
    plain = TrainingConfig(**short)
    averaged = TrainingConfig(**short, ema_decay=0.95)
    one, other = (train(c, TRAIN, VALID, None).model for c in (plain, averaged))
    far = [
        np.abs(a - b).mean() for a, b in zip(one.get_weights(), other.get_weights(), strict=True)
    ]
    assert max(far) > 1e-3


def test_quick_batch_norm_follows_a_short_run():
    """Two epochs of a few steps: with momentum 0.5 the running mean is that of the last steps."""
    means, short = {}, CONFIG | {"stages": (Stage(12, 2),)}
    for momentum in (0.99, 0.5):
        config = TrainingConfig(**short | {"batch_norm_momentum": momentum, "learning_rate": 1e-6})
        (first, *_) = batch_norm_layers(train(config, TRAIN, VALID, None).model)
        means[momentum] = np.abs(np.asarray(first.moving_mean)).mean(), first.momentum
    assert means[0.5][1] == 0.5
    assert means[0.5][0] > 2 * means[0.99][0] > 0


def test_a_batch_norm_momentum_of_one_is_refused():
    with pytest.raises(ValueError, match=r"batch_norm_momentum in \[0, 1\).*1\.5"):
        TrainingConfig(batch_norm_momentum=1.5)
