"""Still pictures: read, write, list.

Whatever comes (grey, palette, 16 bits, CMYK, transparent, turned by its EXIF tag), `(H, W, 3)`
uint8 RGB leaves. The rules:

- 16 bits a channel keep their high byte;
- transparent pixels are laid over white, as a page shows them;
- of an animation the first frame counts;
- floating-point arrays are refused, because 0...1 and 0...255 cannot be told apart safely.
"""

from __future__ import annotations

import io
import re
from pathlib import Path

import cv2
import numpy as np

from builder_tools.media.partial import replacing

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
JPEG_QUALITY = 95

_ORIENTATION_TAG = 0x0112
_SIGNATURES_OF_OTHERS = {
    b"%PDF": "a PDF document",
    b"RIFF": "a RIFF file other than WebP (AVI or WAV?)",
    b"<svg": "an SVG drawing",
    b"<!DO": "a web page",
    b"<htm": "a web page",
    b"PK\x03\x04": "a zip archive",
}
_TRANSPOSING = frozenset({5, 6, 7, 8})
_FLIP_BY_ORIENTATION = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}


def read_image(
    source: str | Path | bytes | np.ndarray, *, max_pixels: int | None = None
) -> np.ndarray:
    """Gives a picture as RGB, turned upright.

    Args:
        source: A path, the bytes of a picture file, or an array: uint8 or uint16, `(H, W)`,
            `(H, W, 1)`, `(H, W, 3)` RGB or `(H, W, 4)` RGBA.
        max_pixels: Refuse pictures with more pixels than this, before decoding them.

    Returns:
        `(H, W, 3)` uint8 RGB, contiguous. An array that already is one comes back uncopied.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no readable picture or too large.
    """
    if isinstance(source, np.ndarray):
        _check_pixels(source.shape[:2], max_pixels, "array")
        return _array_to_rgb(source)
    if isinstance(source, bytes):
        return _decode(np.frombuffer(source, np.uint8), "bytes", max_pixels)
    if not isinstance(source, (str, Path)):
        raise ValueError(
            "Expected a path, bytes or a numpy array (H, W, 3) in RGB. "
            f"Received: {type(source).__name__}. Try numpy.asarray(picture)."
        )
    return _decode(_read_bytes(Path(source)), str(source), max_pixels)


def write_image(path: str | Path, image_rgb: np.ndarray) -> Path:
    """Writes a picture, whole or not at all; the suffix of the path chooses the format.

    Args:
        path: Where to; missing folders are made, an existing file is replaced.
        image_rgb: `(H, W, 3)` uint8 RGB (or any array `read_image` takes).

    Returns:
        The path.

    Raises:
        ValueError: If the suffix is not one of `IMAGE_SUFFIXES` or the array is no picture.
        OSError: If the file cannot be written.
    """
    path = Path(path)
    encoded = _encode(_array_to_rgb(image_rgb), path.suffix.lower())
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        partial.write_bytes(encoded)
    return path


def list_images(folder: str | Path) -> list[Path]:
    """Lists the pictures directly inside a folder in natural order (0, 1, 2, ..., 10).

    Raises:
        FileNotFoundError: If there is no such folder.
        NotADirectoryError: If it is a file.
    """
    folder = Path(folder)
    if not folder.exists():
        raise FileNotFoundError(f"Expected a folder of pictures. Nothing is at {str(folder)!r}.")
    if not folder.is_dir():
        raise NotADirectoryError(f"Expected a folder of pictures. Received a file: {folder}.")
    found = (path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    visible = (path for path in found if not path.name.startswith(".") and path.is_file())
    return sorted(visible, key=_natural_key)


def _natural_key(path: Path) -> tuple[list[str | int], str]:
    parts = re.split(r"(\d+)", path.name.casefold())
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], path.name


def _read_bytes(path: Path) -> np.ndarray:
    if path.is_dir():
        raise ValueError(f"Expected one picture. Received a folder: {path}. Try img-batch.")
    if not path.exists():
        raise FileNotFoundError(f"No picture at {str(path)!r}. Check the spelling and the folder.")
    return np.fromfile(path, np.uint8)


def _decode(data: np.ndarray, name: str, max_pixels: int | None) -> np.ndarray:
    if data.size == 0:
        raise ValueError(f"Expected a picture. Received an empty file (0 bytes): {name}.")
    if max_pixels is not None:
        _check_pixels(_size_in_header(data, name), max_pixels, name)
    transparent = _may_be_transparent(data)
    flags = cv2.IMREAD_UNCHANGED if transparent else cv2.IMREAD_COLOR_RGB
    try:
        image = cv2.imdecode(data, flags)
    except cv2.error as error:
        raise ValueError(f"Cannot decode the picture {name}: {error.err}.") from error
    if image is None:
        raise ValueError(_unreadable_message(data, name))
    return _transparent_to_rgb(image, data) if transparent else image


