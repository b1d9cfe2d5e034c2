"""Convolutional networks trained from scratch, at the size of small faces."""

from __future__ import annotations

import keras
from keras import layers, ops

from builder_tools.networks.inputs import (
    backbone_model,
    centred,
    face_input,
    grey,
    standardised_grey,
)

VGG16_BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""Channels and number of convolutions of each block."""

GLANCES = 3
"""Number of overlapping windows, across and down, in which a face is scanned."""


def compact_residual(
    input_size: int | None,
    weights: str | None = None,
    *,
    stem_width: int = 32,
    widths: tuple[int, ...] = (48, 96, 192),
    blocks: int = 2,
    stem_stride: int = 1,
    squeeze_excite: bool = True,
) -> keras.Model:
    """Build a small residual network for small faces: the one that is shipped.

    A 3x3 stem, then for each width `blocks` residual blocks (He et al., 2016, arXiv:1512.03385)
    with squeeze-and-excitation (Hu et al., 2018, arXiv:1709.01507), the first of which halves
    the image. 1.6 M parameters with nine classes.

    Args:
        input_size: Side of the face in pixels, or None for any.
        weights: None, as it is trained from scratch.
        stem_width: Number of channels in the stem.
        widths: Number of channels in each stage.
        blocks: Number of residual blocks per stage.
        stem_stride: 2 halves the image in the stem.
        squeeze_excite: Whether blocks have gates.
    """
    inputs = face_input(input_size)
    x = _convolution(standardised_grey(inputs), stem_width, 3, stride=stem_stride)
    for width in widths:
        for block in range(blocks):
            stride = 2 if block == 0 else 1
            x = _residual_block(x, width, stride=stride, squeeze_excite=squeeze_excite)
    return backbone_model(inputs, x)


def compact_tiny(input_size: int | None, weights: str | None = None) -> keras.Model:
    """Build a compact network for processors that cannot spare a millisecond.

    In 8-bit integers, convolutions are cheap but every small step in between is expensive, so the
    stem halves the image, and there are two wide stages without gates. 0.66 M parameters with
    nine classes.
    """
    return compact_residual(
        input_size, stem_width=24, widths=(64, 128), stem_stride=2, squeeze_excite=False
    )


def compact_wide(input_size: int | None, weights: str | None = None) -> keras.Model:
    """Build a compact network one and a half times as wide: 3.6 M parameters with nine classes."""
    return compact_residual(input_size, stem_width=48, widths=(72, 144, 288))


def compact_late(input_size: int | None, weights: str | None = None) -> keras.Model:
    """Build a compact network that is wider where maps are small.

    In 8-bit integers, width costs least there: a third more multiplications take a fifth more
    time. 2.6 M parameters with nine classes.
    """
    return compact_residual(input_size, widths=(48, 112, 256))


def baseline_cnn(input_size: int | None, weights: str | None = None) -> keras.Model:
    """Build the study's baseline: two convolutions of 32, two of 128, a dense layer of 256.

    32-32-pool-128-128-pool-256, then the head's outputs (six in the documents). ReLU throughout,
    no normalisation and no shortcuts. The dense layer belongs to the backbone. 4.9 M parameters at
    48 px, nearly all in that layer.
    """
    inputs = face_input(input_size)
    x = standardised_grey(inputs)
    for width in (32, 128):
        for _ in range(2):
            x = layers.Conv2D(width, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D()(x)
    x = layers.Dense(256, activation="relu")(layers.Flatten()(x))
    return backbone_model(inputs, x)


def vgg16_scratch(input_size: int | None, weights: str | None = None) -> keras.Model:
    """Build VGG16 (Simonyan and Zisserman, 2015, arXiv:1409.1556), to be trained from scratch.

    Batch normalisation after each convolution (Ioffe and Szegedy, 2015, arXiv:1502.03167), as
    it hardly learns without; grey input; the head replaces its 124 M dense parameters.
    14.7 M parameters with nine classes.
    """
    inputs = face_input(input_size)
    x = standardised_grey(inputs)
    for width, convolutions in VGG16_BLOCKS:
        for _ in range(convolutions):
            x = _convolution(x, width, 3)
        x = layers.MaxPooling2D()(x)
    return backbone_model(inputs, x)


def ferplus_vgg13(input_size: int | None, weights: str | None = None) -> keras.Model:
    """Build the VGG13 of FER+ (Barsoum et al., 2016, arXiv:1608.01041).

    Ten convolutions in four blocks with dropout, and two dense layers of 1,024, which belong to
    the backbone here; the head's dropout replaces the last one. 8.8 M parameters at 64 px as
    published.
    """
    inputs = face_input(input_size)
    x = standardised_grey(inputs)
    for width, convolutions in ((64, 2), (128, 2), (256, 3), (256, 3)):
        for _ in range(convolutions):
            x = layers.Conv2D(width, 3, padding="same", activation="relu")(x)
        x = layers.Dropout(0.25)(layers.MaxPooling2D()(x))
    x = layers.Dense(1024, activation="relu")(layers.Flatten()(x))
    x = layers.Dense(1024, activation="relu")(layers.Dropout(0.5)(x))
    return backbone_model(inputs, x)


def cifar10_convnet(input_size: int | None, weights: str | None = None) -> keras.Model:
    """Build a small ConvNet after Keras' example `cifar10_cnn.py`.

    Papers that compare real and generated images train a CIFAR-10 classifier on each; they rarely
    say which one they mean by "the CIFAR-10 ConvNet", and this one claims to be none of them.
    Colour input 0...1; its dense layer of 512 belongs to the backbone, and the head's dropout
    replaces the last one. 1.3 M parameters at 32 px, as in that example.
    """
    inputs = face_input(input_size)
    x = layers.Rescaling(1 / 255, dtype="float32")(inputs)
    for width in (32, 64):
        x = layers.Conv2D(width, 3, padding="same", activation="relu")(x)
        x = layers.Conv2D(width, 3, activation="relu")(x)
        x = layers.Dropout(0.25)(layers.MaxPooling2D()(x))
    x = layers.Dense(512, activation="relu")(layers.Flatten()(x))
    return backbone_model(inputs, x)


def mini_xception(input_size: int | None, weights: str | None = None) -> keras.Model:
    """Build Mini-Xception (Arriaga et al., 2017, arXiv:1710.07557).

    Four residual modules of separable convolutions; grey input -1...1. Its last convolution,
    with one map per class, is left to the head, and its L2 penalty to the optimiser.
    0.05 M parameters with nine classes.
    """
    inputs = face_input(input_size)
    x = centred(grey(inputs))
    for _ in range(2):
        x = layers.Conv2D(8, 3, use_bias=False)(x)
        x = layers.Activation("relu")(layers.BatchNormalization()(x))
    for width in (16, 32, 64, 128):
        shortcut = layers.Conv2D(width, 1, strides=2, padding="same", use_bias=False)(x)
        shortcut = layers.BatchNormalization()(shortcut)
        x = layers.SeparableConv2D(width, 3, padding="same", use_bias=False)(x)
        x = layers.Activation("relu")(layers.BatchNormalization()(x))
        x = layers.SeparableConv2D(width, 3, padding="same", use_bias=False)(x)
        x = layers.MaxPooling2D(3, strides=2, padding="same")(layers.BatchNormalization()(x))
        x = layers.Add()([x, shortcut])
    return backbone_model(inputs, x)


def conv_lstm(input_size: int | None, weights: str | None = None) -> keras.Model:
    """Build a convolutional LSTM (Shi et al., 2015, arXiv:1506.04214) that scans the face.

    Features of a small stem are cut into nine half-overlapping windows, read row by row as a
    sequence by two ConvLSTM layers; the last state of the second is the feature map. It follows
    the idea of the paper, for a single image instead of a film. 0.8 M parameters with nine
    classes.
    """
    inputs = face_input(input_size)
    x = _convolution(standardised_grey(inputs), 32, 3)
    x = _convolution(layers.MaxPooling2D()(x), 48, 3)
    step = x.shape[1] // (GLANCES + 1)
    starts = [step * number for number in range(GLANCES)]
    windows = [
        x[:, top : top + 2 * step, left : left + 2 * step] for top in starts for left in starts
    ]
    x = ops.stack(windows, axis=1)
    # Unrolled: nine steps are few, and exported files then contain no loop.
    x = layers.ConvLSTM2D(64, 3, padding="same", return_sequences=True, unroll=True)(x)
    x = layers.BatchNormalization()(layers.MaxPooling3D((1, 2, 2))(x))
    x = layers.ConvLSTM2D(96, 3, padding="same", unroll=True)(x)
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


def _residual_block(x, width: int, *, stride: int, squeeze_excite: bool = True):
    shortcut = x
    if stride > 1:
        shortcut = layers.AveragePooling2D(stride, padding="same")(shortcut)
    if x.shape[-1] != width:
        shortcut = _convolution(shortcut, width, 1, activation="linear")
    x = _convolution(x, width, 3, stride=stride)
    x = _convolution(x, width, 3, activation="linear")
    x = _squeeze_excite(x, width) if squeeze_excite else x
    return layers.Activation("relu")(layers.Add()([x, shortcut]))


def _squeeze_excite(x, width: int, *, ratio: int = 8):
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Conv2D(width // ratio, 1, activation="relu")(gate)
    gate = layers.Conv2D(width, 1, activation="sigmoid")(gate)
    return layers.Multiply()([x, gate])
