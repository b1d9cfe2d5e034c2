"""Preprocessing of the image before the first convolution, as layers of the network.

Networks trained from scratch convert colour to grey (FER2013's faces are grey) and normalise every
face to mean 0 and variance 1, so the camera's exposure and contrast matter little. Published
families get the range their weights were trained with.
"""

from __future__ import annotations

import keras
from keras import layers, ops

LUMINANCE_RGB = [[0.299], [0.587], [0.114]]
"""Weights of ITU-R BT.601, the grey used by image libraries."""


def face_input(input_size: int | None) -> keras.KerasTensor:
    """Return the input of a backbone: `(n, size, size, 3)` RGB 0...255; None for any size."""
    return keras.Input((input_size, input_size, 3), name="face")


def grey(inputs: keras.KerasTensor) -> keras.KerasTensor:
    """Return `(n, H, W, 1)` luminance 0...255, in float32 under any dtype policy."""
    return layers.Conv2D(
        1,
        1,
        use_bias=False,
        trainable=False,
        kernel_initializer=keras.initializers.Constant(LUMINANCE_RGB),
        dtype="float32",
        name="grey",
    )(inputs)


def standardised_grey(inputs: keras.KerasTensor) -> keras.KerasTensor:
    """Return `(n, H, W, 1)`: each face grey, with mean 0 and variance 1."""
    # Statistics in units of 1/255, so that epsilon is an invisible contrast.
    scaled = layers.Rescaling(1 / 255, dtype="float32")(grey(inputs))
    return layers.LayerNormalization(
        axis=(1, 2, 3), center=False, scale=False, epsilon=1e-4, dtype="float32"
    )(scaled)


def centred(inputs: keras.KerasTensor) -> keras.KerasTensor:
    """Return the channels in -1...1."""
    return layers.Rescaling(1 / 127.5, offset=-1.0, dtype="float32")(inputs)


def bgr_around(inputs: keras.KerasTensor, mean_rgb: tuple[float, float, float]):
    """Return blue, green and red minus a mean colour, as in networks trained with Caffe."""
    offset = [-value for value in mean_rgb]
    shifted = layers.Rescaling(1.0, offset=offset, dtype="float32")(inputs)
    # Not [..., ::-1]: the ONNX converter writes a broken file for a negative step.
    return ops.take(shifted, (2, 1, 0), axis=-1)


def backbone_model(inputs: keras.KerasTensor, features: keras.KerasTensor) -> keras.Model:
    """Return a model with the name by which networks find their backbone."""
    return keras.Model(inputs, features, name="backbone")
