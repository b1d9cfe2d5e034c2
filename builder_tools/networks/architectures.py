"""Small convolutional networks trained from scratch."""

from __future__ import annotations

import keras
from keras import layers

from builder_tools.networks.faces import backbone_model, face_input, standardised_grey


def compact_residual(
    input_size: int | None,
    weights: str | None = None,
    *,
    stem_width: int = 32,
    widths: tuple[int, ...] = (48, 96, 192),
    blocks: int = 2,
) -> keras.Model:
    """Builds a small residual backbone for small faces, the one that is shipped.

    A 3x3 stem, then for each width `blocks` residual blocks (He et al., 2016, arXiv:1512.03385)
    with squeeze-and-excitation (Hu et al., 2018, arXiv:1709.01507), the first of them halving
    the picture. 1.6 M parameters with nine classes.

    Args:
        input_size: Side of the face in pixels, or None for any.
        weights: None: it is trained from scratch.
        stem_width: Channels of the stem.
        widths: Channels of each stage.
        blocks: Residual blocks a stage.
    """
    inputs = face_input(input_size)
    x = _convolution(standardised_grey(inputs), stem_width, 3)
    for width in widths:
        for block in range(blocks):
            x = _residual_block(x, width, stride=2 if block == 0 else 1)
    return backbone_model(inputs, x)


def baseline_cnn(input_size: int | None, weights: str | None = None) -> keras.Model:
    """Builds four convolutions (32, 64, 128, 256), each with ReLU and pooling: the baseline.

    No normalisation, no shortcut: what a first tutorial builds. 0.39 M parameters with nine
    classes.
    """
    inputs = x = face_input(input_size)
    x = standardised_grey(inputs)
    for width in (32, 64, 128, 256):
        x = layers.Conv2D(width, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D()(x)
    return backbone_model(inputs, x)


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
