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
    backbone = network.get_layer("backbone")
    layers = backbone.layers
    count = {"all": len(layers), "head": 0}.get(what, what)
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= len(layers):
        raise ValueError(
            f"Expected 'all', 'head' or a number of layers in 0...{len(layers)}. "
            f"Received: {what!r}."
        )
    first = len(layers) - count
    network.trainable = True
    for position, layer in enumerate(layers):
        layer.trainable = position >= first and layer.name not in FIXED_LAYERS
    return network
