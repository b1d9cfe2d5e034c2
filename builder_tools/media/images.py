"""Reading and writing of still images.

Any image (grey, palette, 16-bit, floats, CMYK, transparent, rotated by its EXIF tag, in any of
`formats.IMAGE_FORMATS`) is returned as `(H, W, 3)` uint8 RGB. The rules:

- of 16 bits per channel the high byte is kept; if all values fit in a sensor's 10, 12 or 14 bits,
  the high byte of those, with a note;
- transparent pixels are composited over white, as on a web page;
- of an animation the first frame is read, of several images the first (of an icon the largest);
- of a truncated image, the part that can be decoded is returned, with a note.
"""

from __future__ import annotations

import logging
import os
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, NoReturn

import cv2
import numpy as np

from builder_tools.media.addresses import (
    STANDARD_INPUT,
    fetch_image,
    is_address,
    is_image_text,
    without_file_scheme,
)
from builder_tools.media.arrays import array_to_rgb, as_array
from builder_tools.media.decoding import decode
from builder_tools.media.formats import WRITTEN_SUFFIXES
from builder_tools.media.guarding import UnusedPaths
from builder_tools.media.headers import image_header
from builder_tools.media.limits import MOST_BYTES, ImageError, ImageLimits, image_limits
from builder_tools.media.partial import replacing

JPEG_QUALITY = 95
_NEEDED_BYTES_PER_PIXEL = 12
"""About the most memory that decoding and processing an image takes, whatever its format."""