def _unreadable_message(data: np.ndarray, name: str) -> str:
    start = data[:16].tobytes()
    kind = f"it is damaged, cut short or no picture (it starts with {start[:8]!r})"
    for signature, other in _SIGNATURES_OF_OTHERS.items():
        if start.startswith(signature):
            kind = f"it looks like {other}"
    if start[4:8] == b"ftyp":
        kind = "it looks like a HEIC picture or an MP4/MOV video"
    return (
        f"Cannot read {name} ({data.size} bytes) as a picture: {kind}. "
        "Try to open it in a viewer and save it as JPEG or PNG."
    )


def _size_in_header(data: np.ndarray, name: str) -> tuple[int, int]:
    """Reads (height, width) without decoding."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data)) as picture:
            return picture.height, picture.width
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError) as error:
        raise ValueError(f"Cannot read the size of the picture {name}: {error}.") from error


def _check_pixels(size: tuple[int, ...], max_pixels: int | None, name: str) -> None:
    if max_pixels is not None and np.prod(size, dtype=np.int64) > max_pixels:
        raise ValueError(
            f"Expected at most {max_pixels} pixels. Received: {name} with "
            f"{' x '.join(str(side) for side in reversed(size))}. Try a smaller copy."
        )


def _may_be_transparent(data: np.ndarray) -> bool:
    """Looks for an alpha channel in the headers of PNG and WebP."""
    start = data[:1024].tobytes()
    if start.startswith(b"\x89PNG"):
        return start[25:26] in (b"\x04", b"\x06") or b"tRNS" in start.split(b"IDAT")[0]
    if start[8:15] == b"WEBPVP8":
        return (start[15:16] == b"X" and bool(start[20] & 0x10)) or (
            start[15:16] == b"L" and bool(start[24] & 0x10)
        )
    return False


def _transparent_to_rgb(image: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Turns the BGRA that an unchanged decode gives into upright RGB over white."""
    from PIL import Image

    if image.ndim == 3:
        swap = cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGB
        image = cv2.cvtColor(image, swap)
    with Image.open(io.BytesIO(data)) as picture:
        orientation = picture.getexif().get(_ORIENTATION_TAG, 1)
    return _turn_upright(_array_to_rgb(image), orientation)


def _turn_upright(image: np.ndarray, orientation: int) -> np.ndarray:
    if orientation in _TRANSPOSING:
        image = cv2.transpose(image)
    flip = _FLIP_BY_ORIENTATION.get(orientation)
    return image if flip is None else cv2.flip(image, flip)


def _array_to_rgb(image: np.ndarray) -> np.ndarray:
    _check_array(image)
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    if image.ndim == 2 or image.shape[2] == 1:
        return cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_GRAY2RGB)
    if image.shape[2] == 4:
        return _over_white(image)
    return np.ascontiguousarray(image)


def _check_array(image: np.ndarray) -> None:
    if image.dtype not in (np.uint8, np.uint16):
        raise ValueError(
            f"Expected a uint8 (or uint16) picture. Received: dtype={image.dtype}. Try "
            "(image * 255).round().astype('uint8') if it runs 0...1, image.astype('uint8') "
            "if it runs 0...255."
        )
    channels = image.shape[2] if image.ndim == 3 else 1
    if image.ndim not in (2, 3) or channels not in (1, 3, 4) or image.size == 0:
        raise ValueError(
            "Expected one picture of shape (H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA. "
            f"Received: shape={image.shape}."
        )


def _over_white(image_rgba: np.ndarray) -> np.ndarray:
    alpha = image_rgba[..., 3:].astype(np.uint32)
    over = (image_rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255
    return over.astype(np.uint8)


def _encode(image_rgb: np.ndarray, suffix: str) -> bytes:
    if suffix not in IMAGE_SUFFIXES:
        raise ValueError(
            f"Expected a file name that ends in one of {sorted(IMAGE_SUFFIXES)}. "
            f"Received: {suffix or 'no suffix'!r}."
        )
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if suffix in (".jpg", ".jpeg") else []
    done, encoded = cv2.imencode(suffix, cv2.cvtColor(image_rgb, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise ValueError(f"Cannot encode a picture of shape {image_rgb.shape} as {suffix}.")
    return encoded.tobytes()
