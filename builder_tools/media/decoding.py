"""Decodes the bytes of an image file to RGB pixels: the only place that calls decoders.

Whatever a decoder raises becomes an `ImageError`, the reason given in a row. JPEG, PNG, WebP and
BMP are decoded by OpenCV, the rest by Pillow; what OpenCV cannot read, Pillow may. Of a truncated
or damaged image, the part that can be decoded is returned.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from builder_tools.media.arrays import array_to_rgb, as_sixteen_bits, over_white
from builder_tools.media.headers import ImageHeader, tiff_as_stored
from builder_tools.media.limits import ImageError

_BY_OPENCV = frozenset({"JPEG", "PNG", "WEBP", "BMP"})
LEAST_PART = 0.05
"""Below this decoded fraction an image is unreadable: one row of JPEG blocks always decodes."""
_BEFORE_SCANS = (b"\xff\xc4", b"\xff\xda", b"\xff\xdb", b"\xff\xdd")
Decoded = tuple[np.ndarray, str]


def decode(data: bytes, header: ImageHeader, name: str) -> Decoded:
    """Return an image as `(H, W, 3)` uint8 RGB, upright, and a note on it ("" for none).

    Args:
        data: Contents of the file.
        header: From `image_header`, checked against the limits.
        name: Name of the image for messages.

    Raises:
        ImageError: If it cannot be decoded, for whatever reason; names the image.
    """
    failed: list[Exception] = []
    reasons: list[str] = []
    for attempt in _attempts(data, header):
        try:
            return attempt()
        except ImageError as error:  # decoded, but not an image; says why
            raise ImageError(f"Cannot use {name}: {error}") from error
        except MemoryError as error:
            failed.append(error)
            reasons.append(" There is not enough memory for it.")
        except Exception as error:  # a damaged file can make a decoder raise anything
            failed.append(error)
            reasons += [f" The decoder said: {error}."] if str(error) else []
    reason = reasons[0] if reasons else ""
    raise ImageError(
        f"Cannot read {name}, by its header a {header.format} image of {header.width} x "
        f"{header.height} px: it is damaged, cut short or its pixels are of a kind that is not "
        f"read.{reason} Try to open it in a viewer and save it as JPEG or PNG."
    ) from failed[-1]


def _attempts(data: bytes, header: ImageHeader) -> Iterator:
    kind = header.format
    if kind in _BY_OPENCV:
        yield lambda: _by_opencv(data, header)
    if kind == "TIFF" and header.depth > 8:  # Pillow reads few of these
        yield lambda: _deep(data, header)
    yield lambda: _by_pillow(data, header, truncated=False)
    yield lambda: _cut_short(*_by_pillow(data, header, truncated=True))
    if kind == "JPEG":
        # A progressive JPEG, without the scan at whose beginning it was truncated.
        whole_scans = data[: max(map(data.rfind, _BEFORE_SCANS))] + b"\xff\xd9"
        yield lambda: _cut_short(*_by_opencv(whole_scans, header))


def _by_opencv(data: bytes, header: ImageHeader) -> Decoded:
    if header.format == "PNG" and header.depth > 8:
        return _deep(data, header)
    if not _may_be_transparent(data):
        return _imdecode(data, cv2.IMREAD_COLOR_RGB), ""
    image = _imdecode(data, cv2.IMREAD_UNCHANGED)
    if image.ndim == 3:
        swap = cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGB
        image = cv2.cvtColor(image, swap)
    image, note = (over_white(image), "") if image.shape[2:] == (4,) else array_to_rgb(image)
    return _upright(image, data, header), note


def _deep(data: bytes, header: ImageHeader) -> Decoded:
    """Decode a PNG or TIFF with more than 8 bits per channel, or with floats."""
    if header.is_planar:  # both decoders scramble the pixels
        raise ImageError(
            f"its channels of {header.depth} bits are stored one after the other, which is not "
            "read. Try to save it as PNG."
        )
    stored = data if header.orientation == 1 else tiff_as_stored(data)
    image = _imdecode(stored, cv2.IMREAD_UNCHANGED)
    if image.ndim == 3 and image.shape[2] in (3, 4):
        image = image[..., [2, 1, 0, 3][: image.shape[2]]]
    if image.dtype.kind == "i" or (image.dtype.itemsize > 2 and image.dtype.kind == "u"):
        image = as_sixteen_bits(image)
    image, note = array_to_rgb(image)
    if header.is_inverted:
        image = 255 - image
    return _upright(image, data, header), note


def _imdecode(data: bytes, flags: int) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if image is None:
        raise ValueError("")
    return image


def _by_pillow(data: bytes, header: ImageHeader, *, truncated: bool) -> Decoded:
    from builder_tools.media.pillow import decode_by_pillow

    pixels = header.width * header.height
    return decode_by_pillow(data, header.format, pixels, truncated=truncated)


def _upright(image: np.ndarray, data: bytes, header: ImageHeader) -> np.ndarray:
    """Rotate as EXIF says, which OpenCV does not do with IMREAD_UNCHANGED."""
    from builder_tools.media.pillow import open_with_pillow, orientation_of, turn_upright

    if header.format == "TIFF":
        return turn_upright(image, header.orientation)
    try:
        pixels = header.width * header.height
        with open_with_pillow(data, (header.format,), pixels) as opened:
            orientation = orientation_of(opened)
    except Exception:  # the pixels are fine, only their orientation is unknown
        return image
    return turn_upright(image, orientation)


def _cut_short(image: np.ndarray, note: str) -> Decoded:
    """Note how much of an image was decoded: rows of one colour at its end were not.

    In formats that store the last row first, these rows are at the top.
    """
    missing = max(_plain_rows(image), _plain_rows(image[::-1, ::-1])) / len(image)
    if 1 - missing < LEAST_PART:
        raise ValueError(f"only about {1 - missing:.0%} of it could be decoded")
    said = f"it is cut short or damaged; about {1 - missing:.0%} of it could be decoded"
    return image, "; ".join(part for part in (said, note) if part)


def _plain_rows(image: np.ndarray) -> int:
    """Count the rows at the top that have only the first pixel's colour."""
    differs = (image != image[0, 0]).any(axis=(1, 2))
    return int(differs.argmax()) if differs.any() else len(image)


def _may_be_transparent(data: bytes) -> bool:
    """Return whether the header of a PNG or WebP announces transparency."""
    start = data[:32]
    if start.startswith(b"\x89PNG"):
        return start[25:26] in (b"\x04", b"\x06") or data.find(b"tRNS", 0, data.find(b"IDAT")) >= 0
    if start[8:15] == b"WEBPVP8":
        return (start[15:16] == b"X" and bool(start[20] & 0x10)) or (
            start[15:16] == b"L" and bool(start[24] & 0x10)
        )
    return False
