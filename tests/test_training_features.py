"""Features of frozen layers: where a network is cut, what the cache keeps, and that training on
them is training without them."""

import os
import time
from dataclasses import replace

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras")

from toy_training import TRAIN, VALID, Killed, toy_samples  # noqa: E402

from builder_tools.augmentation import AUGMENTATIONS  # noqa: E402
from builder_tools.networks import NETWORKS, Head, build_network, set_trainable  # noqa: E402
from builder_tools.networks.spec import NetworkSpec  # noqa: E402
from builder_tools.training import Stage, TrainingConfig, features, train  # noqa: E402
from builder_tools.training.batches import FeatureCopies  # noqa: E402
from builder_tools.training.features import cached_features, split_at_frozen  # noqa: E402

CUTS = {
    ("face_mobilenet", "head"): (1024,),
    ("face_mobilenet", 3): (2, 2, 1024),
    ("face_mobilenet", 15): (4, 4, 512),
    ("efficientnet_lite0", 20): (2, 2, 192),
    ("residual", 1): (32, 32, 6),
    ("noisy", "head"): (32, 32, 6),
}
"""What leaves the frozen part of a network of 64 px."""


def residual(input_size, weights=None, dropout=0.0):
    """Two convolutions with a shortcut around the second, and a third above them."""
    inputs = keras.Input((input_size, input_size, 3))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.Conv2D(6, 3, strides=2, padding="same", activation="relu")(x)
    x = shortcut = keras.layers.BatchNormalization()(x)
    x = keras.layers.Conv2D(6, 3, padding="same", activation="relu")(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Add()([x, shortcut])
    x = keras.layers.Dropout(dropout)(x)
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu")(x)
    return keras.Model(inputs, x, name="backbone")


def noisy(input_size, weights=None):
    """The same with dropout below the third convolution."""
    return residual(input_size, weights, dropout=0.2)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """The cache of features lies in the test's folder, and the toys are registered."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for backbone in (residual, noisy):
        spec = NetworkSpec(backbone, 16, "a toy", min_size=8, any_size=True)
        monkeypatch.setitem(NETWORKS, backbone.__name__, spec)
    return tmp_path / "cache" / "builder_tools" / "features"


def config(**changes) -> TrainingConfig:
    plain = TrainingConfig(
        network="residual",
        head=Head(dense=(8,), dropout=0.3),
        stages=(Stage(16, 2, "head"), Stage(16, 2, 1)),
        batch_size=16,
        learning_rate=0.02,
        precision="float32",
        keep="best",
        augmentation=AUGMENTATIONS["off"],
        seed=3,
    )
    return replace(plain, **changes)


def lower_part(*, network: str = "residual", seed: int = 0) -> keras.Model:
    keras.utils.set_random_seed(seed)
    below, _ = split_at_frozen(set_trainable(build_network(network, 3), "head"))
    return below


def cached(faces=TRAIN.images, *, below=None, size=16, augmented=True, **changes):
    """Return what is cached of the lower part of the toy: by default two light copies."""
    options = {"feature_copies": 2, "augmentation": AUGMENTATIONS["light"], **changes}
    below = below or lower_part()
    return cached_features(below, faces, config(**options), size=size, augmented=augmented)


@pytest.mark.parametrize(
    ("changes", "colour"), [({}, False), ({"ema_decay": 0.9}, True), ({"balanced_batches": 1}, 0)]
)
def test_the_history_is_that_without_the_cache(changes, colour, tmp_path):
    faces = [TRAIN, VALID]
    if colour:
        faces = [replace(part, images=np.stack([part.images] * 3, -1)) for part in faces]
    plain = train(config(**changes), *faces, None)
    run = train(config(feature_copies=3, **changes), *faces, tmp_path / "run")
    columns = ["epoch", "phase", "loss", "accuracy", "val_loss", "val_accuracy", "val_macro_f1"]
    np.testing.assert_allclose(run.history[columns], plain.history[columns], rtol=1e-4)
    for expected, found in zip(plain.model.get_weights(), run.model.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_run_caches_one_set_a_phase_and_goes_on_from_it(own_cache, tmp_path, monkeypatch):
    """Without augmentation one copy is enough: after the pooling, and below the last layer."""
    once = train(config(feature_copies=3, precision="mixed_bfloat16"), TRAIN, VALID, None)
    arrays = [np.load(file, mmap_mode="r") for file in own_cache.iterdir()]
    assert sorted(array.shape for array in arrays) == [
        *[(30, 8), (30, 8, 8, 6), (71, 8), (71, 8, 8, 6)]
    ]
    assert {array.dtype for array in arrays} == {np.dtype(np.float16)}
    monkeypatch.setattr(features, "_computed", None)
    again = train(config(feature_copies=3, precision="mixed_bfloat16"), TRAIN, VALID, None)
    np.testing.assert_allclose(again.history["val_loss"], once.history["val_loss"], rtol=1e-3)


def test_epochs_take_the_copies_in_turn():
    copies = FeatureCopies([np.full((4, 2), number) for number in range(3)])
    seen = []
    for epoch in range(4):
        copies.start_epoch(epoch)
        seen.append(copies[np.array([1, 3])].max())
    assert seen == [0, 1, 2, 0]


def test_a_run_trains_on_the_copy_of_the_epoch(monkeypatch):
    seen = []
    monkeypatch.setattr(FeatureCopies, "start_epoch", lambda self, epoch: seen.append(epoch))
    monkeypatch.setattr(FeatureCopies, "copy", property(lambda self: self.copies[0]), raising=False)
    stages = (Stage(16, 3, "head"),)
    train(config(feature_copies=1, stages=stages), TRAIN, VALID, None)
    assert seen[-3:] == [0, 1, 2]


def test_copies_differ_and_stay_the_same_when_asked_again(own_cache):
    first, second = cached().copies
    assert (np.abs(first - second).max(axis=1) > 0).all()
    for file in own_cache.iterdir():
        file.unlink()
    np.testing.assert_allclose(cached().copies[1], second, atol=1e-6)


@pytest.mark.parametrize("content", [b"", b"no array", None])
def test_damaged_files_of_the_cache_are_made_again(own_cache, content):
    first, _ = (np.array(copy) for copy in cached().copies)
    for file in own_cache.iterdir():
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2] if content is None else content)
    np.testing.assert_allclose(cached().copies[0], first, atol=1e-6)


def test_copies_are_features_of_faces_as_they_are_where_nothing_changes_them():
    below = lower_part()
    faces = np.repeat(VALID.images[..., None], 3, axis=-1).astype(np.float32)
    resized = keras.ops.image.resize(faces, (16, 16), antialias=True)
    for found in (
        cached(VALID.images, below=below, augmented=False),
        cached(VALID.images, below=below, augmentation=AUGMENTATIONS["off"]),
    ):
        assert len(found.copies) == 1
        np.testing.assert_allclose(found[np.arange(30)], below(resized), atol=1e-5)


@pytest.mark.parametrize(
    "changed",
    [
        {"below": 1},
        {"faces": toy_samples(71, 5).images},
        {"size": 20},
        {"seed": 4},
        {"degrade": 1.0},
        {"precision": "mixed_bfloat16"},
        {"augmentation": AUGMENTATIONS["full"]},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_what_features_follow_from_is_in_their_name(changed, own_cache):
    cached()
    before = set(own_cache.iterdir())
    if "below" in changed:
        changed = {"below": lower_part(seed=1)}
    cached(**changed)
    assert len(set(own_cache.iterdir()) - before) == 2


def test_nothing_is_computed_again(own_cache, monkeypatch):
    cached()
    stored = {path: path.stat().st_ino for path in own_cache.rglob("*")}
    monkeypatch.setattr(features, "_computed", None)
    cached()
    cached(learning_rate=0.1, head=Head(dense=(12,)))
    assert {path: path.stat().st_ino for path in own_cache.rglob("*")} == stored


def test_what_was_killed_keeps_the_copies_that_are_whole(own_cache, monkeypatch):
    computed = features._computed

    def killed(*given, copy, changed):
        yield from () if copy else computed(*given, copy=copy, changed=changed)
        if copy:
            raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(features, "_computed", killed)
        cached()
    (left,) = own_cache.iterdir()
    written = left.stat().st_ino
    assert len(cached().copies) == 2
    assert left.stat().st_ino == written


def test_the_longest_unused_make_room(own_cache, monkeypatch):
    """A copy is 71 vectors of 8 float32 and a header of 128 bytes: 2,400 bytes."""
    monkeypatch.setattr(features, "LIMIT_BYTES", 3 * 2_400)
    for seed, age_s in ((1, 300), (2, 200), (3, 100)):
        before = set(own_cache.iterdir()) if own_cache.is_dir() else set()
        cached(seed=seed, feature_copies=1)
        (new,) = set(own_cache.iterdir()) - before
        os.utime(new, (time.time() - age_s,) * 2)
    cached(seed=1, feature_copies=1)
    oldest = min(own_cache.iterdir(), key=lambda file: file.stat().st_mtime)
    cached(seed=4, feature_copies=1)
    assert not oldest.exists()
    assert len(list(own_cache.iterdir())) == 3


def test_more_than_the_cache_may_hold_is_refused_before_anything_is_written(
    own_cache, monkeypatch, tmp_path
):
    monkeypatch.setattr(features, "LIMIT_BYTES", 20_000)
    too_many = config(feature_copies=9, augmentation=AUGMENTATIONS["light"])
    with pytest.raises(ValueError, match=r"Received: 9 copies of .* GiB. Ask for fewer copies"):
        train(too_many, TRAIN, VALID, tmp_path / "run")
    assert not list(own_cache.iterdir())
    assert not (tmp_path / "run" / "config.json").exists()


def test_features_that_half_precision_cannot_hold_are_refused(own_cache):
    inputs = keras.Input((16, 16, 3))
    large = keras.Model(inputs, keras.layers.Rescaling(1e5)(inputs))
    with pytest.raises(ValueError, match=r"finite features in float16.*Train in float32"):
        cached(below=large, precision="mixed_bfloat16")
    assert not list(own_cache.iterdir())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mixup": 0.2}, "no mixup and no cutmix with cached features"),
        ({"stages": (Stage(16, 2),)}, "a stage with frozen layers to cache"),
        ({"feature_copies": -1}, "feature_copies >= 0"),
    ],
)
def test_what_cannot_be_cached_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        config(**{"feature_copies": 2, **changes})


def test_teachers_that_see_augmented_faces_are_refused():
    teacher = build_network("residual", 3, 20)
    with pytest.raises(ValueError, match="no cached features with teachers"):
        train(config(feature_copies=1), TRAIN, VALID, None, teacher=teacher)


@pytest.mark.parametrize(("network", "learns"), CUTS)
def test_networks_are_cut_where_one_tensor_goes_on(network, learns):
    whole = set_trainable(build_network(network, 9, 64), learns)
    below, above = split_at_frozen(whole)
    assert below.output_shape[1:] == CUTS[network, learns]
    assert not below.trainable_variables
    assert [v.path for v in above.trainable_variables] == [
        v.path for v in whole.trainable_variables
    ]
    faces = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)).astype(np.float32)
    found, expected = above(keras.ops.convert_to_tensor(below(faces))), whole(faces)
    np.testing.assert_allclose(*map(keras.ops.convert_to_numpy, (found, expected)), atol=1e-5)


@pytest.mark.parametrize("network", ["residual", "vgg16"])  # that one begins with no layers
def test_a_network_that_learns_altogether_is_not_cut(network):
    assert split_at_frozen(set_trainable(build_network(network, 3, 32), "all")) is None
