"""Networks trained from scratch.

Colour is turned to grey inside (faces of FER2013 are grey) and every face is standardised to
mean 0 and variance 1, so exposure and contrast of the camera matter little.
"""

from __future__ import annotations

import keras
from keras import layers

LUMINANCE_RGB = [[0.299], [0.587], [0.114]]
"""Weights of ITU-R BT.601, the grey that image libraries compute."""


def compact_residual(
    num_classes: int,
    input_size: int | None = None,
    *,
    stem_width: int = 32,
    widths: tuple[int, ...] = (48, 96, 192),
    blocks: int = 2,
    dropout: float = 0.3,
) -> keras.Model:
    """Builds a small residual network for small faces.

    A 3x3 stem, then for each width `blocks` residual blocks (He et al., 2016) with
    squeeze-and-excitation (Hu et al., 2018), the first of them halving the picture; global
    average pooling; a linear softmax head.

    Args:
        num_classes: Size of the output.
        input_size: Side of the face in pixels, or None for any.
        stem_width: Channels of the stem.
        widths: Channels of each stage.
        blocks: Residual blocks a stage.
        dropout: Rate before the head.

    Returns:
        A model from `(n, size, size, 3)` RGB 0...255 to `(n, num_classes)` float32.
    """
    inputs = keras.Input((input_size, input_size, 3), name="face")
    x = standardised_grey(inputs)
    x = _convolution(x, stem_width, 3)
    for width in widths:
        for block in range(blocks):
            x = _residual_block(x, width, stride=2 if block == 0 else 1)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(dropout)(x)
    outputs = layers.Dense(num_classes, activation="softmax", dtype="float32", name="emotion")(x)
    return keras.Model(inputs, outputs, name="compact")


def standardised_grey(inputs: keras.KerasTensor) -> keras.KerasTensor:
    """Gives `(n, H, W, 1)`: each face grey, with mean 0 and variance 1."""
    grey = layers.Conv2D(
        1,
        1,
        use_bias=False,
        trainable=False,
        kernel_initializer=keras.initializers.Constant(LUMINANCE_RGB),
        dtype="float32",
        name="grey",
    )(inputs)
    # Statistics in units of 1/255 so that epsilon means a contrast nobody can see.
    scaled = layers.Rescaling(1 / 255, dtype="float32")(grey)
    return layers.LayerNormalization(
        axis=(1, 2, 3), center=False, scale=False, epsilon=1e-4, dtype="float32"
    )(scaled)


def _convolution(x, width: int, kernel: int, *, stride: int = 1, activation: str = "relu"):
    x = layers.Conv2D(
        width,
        kernel,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
    )(x)
    x = layers.BatchNormalization(momentum=0.95)(x)
    return layers.Activation(activation)(x)


def _residual_block(x, width: int, *, stride: int):
    shortcut = x
    if stride > 1:
        shortcut = layers.AveragePooling2D(stride, padding="same")(shortcut)
    if x.shape[-1] != width:
        shortcut = _convolution(shortcut, width, 1, activation="linear")
    x = _convolution(x, width, 3, stride=stride)
    x = _convolution(x, width, 3, activation="linear")
    x = _squeeze_excite(x, width)
    return layers.Activation("relu")(layers.Add()([x, shortcut]))


def _squeeze_excite(x, width: int, *, ratio: int = 8):
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Conv2D(width // ratio, 1, activation="relu")(gate)
    gate = layers.Conv2D(width, 1, activation="sigmoid")(gate)
    return layers.Multiply()([x, gate])
