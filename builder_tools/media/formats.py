"""The formats of still images: the single list for every verb, loader, zip and page.

The first bytes of a file decide its format; its name counts only if a format has no such bytes
(TGA) and when a folder is listed.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ImageFormat:
    """A format that can be read.

    Args:
        name: Pillow's name for it; HEIF is read by `pillow-heif`, in the extra `[heif]`.
        suffixes: Suffixes of its files, in lower case.
    """

    name: str
    suffixes: tuple[str, ...]


IMAGE_FORMATS = (
    ImageFormat("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif", ".jif")),
    ImageFormat("PNG", (".png", ".apng")),
    ImageFormat("WEBP", (".webp",)),
    ImageFormat("BMP", (".bmp", ".dib")),
    ImageFormat("TIFF", (".tif", ".tiff")),
    ImageFormat("GIF", (".gif",)),
    ImageFormat("AVIF", (".avif",)),
    ImageFormat("JPEG2000", (".jp2", ".j2k", ".jpf", ".jpx", ".j2c", ".jpc")),
    ImageFormat("PPM", (".ppm", ".pgm", ".pbm", ".pnm")),
    ImageFormat("MPO", (".mpo",)),
    ImageFormat("TGA", (".tga",)),
    ImageFormat("ICO", (".ico",)),
    ImageFormat("HEIF", (".heic", ".heif", ".hif")),
)
FORMAT_NAMES = tuple(each.name for each in IMAGE_FORMATS)
IMAGE_SUFFIXES = frozenset(suffix for each in IMAGE_FORMATS for suffix in each.suffixes)
"""Suffixes of image files, in lower case; compared case-insensitively."""

LOSSY_FORMATS = frozenset({"JPEG", "AVIF", "JPEG2000", "MPO", "HEIF"})
"""Lossy formats, in which photographs usually come."""

WRITTEN_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
"""Suffixes of the formats in which images can be written."""

SIGNATURE_BYTES = 64
"""Number of first bytes of a file that `format_of` needs."""

_SIGNATURES = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (8, b"WEBP", "WEBP"),
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"II+\0", "TIFF"),
    (0, b"MM\0+", "TIFF"),
    (0, b"BM", "BMP"),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG2000"),
    (0, b"\0\0\1\0", "ICO"),
)
_SURE = frozenset({"JPEG", "PNG", "WEBP", "GIF", "AVIF", "HEIF", "JPEG2000"})
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})


def format_of(start: bytes) -> str | None:
    """Return the name of the format that a file's first bytes identify, or None.

    Args:
        start: The first `SIGNATURE_BYTES` bytes, or more.
    """
    for place, mark, name in _SIGNATURES:
        if start[place : place + len(mark)] == mark:
            return name
    if start[4:8] == b"ftyp":
        brands = {start[8:12], *(start[at : at + 4] for at in range(16, SIGNATURE_BYTES, 4))}
        if brands & {b"avif", b"avis"}:
            return "AVIF"
        return "HEIF" if brands & _HEIF_BRANDS else None
    if start[:1] == b"P" and start[1:2] in b"1234567f" and start[2:3] in b" \t\r\n":
        return "PPM"
    return None


def format_of_suffix(suffix: str) -> str | None:
    """Return the name of the format with this suffix; None if it is not an image suffix."""
    return next((each.name for each in IMAGE_FORMATS if suffix.lower() in each.suffixes), None)


def is_surely_image(start: bytes) -> bool:
    """Return whether a file's first bytes prove it an image, whatever its name.

    Those of TIFF do not, as raw camera files begin the same way; nor do signatures so short that
    they may occur by chance.
    """
    return format_of(start) in _SURE


def formats_in_words() -> str:
    """Return the names of the formats for messages: `JPEG, PNG, ..., HEIF`."""
    return ", ".join(FORMAT_NAMES)
