"""Reads the format, width and height of an image from its first bytes, before decoding.

JPEG, PNG, WebP and BMP, which come by the thousand, are parsed here, as are icons, which Pillow
decodes when it opens them; the rest by Pillow, which is imported only then.
"""

from __future__ import annotations

import io
import re
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from builder_tools.media.formats import format_of, formats_in_words
from builder_tools.media.limits import ImageError

_ORIENTATION = 0x0112
_FILE_TYPE, _MORE_BELOW = 0x00FE, 0x014A
"""Tags of TIFFs: whether an image is a smaller copy of another, and where directories below it are,
which hold the sensor's values in the raw photographs of most cameras."""
_SIZE_TAGS = {256: "width", 257: "height", 258: "bits", 277: "channels"}
_SIZES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_START_OF_SCAN = 0xDA
_SCAN, _END_OF_IMAGE = b"\xff\xda", 0xD9
_SEGMENT = re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]")
"""Markers with a length after them, and that of the end."""
MOST_SCANS, USUAL_SCANS = 200, 20
SCANNED_PIXELS = 4_000_000_000
"""Most pixels to decode in all scans of one JPEG: about two minutes. Progressive ones have about
ten scans; `USUAL_SCANS` are always allowed, more than `MOST_SCANS` never."""
_OTHERS = (
    (b"%PDF", "a PDF document"),
    (b"RIFF", "a RIFF file other than WebP (AVI or WAV?)"),
    (b"<svg", "an SVG drawing"),
    (b"<!DO", "a web page"),
    (b"<htm", "a web page"),
    (b"PK\x03\x04", "a zip archive"),
    (b"8BPS", "a Photoshop document"),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
)


@dataclass(frozen=True)
class ImageHeader:
    """The header of an image file.

    Args:
        format: Name of the format, one of `FORMAT_NAMES`.
        width: Width of the image as stored, in px.
        height: Height of the image as stored, in px.
        depth: Bits per channel if known to be more than 8, else 8.
        is_inverted: Whether 0 is white (some TIFFs).
        is_planar: Whether the channels are stored one after the other (some TIFFs).
        orientation: How a TIFF is to be turned, 1...8 as in EXIF; 1 for other formats.
    """

    format: str
    width: int
    height: int
    depth: int = 8
    is_inverted: bool = False
    is_planar: bool = False
    orientation: int = 1


def image_header(data: bytes, name: str = "the image") -> ImageHeader:
    """Return the format and size of an image file.

    Args:
        data: Contents of the file, or enough of its first bytes to hold the header.
        name: Name of the image for messages.

    Raises:
        ImageError: If it is not an image, its header is damaged or truncated, or its format
            needs a package that is not installed.
    """
    kind = format_of(data)
    read = {"JPEG": _jpeg, "PNG": _png, "WEBP": _webp, "BMP": _bmp, "ICO": _ico}.get(kind)
    try:
        header = _by_pillow(kind, data) if read is None else read(data)
    except ImageError as error:
        raise ImageError(f"Cannot read {name}: {error}") from error
    except Exception as error:  # a damaged header can make a parser raise anything
        raise ImageError(no_image(data, name)) from error
    if header.width < 1 or header.height < 1:
        raise ImageError(no_image(data, name))
    return header


def no_image(data: bytes, name: str) -> str:
    """Return a sentence on a file that cannot be read as an image."""
    start = bytes(data[:16])
    kind = f"it is damaged, cut short or no image (it starts with {start[:8]!r})"
    for mark, other in _OTHERS:
        if start.startswith(mark) and start[8:12] != b"WEBP":
            kind = f"it looks like {other}"
    if start[4:8] == b"ftyp" and format_of(data) is None:
        kind = "it looks like an MP4 or MOV video"
    return (
        f"Cannot read {name} ({len(data)} bytes) as an image: {kind}. Formats that are read: "
        f"{formats_in_words()}. Try to open it in a viewer and save it as JPEG or PNG."
    )


def _jpeg(data: bytes) -> ImageHeader:
    at = 2
    while (at := data.find(b"\xff", at)) >= 0:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in _SIZES:
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            _check_scans(data, at, width * height)
            return ImageHeader("JPEG", width, height)
        elif marker == 0 or marker in _ALONE:
            at += 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
            if marker == _START_OF_SCAN:
                break
    raise ValueError("no size before the pixels")


