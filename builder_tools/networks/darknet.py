"""Darknet-53, the backbone of YOLOv3, for use in a classifier."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
from keras import layers

from builder_tools.networks.inputs import backbone_model, face_input
from builder_tools.networks.spec import PRETRAINED
from builder_tools.networks.weights import load_fetched

ADDRESS = "https://pjreddie.com/media/files/darknet53.conv.74"
"""Weights trained on ImageNet-1k; the first 75 layers of YOLOv3's configuration."""

YOLO_V3_NUMBERS = 62_001_757
"""Count of all numbers in `yolov3.weights`; the first ones are those of the backbone."""

HEADER_BYTES = {1: 16, 2: 20}
"""Length of the header by minor version (the major one is 0): its image count became wider."""

STAGES = ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4))
"""Number of channels and residual blocks after each halving."""


def darknet53(input_size: int | None, weights: str | None = None) -> keras.Model:
    """Build Darknet-53 (Redmon and Farhadi, 2018, arXiv:1804.02767).

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
        load_fetched(backbone, ADDRESS, load_published)
    return backbone


def load_published(backbone: keras.Model, path: str | Path) -> None:
    """Fill the backbone from a file of the Darknet framework.

    This is `darknet53.conv.74`, or all of `yolov3.weights`, which begins with the same layers. The
    file holds a header and then, for each convolution, beta, gamma, mean and variance of its
    normalisation and its kernel, output channels first, as float32.

    Raises:
        ValueError: If the header or length does not match, or there are negative values where
            variances should be: the file is of another network. Nothing is filled then.
    """
    content = Path(path).read_bytes()
    major, minor = np.frombuffer(content[:8].ljust(8, b"\xff"), "<i4")
    if major != 0 or minor not in HEADER_BYTES:
        raise ValueError(
            f"Expected a file of Darknet, version 0.1 or 0.2. Received: {path}, which begins "
            f"with {major}.{minor}."
        )
    size = len(content) - HEADER_BYTES[minor]
    expected = backbone.count_params()
    if size not in (4 * expected, 4 * YOLO_V3_NUMBERS):
        raise ValueError(
            f"Expected {expected:,} numbers after the header of {path}, or all "
            f"{YOLO_V3_NUMBERS:,} of YOLOv3. Received: {size / 4:,g}."
        )
    values = np.frombuffer(content, "<f4", expected, HEADER_BYTES[minor])
    convolutions, normalisations = (
        [layer for layer in backbone.layers if isinstance(layer, kind)]
        for kind in (layers.Conv2D, layers.BatchNormalization)
    )
    filled, start = [], 0
    for convolution, normalisation in zip(convolutions, normalisations, strict=True):
        height, width, inward, outward = convolution.kernel.shape
        beta, gamma, mean, variance = values[start : start + 4 * outward].reshape(4, outward)
        start += 4 * outward
        count = height * width * inward * outward
        kernel = values[start : start + count].reshape(outward, inward, height, width)
        start += count
        norm = [gamma, beta, mean, variance]
        filled.append((convolution, normalisation, norm, kernel.transpose(2, 3, 1, 0)))
    if not np.isfinite(values).all() or any(norm[3].min() < 0 for _, _, norm, _ in filled):
        raise ValueError(
            f"Expected weights of Darknet-53 in {path}. Received: numbers that are not finite, "
            "or negative variances: another network, or a tampered file."
        )
    for convolution, normalisation, norm, kernel in filled:
        normalisation.set_weights(norm)
        convolution.set_weights([kernel])


def _convolution(x, width: int, kernel: int, *, stride: int = 1):
    padding = "same"
    if stride == 2:  # zeros on all sides, as Darknet pads
        x, padding = layers.ZeroPadding2D(1)(x), "valid"
    x = layers.Conv2D(width, kernel, strides=stride, padding=padding, use_bias=False)(x)
    x = layers.BatchNormalization(epsilon=1e-5)(x)
    return layers.LeakyReLU(negative_slope=0.1)(x)
