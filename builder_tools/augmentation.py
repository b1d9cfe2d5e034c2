"""Augmentation as Keras layers, and batches of faces for training.

Faces go in and come out as float32 0...255. All layers run in float32 whatever the policy, and
only act when called with `training=True`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import keras
import numpy as np
from keras import layers, ops


@dataclass(frozen=True)
class AugmentationStrength:
    """How far a face may be changed; each value is drawn anew for each face.

    Args:
        rotation_deg: Rotation up to this many degrees either way.
        scale: Lowest and highest zoom factor (1 = unchanged).
        shift: Move up to this share of the side either way.
        shear: Horizontal shear up to this slope either way.
        brightness: Added value, share of 255, either way.
        contrast: Lowest and highest factor around the face's mean.
        erase: Highest probability that a rectangle is replaced by noise; each face draws its
            own between 0 and this, so half of it on average.
    """

    rotation_deg: float = 15.0
    scale: tuple[float, float] = (0.85, 1.18)
    shift: float = 0.08
    shear: float = 0.1
    brightness: float = 0.15
    contrast: tuple[float, float] = (0.7, 1.35)
    erase: float = 0.3


def augmentation_model(
    strength: AugmentationStrength | None = None, *, seed: int = 0
) -> keras.Sequential:
    """Builds the augmentation of the study: flip, affine, light, erasing.

    Returns:
        A model from `(n, H, W, C)` 0...255 to the same shape and range.
    """
    strength = strength or AugmentationStrength()
    return keras.Sequential(
        [
            RandomFaceAffine(
                rotation_deg=strength.rotation_deg,
                scale=strength.scale,
                shift=strength.shift,
                shear=strength.shear,
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
        ],
        name="augmentation",
    )


@keras.saving.register_keras_serializable("builder_tools")
class RandomFaceAffine(layers.Layer):
    """Mirrors, turns, zooms, shears and moves each face in one interpolation.

    Edge pixels are repeated where the face is moved away from the border.
    """

    def __init__(
        self, *, rotation_deg=15.0, scale=(0.85, 1.18), shift=0.08, shear=0.1, seed=0, **kwargs
    ) -> None:
        super().__init__(dtype="float32", **kwargs)
        self.rotation_deg, self.scale, self.shift = rotation_deg, tuple(scale), shift
        self.shear, self.seed = shear, seed
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, images, training=False):
        if not training:
            return images
        matrix = self._random_matrix(ops.shape(images)[0])
        flat = _around_centre(matrix, ops.shape(images)[1], ops.shape(images)[2])
        return ops.image.affine_transform(
            images, flat, interpolation="bilinear", fill_mode="nearest"
        )

    def _random_matrix(self, count):
        """Draws `(n, 2, 3)` output-to-input maps; shifts in shares of the side."""
        angle = self._draw(count, self.rotation_deg * math.pi / 180)
        low, high = (math.log(value) for value in self.scale)
        factor = ops.exp(-self._uniform(count, low, high))
        mirror = ops.where(self._uniform(count, 0.0, 1.0) < 0.5, -1.0, 1.0)
        shear = self._draw(count, self.shear)
        cos, sin = ops.cos(angle) * factor, ops.sin(angle) * factor
        top = ops.stack([mirror * cos, shear * cos - sin, self._draw(count, self.shift)], -1)
        bottom = ops.stack([mirror * sin, cos + shear * sin, self._draw(count, self.shift)], -1)
        return ops.stack([top, bottom], 1)

    def _draw(self, count, limit: float):
        return self._uniform(count, -limit, limit)

    def _uniform(self, count, low: float, high: float):
        return keras.random.uniform((count,), low, high, seed=self.generator)

    def get_config(self):
        own = {
            "rotation_deg": self.rotation_deg,
            "scale": self.scale,
            "shift": self.shift,
            "shear": self.shear,
            "seed": self.seed,
        }
        config = super().get_config()
        config.pop("dtype")
        return {**config, **own}


@keras.saving.register_keras_serializable("builder_tools")
class RandomLight(layers.Layer):
    """Changes brightness and contrast of each face; the result stays in 0...255."""

    def __init__(self, *, brightness=0.15, contrast=(0.7, 1.35), seed=0, **kwargs) -> None:
        super().__init__(dtype="float32", **kwargs)
        self.brightness, self.contrast, self.seed = brightness, tuple(contrast), seed
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, images, training=False):
        if not training:
            return images
        shape = (ops.shape(images)[0], 1, 1, 1)
        limit = 255 * self.brightness
        added = keras.random.uniform(shape, -limit, limit, seed=self.generator)
        factor = keras.random.uniform(shape, *self.contrast, seed=self.generator)
        mean = ops.mean(images, axis=(1, 2, 3), keepdims=True)
        return ops.clip((images - mean) * factor + mean + added, 0.0, 255.0)

    def get_config(self):
        config = super().get_config()
        config.pop("dtype")
        own = {"brightness": self.brightness, "contrast": self.contrast, "seed": self.seed}
        return {**config, **own}


@keras.saving.register_keras_serializable("builder_tools")
class RandomFaceErasing(layers.RandomErasing):
    """Keras's `RandomErasing`, which acts unless told not to: this one acts when told to."""

    def call(self, data, training=False):
        return super().call(data, training=training)


