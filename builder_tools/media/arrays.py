"""Converts any array that represents an image to `(H, W, 3)` uint8 RGB."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from builder_tools.media.limits import ImageError

STRIP_PIXELS = 4_000_000
"""Pixels converted at once if a conversion needs more memory than the image."""
_SENSOR_BITS = (8, 10, 12, 14, 16)


def as_array(source: Any) -> np.ndarray:
    """Return an array, a tensor or anything else with `__array__` as a NumPy array.

    Raises:
        ImageError: If it cannot be converted; says what to do.
    """
    try:
        return np.asarray(source)
    except Exception as error:  # a tensor on a GPU, or one that is being trained
        raise ImageError(
            f"Cannot make an array of this {type(source).__name__}: {error}. Try "
            ".detach().cpu().numpy() or .numpy()."
        ) from error


def array_to_rgb(image: np.ndarray) -> tuple[np.ndarray, str]:
    """Return an array as an image, and a note on how its values were read ("" if unchanged).

    Args:
        image: `(H, W)`, `(H, W, 1)`, `(H, W, 3)` RGB or `(H, W, 4)` RGBA of uint8, uint16, bool
            (True is white) or floats: 0...1 if no value is above 1, else 0...255. uint16 values
            are read as 8, 10, 12 or 14 bits if none is higher.

    Returns:
        `(H, W, 3)` uint8 RGB, contiguous, with transparent pixels composited over white; the
        array itself if it already has that form.

    Raises:
        ImageError: If it is not an image; says what it is and what to do.
    """
    _check_shape(image)
    if image.dtype == np.uint8:
        return _channels_to_rgb(image), ""
    if image.dtype == bool:
        return _channels_to_rgb(image.astype(np.uint8) * 255), ""
    if image.dtype.kind == "u" and image.dtype.itemsize == 2:
        bits = sensor_bits(int(image.max()))
        note = "" if bits == 16 else f"its 16-bit values are read as {bits} bits, as none is higher"
        return _channels_to_rgb(
            _in_strips(image, lambda part: (part >> (bits - 8)).astype(np.uint8))
        ), note
    if image.dtype.kind == "f":
        low, high = float(image.min()), float(image.max())
        if not (low >= 0 and high <= 255):  # NaN fails both
            raise ImageError(
                f"Expected values of 0...1 or 0...255 in an image of floats (dtype={image.dtype}). "
                f"Received: values of {low:g}...{high:g}. Try numpy.clip, numpy.nan_to_num or "
                "255 * (image - image.min()) / (image.max() - image.min())."
            )
        scale = 255.0 if high <= 1 else 1.0
        return _channels_to_rgb(
            _in_strips(image, lambda part: np.rint(part * scale).astype(np.uint8))
        ), ""
    raise ImageError(
        f"Expected an image of uint8, uint16, bool or floats. Received: dtype={image.dtype}. "
        "Try image.astype('uint8') if its values run 0...255."
    )


def sensor_bits(highest: int) -> int:
    """Return the bit depth of a sensor with this highest value: 8, 10, 12, 14 or 16.

    An image of zeros is black at any depth; it counts as 16 bits.
    """
    return next((b for b in _SENSOR_BITS if highest < 1 << b), 16) if highest else 16


def as_sixteen_bits(values: np.ndarray) -> np.ndarray:
    """Return integers of another width as uint16.

    Raises:
        ImageError: If they are not all in 0...65535.
    """
    if values.min() < 0 or values.max() > 0xFFFF:
        raise ImageError(
            f"Expected values of 0...65535. Received: {values.min()}...{values.max()}."
        )
    return values.astype(np.uint16)


def over_white(image_rgba: np.ndarray) -> np.ndarray:
    """Composite a `(H, W, 4)` uint8 RGBA image over white; return `(H, W, 3)` uint8."""

    def lay(part: np.ndarray) -> np.ndarray:
        alpha = part[..., 3:].astype(np.uint32)
        return ((part[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)

    return _in_strips(image_rgba, lay)


def _check_shape(image: np.ndarray) -> None:
    channels = image.shape[2] if image.ndim == 3 else 1
    if image.ndim in (2, 3) and channels in (1, 3, 4) and image.size:
        return
    hint = ""
    if image.ndim == 3 and image.shape[0] in (1, 3, 4) and image.size:
        hint = " Its channels come first: try numpy.moveaxis(image, 0, -1)."
    elif image.ndim == 4 and image.size:
        hint = " These are several images: give them one by one, or as a list."
    raise ImageError(
        "Expected one image of shape (H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA. "
        f"Received: shape={image.shape}.{hint}"
    )


def _channels_to_rgb(image: np.ndarray) -> np.ndarray:
    if image.ndim == 2 or image.shape[2] == 1:
        return cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_GRAY2RGB)
    return over_white(image) if image.shape[2] == 4 else np.ascontiguousarray(image)


def _in_strips(image: np.ndarray, convert) -> np.ndarray:
    """Convert a few rows at a time, so that intermediate values take little memory."""
    rows = max(STRIP_PIXELS // image.shape[1], 1)
    if rows >= len(image):
        return convert(image)
    first = convert(image[:rows])
    whole = np.empty((len(image), *first.shape[1:]), first.dtype)
    whole[:rows] = first
    for top in range(rows, len(image), rows):
        whole[top : top + rows] = convert(image[top : top + rows])
    return whole
