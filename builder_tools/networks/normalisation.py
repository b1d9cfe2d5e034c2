"""How fast batch normalisation follows what it sees."""

from __future__ import annotations

from collections.abc import Iterator

import keras


def batch_norm_layers(network: keras.Model) -> Iterator[keras.layers.BatchNormalization]:
    """Gives the batch normalisations of a network, those inside its backbone included."""
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            yield from batch_norm_layers(layer)
        elif isinstance(layer, keras.layers.BatchNormalization):
            yield layer


def set_batch_norm_momentum(network: keras.Model, momentum: float) -> keras.Model:
    """Sets how much of its running statistics batch normalisation keeps a step; then compile.

    Keras' networks keep 0.99 or 0.999: after a run of some hundred steps they are judged with
    statistics that are mostly those of the random start, and look as if they had learnt nothing.
    PyTorch's default is 0.9.

    Args:
        network: Any.
        momentum: In [0, 1).
    """
    for layer in batch_norm_layers(network):
        layer.momentum = momentum
    return network
