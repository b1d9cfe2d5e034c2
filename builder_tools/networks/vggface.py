"""Networks trained to tell people apart, as published for Keras (`keras-vggface` 2.0).

Both sets of weights are converted from the University of Oxford's and are for research only:
VGG-Face's VGG16 knows 2,622 people, VGGFace2's ResNet-50 8,631.
"""

from __future__ import annotations

import keras
from keras import layers

from builder_tools.networks.architectures import VGG16_BLOCKS
from builder_tools.networks.inputs import backbone_model, bgr_around, face_input
from builder_tools.networks.spec import PRETRAINED
from builder_tools.networks.weights import load_fetched

RELEASE = "https://github.com/rcmalli/keras-vggface/releases/download/v2.0/"
VGG16_FILE = "rcmalli_vggface_tf_notop_vgg16.h5"
RESNET50_FILE = "rcmalli_vggface_tf_notop_resnet50.h5"

RESNET50_STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))
"""Number of channels of the narrow convolutions and of units in each stage."""

VGGFACE_MEAN_RGB = (129.1863, 104.7624, 93.5940)
VGGFACE2_MEAN_RGB = (131.0912, 103.8827, 91.4953)


def vggface_vgg16(input_size: int | None, weights: str | None = None) -> keras.Model:
    """Build VGG-Face (Parkhi, Vedaldi and Zisserman, 2015, BMVC): VGG16 trained on faces.

    Input: BGR minus the mean face's colour. 14.7 M parameters with nine classes.
    """
    inputs = face_input(input_size)
    x = bgr_around(inputs, VGGFACE_MEAN_RGB)
    for block, (width, convolutions) in enumerate(VGG16_BLOCKS, start=1):
        for number in range(1, convolutions + 1):
            name = f"conv{block}_{number}"
            x = layers.Conv2D(width, 3, padding="same", activation="relu", name=name)(x)
        x = layers.MaxPooling2D(name=f"pool{block}")(x)
    return _with_published(backbone_model(inputs, x), weights, VGG16_FILE)


def vggface_resnet50(input_size: int | None, weights: str | None = None) -> keras.Model:
    """Build VGGFace2's ResNet-50 (Cao et al., 2018, arXiv:1710.08092).

    ResNet-50 without squeeze-and-excitation, convolutions without bias. Input: BGR minus the mean
    colour. 23.6 M parameters with nine classes.
    """
    inputs = face_input(input_size)
    x = bgr_around(inputs, VGGFACE2_MEAN_RGB)
    x = _convolution(x, 64, 7, stride=2, padding="same")
    x = layers.MaxPooling2D(3, strides=2)(x)
    for stage, (width, blocks) in enumerate(RESNET50_STAGES):
        x = _bottleneck(x, width, stride=2 if stage else 1, projected=True)
        for _ in range(blocks - 1):
            x = _bottleneck(x, width, stride=1, projected=False)
    return _with_published(backbone_model(inputs, x), weights, RESNET50_FILE)


def _convolution(x, width: int, kernel: int, *, stride: int = 1, padding="valid", relu=True):
    x = layers.Conv2D(width, kernel, strides=stride, padding=padding, use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    return layers.Activation("relu")(x) if relu else x


def _bottleneck(x, width: int, *, stride: int, projected: bool):
    shortcut = x
    x = _convolution(x, width, 1, stride=stride)
    x = _convolution(x, width, 3, padding="same")
    x = _convolution(x, 4 * width, 1, relu=False)
    if projected:
        shortcut = _convolution(shortcut, 4 * width, 1, stride=stride, relu=False)
    return layers.Activation("relu")(layers.Add()([x, shortcut]))


def _with_published(backbone: keras.Model, weights: str | None, file: str) -> keras.Model:
    if weights == PRETRAINED:
        load_fetched(backbone, RELEASE + file)
    return backbone
