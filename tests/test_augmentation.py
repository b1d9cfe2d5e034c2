"""Augmentation on images small enough to say where every dot must go."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras")

from builder_tools.augmentation import (  # noqa: E402
    AUGMENTATIONS,
    AugmentationStrength,
    RandomColour,
    RandomFaceAffine,
    RandomLight,
    augmentation_model,
    with_augmentation,
)

pytestmark = pytest.mark.slow

SIDE, CENTRE = 49, 24
STILL = {"rotation_deg": 0.0, "scale": (1.0, 1.0), "shift": 0.0, "shear": 0.0}


def noise(count=64, side=16, channels=3) -> np.ndarray:
    shape = (count, side, side, channels)
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)


def dots(count=64, dx=0, dy=0) -> np.ndarray:
    """Gives black images with one bright dot `(dx, dy)` px right of and below the centre."""
    images = np.zeros((count, SIDE, SIDE, 1), np.float32)
    images[:, CENTRE + dy, CENTRE + dx] = 200
    return images


def offsets(images) -> np.ndarray:
    """Gives `(n, 2)`: how far right of and below the centre the brightness sits, px."""
    images = np.asarray(images)[..., 0]
    place = np.arange(SIDE) - CENTRE
    total = images.sum(axis=(1, 2))
    dx = (images * place).sum(axis=(1, 2)) / total
    dy = (images * place[:, None]).sum(axis=(1, 2)) / total
    return np.stack([dx, dy], axis=1)


class Highest(RandomFaceAffine):
    """Draws the upper limit of everything, and so never mirrors."""

    def _uniform(self, count, low, high):
        return keras.ops.full((count,), high)


def changed(layer, images) -> np.ndarray:
    return np.asarray(layer(images, training=True))


@pytest.fixture(scope="module")
def augment():
    return augmentation_model(seed=5)


@pytest.mark.parametrize("channels", [1, 3])
def test_nothing_happens_outside_training(augment, channels):
    images = noise(8, channels=channels)
    np.testing.assert_array_equal(augment(images), images)
    np.testing.assert_array_equal(augment(images, training=False), images)


@pytest.mark.parametrize("channels", [1, 3])
def test_faces_change_and_stay_in_range(channels):
    images = noise(channels=channels)
    images[:8], images[8:16] = 0, 255
    found = changed(augmentation_model(AugmentationStrength(brightness=0.9)), images)
    assert found.shape == images.shape
    assert found.dtype == np.float32
    assert found.min() >= 0 and found.max() <= 255
    assert (np.abs(found - images).mean(axis=(1, 2, 3))[16:] > 1).all()


def test_every_face_is_changed_in_its_own_way():
    images = np.repeat(noise(1), 16, axis=0)
    found = changed(augmentation_model(seed=1), images)
    assert len(np.unique(found.reshape(16, -1), axis=0)) == 16


def test_the_seed_decides():
    images = noise(8)
    one, same, other = (augmentation_model(seed=seed) for seed in (1, 1, 2))
    first = changed(one, images)
    np.testing.assert_array_equal(first, changed(same, images))
    assert not np.allclose(first, changed(other, images))
    second = changed(one, images)
    assert not np.allclose(first, second), "the next batch must be drawn anew"
    np.testing.assert_array_equal(second, changed(same, images))


def test_only_mirroring_is_left_without_limits():
    images = noise()
    strength = AugmentationStrength(**STILL, brightness=0.0, contrast=(1.0, 1.0), erase=0.0)
    found = changed(augmentation_model(strength), images)
    kept = np.isclose(found, images, atol=1e-2).all(axis=(1, 2, 3))
    mirrored = np.isclose(found, images[:, :, ::-1], atol=1e-2).all(axis=(1, 2, 3))
    assert (kept ^ mirrored).all()
    assert 16 <= mirrored.sum() <= 48


def test_shifts_stay_within_their_limit_and_use_it():
    """A twentieth of 49 px is 2.45 px."""
    found = offsets(changed(RandomFaceAffine(**STILL | {"shift": 0.05}, seed=2), dots()))
    assert np.abs(found).max() <= 2.45 + 1e-3
    assert (found.max(axis=0) > 1.5).all() and (found.min(axis=0) < -1.5).all()
    assert abs(np.corrcoef(found.T)[0, 1]) < 0.5, "both ways are drawn apart"


def test_rotation_keeps_the_distance_from_the_centre():
    found = offsets(changed(RandomFaceAffine(**STILL | {"rotation_deg": 30.0}), dots(dy=-12)))
    angle = np.degrees(np.arctan2(found[:, 0], -found[:, 1]))
    np.testing.assert_allclose(np.hypot(*found.T), 12, atol=0.6)
    assert np.abs(angle).max() <= 30 + 2
    assert angle.max() > 15 and angle.min() < -15


def test_zoom_keeps_the_centre_and_its_limits():
    layer = RandomFaceAffine(**STILL | {"scale": (0.5, 2.0)}, seed=3)
    np.testing.assert_allclose(offsets(changed(layer, dots())), 0, atol=1e-3)
    below = offsets(changed(layer, np.maximum(dots(dy=8), dots(dy=9))))[:, 1]
    assert below.min() >= 8.5 * 0.5 - 0.6 and below.max() <= 8.5 * 2 + 0.6
    assert (below < 8).any() and (below > 10).any()


@pytest.mark.parametrize(
    ("limits", "before", "after"),
    [
        # The map leads from the result to the source: 2 px of 49 right there is left here.
        ({"shift": 2 / SIDE}, (0, 0), (-2, -2)),
        # A quarter turn takes right to up and up to left.
        ({"rotation_deg": 90.0}, (5, 0), (0, -5)),
        ({"rotation_deg": 90.0}, (0, -5), (-5, 0)),
        ({"scale": (0.5, 2.0)}, (4, -3), (8, -6)),
        # Where a row lies 4 px below the centre, it moves by 4 times the slope.
        ({"shear": 0.5}, (6, 4), (4, 4)),
        ({"shear": 0.5}, (6, 0), (6, 0)),
        # Result (x, y) shows source (x, y + x / 2).
        ({"vertical_shear": 0.5}, (6, 3), (6, 0)),
        ({"vertical_shear": 0.5}, (0, 4), (0, 4)),
    ],
)
def test_the_highest_draw_worked_by_hand(limits, before, after):
    found = changed(Highest(**STILL | limits), dots(1, *before))
    np.testing.assert_allclose(offsets(found), [after], atol=1e-3)


def test_tilt_worked_by_hand():
    """With the highest draws a result pixel `(x, y)` px off the centre shows what lies
    `(x, y) / (1 + (x + y) / 98)` px off it: 98 is 24.5 px over a tilt of 0.25."""
    layer = Highest(**STILL | {"tilt": 0.25})
    ramp = np.broadcast_to(np.arange(SIDE, dtype=np.float32)[:, None], (SIDE, SIDE))
    images = np.stack([ramp.T, ramp], axis=-1)[None]
    found = changed(layer, images)[0] - CENTRE
    for x, y in ((10, 0), (10, 14), (-20, 4), (0, -24), (-24, -20)):
        expected = np.clip(np.array([x, y]) / (1 + (x + y) / 98), -24, 24)
        np.testing.assert_allclose(found[CENTRE + y, CENTRE + x], expected, atol=1e-3)


def test_tilt_and_its_sampling_agree_with_the_plain_map():
    """A tilt of almost nothing takes the other way to the same images."""
    images = noise(16)
    plain = changed(RandomFaceAffine(seed=4), images)
    np.testing.assert_allclose(
        changed(RandomFaceAffine(tilt=1e-9, seed=4), images), plain, atol=0.05
    )


def test_mirroring_has_a_probability():
    images = noise(200, side=8)
    for share in (0.0, 0.2, 1.0):
        found = changed(RandomFaceAffine(**STILL, mirror=share), images)
        mirrored = np.isclose(found, images[:, :, ::-1], atol=1e-2).all(axis=(1, 2, 3))
        assert abs(mirrored.mean() - share) < 0.1


@pytest.mark.parametrize("channels", [1, 3])
def test_colour_leaves_grey_faces_bit_by_bit(channels):
    grey = np.repeat(noise(32, channels=1), channels, axis=-1) / 7
    layer = RandomColour(saturation=(0.0, 3.0), hue_deg=180.0)
    np.testing.assert_array_equal(changed(layer, grey), grey)


def test_saturation_worked_by_hand():
    """Luma of (200, 100, 50) is 124.2; half as colourful is half way to it, 0 is grey."""
    images = np.tile(np.float32([200, 100, 50]), (1, 4, 4, 1))
    for factor in (0.0, 0.5, 1.0, 1.25):
        found = changed(RandomColour(saturation=(factor, factor)), images)[0, 0, 0]
        expected = 124.2 + factor * (np.array([200, 100, 50]) - 124.2)
        np.testing.assert_allclose(found, expected, atol=1e-3)


def test_hue_turns_colours_and_keeps_luma():
    weights = np.array([0.299, 0.587, 0.114])
    images = np.clip(noise(64), 90, 160)
    found = changed(RandomColour(hue_deg=60.0), images)
    np.testing.assert_allclose(found @ weights, images @ weights, atol=1e-2)
    before, after = (
        np.stack([0.492 * (p[..., 2] - p @ weights), 0.877 * (p[..., 0] - p @ weights)])
        for p in (images, found)
    )
    np.testing.assert_allclose(np.hypot(*after), np.hypot(*before), atol=1e-2)
    turn = np.degrees(np.arctan2(*after[::-1]) - np.arctan2(*before[::-1]))
    turn = (turn + 180) % 360 - 180
    of_face = np.median(turn, axis=(1, 2))
    assert np.abs(of_face).max() <= 60 and of_face.max() > 30 and of_face.min() < -30


def test_named_strengths():
    images = noise(16)
    assert {"off", "light", "full"} <= set(AUGMENTATIONS)
    off = changed(augmentation_model(AUGMENTATIONS["off"]), images)
    np.testing.assert_allclose(off, images, atol=1e-2)
    change = {
        name: np.abs(changed(augmentation_model(strength), images) - images).mean()
        for name, strength in AUGMENTATIONS.items()
    }
    assert change["off"] < change["light"] < change["full"]
    grey = noise(16, channels=1)
    recipe, full = augmentation_model(), augmentation_model(AUGMENTATIONS["full"])
    np.testing.assert_array_equal(changed(recipe, grey), changed(full, grey))


@pytest.mark.parametrize(
    "wrong",
    [
        {"scale": (0.0, 1.0)},
        {"contrast": (1.2, 0.8)},
        {"saturation": (-0.1, 1.0)},
        {"tilt": 0.5},
        {"mirror": 1.1},
        {"rotation_deg": -1.0},
    ],
)
def test_strengths_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        AugmentationStrength(**wrong)


def test_the_strongest_trains_in_a_compiled_graph():
    """TensorFlow rewrites graphs; a tilted one it once broke."""
    network = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(2, 1)])
    network.add(keras.layers.GlobalAveragePooling2D())
    augment = augmentation_model(AUGMENTATIONS["strong"])
    model = with_augmentation(network, augment, size=8, channels=3)
    model.compile("sgd", "mse")
    history = model.fit(noise(12), np.zeros((12, 2)), batch_size=8, epochs=1, verbose=0).history
    assert np.isfinite(history["loss"]).all()


TWO_STEPS = """
import sys
import keras
import numpy as np
from builder_tools.augmentation import (
    AUGMENTATIONS, FaceBatches, augmentation_model, with_augmentation
)

network = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(2, 1)])
network.add(keras.layers.GlobalAveragePooling2D())
augment = augmentation_model(AUGMENTATIONS["strong"])
model = with_augmentation(network, augment, size=8, channels=3)
model.compile("sgd", "mse")
faces = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8)
batches = FaceBatches(faces, np.zeros((8, 2), np.float32), batch_size=4, shuffle_seed=0, workers=2)
history = model.fit(batches, shuffle=False, verbose=0).history
assert np.isfinite(history["loss"]).all() and int(model.optimizer.iterations) == 2
print(keras.backend.backend())
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_the_strongest_trains_under_the_other_back_ends(backend):
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    done = subprocess.run(
        [sys.executable, "-c", TWO_STEPS],
        capture_output=True,
        text=True,
        env=os.environ | {"KERAS_BACKEND": backend},
        timeout=300,
    )
    assert (done.returncode, done.stdout) == (0, f"{backend}\n"), done.stderr[-2000:]


def test_edge_pixels_are_repeated():
    images = np.repeat(np.linspace(10, 200, SIDE, dtype=np.float32)[None, :, None, None], SIDE, 2)
    found = changed(Highest(**STILL | {"shift": 5 / SIDE}), images)
    np.testing.assert_allclose(found[0, -6:], 200, atol=1e-3)
    np.testing.assert_allclose(found[0, :-5], images[0, 5:], atol=1e-2)


