"""Which layers of a network learn: the phases of fine-tuning."""

from __future__ import annotations

import keras

FIXED_LAYERS = frozenset({"grey"})
"""Names of layers whose weights are constants: no phase trains them."""


def set_trainable(network: keras.Model, what: str | int) -> keras.Model:
    """Choose what learns; compile afterwards, or the choice has no effect.

    Batch normalisation in the frozen part runs with its stored statistics, in training, too.

    Args:
        network: A network of `build_network`, or a flat one (then only `all` and counts over
            its layers without the last make sense).
        what: `all`; `head` (the backbone is frozen); or how many of the backbone's last layers
            learn beside the head, counted as Keras lists them (also those without weights), as
            in "the last 4 layers of VGG16". 0 is `head`.

    Returns:
        The network.

    Raises:
        ValueError: If `what` is something else, or more layers than there are.
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
