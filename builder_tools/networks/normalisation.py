"""Batch normalisation: setting its momentum, and restoring it where it was folded."""

from __future__ import annotations

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