class FaceBatches(keras.utils.PyDataset):
    """Batches of faces for `fit(shuffle=False)`, in an order drawn anew for each epoch.

    The order follows from seed and epoch alone. `fit` does not tell which epoch begins (Keras
    calls `on_epoch_end` more often than epochs end), so a callback calls `start_epoch`.

    Only numpy works here: Keras operations inside a data pipeline can wait for each other for
    ever on a machine with few cores. Augmentation is part of the training graph instead (see
    `with_augmentation`).

    Args:
        images: `(n, H, W)` uint8 grey or `(n, H, W, 3)` uint8 RGB.
        targets: `(n, k)` float32.
        batch_size: Faces a batch.
        shuffle_seed: With `epoch` it fixes the order of every epoch; None keeps the given order.
    """

    def __init__(self, images, targets, *, batch_size=64, shuffle_seed=None) -> None:
        super().__init__()
        self.images = images[..., None] if images.ndim == 3 else images
        self.targets, self.batch_size = targets, batch_size
        self.shuffle_seed = shuffle_seed
        self.start_epoch(0)

    def __len__(self) -> int:
        return math.ceil(len(self.images) / self.batch_size)

    def __getitem__(self, index: int):
        chosen = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        return self.images[chosen].astype(np.float32), self.targets[chosen]

    def start_epoch(self, epoch: int) -> None:
        """Puts the faces in the order of an epoch."""
        self.order = np.arange(len(self.images))
        if self.shuffle_seed is not None:
            np.random.default_rng((self.shuffle_seed, epoch)).shuffle(self.order)


def with_augmentation(
    network: keras.Model, augment: keras.Model, *, size: int, channels: int
) -> keras.Model:
    """Puts augmentation and resizing before a network, for training only.

    Args:
        network: Eats `(n, size, size, 3)`.
        augment: Works on the pictures as stored, so one interpolation sees all their pixels.
        size: Side the network trains at, px.
        channels: 1 for stored grey pictures, 3 for RGB.

    Returns:
        A model from `(n, H, W, channels)` 0...255 to the network's outputs; it shares the
        network's weights.
    """
    inputs = keras.Input((None, None, channels))
    x = augment(inputs)
    x = layers.Resizing(size, size, antialias=True, dtype="float32")(x)
    if channels == 1:
        x = layers.Concatenate(dtype="float32")([x, x, x])
    return keras.Model(inputs, network(x), name="training")


def _around_centre(matrix, height, width):
    """Gives the `(n, 8)` projective form of maps about the picture's centre."""
    height, width = ops.cast(height, "float32"), ops.cast(width, "float32")
    cx, cy = (width - 1) / 2, (height - 1) / 2
    a, b, tx = matrix[:, 0, 0], matrix[:, 0, 1], matrix[:, 0, 2] * width
    c, d, ty = matrix[:, 1, 0], matrix[:, 1, 1], matrix[:, 1, 2] * height
    zero = ops.zeros_like(a)
    x0 = cx + tx - a * cx - b * cy
    y0 = cy + ty - c * cx - d * cy
    return ops.stack([a, b, x0, c, d, y0, zero, zero], axis=-1)