def test_brightness_adds_the_same_to_all_pixels_of_a_face():
    images = np.clip(noise(), 60, 190)
    added = changed(RandomLight(brightness=0.2, contrast=(1.0, 1.0)), images) - images
    np.testing.assert_allclose(added.std(axis=(1, 2, 3)), 0, atol=1e-3)
    of_face = added.mean(axis=(1, 2, 3))
    assert np.abs(of_face).max() <= 0.2 * 255
    assert of_face.max() > 25 and of_face.min() < -25


def test_contrast_keeps_the_mean_of_a_face():
    images = np.clip(noise(), 100, 150)
    found = changed(RandomLight(brightness=0.0, contrast=(0.5, 1.5)), images)
    axes = (1, 2, 3)
    np.testing.assert_allclose(found.mean(axis=axes), images.mean(axis=axes), atol=1e-2)
    factor = found.std(axis=axes) / images.std(axis=axes)
    assert 0.5 <= factor.min() < 0.7 and 1.3 < factor.max() <= 1.5


def test_erasing_hits_half_as_many_faces_as_its_highest_probability():
    images = np.zeros((400, 16, 16, 1), np.float32)
    strength = AugmentationStrength(**STILL, brightness=0.0, contrast=(1.0, 1.0), erase=0.8)
    erased = changed(augmentation_model(strength), images) > 0
    share = erased.mean(axis=(1, 2, 3))
    assert 0.3 < (share > 0).mean() < 0.5
    assert share.max() <= 0.2, "a rectangle of 2 to 15 % of the face"


