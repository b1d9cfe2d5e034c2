"""Batch normalisation in one operation, as training on TensorFlow uses it."""

import os

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras")

from builder_tools.networks import (  # noqa: E402
    Head,
    batch_norm_layers,
    build_network,
    fused_batch_norm,
)

FACES = np.random.default_rng(0).uniform(0, 255, (12, 24, 24, 3)).astype(np.float32)
TARGETS = np.eye(9, dtype=np.float32)[np.arange(12) % 9]


def after_steps(network: keras.Model, *, fused: bool, frozen: bool = False) -> list[np.ndarray]:
    """Return the weights after three steps on copies of a network."""
    copy = keras.models.clone_model(network)
    copy.set_weights(network.get_weights())
    for layer in batch_norm_layers(copy):
        layer.trainable = not frozen
    loss = "categorical_crossentropy"
    copy.compile(keras.optimizers.SGD(0.01), loss, run_eagerly=True)
    for _ in range(3):
        if fused:
            with fused_batch_norm(copy):
                copy.train_on_batch(FACES, TARGETS)
        else:
            copy.train_on_batch(FACES, TARGETS)
    return copy.get_weights()


@pytest.mark.parametrize("frozen", [False, True])
def test_training_is_the_same_but_for_rounding(frozen):
    keras.utils.set_random_seed(0)
    network = build_network("compact_tiny", 9, 24, head=Head(dropout=0.0))
    own = after_steps(network, fused=False, frozen=frozen)
    for fused, plain in zip(after_steps(network, fused=True, frozen=frozen), own, strict=True):
        np.testing.assert_allclose(fused, plain, rtol=1e-3, atol=1e-5)


def layer_of(**options) -> tuple[keras.Model, keras.layers.BatchNormalization]:
    shape = options.pop("shape", (1, 2, 1))
    inputs = keras.Input(shape)
    layer = keras.layers.BatchNormalization(momentum=0.5, epsilon=1.0, **options)
    return keras.Model(inputs, layer(inputs)), layer


def test_statistics_by_hand():
    network, layer = layer_of()
    seen = np.array([1, 3, 5, 7], np.float32).reshape(2, 1, 2, 1)  # mean 4, variance 5
    with fused_batch_norm(network):
        out = np.asarray(network(seen, training=True)).ravel()
    np.testing.assert_allclose(out, np.array([-3, -1, 1, 3]) / np.sqrt(6), rtol=1e-5)
    assert float(layer.moving_mean.numpy()[0]) == 2.0  # half of 0, half of 4
    assert float(layer.moving_variance.numpy()[0]) == pytest.approx(3.0)  # half of 1, half of 5
    with fused_batch_norm(network):
        out = np.asarray(network(seen, training=False)).ravel()
    np.testing.assert_allclose(out, (seen.ravel() - 2) / np.sqrt(4), rtol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"scale": False},
        {"center": False},
        {"renorm": True},
        {"shape": (5,)},
        {"axis": 1, "shape": (3, 4, 4)},
    ],
    ids=str,
)
def test_every_form_of_layer_keeps_its_answer(options):
    network, layer = layer_of(**options)
    shape = (6, *network.input_shape[1:])
    seen = np.random.default_rng(1).normal(3, 2, shape).astype(np.float32)
    begun = layer.get_weights()
    plain = np.asarray(network(seen, training=True))
    layer.set_weights(begun)
    with fused_batch_norm(network):
        np.testing.assert_allclose(np.asarray(network(seen, training=True)), plain, atol=1e-5)


def test_masked_pixels_do_not_count():
    inputs = keras.Input((2, 2, 3))
    layer = keras.layers.BatchNormalization(momentum=0.5)
    network = keras.Model(inputs, layer(keras.layers.Masking()(inputs)))
    seen = np.random.default_rng(1).normal(3, 2, (4, 2, 2, 3)).astype(np.float32)
    seen[:, 0] = 0
    begun = layer.get_weights()
    plain = np.asarray(network(seen, training=True))
    mean = layer.moving_mean.numpy()
    layer.set_weights(begun)
    with fused_batch_norm(network):
        np.testing.assert_allclose(np.asarray(network(seen, training=True)), plain, atol=1e-5)
    np.testing.assert_allclose(layer.moving_mean.numpy(), mean, atol=1e-5)


def test_low_precision_keeps_statistics_in_float32():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network, layer = layer_of()
        seen = np.linspace(250, 260, 200, dtype=np.float32).reshape(100, 1, 2, 1)
        with fused_batch_norm(network):
            assert keras.ops.dtype(network(seen, training=True)) == "bfloat16"
    finally:
        keras.config.set_dtype_policy(policy)
    assert float(layer.moving_mean.numpy()[0]) == pytest.approx(127.5, abs=0.2)


def test_layers_are_themselves_afterwards_even_after_an_error():
    network, layer = layer_of()
    with pytest.raises(ZeroDivisionError), fused_batch_norm(network):
        raise ZeroDivisionError
    assert "call" not in vars(layer) and network.to_json()
