"""The augmentation as a Keras model, and how it is placed before a network."""

from __future__ import annotations

import keras
from keras import layers

from builder_tools.augmentation.layers import (
    RandomColour,
    RandomFaceAffine,
    RandomFaceErasing,
    RandomLight,
)
from builder_tools.augmentation.strength import AugmentationStrength


def augmentation_model(
    strength: AugmentationStrength | None = None, *, seed: int = 0
) -> keras.Sequential:
    """Build the augmentation of the study: mirror, affine and tilt, light, erasing, colour.

    Colour comes last, and only if it changes anything, so that grey faces get the same draws with
    and without it.

    Args:
        strength: How strongly faces are changed; the shipped model's recipe by default.
        seed: Seed of all draws.

    Returns:
        A model from `(n, H, W, C)` 0...255 to the same shape and range, C 1 or 3.
    """
    strength = strength or AugmentationStrength()
    stack = [
        RandomFaceAffine(
            rotation_deg=strength.rotation_deg,
            scale=strength.scale,
            shift=strength.shift,
            shear=strength.shear,
            vertical_shear=strength.vertical_shear,
            tilt=strength.tilt,
            mirror=strength.mirror,
            seed=seed,
        ),
        RandomLight(brightness=strength.brightness, contrast=strength.contrast, seed=seed + 1),
        RandomFaceErasing(
            factor=strength.erase,
            scale=(0.02, 0.15),
            value_range=(0, 255),
            seed=seed + 2,
            dtype="float32",
        ),
    ]
    if strength.saturation != (1.0, 1.0) or strength.hue_deg:
        colour = {"saturation": strength.saturation, "hue_deg": strength.hue_deg}
        stack.append(RandomColour(**colour, seed=seed + 3))
    return keras.Sequential(stack, name="augmentation")


def with_augmentation(
    network: keras.Model,
    augment: keras.Model,
    *,
    size: int,
    channels: int,
    teacher: keras.Model | None = None,
) -> keras.Model:
    """Put augmentation and resizing before a network, for training only.

    Args:
        network: A network with inputs `(n, size, size, 3)`.
        augment: Augmentation, applied at the stored size so that its interpolation sees all pixels.
        size: Side that the network is trained at, px.
        channels: 1 for stored grey images, 3 for RGB.
        teacher: A network to freeze, with the stored size as input; it sees the augmented faces,
            and its outputs are appended to those of the network.

    Returns:
        A model from `(n, H, W, channels)` 0...255 to the network's outputs; it shares the
        network's weights.
    """
    stored = teacher.input_shape[1:3] if teacher else (None, None)
    inputs = keras.Input((*stored, channels))
    seen = augment(inputs)
    x = layers.Resizing(size, size, antialias=True, dtype="float32")(seen)
    if channels == 1:
        x, seen = (layers.Concatenate(dtype="float32")([grey] * 3) for grey in (x, seen))
    outputs = network(x)
    if teacher:
        teacher.trainable = False
        outputs = layers.Concatenate(dtype="float32")([outputs, teacher(seen)])
    return keras.Model(inputs, outputs, name="training")