def settings(model) -> str:
    return json.dumps([layer.get_config() for layer in model.layers], default=str)


def test_it_saves_and_reloads(tmp_path):
    images = noise(8)
    model = augmentation_model(AugmentationStrength(rotation_deg=40.0, contrast=(0.2, 3.0)), seed=9)
    model(images)
    model.save(tmp_path / "augmentation.keras")
    loaded = keras.models.load_model(tmp_path / "augmentation.keras")
    assert settings(loaded) == settings(model)
    np.testing.assert_array_equal(changed(loaded, images), changed(model, images))


def test_it_runs_in_float32_under_any_policy():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = augmentation_model()
    finally:
        keras.config.set_dtype_policy("float32")
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}


@pytest.mark.parametrize("channels", [1, 3])
def test_the_training_model_shares_the_networks_weights(channels):
    network = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(2, 1)])
    network.add(keras.layers.GlobalAveragePooling2D())
    model = with_augmentation(network, augmentation_model(), size=8, channels=channels)
    assert [id(w) for w in model.trainable_variables] == [
        id(w) for w in network.trainable_variables
    ]
    images = noise(4, side=16, channels=channels)
    resized = keras.layers.Resizing(8, 8, antialias=True)(images)
    rgb = np.repeat(resized, 3, axis=-1) if channels == 1 else resized
    np.testing.assert_allclose(model(images), network(rgb), atol=1e-4)
    network.set_weights([w + 1 for w in network.get_weights()])
    np.testing.assert_allclose(model(images), network(rgb), atol=1e-4)
