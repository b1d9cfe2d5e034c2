"""The head that every network shares: pooling, dropout, hidden layers, outputs.

A head predicts the probability of each emotion, valence and arousal, or both from the same
features. In the last case they are side by side in one output `(n, k + 2)`, so that one pass yields
both and code that handles networks need not deal with multiple outputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
from keras import layers

from builder_tools.fields import is_list_of, is_number_in, is_whole_in
from builder_tools.tasks import NUM_AFFECT, TASKS

POOLINGS: dict[str, type[keras.Layer]] = {
    "average": layers.GlobalAveragePooling2D,
    "max": layers.GlobalMaxPooling2D,
    "flatten": layers.Flatten,
}
"""Name -> the layer that turns the backbone's feature map into a vector."""


@dataclass(frozen=True)
class Head:
    """The layers between a backbone's features and the outputs.

    Args:
        dense: Widths of the hidden ReLU layers, each followed by dropout.
        dropout: Rate after the pooling and after each hidden layer, in [0, 1).
        pooling: Name in `POOLINGS`; `flatten` keeps spatial positions and needs a fixed size.
            Backbones that return a vector are not pooled.
        task: Name in `TASKS`, which determines the outputs.
    """

    dense: tuple[int, ...] = ()
    dropout: float = 0.3
    pooling: str = "average"
    task: str = "emotion"

    def __post_init__(self) -> None:
        if self.task not in list(TASKS):
            raise ValueError(f"Expected task of {list(TASKS)}. Received: {self.task!r}.")
        if self.pooling not in list(POOLINGS):
            raise ValueError(f"Expected pooling of {list(POOLINGS)}. Received: {self.pooling!r}.")
        if not is_number_in(0, 1)(self.dropout) or self.dropout == 1:
            raise ValueError(f"Expected dropout in [0, 1). Received: {self.dropout!r}.")
        if not is_list_of(is_whole_in(1))(self.dense):
            raise ValueError(
                f"Expected dense widths >= 1, whole numbers in a tuple. Received: {self.dense!r}."
            )


def with_head(backbone: keras.Model, head: Head, num_classes: int, *, name: str) -> keras.Model:
    """Return a network: backbone, pooling, dropout, hidden layers, softmax and/or tanh.

    Args:
        backbone: From `(n, size, size, 3)` RGB 0...255 to features `(n, h, w, c)` or `(n, c)`.
        head: The form of the head.
        num_classes: Number of emotions; ignored for the task `va`.
        name: Name of the model.

    Returns:
        A model with float32 outputs: `(n, num_classes)` probabilities from a layer named
        `emotion`, `(n, 2)` valence and arousal in [-1, 1] from one named `affect`, or both,
        joined in this order. The backbone is one layer of it, named `backbone`.

    Raises:
        ValueError: If `flatten` is requested for a backbone of any size.
    """
    inputs = keras.Input(backbone.input_shape[1:], name="face")
    x = backbone(inputs)
    if len(x.shape) > 2:
        if head.pooling == "flatten" and None in x.shape[1:]:
            raise ValueError(
                "Expected an input size with pooling='flatten': the vector's length follows from "
                "it. Received: input_size=None. Give one, or use 'average' or 'max'."
            )
        x = POOLINGS[head.pooling](name="pooling")(x)
    x = layers.Dropout(head.dropout, name="dropout")(x)
    for number, width in enumerate(head.dense, start=1):
        x = layers.Dense(width, activation="relu", name=f"hidden_{number}")(x)
        x = layers.Dropout(head.dropout, name=f"hidden_{number}_dropout")(x)
    task, outputs = TASKS[head.task], []
    if task.emotions:
        emotion = layers.Dense(num_classes, activation="softmax", dtype="float32", name="emotion")
        outputs.append(emotion(x))
    if task.affect:
        affect = layers.Dense(NUM_AFFECT, activation="tanh", dtype="float32", name="affect")
        outputs.append(affect(x))
    joined = (
        layers.Concatenate(dtype="float32", name="both")(outputs) if outputs[1:] else outputs[0]
    )
    return keras.Model(inputs, joined, name=name)


def divide_by_weights(network: keras.Model, weights: np.ndarray) -> None:
    """Divide the probabilities of a network by a weight per class; rows still sum to 1.

    A network trained with class weights is biased towards the classes that weigh more (Elkan,
    2001, "The foundations of cost-sensitive learning"). Dividing by the weights makes the
    probabilities those of the data again, while keeping what was learnt from the small classes.

    Args:
        network: As returned by `with_head`, with emotions; its layer `emotion` is modified.
        weights: `(k,)`, above 0.
    """
    layer = network.get_layer("emotion")
    kernel, bias = layer.get_weights()
    layer.set_weights([kernel, bias - np.log(weights)])