def _check_scans(data: bytes, start: int, pixels: int) -> None:
    """Refuse a JPEG with so many scans that a few kilobytes could take hours to decode."""
    most = min(MOST_SCANS, max(USUAL_SCANS, SCANNED_PIXELS // max(pixels, 1)))
    if data.count(_SCAN, start) <= most:
        return
    scans, at = 0, start
    while scans <= most and (found := _SEGMENT.search(data, at)):
        marker, at = data[found.end() - 1], found.end()
        if marker == _END_OF_IMAGE:
            break
        scans += marker == _START_OF_SCAN
        at += int.from_bytes(data[at : at + 2], "big")  # what is in a segment is no marker
    if scans > most:
        raise ImageError(
            f"it is a JPEG of more than {most} scans, which would take very long to decode. "
            "Try to save it anew."
        )


def _png(data: bytes) -> ImageHeader:
    if data[12:16] != b"IHDR":
        raise ValueError("its size does not come first")
    width, height, depth = struct.unpack(">LLB", data[16:25])
    return ImageHeader("PNG", width, height, depth)


def _webp(data: bytes) -> ImageHeader:
    chunk = data[12:16]
    if data[:4] != b"RIFF":  # decoders take such a file for the pixels alone, of another size
        raise ValueError("no container")
    if chunk == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
        if len(data) < 30:
            raise ValueError("cut off")
        return ImageHeader("WEBP", width, height)
    if chunk == b"VP8L":
        (bits,) = struct.unpack("<L", data[21:25])
        return ImageHeader("WEBP", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if chunk != b"VP8 ":
        raise ValueError("no such chunk")
    width, height = struct.unpack("<HH", data[26:30])
    return ImageHeader("WEBP", width & 0x3FFF, height & 0x3FFF)


def _bmp(data: bytes) -> ImageHeader:
    (size,) = struct.unpack("<L", data[14:18])
    kind, end = ("<HH", 22) if size == 12 else ("<ll", 26)
    width, height = struct.unpack(kind, data[18:end])
    return ImageHeader("BMP", width, abs(height))


def _ico(data: bytes) -> ImageHeader:
    """Read the size of an icon's largest image from that image: the icon's own list may differ."""
    (count,) = struct.unpack_from("<H", data, 4)
    found = []
    for entry in range(6, 6 + 16 * count, 16):
        (place,) = struct.unpack_from("<L", data, entry + 12)
        start = data[place : place + 64]
        if format_of(start) == "PNG":
            found.append(_png(start))
        elif start:  # a BMP without its first 14 bytes, and with a mask below it
            image = _bmp(bytes(14) + start)
            found.append(ImageHeader("BMP", image.width, image.height // 2))
    largest = max(found, key=lambda image: image.width * image.height)
    return ImageHeader("ICO", largest.width, largest.height)


def _by_pillow(kind: str | None, data: bytes) -> ImageHeader:
    from builder_tools.media.pillow import open_heif, open_with_pillow

    if kind == "HEIF":
        width, height = open_heif(data).size
        return ImageHeader("HEIF", width, height)
    if kind == "TIFF":
        return _tiff(data)
    with open_with_pillow(data, ("TGA",) if kind is None else (kind,)) as image:
        return ImageHeader(kind or "TGA", *image.size)


def _tiff(data: bytes) -> ImageHeader:
    """Read only the first directory: Pillow itself rejects pixel formats that OpenCV reads."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    from builder_tools.media.pillow import quiet_pillow

    given = Counter(tag for tag, _ in _tiff_tags(data))
    twice = [name for tag, name in _SIZE_TAGS.items() if given[tag] > 1]
    if twice:  # one decoder takes the first, another the last
        raise ImageError(f"it is a TIFF that gives its {' and '.join(twice)} more than once.")
    file = io.BytesIO(data)
    start = file.read(8)
    start += file.read(8) if start[2:4] in (b"+\0", b"\0+") else b""
    tags = ImageFileDirectory_v2(start)
    file.seek(tags.next)
    with quiet_pillow():
        tags.load(file)
    if tags.get(_FILE_TYPE) == 1 and _MORE_BELOW in tags:
        raise ImageError(
            "it is a raw photograph, of which only a thumbnail could be read. Try to develop it "
            "and save it as JPEG or PNG."
        )
    depth = tags.get(258, 1)
    depth = max(depth) if isinstance(depth, tuple) else depth
    inverted, planar = tags.get(262) == 0, tags.get(284) == 2 and tags.get(277, 1) > 1
    tag = tags.get(_ORIENTATION)
    turned = tag if isinstance(tag, int) else 1
    return ImageHeader("TIFF", int(tags[256]), int(tags[257]), int(depth), inverted, planar, turned)


def tiff_as_stored(data: bytes) -> bytes:
    """Return a TIFF that asks for no turning, as OpenCV obeys that tag for some pixels only."""
    for tag, value in _tiff_tags(data):
        if tag == _ORIENTATION:
            upright = struct.pack(f"{_tiff_order(data)}H", 1)
            return b"".join((data[:value], upright, data[value + 2 :]))
    return data


def _tiff_tags(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the tags of the first directory, each with the place of its value, or of a pointer.

    Those that are cut off are left out.
    """
    order, is_big = _tiff_order(data), data[2:4] in (b"+\0", b"\0+")
    (start,) = struct.unpack_from(order + ("Q" if is_big else "L"), data, 8 if is_big else 4)
    (count,) = struct.unpack_from(order + ("Q" if is_big else "H"), data, start)
    first, size = (start + 8, 20) if is_big else (start + 2, 12)
    for entry in range(first, min(first + count * size, len(data) - size + 1), size):
        (tag,) = struct.unpack_from(f"{order}H", data, entry)
        yield tag, entry + size - (8 if is_big else 4)


def _tiff_order(data: bytes) -> str:
    return "<" if data.startswith(b"II") else ">"
