"""Third-party expression networks, which teach ours and are never committed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import numpy as np

from builder_tools.assets import asset_path
from builder_tools.networks import face_expression


@dataclass(frozen=True)
class ExpressionNetwork:
    """A published network that recognises emotions.

    Args:
        build: Called as `build(size_px)`; returns a frozen model from `(n, size, size, 3)` RGB
            0...255 to probabilities.
        input_size: Side of the faces it was trained on, in pixels.
        emotions: Our names for its classes, in the order of its outputs.
        files: Its assets, by name.
        reservation: What any network taught by it must disclose.
    """

    build: Callable[[int], keras.Model]
    input_size: int
    emotions: tuple[str, ...]
    files: tuple[str, ...]
    reservation: str


EXPRESSION_NETWORKS: dict[str, ExpressionNetwork] = {
    "face_expression": ExpressionNetwork(
        lambda size_px: face_expression.face_expression(
            size_px,
            asset_path(face_expression.MANIFEST_FILE),
            asset_path(face_expression.DATA_FILE),
        ),
        face_expression.INSIDE_PX,
        face_expression.EMOTIONS,
        (face_expression.MANIFEST_FILE, face_expression.DATA_FILE),
        "What face-api's expression network was taught on is not known: public data sets and "
        "images of the web. It may have seen the sets that judge this model.",
    ),
}
"""Expression networks by name."""


def placed(model: keras.Model, own: Sequence[str], wanted: Sequence[str]) -> keras.Model:
    """Return a model with its outputs in another order of classes; absent ones are 0.

    Args:
        model: A model that returns probabilities in the order of `own`.
        own: Its classes.
        wanted: Classes in the wanted order; each of `own` must be one of them.

    Raises:
        ValueError: If a class of `own` is not in `wanted`.
    """
    if tuple(own) == tuple(wanted):
        return model
    unknown = sorted(set(own) - set(wanted))
    if unknown:
        raise ValueError(
            f"Expected a teacher of the classes {list(wanted)} or some of them. Received: one "
            f"that also knows {unknown}."
        )
    places = np.zeros((len(own), len(wanted)), np.float32)
    places[np.arange(len(own)), [list(wanted).index(name) for name in own]] = 1
    order = keras.layers.Dense(
        len(wanted), use_bias=False, dtype="float32", name=f"{model.name}_placed"
    )
    outputs = order(model.outputs[0])
    order.set_weights([places])
    placed_model = keras.Model(model.inputs, outputs, name=f"{model.name}_in_order")
    placed_model.trainable = False
    return placed_model
