"""Big Transfer's ResNet v2: group normalisation and weight standardisation, no batch statistics.

Kolesnikov et al., 2020, arXiv:1912.11370. The best single model on the Kaggle competition's data.
"""

from __future__ import annotations

from pathlib import Path

import keras
from keras import layers, ops

from builder_tools.networks.inputs import backbone_model, centred, face_input
from builder_tools.networks.spec import PRETRAINED
from builder_tools.networks.weights import load_fetched, opened_npz, set_published

ADDRESS = "https://storage.googleapis.com/bit_models/BiT-M-R50x1.npz"
"""Weights trained on ImageNet-21k."""

STAGES = ((256, 3), (512, 4), (1024, 6), (2048, 3))
"""Number of channels and units of each block."""


@keras.saving.register_keras_serializable("builder_tools")
class StandardisedConv2D(layers.Conv2D):
    """A convolution whose kernels have mean 0 and variance 1 for each output channel.

    Weight standardisation of Qiao et al., 2019, arXiv:1903.10520.
    """

    def convolution_op(self, inputs, kernel):
        """Convolve with the standardised kernel."""
        full = ops.cast(kernel, "float32")
        mean, variance = ops.moments(full, axes=(0, 1, 2), keepdims=True)
        standardised = (full - mean) * ops.rsqrt(variance + 1e-10)
        return super().convolution_op(inputs, ops.cast(standardised, kernel.dtype))


def bit_m_r50x1(input_size: int | None, weights: str | None = None) -> keras.Model:
    """Build BiT ResNet-50x1 (Kolesnikov et al., 2020, arXiv:1912.11370).

    Input -1...1; published weights are from ImageNet-21k (BiT-M). 23.5 M parameters with nine
    classes.
    """
    inputs = face_input(input_size)
    x = layers.ZeroPadding2D(3)(centred(inputs))
    x = _convolution(x, 64, 7, stride=2, name="root_block")
    x = layers.MaxPooling2D(3, strides=2)(zero_framed(x))
    for block, (width, units) in enumerate(STAGES, start=1):
        for unit in range(1, units + 1):
            stride = 2 if unit == 1 and block > 1 else 1
            x = _unit(x, width, stride=stride, name=f"block{block}_unit{unit:02d}")
    backbone = backbone_model(inputs, _normalised(x, "norm"))
    if weights == PRETRAINED:
        load_fetched(backbone, ADDRESS, load_published)
    return backbone


def load_published(backbone: keras.Model, path: str | Path) -> None:
    """Fill the backbone from an `.npz` file in Big Transfer's layout.

    Raises:
        ValueError: If an array is missing or has the wrong shape.
    """
    names = []
    for layer in backbone.layers:
        if isinstance(layer, StandardisedConv2D):
            place = _path(layer.name.replace("_proj", "_a_proj"))
            names.append((layer.name, [f"resnet/{place}/standardized_conv2d/kernel"]))
        elif isinstance(layer, layers.GroupNormalization):
            place = _path(layer.name.removesuffix("norm").removesuffix("_"))
            group = "/".join(part for part in ("resnet", place, "group_norm") if part)
            names.append((layer.name, [f"{group}/gamma", f"{group}/beta"]))
    with opened_npz(path) as arrays:
        set_published(backbone, names, arrays)


def zero_framed(x: keras.KerasTensor) -> keras.KerasTensor:
    """Add a frame of zeros, one pixel wide.

    This avoids a padding layer, because ONNX Runtime (1.31) merges it into the pooling that
    follows, which then ignores the frame instead of seeing zeros.
    """
    for axis in (1, 2):
        edge = ops.zeros_like(ops.take(x, [0], axis=axis))
        x = ops.concatenate([edge, x, edge], axis=axis)
    return x


def _unit(x, width: int, *, stride: int, name: str):
    """Add a pre-activation bottleneck; its projection sees the normalised input too."""
    ready = _normalised(x, f"{name}_a_norm")
    shortcut = x
    if x.shape[-1] != width:
        shortcut = _convolution(ready, width, 1, stride=stride, name=f"{name}_proj")
    y = _convolution(ready, width // 4, 1, name=f"{name}_a")
    y = layers.ZeroPadding2D(1)(_normalised(y, f"{name}_b_norm"))
    y = _convolution(y, width // 4, 3, stride=stride, name=f"{name}_b")
    y = _convolution(_normalised(y, f"{name}_c_norm"), width, 1, name=f"{name}_c")
    return layers.Add()([y, shortcut])


def _convolution(x, width: int, kernel: int, *, name: str, stride: int = 1):
    return StandardisedConv2D(width, kernel, strides=stride, use_bias=False, name=name)(x)


def _normalised(x, name: str):
    x = layers.GroupNormalization(32, epsilon=1e-5, name=name)(x)
    return layers.Activation("relu")(x)


def _path(name: str) -> str:
    return name if name == "root_block" else name.replace("_", "/")
