"""The augmentation as one Keras model, its place before a network, and normalisation."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from builder_tools.augmentation.layers import (
    RandomColour,
    RandomFaceAffine,
    RandomFaceErasing,
    RandomLight,
)
from builder_tools.augmentation.strength import AugmentationStrength

NORMALISATION_CHUNK = 512


def augmentation_model(
    strength: AugmentationStrength | None = None, *, seed: int = 0
) -> keras.Sequential:
    """Builds the augmentation of the study: mirror, affine and tilt, light, erasing, colour.

    Colour comes last, and only where its strength is not nothing: grey faces meet the same draws
    with and without it.

    Args:
        strength: How far faces are changed; the shipped model's recipe by default.
        seed: Of every draw.

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
        network: Eats `(n, size, size, 3)`.
        augment: Works on the pictures as stored, so one interpolation sees all their pixels.
        size: Side the network trains at, px.
        channels: 1 for stored grey pictures, 3 for RGB.
        teacher: Frozen, of the stored size; it sees the augmented faces, and its outputs stand
            behind the network's.

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


def normalisation_from(pictures) -> layers.Normalization:
    """Gives a layer that brings each channel to mean 0 and variance 1 over these pictures.

    Args:
        pictures: Training pictures: `(n, H, W)` or `(n, H, W, 3)` uint8, or `Pictures` that are
            decoded when asked for. They are read once, some at a time.

    Returns:
        A float32 `keras.layers.Normalization` for `(n, H, W, C)` 0...255; mean and variance are
        part of its configuration and so of a saved model.

    Raises:
        ValueError: If there is no picture, or a channel has one value throughout.
    """
    count, total, squares = 0, 0.0, 0.0
    for start in range(0, len(pictures), NORMALISATION_CHUNK):
        rows = np.arange(start, min(start + NORMALISATION_CHUNK, len(pictures)))
        chunk = np.asarray(pictures[rows])
        values = chunk.reshape(-1, chunk.shape[3] if chunk.ndim == 4 else 1).astype(np.float64)
        count, total = count + len(values), total + values.sum(axis=0)
        squares = squares + (values**2).sum(axis=0)
    mean = total / max(count, 1)
    variance = np.atleast_1d(squares / max(count, 1) - mean**2)
    if not count or (variance <= 1e-6).any():
        raise ValueError(
            f"Expected pictures whose channels vary. Received: {len(pictures)} pictures with "
            f"variances {variance.tolist()}."
        )
    return layers.Normalization(
        axis=-1, mean=np.atleast_1d(mean).tolist(), variance=variance.tolist(), dtype="float32"
    )
