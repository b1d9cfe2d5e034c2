"""The formats of still images: the one list that every verb, loader, zip and page goes by.

What a file is, its first bytes say; its name is asked only where a format has no such bytes (TGA)
and when a folder is listed.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ImageFormat:
    """A format that can be read.

    Args:
        name: As Pillow calls it; HEIF is read by `pillow-heif`, the extra `[heif]`.
        suffixes: What its files are called, in small letters.
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
"""Names of files that are images end in one of these, in small or capital letters."""

LOSSY_FORMATS = frozenset({"JPEG", "AVIF", "JPEG2000", "MPO", "HEIF"})
"""Formats that photographs come in, smaller for what the eye does not miss."""

WRITTEN_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
"""Formats that images are written in."""

SIGNATURE_BYTES = 64
"""So many first bytes of a file are enough for `format_of`."""

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
    """Return the name of the format that a file's first bytes are of; None where they say none.

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
    """Return the name of the format whose files end so; None for no image's suffix."""
    return next((each.name for each in IMAGE_FORMATS if suffix.lower() in each.suffixes), None)


def is_surely_image(start: bytes) -> bool:
    """Return whether first bytes are an image's whatever its name says.

    TIFF is not among them, since raw files of cameras begin alike; nor are formats whose mark is
    too short to be no chance.
    """
    return format_of(start) in _SURE


def formats_in_words() -> str:
    """Return the names of the formats for messages: `JPEG, PNG, ..., HEIF`."""
    return ", ".join(FORMAT_NAMES)
