"""Darknet-53, the backbone of YOLOv3, as a classifier's."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
from keras import layers

from builder_tools.networks.faces import backbone_model, face_input
from builder_tools.networks.spec import PRETRAINED
from builder_tools.networks.weights import fetch

ADDRESS = "https://pjreddie.com/media/files/darknet53.conv.74"
"""Trained on ImageNet-1k; the first 75 layers of YOLOv3's configuration."""

HEADER_BYTES = 20
STAGES = ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4))
"""Channels and residual blocks of each halving."""


def darknet53(input_size: int | None, weights: str | None = None) -> keras.Model:
    """Darknet-53 (Redmon and Farhadi, 2018, arXiv:1804.02767).

    52 convolutions with leaky ReLU and shortcuts; input 0...1. 40.6 M parameters with nine
    classes.
    """
    inputs = face_input(input_size)
    x = _convolution(layers.Rescaling(1 / 255, dtype="float32")(inputs), 32, 3)
    for width, blocks in STAGES:
        x = _convolution(x, width, 3, stride=2)
        for _ in range(blocks):
            y = _convolution(_convolution(x, width // 2, 1), width, 3)
            x = layers.Add()([x, y])
    backbone = backbone_model(inputs, x)
    if weights == PRETRAINED:
        load_published(backbone, fetch(ADDRESS))
    return backbone


def load_published(backbone: keras.Model, path: str | Path) -> None:
    """Fills the backbone from a file of the Darknet framework.

    The file holds a header and then, for each convolution, beta, gamma, mean and variance of
    its normalisation and its kernel, output channels first, as float32.

    Raises:
        ValueError: If the file's length does not fit.
    """
    values = np.frombuffer(Path(path).read_bytes()[HEADER_BYTES:], "<f4")
    if len(values) != backbone.count_params():
        raise ValueError(
            f"Expected {backbone.count_params():,} numbers after the header of {path}. "
            f"Received: {len(values):,}."
        )
    numbers = iter(_layer_pairs(backbone))
    start = 0
    for convolution, normalisation in numbers:
        start = _fill(convolution, normalisation, values, start)


def _convolution(x, width: int, kernel: int, *, stride: int = 1):
    padding = "same"
    if stride == 2:  # zeros on all sides, as Darknet pads
        x, padding = layers.ZeroPadding2D(1)(x), "valid"
    x = layers.Conv2D(width, kernel, strides=stride, padding=padding, use_bias=False)(x)
    x = layers.BatchNormalization(epsilon=1e-5)(x)
    return layers.LeakyReLU(negative_slope=0.1)(x)


def _layer_pairs(backbone: keras.Model):
    convolutions, normalisations = (
        [layer for layer in backbone.layers if isinstance(layer, kind)]
        for kind in (layers.Conv2D, layers.BatchNormalization)
    )
    return zip(convolutions, normalisations, strict=True)


def _fill(convolution, normalisation, values: np.ndarray, start: int) -> int:
    """Fills two layers from a place of the file; gives the place after them."""
    height, width, inward, outward = convolution.kernel.shape
    beta, gamma, mean, variance = values[start : start + 4 * outward].reshape(4, outward)
    normalisation.set_weights([gamma, beta, mean, variance])
    start += 4 * outward
    count = height * width * inward * outward
    kernel = values[start : start + count].reshape(outward, inward, height, width)
    convolution.set_weights([kernel.transpose(2, 3, 1, 0)])
    return start + count
