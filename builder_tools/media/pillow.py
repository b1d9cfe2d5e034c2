"""Images read by Pillow: formats that OpenCV cannot read, or reads less well, and Pillow images.

Pillow takes 45 ms to import, so it is imported when first needed.
"""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import cv2
import numpy as np

from builder_tools.media.arrays import array_to_rgb, as_sixteen_bits
from builder_tools.media.limits import ImageError

if TYPE_CHECKING:
    from PIL.Image import Image

ORIENTATION_TAG = 0x0112
_TRANSPOSING = frozenset({5, 6, 7, 8})
_FLIP_BY_ORIENTATION = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}
_WITH_ALPHA = frozenset({"RGBA", "RGBa", "LA", "La", "PA"})
_settings = threading.Lock()


@contextmanager
def quiet_pillow(*, truncated: bool = False) -> Iterator[None]:
    """Let Pillow quietly open whatever our own limits allow, and restore its settings."""
    from PIL import Image, ImageFile

    with _settings, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
        Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = None, truncated
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = before


def open_with_pillow(data: bytes, formats: Sequence[str]) -> Image:
    """Return an image in one of the given formats, its pixels not yet decoded.

    Raises:
        ValueError: If it is in none of them.
        Exception: Whatever a parser raises on a damaged file.
    """
    from PIL import Image, UnidentifiedImageError

    with quiet_pillow():
        try:
            return Image.open(io.BytesIO(data), formats=formats)
        except UnidentifiedImageError as error:  # its message names an object in memory
            raise ValueError("") from error


def open_heif(data: bytes):
    """Return a HEIF image, its pixels not yet decoded.

    Raises:
        ImageError: If pillow-heif is not installed; says how to install it.
    """
    try:
        import pillow_heif
    except ImportError as error:
        raise ImageError(
            "Reading HEIC and HEIF images needs pillow-heif: pip install 'builder-tools[heif]'"
        ) from error
    return pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=True)


def decode_by_pillow(data: bytes, kind: str, *, truncated: bool = False) -> tuple[np.ndarray, str]:
    """Decode an image; return it and a note as `array_to_rgb` does.

    Args:
        data: Contents of the file.
        kind: Its format.
        truncated: Decode as much as possible of a truncated or damaged image.

    Raises:
        Exception: Whatever a decoder raises on a damaged file.
    """
    if kind == "HEIF":
        return pillow_to_rgb(open_heif(data).to_pillow())
    with open_with_pillow(data, (kind,)) as image:
        if truncated:
            with quiet_pillow(truncated=True):
                image.load()
        else:
            image.load()
        return pillow_to_rgb(image)


def pillow_to_rgb(pillow_image: Image) -> tuple[np.ndarray, str]:
    """Return a Pillow image of any mode, turned upright, in the form of `array_to_rgb`."""
    orientation = orientation_of(pillow_image)
    if pillow_image.mode in _WITH_ALPHA or "transparency" in pillow_image.info:
        image, note = array_to_rgb(np.asarray(pillow_image.convert("RGBA")))
    elif pillow_image.mode == "F":
        image, note = array_to_rgb(np.asarray(pillow_image))
    elif pillow_image.mode == "I" or pillow_image.mode.startswith("I;16"):
        image, note = array_to_rgb(as_sixteen_bits(np.asarray(pillow_image)))
    else:
        image, note = np.array(pillow_image.convert("RGB")), ""
    return turn_upright(image, orientation), note


def orientation_of(image: Image) -> int:
    """Return the EXIF orientation, 1...8; 1 if there is none or the EXIF data is damaged."""
    try:
        return int(image.getexif().get(ORIENTATION_TAG, 1))
    except Exception:  # a damaged tag leaves the image as it is
        return 1


def turn_upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """Return an image rotated as its EXIF orientation says."""
    if orientation in _TRANSPOSING:
        image = cv2.transpose(image)
    flip = _FLIP_BY_ORIENTATION.get(orientation)
    return image if flip is None else cv2.flip(image, flip)
