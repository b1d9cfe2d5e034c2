"""Which layers of a network are trained: the phases of fine-tuning."""

from __future__ import annotations

import keras

FIXED_LAYERS = frozenset({"grey"})
"""Names of layers whose weights are constants and never trained."""


def set_trainable(network: keras.Model, what: str | int) -> keras.Model:
    """Choose which layers are trained; compile afterwards, or the choice has no effect.

    Batch normalisation in the frozen part uses its stored statistics, even in training.

    Args:
        network: A network from `build_network`, or a flat one (for which only `all` and counts
            over its layers except the last make sense).
        what: `all`; `head` (the backbone is frozen); or how many of the backbone's last layers
            are trained along with the head, counted as Keras lists them (including those without
            weights), as in "the last 4 layers of VGG16". 0 means `head`.

    Returns:
        The network.

    Raises:
        ValueError: If `what` is anything else, or exceeds the number of layers.
    """
    layers = network.get_layer("backbone").layers
    first = len(layers) - expect_depth(len(layers), what)
    network.trainable = True
    for position, layer in enumerate(layers):
        layer.trainable = position >= first and layer.name not in FIXED_LAYERS
    return network


def expect_depth(layers: int, what: str | int) -> int:
    """Return how many of a backbone's last layers are trained, 0...`layers`.

    Args:
        layers: Number of its layers.
        what: As in `set_trainable`.

    Raises:
        ValueError: As in `set_trainable`.
    """
    count = {"all": layers, "head": 0}.get(what, what)
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= layers:
        raise ValueError(
            f"Expected 'all', 'head' or a number of layers in 0...{layers}. Received: {what!r}."
        )
    return count
