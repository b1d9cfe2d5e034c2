"""The parts of training by hand: losses, weights of classes, figures, optimisers, epochs."""

import os
from types import SimpleNamespace

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras")

from builder_tools.training.batches import StreamedBatches  # noqa: E402
from builder_tools.training.callbacks import DRAWS_PER_EPOCH, seed_generators  # noqa: E402
from builder_tools.training.losses import EmotionLoss, class_weights  # noqa: E402
from builder_tools.training.objectives import validation_figures  # noqa: E402
from builder_tools.training.optimizers import OPTIMIZERS, build_optimizer  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_every_optimizer_can_do_without_weight_decay(name):
    weight = keras.Variable([3.0])
    build_optimizer(name, 0.1, weight_decay=0).apply([keras.ops.zeros(1)], [weight])
    assert keras.ops.convert_to_numpy(weight) == [3]


def test_loss_by_hand():
    """Targets (1, 0) and (1/2, 1/2), probabilities (0.8, 0.2): -ln 0.8 and -(ln 0.16) / 2."""
    y, p = np.array([[1.0, 0.0], [0.5, 0.5]]), np.array([[0.8, 0.2], [0.8, 0.2]])
    plain = np.array(EmotionLoss(reduction=None)(y, p))
    np.testing.assert_allclose(plain, [0.22314, 0.91629], atol=1e-4)
    weighted = np.array(EmotionLoss([2.0, 1.0], reduction=None)(y, p))
    np.testing.assert_allclose(weighted, [0.44629, 1.02786], atol=1e-4)
    focal = np.array(EmotionLoss(gamma=2.0, reduction=None)(y, p))
    np.testing.assert_allclose(focal, [0.22314 * 0.04, 0.0044629 + 0.515], atol=1e-4)
    smooth = np.array(EmotionLoss(label_smoothing=0.2, reduction=None)(y, p))
    np.testing.assert_allclose(smooth, [0.9 * 0.22314 + 0.1 * 1.60944, 0.91629], atol=1e-4)


def test_focus_by_hand():
    """Probability 0.8 of the target: -ln 0.8 * 0.2 ** gamma; a certain answer costs nothing."""
    y, p = np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[0.8, 0.2], [1.0, 0.0]])
    for gamma in (0.0, 0.25, 0.5, 1.0, 2.0):
        found = np.array(EmotionLoss(gamma=gamma, reduction=None)(y, p))
        np.testing.assert_allclose(found, [0.223143551 * 0.2**gamma, 0], rtol=1e-6)


@pytest.mark.parametrize("gamma", [0.25, 0.5, 1.0])
def test_a_certain_answer_does_not_break_the_weights(gamma):
    """A softmax of 0 and 90 is exactly 0 and 1, whichever of them is right."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2, activation="softmax")])
    model.set_weights([np.array([[0.0, 90.0]]), np.zeros(2)])
    model.compile(keras.optimizers.SGD(0.1), EmotionLoss(gamma=gamma))
    model.train_on_batch(np.ones((2, 1)), np.eye(2))
    assert all(np.isfinite(weights).all() for weights in model.get_weights())


def test_class_weights_by_hand():
    """Shares 3/4 and 1/4: inverse 4/3 and 4, made so that the average face weighs 1."""
    targets = np.eye(2)[[0, 0, 0, 1]]
    assert class_weights(targets, 0.0) is None
    np.testing.assert_allclose(class_weights(targets, 1.0), [2 / 3, 2])
    weights = class_weights(targets, 0.5)
    np.testing.assert_allclose(weights[1] / weights[0], 3**0.5)
    np.testing.assert_allclose((weights * [0.75, 0.25]).sum(), 1)
    with pytest.raises(ValueError, match=r"face of every class.*none with label \[1\]"):
        class_weights(np.eye(2)[[0, 0]], 1.0)


def test_what_targets_leave_open_does_not_weigh_classes():
    """The part that a teacher fills is missing in some rows, or all of a row."""
    labelled = np.eye(2, dtype=np.float32)[[0, 0, 0, 1]]
    opened = np.concatenate([0.3 * labelled, np.zeros((96, 2), np.float32)])
    for power in (0.5, 1.0):
        expected = class_weights(labelled, power)
        np.testing.assert_allclose(class_weights(opened, power), expected, rtol=1e-5)
    with pytest.raises(ValueError, match=r"face of every class.*none with label \[0, 1\]"):
        class_weights(opened[4:], 1.0)


def test_validation_figures_by_hand():
    targets = np.eye(2)[[0, 0, 1]]
    found = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])
    figures = validation_figures(targets, found)
    assert figures["val_accuracy"] == pytest.approx(2 / 3)
    assert figures["val_macro_f1"] == pytest.approx(2 / 3)
    assert figures["val_loss"] == pytest.approx(-np.log([0.9, 0.4, 0.8]).mean())


def test_an_epoch_of_any_length_goes_through_all_faces_evenly():
    """Epochs of 4 out of 6 faces: 3 epochs are 2 whole passes."""
    images = np.arange(6, dtype=np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8)
    batches = StreamedBatches(images, np.eye(6), epoch_faces=4, batch_size=3, shuffle_seed=1)
    assert len(batches) == 2
    seen = []
    for epoch in range(3):
        batches.start_epoch(epoch)
        faces = [batches[i][0][:, 0, 0, 0] for i in range(len(batches))]
        assert [len(batch) for batch in faces] == [3, 1]
        seen += [int(face) for batch in faces for face in batch]
    assert sorted(seen[:6]) == sorted(seen[6:]) == list(range(6))
    batches.start_epoch(1)
    assert batches[0][0][0, 0, 0, 0] == seen[4]


@pytest.mark.parametrize("dtype", ["int64", "uint32", "int32"])
@pytest.mark.parametrize("seed", [0, 4_294_968, 20_261_128, 2**32 - 1])
def test_seeds_of_any_size_fit_the_generators_of_every_back_end(seed, dtype):
    """Those of TensorFlow have 64 bits, and keep the draws they had; JAX and PyTorch have 32."""
    states = []
    state = SimpleNamespace(name="seed_generator_state", dtype=dtype, assign=states.append)
    for epoch in (0, 1, 3000):
        seed_generators(SimpleNamespace(variables=[state] * 2), seed, epoch * DRAWS_PER_EPOCH)
    assert np.min(states) >= 0 and np.max(states) <= np.iinfo(dtype).max
    assert len(np.unique(states, axis=0)) == 6, "every generator has other draws in every epoch"
    if dtype == "int64":
        assert states[-1] == [1000 * seed + 1, 3000 * DRAWS_PER_EPOCH]


def test_generators_of_a_network_take_large_seeds():
    model = keras.Sequential([keras.Input((4,)), *map(keras.layers.Dropout, (0.5, 0.5))])
    seed_generators(model, 2**32 - 1, DRAWS_PER_EPOCH)
    states = np.array([keras.ops.convert_to_numpy(v) for v in model.variables])
    assert (states[:, 1] == DRAWS_PER_EPOCH).all() and states[0, 0] + 1 == states[1, 0]