IMAGE_ERRORS = (OSError, ValueError, MemoryError)
"""What `open_image` and `read_image` raise for an unreadable image, which need not end a batch."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class OpenedImage:
    """An image whose size is known and within the limits, not yet decoded.

    Args:
        name: Its path or address, or a description.
        needed_bytes: Approximate memory for decoding and processing it.
        decode: Returns `(H, W, 3)` uint8 RGB and a note, "" if there is nothing to say; raises
            an `ImageError` on failure.
        nbytes: Memory that its pixels take already, if it is decoded.
    """

    name: str
    needed_bytes: int
    decode: Callable[[], tuple[np.ndarray, str]]
    nbytes: int = 0


def read_image(
    source: Any, *, max_pixels: int | None = None, max_side: int | None = None
) -> np.ndarray:
    """Return an image as RGB, turned upright.

    Args:
        source: A path, a `file://` or http(s) address, or `-` for standard input; the bytes of an
            image file (bytes, bytearray, memoryview) or an open one; a Pillow image; an array,
            a tensor or anything else with `__array__`: `(H, W)`, `(H, W, 1)`, `(H, W, 3)` RGB or
            `(H, W, 4)` RGBA of uint8, uint16, bool or floats (see `array_to_rgb`).
        max_pixels: Refuse images with more pixels, before decoding them; None uses the limit
            from the environment, or else the default (see `ImageLimits`).
        max_side: The same for the longer side in px.

    Returns:
        `(H, W, 3)` uint8 RGB, contiguous. An array already in that form is returned uncopied.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it cannot be read or fetched.
        ImageError: A ValueError: if it is not a readable image or too large, or its format
            needs a package that is not installed.
        RuntimeError: If a limit in the environment is wrong.
    """
    opened = open_image(source, max_pixels=max_pixels, max_side=max_side)
    image, note = opened.decode()
    if note:
        logger.warning("%s: %s.", opened.name, note)
    return image


def can_be_read(path: str | Path) -> bool:
    """Return whether a file can be read as an image by now."""
    try:
        read_image(path)
    except IMAGE_ERRORS:
        return False
    return True


def open_image(
    source: Any, *, max_pixels: int | None = None, max_side: int | None = None
) -> OpenedImage:
    """Return an image ready to be decoded; arguments and errors are those of `read_image`."""
    if isinstance(source, OpenedImage):
        return source
    limits = image_limits(max_pixels, max_side)
    name = name_of(source)
    if is_address(source):
        return _of_bytes(fetch_image(source, limits), name, limits)
    if isinstance(source, str):
        if source == STANDARD_INPUT:
            return _of_bytes(_read_standard_input(limits), name, limits)
        source = without_file_scheme(source)
    if isinstance(source, str | os.PathLike):
        return _of_bytes(_read_file(Path(source), limits), name, limits)
    # A memoryview of this form holds a file's bytes; one of any other form, an array's pixels.
    is_flat = isinstance(source, memoryview) and source.ndim == 1 and source.itemsize == 1
    if isinstance(source, bytes | bytearray) or is_flat:
        limits.check_bytes(len(source), name)
        return _of_bytes(bytes(source), name, limits)
    if hasattr(source, "read"):
        return _of_bytes(_read_open_file(source, limits), name, limits)
    if _is_pillow_image(source):
        return _of_pillow(source, name, limits)
    if not (isinstance(source, memoryview) or hasattr(source, "__array__")):
        raise ImageError(
            "Expected a path, a file or http(s) address, the bytes of an image, an open file, an "
            "image of Pillow or an array (H, W, 3) in RGB. "
            f"Received: {type(source).__name__}. Try numpy.asarray(image)."
        )
    image = as_array(source)
    limits.check((*image.shape[:2], 1, 1)[:2], name)
    return OpenedImage(name, image.nbytes, lambda: array_to_rgb(image))


def name_of(source: Any) -> str:
    """Return a name for a source: its path, address or file name, else a description."""
    if is_image_text(source):
        return "image in base64"  # not the whole image
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    named = getattr(source, "filename" if _is_pillow_image(source) else "name", None)
    if isinstance(named, str) and named and not isinstance(source, np.ndarray):
        return named
    return "array" if hasattr(source, "__array__") else type(source).__name__


def is_one_image(source: Any) -> bool:
    """Return whether a source is a single image rather than several."""
    if hasattr(source, "__array__"):
        shape = np.shape(source)
        return len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3, 4))
    if isinstance(source, str | bytes | bytearray | memoryview) or hasattr(source, "read"):
        return True
    return not hasattr(source, "__iter__")


def as_now(source: Any) -> Any:
    """Return an image such as it is now, for `open_image`; its giver may change or close it then.

    Open files and buffers are read, Pillow images decoded, and arrays copied. Paths and
    addresses are returned as they are. What cannot be read gives its error when it is decoded.
    """
    if isinstance(source, str | os.PathLike | bytes):
        return source
    try:
        opened = open_image(source)
        if _is_pillow_image(source):
            image, note = opened.decode()
            return OpenedImage(opened.name, 0, lambda: (image, note), image.nbytes)
        is_pixels = isinstance(source, memoryview) and source.ndim > 1
        return np.array(source) if is_pixels or hasattr(source, "__array__") else opened
    except IMAGE_ERRORS as error:
        return OpenedImage(name_of(source), 0, partial(_fail, error))


def _fail(error: Exception) -> NoReturn:
    raise error


def write_image(path: str | Path, image_rgb: np.ndarray, *, overwrite: bool = True) -> Path:
    """Write an image, completely or not at all; the suffix of the path determines the format.

    Args:
        path: Path to write to; missing folders are created.
        image_rgb: `(H, W, 3)` uint8 RGB (or any array `read_image` takes).
        overwrite: Whether an existing file is replaced.

    Returns:
        The path.

    Raises:
        ValueError: If the suffix is not one of `WRITTEN_SUFFIXES`, or the array is not an image
            or too large for the format.
        OSError: If the file cannot be written; FileExistsError if it may not be replaced.
    """
    path = Path(path)
    image, suffix = array_to_rgb(np.asarray(image_rgb))[0], path.suffix.lower()
    if suffix not in WRITTEN_SUFFIXES:
        raise ValueError(
            f"Expected a file name that ends in one of {sorted(WRITTEN_SUFFIXES)}. "
            f"Received: {suffix or 'no suffix'!r}."
        )
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if suffix in (".jpg", ".jpeg") else []
    try:
        done, encoded = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    except cv2.error:
        done = False
    if not done:
        raise ValueError(
            f"Cannot encode an image of shape {image.shape} as {suffix}: it may be too large "
            "for that format. Try .png."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, overwrite=overwrite) as partial:
        partial.write_bytes(encoded.tobytes())
    return path


def write_unused(wanted: Path, image_rgb: np.ndarray, unused: UnusedPaths) -> Path:
    """Write an image under a name that nothing has taken, also if others write there, too.

    Returns:
        The path: the wanted one, or one with a number.

    Raises:
        ValueError, OSError: As `write_image`.
    """
    while True:
        path = unused.next(wanted)
        try:
            return write_image(path, image_rgb, overwrite=False)
        except FileExistsError:
            if not os.path.lexists(path):  # it was its folder's name that a file has
                raise


def _of_bytes(data: bytes, name: str, limits: ImageLimits) -> OpenedImage:
    if not data:
        raise ImageError(f"Expected an image. Received an empty file (0 bytes): {name}.")
    header = image_header(data, name)
    limits.check((header.height, header.width), name)
    if header.width * header.height * (header.depth + 7) // 8 * 4 > MOST_BYTES:
        raise ImageError(
            f"Expected an image of less than 2 GiB when decoded. Received: {name} with "
            f"{header.width} x {header.height} pixels of {header.depth} bits. Try a smaller copy."
        )
    needed = len(data) + header.width * header.height * _NEEDED_BYTES_PER_PIXEL
    return OpenedImage(name, needed, lambda: decode(data, header, name))


def _of_pillow(image, name: str, limits: ImageLimits) -> OpenedImage:
    from builder_tools.media.pillow import pillow_to_rgb

    def convert() -> tuple[np.ndarray, str]:
        try:
            return pillow_to_rgb(image)
        except Exception as error:  # pixels may only be decoded here
            raise ImageError(f"Cannot read the image {name}: {error}") from error

    limits.check(image.size[::-1], name)
    if min(image.size) < 1:
        raise ImageError(
            f"Expected an image of at least one pixel. Received: {name} with {image.width} x "
            f"{image.height}."
        )
    return OpenedImage(name, image.width * image.height * _NEEDED_BYTES_PER_PIXEL, convert)


def _read_file(path: Path, limits: ImageLimits) -> bytes:
    """Read a file if its size is within the limits and it begins like an image."""
    try:
        found = path.stat()
    except FileNotFoundError as error:
        dead = f" It is a link to {os.readlink(path)!r}." if path.is_symlink() else ""
        raise FileNotFoundError(
            f"No image at {str(path)!r}. Check the spelling and the folder.{dead}"
        ) from error
    except ValueError as error:  # a name that contains NUL
        raise FileNotFoundError(f"No image at {str(path)!r}: {error}.") from error
    if stat.S_ISDIR(found.st_mode):
        raise ImageError(f"Expected one image. Received a folder: {path}. Try img-batch.")
    if not stat.S_ISREG(found.st_mode):
        raise ImageError(f"Expected an image's file. Received a pipe or device: {path}.")
    limits.check_bytes(found.st_size, str(path))
    with open(path, "rb") as file:
        data = file.read(_PIECE_BYTES)
        if len(data) == _PIECE_BYTES and not any(data):
            raise ImageError(f"Expected an image. Received a file full of zeros: {path}.")
        return data + _read_up_to(file, limits.max_bytes - len(data) + 1)


_PIECE_BYTES = 1 << 20


def _read_up_to(file: IO[bytes], most: int) -> bytes:
    """Read a file piece by piece, as `file.read(most)` may allocate that much first."""
    pieces = []
    while most > 0 and (piece := file.read(min(most, _PIECE_BYTES))):
        pieces.append(piece)
        most -= len(piece)
    return b"".join(pieces)


def _read_standard_input(limits: ImageLimits) -> bytes:
    from builder_tools.media.pipes import standard_input

    try:
        file = standard_input("an image", "img - < photo.jpg")
        data = _read_up_to(file, limits.max_bytes + 1)
    except ValueError as error:
        raise ImageError(str(error)) from error
    limits.check_bytes(len(data), STANDARD_INPUT)
    return data


def _read_open_file(file: IO[bytes], limits: ImageLimits) -> bytes:
    if isinstance(file.read(0), str):
        raise ImageError(
            "Expected a file opened for bytes. Received one that gives text. Try open(path, 'rb')."
        )
    data = _read_up_to(file, limits.max_bytes + 1)
    limits.check_bytes(len(data), name_of(file))
    if not data:
        raise ImageError(
            f"Expected an image. Received an open file that gives nothing more: {name_of(file)}. "
            "Try file.seek(0)."
        )
    return data


def _is_pillow_image(source: Any) -> bool:
    # If it is not imported, or another thread is still importing it, there is no such image.
    return isinstance(source, getattr(sys.modules.get("PIL.Image"), "Image", ()))
