"""Batch normalisation: its momentum, in one operation, and restored where it was folded."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

import keras
import numpy as np
from keras import ops


def batch_norm_layers(network: keras.Model) -> Iterator[keras.layers.BatchNormalization]:
    """Yield the batch normalisations of a network, including those inside its backbone."""
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            yield from batch_norm_layers(layer)
        elif isinstance(layer, keras.layers.BatchNormalization):
            yield layer


def set_batch_norm_momentum(network: keras.Model, momentum: float) -> keras.Model:
    """Set the share of running statistics that batch normalisation keeps per step; then compile.

    Keras' networks keep 0.99 or 0.999: after a run of a few hundred steps, they are evaluated with
    statistics mostly from the random start, and look as if they had learnt nothing. PyTorch's
    default is 0.9.

    Args:
        network: Any network.
        momentum: In [0, 1).
    """
    for layer in batch_norm_layers(network):
        layer.momentum = momentum
    return network


@contextlib.contextmanager
def fused_batch_norm(network: keras.Model) -> Iterator[None]:
    """Compute batch normalisations of images in one operation each, while this is entered.

    With TensorFlow, Keras computes each in a dozen operations, in float32, which on a CPU takes
    about half of the time of a compact network's training. What comes out is the same but for
    rounding. Other backends fuse them themselves, so nothing changes there.

    Args:
        network: Any network. Graphs traced meanwhile keep the fused operations.
    """
    fused = []
    if keras.backend.backend() == "tensorflow":
        fused = [layer for layer in batch_norm_layers(network) if _is_plain(layer)]
    for layer in fused:
        layer.call = functools.partial(_call_fused, layer)
    try:
        yield
    finally:
        for layer in fused:
            del layer.call


def _is_plain(layer: keras.layers.BatchNormalization) -> bool:
    # Keras 3.12 knows no `renorm`.
    return not layer.synchronized and not getattr(layer, "renorm", False)


def _call_fused(layer: keras.layers.BatchNormalization, inputs, training=None, mask=None):
    """Do what `layer.call` does."""
    import tensorflow as tf

    is_image = len(inputs.shape) == 4 and layer.axis in (-1, 3) and mask is None
    if not is_image or inputs.dtype == tf.float64:
        return type(layer).call(layer, inputs, training=training, mask=mask)
    learns = bool(training) and layer.trainable
    found = tf.raw_ops.FusedBatchNormV3(
        x=inputs,
        scale=layer.gamma if layer.scale else tf.ones_like(layer.moving_mean),
        offset=layer.beta if layer.center else tf.zeros_like(layer.moving_mean),
        mean=[] if learns else layer.moving_mean,
        variance=[] if learns else layer.moving_variance,
        epsilon=layer.epsilon,
        is_training=learns,
    )
    if learns:
        count = tf.cast(tf.size(inputs) // tf.shape(inputs)[-1], tf.float32)
        # TensorFlow gives the variance of a sample, Keras averages that of the batch.
        variance = found.batch_variance * (count - 1) / count
        kept, new = layer.momentum, 1 - layer.momentum
        layer.moving_mean.assign(layer.moving_mean * kept + found.batch_mean * new)
        layer.moving_variance.assign(layer.moving_variance * kept + variance * new)
    return found.y


def set_folded(
    backbone: keras.Model, name: str, kernel: np.ndarray, scale: np.ndarray, offset: np.ndarray
) -> None:
    """Fill a convolution and the normalisation after it, for a network published without one.

    The normalisation gets statistics of 0 and 1 and computes `scale * x + offset`.

    Args:
        backbone: Has layers `<name>` (without bias) and `<name>_bn`.
        name: Name of the convolution.
        kernel: Its weights.
        scale: `(channels,)` float32.
        offset: `(channels,)` float32.
    """
    backbone.get_layer(name).set_weights([kernel])
    layer = backbone.get_layer(f"{name}_bn")
    gamma = scale * np.float32(np.sqrt(1 + layer.epsilon))
    layer.set_weights([gamma, offset, np.zeros_like(offset), np.ones_like(offset)])


def restore_batch_norm(backbone: keras.Model, faces: np.ndarray) -> keras.Model:
    """Give batch normalisations the statistics of faces, leaving outputs unchanged.

    Published networks come with normalisation folded into the convolutions. The layers that
    replace it have statistics of no data, and training would start by shifting every activation.
    Here each layer gets the mean and variance of its input, and the scale and offset that undo
    the change.

    Args:
        backbone: A functional model whose normalisations run over the last axis.
        faces: `(n, size, size, 3)` RGB 0...255 at the training size; a few hundred.

    Returns:
        The backbone.
    """
    normalisations = list(batch_norm_layers(backbone))
    moments = [
        ops.stack([ops.mean(power, axis=(1, 2)) for power in (seen, ops.square(seen))], axis=1)
        for seen in (layer.input for layer in normalisations)
    ]
    probe = keras.Model(backbone.inputs, ops.concatenate(moments, axis=-1))
    found = probe.predict(faces.astype(np.float32), batch_size=32, verbose=0)
    widths = np.cumsum([layer.gamma.shape[0] for layer in normalisations])
    for layer, of_layer in zip(normalisations, np.split(found, widths[:-1], axis=-1), strict=True):
        means, squares = of_layer[:, 0], of_layer[:, 1]
        gamma, beta, old_mean, old_variance = layer.get_weights()
        scale = gamma / np.sqrt(old_variance + layer.epsilon)
        offset = beta - scale * old_mean
        mean = means.astype(np.float64).mean(axis=0)
        variance = np.maximum(squares.astype(np.float64).mean(axis=0) - mean**2, 0)
        new = scale * np.sqrt(variance + layer.epsilon), offset + scale * mean, mean, variance
        layer.set_weights([values.astype(np.float32) for values in new])
    return backbone
