"""dlib's residual network trained to tell people apart, as published for face-api."""

from __future__ import annotations

from pathlib import Path

import keras
from keras import layers

from builder_tools.networks.families import enlarged
from builder_tools.networks.inputs import backbone_model, face_input
from builder_tools.networks.normalisation import set_folded
from builder_tools.networks.spec import PRETRAINED
from builder_tools.networks.tensorflow_js import read_tensorflow_js

MANIFEST_FILE = "face_recognition_model-weights_manifest.json"
DATA_FILE = "face_recognition_model.bin"
SOURCE = f"the package @vladmandic/face-api 1.7.15 ({DATA_FILE})"

STAGES = (
    (32, ("1", "2", "3")),
    (64, ("down", "1", "2", "3")),
    (128, ("down", "1", "2")),
    (256, ("down", "1", "2", "down_out")),
)
"""Number of channels and names of the units of each stage; those named `down` halve the map."""

SMALLEST_PX = 103
"""Smaller faces would leave nothing for the last convolution."""

MEAN_RGB = (122.782, 117.001, 104.298)
EPSILON = 1e-3


def face_resnet(input_size: int, weights: str | None = None) -> keras.Model:
    """Build dlib's ResNet for faces (King, 2017): a ResNet-34 with fewer layers, half as wide.

    Published weights (public domain) were trained on three million faces of 7,485 people, and are
    stored in eight bits except for some kernels. Their scales after each convolution are batch
    normalisations here, with statistics of 0 and 1 until `restore_batch_norm` measures them. The
    outputs equal the published ones either way. Faces under 103 px, its minimum, are enlarged to
    that internally. 5.6 M parameters with nine classes.

    Args:
        input_size: Side of the face in pixels; 150 is what it was trained at.
        weights: None or `PRETRAINED`.
    """
    inputs = face_input(input_size)
    offset = [-mean / 255 for mean in MEAN_RGB]
    x = layers.Rescaling(1 / 255, offset, dtype="float32")(enlarged(inputs, SMALLEST_PX))
    x = layers.ReLU()(_convolution(x, "conv32_down", 32, 7, stride=2))
    x = layers.MaxPooling2D(3, strides=2)(x)
    for width, units in STAGES:
        for unit in units:
            x = _unit(x, f"conv{width}_{unit}", width, halving=unit.startswith("down"))
    backbone = backbone_model(inputs, x)
    if weights == PRETRAINED:
        from builder_tools.assets import asset_path

        load_published(backbone, asset_path(MANIFEST_FILE), asset_path(DATA_FILE))
    return backbone


def load_published(
    backbone: keras.Model, manifest: str | Path, data: str | Path | None = None
) -> None:
    """Fill the backbone from the published files; the embedding after it is left out.

    Args:
        backbone: As returned by `face_resnet`.
        manifest: The published manifest.
        data: Its data; None for the file next to the manifest that it names.

    Raises:
        ValueError: If they are not the published files, or are of another network.
    """
    arrays = read_tensorflow_js(manifest, data)
    for layer in backbone.layers:
        if not isinstance(layer, layers.Conv2D):
            continue
        place = layer.name.replace("_unit", "/")
        names = [f"{place}/{part}" for part in ("conv/filters", "conv/bias")]
        names += [f"{place}/scale/{part}" for part in ("weights", "biases")]
        shapes = [tuple(layer.kernel.shape), *3 * [(layer.filters,)]]
        found = [arrays[name].shape if name in arrays else None for name in names]
        if found != shapes:
            raise ValueError(
                f"Expected the arrays of dlib's face network in {manifest}: {names} of {shapes}. "
                f"Received: {found}."
            )
        kernel, bias, scale, offset = (arrays[name] for name in names)
        set_folded(backbone, layer.name, kernel, scale, offset + scale * bias)


def _unit(x, name: str, width: int, *, halving: bool):
    shortcut = x
    x = _convolution(x, f"{name}_unitconv1", width, 3, stride=2 if halving else 1)
    x = _convolution(layers.ReLU()(x), f"{name}_unitconv2", width, 3)
    if halving:
        shortcut = layers.AveragePooling2D(2)(shortcut)
        missing = shortcut.shape[1] - x.shape[1]
        if missing:
            x = layers.ZeroPadding2D(((0, missing), (0, missing)))(x)
        if shortcut.shape[-1] < width:  # the new channels start as zeros
            shortcut = layers.Concatenate()([shortcut, keras.ops.zeros_like(shortcut)])
    return layers.ReLU()(layers.Add()([shortcut, x]))


def _convolution(x, name: str, width: int, kernel: int, *, stride: int = 1):
    padding = "valid" if stride == 2 else "same"
    x = layers.Conv2D(width, kernel, strides=stride, padding=padding, use_bias=False, name=name)(x)
    return layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_bn")(x)
