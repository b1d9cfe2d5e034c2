"""Augmentation on pictures small enough to say where every dot must go."""

import json
import os

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras")

from builder_tools.augmentation import (  # noqa: E402
    AugmentationStrength,
    FaceBatches,
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
    """Gives black pictures with one bright dot `(dx, dy)` px right of and below the centre."""
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
    ],
)
def test_the_highest_draw_worked_by_hand(limits, before, after):
    found = changed(Highest(**STILL | limits), dots(1, *before))
    np.testing.assert_allclose(offsets(found), [after], atol=1e-3)


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


def numbered(count=10):
    """Gives pictures and targets that both tell their number."""
    numbers = np.arange(count)
    images = np.broadcast_to(numbers[:, None, None], (count, 4, 4)).astype(np.uint8)
    return images, np.stack([numbers, -numbers], axis=1).astype(np.float32)


def order_of(batches: FaceBatches) -> list[int]:
    order = []
    for index in range(len(batches)):
        images, targets = batches[index]
        numbers = images[:, 0, 0, 0]
        assert (images == numbers[:, None, None, None]).all()
        np.testing.assert_array_equal(targets, np.stack([numbers, -numbers], axis=1))
        order += numbers.astype(int).tolist()
    return order


def test_batches_keep_targets_beside_their_faces():
    batches = FaceBatches(*numbered(), batch_size=4)
    assert [len(batches[i][0]) for i in range(len(batches))] == [4, 4, 2]
    assert batches[0][0].shape == (4, 4, 4, 1)
    assert batches[0][0].dtype == batches[0][1].dtype == np.float32
    assert order_of(batches) == list(range(10))
    colour = FaceBatches(np.zeros((3, 4, 4, 3), np.uint8), np.zeros((3, 2)), batch_size=2)
    assert colour[0][0].shape == (2, 4, 4, 3)


def test_the_order_follows_from_seed_and_epoch():
    def order(seed, epoch):
        batches = FaceBatches(*numbered(), batch_size=4, shuffle_seed=seed)
        batches.start_epoch(7)
        batches.start_epoch(epoch)
        return order_of(batches)

    orders = [order(seed, epoch) for seed in (0, 1) for epoch in (0, 1, 2)]
    assert all(sorted(found) == list(range(10)) for found in orders)
    assert len(set(map(tuple, orders))) == 6
    assert order(1, 2) == orders[-1]
    assert order_of(FaceBatches(*numbered(), shuffle_seed=1)) == orders[3], "epoch 0 comes first"


def test_fit_sees_every_face_once_in_the_given_order():
    """Keras would shuffle batches and call the end of epochs more often than they end."""
    seen = []

    class Spy(FaceBatches):
        def __getitem__(self, index):
            images, targets = super().__getitem__(index)
            seen.append(images[:, 0, 0, 0].astype(int).tolist())
            return images, targets

    batches = Spy(*numbered(), batch_size=4, shuffle_seed=3)
    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten()])
    model.add(keras.layers.Dense(2))
    model.compile("sgd", "mse")
    begin = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, _: batches.start_epoch(epoch)
    )
    model.fit(batches, shuffle=False, epochs=2, verbose=0, callbacks=[begin])
    expected = []
    for epoch in range(2):
        plain = FaceBatches(*numbered(), batch_size=4, shuffle_seed=3)
        plain.start_epoch(epoch)
        expected += [plain[i][0][:, 0, 0, 0].astype(int).tolist() for i in range(3)]
    assert seen[-6:] == expected


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
