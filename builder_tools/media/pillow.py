"""Images read by Pillow: formats that OpenCV cannot read, or reads less well, and Pillow images.

Pillow takes 45 ms to import, so it is imported when first needed. What a small file could make it
do for hours, or in gigabytes, is kept from it: see `_tamed` and `_bound_tags`.
"""

from __future__ import annotations

import io
import re
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import IO, TYPE_CHECKING

import cv2
import numpy as np

from builder_tools.media.arrays import array_to_rgb, as_sixteen_bits
from builder_tools.media.limits import ImageError

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

ORIENTATION_TAG = 0x0112
_TRANSPOSING = frozenset({5, 6, 7, 8})
_FLIP_BY_ORIENTATION = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}
_WITH_ALPHA = frozenset({"RGBA", "RGBa", "LA", "La", "PA"})
_settings = threading.Lock()
_GIF_BLOCK = re.compile(rb"[!,;]")
_GIF_EXTENSION, _GIF_CONTROL = 0x21, 0xF9
_PLAIN_PPM = re.compile(rb"P[123]\s")
_PPM_COMMENT = re.compile(rb"#[^\r\n]*[\r\n]?")
_MOST_SHARED = 10_000_000
"""Bytes that the tags of Exif data or of a TIFF may hold beyond those that are there."""


@contextmanager
def quiet_pillow(*, truncated: bool = False, most_pixels: int | None = None) -> Iterator[None]:
    """Let Pillow quietly open whatever our own limits allow, and restore its settings."""
    from PIL import Image, ImageFile

    _bound_tags()
    with _settings, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
        Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = most_pixels, truncated
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = before


@cache
def _bound_tags() -> None:
    """Let Pillow read no more bytes for the tags of a directory than are there, and some.

    Tags may all point to the same bytes, of which Pillow keeps a copy each: 100 kB became 1 GB.
    """
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    load = ImageFileDirectory_v2.load

    def load_bounded(self: ImageFileDirectory_v2, fp: IO[bytes]) -> None:
        load(self, _Bounded(fp))  # type: ignore[arg-type]

    setattr(ImageFileDirectory_v2, "load", load_bounded)  # noqa: B010 - mypy knows it as fixed


class _Bounded:
    """A file of which no more can be read than it has, and `_MOST_SHARED` bytes again."""

    def __init__(self, file: IO[bytes]) -> None:
        self.seek, self.tell, self._read = file.seek, file.tell, file.read
        place = file.tell()
        file.seek(0, io.SEEK_END)
        self._left = file.tell() + _MOST_SHARED
        file.seek(place)

    def read(self, size: int) -> bytes:
        data = self._read(min(size, self._left))
        self._left -= len(data)
        return data


def _tamed(data: bytes, kind: str) -> bytes:
    """Return an image file without the comments that Pillow takes out, or joins, one by one.

    It copies all for each: 30 MB of them would take hours. Nothing else changes.
    """
    if kind == "PPM" and _PLAIN_PPM.match(data):
        return _PPM_COMMENT.sub(b"", data)
    return _without_extensions(data) if kind == "GIF" else data


def _without_extensions(data: bytes) -> bytes:
    """Return a GIF without what stands before its first image, except how that is shown."""
    at = start = 13 + (6 << (data[10] & 7) if data[10] & 0x80 else 0)
    control = b""
    while (block := _GIF_BLOCK.search(data, at)) and data[block.start()] == _GIF_EXTENSION:
        at = block.start() + 2
        while size := data[at]:
            at += size + 1
        at += 1
        if data[block.start() + 1] == _GIF_CONTROL:
            control = data[block.start() : at]
    return b"".join((data[:start], control, data[at:]))


def open_with_pillow(
    data: bytes, formats: Sequence[str], most_pixels: int | None = None
) -> ImageFile:
    """Return an image in one of the given formats, its pixels not yet decoded, except of an icon.

    Args:
        data: Contents of the file.
        formats: Names that Pillow has for them.
        most_pixels: Pixels that it has by its header, if that was read before.

    Raises:
        ImageError: If Pillow finds more pixels than that.
        ValueError: If it is in none of the formats.
        Exception: Whatever a parser raises on a damaged file.
    """
    from PIL import Image, UnidentifiedImageError

    data = _tamed(data, formats[0])
    # Only icons are decoded when opened; other threads' images have this limit, too.
    with quiet_pillow(most_pixels=most_pixels if formats[0] == "ICO" else None):
        try:
            image = Image.open(io.BytesIO(data), formats=formats)
        except UnidentifiedImageError as error:  # its message names an object in memory
            raise ValueError("") from error
    if most_pixels is not None and image.width * image.height > most_pixels:
        raise ImageError(f"it has {image.width} x {image.height} px, but its header says fewer.")
    return image


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


def decode_by_pillow(
    data: bytes, kind: str, pixels: int, *, truncated: bool = False
) -> tuple[np.ndarray, str]:
    """Decode an image; return it and a note as `array_to_rgb` does.

    Args:
        data: Contents of the file.
        kind: Its format.
        pixels: Pixels that it has by its header.
        truncated: Decode as much as possible of a truncated or damaged image.

    Raises:
        ImageError: If it has more pixels.
        Exception: Whatever a decoder raises on a damaged file.
    """
    if kind == "HEIF":
        return pillow_to_rgb(open_heif(data).to_pillow())
    with open_with_pillow(data, (kind,), pixels) as image:
        if kind == "TIFF":  # of which Pillow allocates no more than its own limit
            with quiet_pillow():
                image.load_prepare()
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
    _bound_tags()
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
