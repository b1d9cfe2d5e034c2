"""The layers of the augmentation. Faces go in and come out as float32 0...255.

All layers run in float32 whatever the policy, and only act when called with `training=True`.
"""

from __future__ import annotations

import math

import keras
from keras import layers, ops

LUMA_RED, LUMA_GREEN, LUMA_BLUE = 0.299, 0.587, 0.114
"""Weight of each channel in the luma (ITU-R BT.601)."""


class _RandomLayer(layers.Layer):
    """Base class: float32, a seed, and a configuration with the arguments named in `OWN`."""

    OWN: tuple[str, ...] = ()

    def __init__(self, *, seed: int, **kwargs) -> None:
        super().__init__(dtype="float32", **kwargs)
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    def _uniform(self, count, low: float, high: float):
        return keras.random.uniform((count,), low, high, seed=self.generator)

    def _draw(self, count, limit: float):
        return self._uniform(count, -limit, limit)

    def get_config(self):
        config = super().get_config()
        config.pop("dtype")
        return {**config, "seed": self.seed, **{name: getattr(self, name) for name in self.OWN}}


@keras.saving.register_keras_serializable("builder_tools")
class RandomFaceAffine(_RandomLayer):
    """Mirrors, rotates, zooms, shears, tilts and shifts each face with a single interpolation.

    Edge pixels are repeated where the face moves away from the border. The arguments are those of
    `AugmentationStrength`.
    """

    OWN = ("rotation_deg", "scale", "shift", "shear", "vertical_shear", "tilt", "mirror")

    def __init__(
        self,
        *,
        rotation_deg=15.0,
        scale=(0.85, 1.18),
        shift=0.08,
        shear=0.1,
        vertical_shear=0.0,
        tilt=0.0,
        mirror=0.5,
        seed=0,
        **kwargs,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.rotation_deg, self.scale, self.shift = rotation_deg, tuple(scale), shift
        self.shear, self.vertical_shear = shear, vertical_shear
        self.tilt, self.mirror = tilt, mirror

    def call(self, images, training=False):
        if not training:
            return images
        count, height, width = ops.shape(images)[:3]
        matrix = self._random_matrix(count)
        if self.tilt:
            tilts = self._draw(count, self.tilt), self._draw(count, self.tilt)
            return _sample(images, *_tilted_places(matrix, tilts, height, width))
        flat = _around_centre(matrix, height, width)
        return ops.image.affine_transform(
            images, flat, interpolation="bilinear", fill_mode="nearest"
        )

    def _random_matrix(self, count):
        """Draw output-to-input maps `(n, 2, 3)`, with shifts relative to the side."""
        angle = self._draw(count, self.rotation_deg * math.pi / 180)
        low, high = (math.log(value) for value in self.scale)
        factor = ops.exp(-self._uniform(count, low, high))
        across = ops.where(self._uniform(count, 0.0, 1.0) < self.mirror, -1.0, 1.0)
        shear = self._draw(count, self.shear)
        cos, sin = ops.cos(angle) * factor, ops.sin(angle) * factor
        left = across * cos, across * sin
        if self.vertical_shear:
            slope = self._draw(count, self.vertical_shear)
            across = across + shear * slope
            left = across * cos - slope * sin, across * sin + slope * cos
        top = ops.stack([left[0], shear * cos - sin, self._draw(count, self.shift)], -1)
        bottom = ops.stack([left[1], cos + shear * sin, self._draw(count, self.shift)], -1)
        return ops.stack([top, bottom], 1)


@keras.saving.register_keras_serializable("builder_tools")
class RandomLight(_RandomLayer):
    """Changes brightness and contrast of each face; the result stays in 0...255."""

    OWN = ("brightness", "contrast")

    def __init__(self, *, brightness=0.15, contrast=(0.7, 1.35), seed=0, **kwargs) -> None:
        super().__init__(seed=seed, **kwargs)
        self.brightness, self.contrast = brightness, tuple(contrast)

    def call(self, images, training=False):
        if not training:
            return images
        shape = (ops.shape(images)[0], 1, 1, 1)
        limit = 255 * self.brightness
        added = keras.random.uniform(shape, -limit, limit, seed=self.generator)
        factor = keras.random.uniform(shape, *self.contrast, seed=self.generator)
        mean = ops.mean(images, axis=(1, 2, 3), keepdims=True)
        return ops.clip((images - mean) * factor + mean + added, 0.0, 255.0)


@keras.saving.register_keras_serializable("builder_tools")
class RandomColour(_RandomLayer):
    """Changes saturation and hue of each face; its brightness (luma) stays, up to clipping.

    Each pixel is split into luma and the differences from it, and only the differences are scaled
    and rotated. They are exactly 0 where red, green and blue are equal, so grey faces with one
    or three channels come out bit-identical.
    """

    OWN = ("saturation", "hue_deg")

    def __init__(self, *, saturation=(1.0, 1.0), hue_deg=0.0, seed=0, **kwargs) -> None:
        super().__init__(seed=seed, **kwargs)
        self.saturation, self.hue_deg = tuple(saturation), hue_deg

    def call(self, images, training=False):
        if not training or images.shape[-1] != 3:
            return images
        count = ops.shape(images)[0]
        factor = self._uniform(count, *self.saturation)
        angle = self._draw(count, self.hue_deg * math.pi / 180)
        cos, sin = (ops.reshape(f(angle) * factor, (-1, 1, 1)) for f in (ops.cos, ops.sin))
        # Rotate and scale colour differences in the plane of U and V (BT.601).
        red, green, blue = images[..., 0], images[..., 1], images[..., 2]
        luma = green + LUMA_RED * (red - green) + LUMA_BLUE * (blue - green)
        u, v = 0.492 * (blue - luma), 0.877 * (red - luma)
        more_blue = (u * cos - v * sin) / 0.492
        more_red = (u * sin + v * cos) / 0.877
        more_green = -(LUMA_RED * more_red + LUMA_BLUE * more_blue) / LUMA_GREEN
        turned = ops.stack([luma + more_red, luma + more_green, luma + more_blue], axis=-1)
        return ops.clip(turned, 0.0, 255.0)


@keras.saving.register_keras_serializable("builder_tools")
class RandomFaceErasing(layers.RandomErasing):
    """Keras's `RandomErasing`, but inactive by default, i.e. unless `training=True`."""

    def call(self, data, training=False):
        return super().call(data, training=training)


def _around_centre(matrix, height, width):
    """Return maps about the image's centre in projective form, `(n, 8)`."""
    height, width = ops.cast(height, "float32"), ops.cast(width, "float32")
    cx, cy = (width - 1) / 2, (height - 1) / 2
    a, b, tx = matrix[:, 0, 0], matrix[:, 0, 1], matrix[:, 0, 2] * width
    c, d, ty = matrix[:, 1, 0], matrix[:, 1, 1], matrix[:, 1, 2] * height
    zero = ops.zeros_like(a)
    x0 = cx + tx - a * cx - b * cy
    y0 = cy + ty - c * cx - d * cy
    return ops.stack([a, b, x0, c, d, y0, zero, zero], axis=-1)


def _tilted_places(matrix, tilts, height, width):
    """Return the source coordinates of each pixel of the result, x and y `(n, H, W)`.

    `ops.image.affine_transform` ignores the perspective part on JAX and PyTorch.
    """
    cx = (ops.cast(width, "float32") - 1) / 2
    cy = (ops.cast(height, "float32") - 1) / 2
    x = (ops.cast(ops.arange(width), "float32") - cx)[None, None, :]
    y = (ops.cast(ops.arange(height), "float32") - cy)[None, :, None]
    a, b, tx = (matrix[:, 0, i, None, None] for i in range(3))
    c, d, ty = (matrix[:, 1, i, None, None] for i in range(3))
    across, down = (ops.reshape(tilt, (-1, 1, 1)) for tilt in tilts)
    nearness = 1 + across * (x / (cx + 0.5)) + down * (y / (cy + 0.5))
    return (
        cx + tx * (2 * cx + 1) + (a * x + b * y) / nearness,
        cy + ty * (2 * cy + 1) + (c * x + d * y) / nearness,
    )


def _sample(images, x, y):
    """Sample images `(n, H, W, C)` with bilinear interpolation; edges are repeated."""
    count, height, width, channels = ops.shape(images)
    x = ops.clip(x, 0.0, ops.cast(width - 1, "float32"))
    y = ops.clip(y, 0.0, ops.cast(height - 1, "float32"))
    left, top = ops.cast(ops.floor(x), "int32"), ops.cast(ops.floor(y), "int32")
    right, bottom = ops.minimum(left + 1, width - 1), ops.minimum(top + 1, height - 1)
    pixels = ops.reshape(images, (-1, channels))
    first = ops.reshape(ops.arange(count, dtype="int32") * height * width, (-1, 1, 1))

    def at(row, column):
        return ops.take(pixels, first + row * width + column, axis=0)

    across = (x - ops.cast(left, "float32"))[..., None]
    down = (y - ops.cast(top, "float32"))[..., None]
    upper = at(top, left) * (1 - across) + at(top, right) * across
    lower = at(bottom, left) * (1 - across) + at(bottom, right) * across
    return upper * (1 - down) + lower * down
