"""What the page refuses, and why: size, pixels, duration, wrong type; of zips, see `zips`.

All checks look only at bytes and headers, before anything is decoded. A file's type is
determined by its first bytes, never by its name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder_tools.fields import check_types
from builder_tools.media import ImageError, ImageLimits
from builder_tools.media.headers import image_header
from builder_tools.web.film_header import film_header

MEGABYTE = 1_000_000
MOST_NAME = 120
"""Characters of a file name that are kept."""
FORMULAS = ("=", "+", "-", "@")
"""What spreadsheet formulas begin with; names end up in CSV files that people open in these."""

_VIDEO_SIGNATURES = (
    (4, b"ftyp"),
    (4, b"moov"),
    (4, b"mdat"),
    (4, b"wide"),
    (4, b"free"),
    (0, b"\x1aE\xdf\xa3"),  # Matroska, WebM
    (8, b"AVI "),
    (0, b"GIF8"),
    (0, b"OggS"),
    (0, b"FLV\x01"),
    (0, b"\x00\x00\x01\xba"),  # MPEG program stream
    (0, b"\x30\x26\xb2\x75"),  # ASF, WMV
)
"""Containers that hold their own images. Playlists (HLS, DASH, concat), which make FFmpeg open
other files and addresses, are text, so not among these."""


class Refused(ValueError):
    """An upload that is refused; `code` and `facts` let the page say so in any language.

    Args:
        code: One of `STATUS_OF`; the text is `refused.<code>` in `texts`.
        facts: Values that the text contains.
    """

    def __init__(self, code: str, **facts: Any) -> None:
        self.code, self.facts = code, facts
        said = ", ".join(f"{name}={value!r}" for name, value in facts.items())
        super().__init__(f"{code}: {said}" if said else code)

    @property
    def status(self) -> int:
        return STATUS_OF[self.code]


STATUS_OF: Mapping[str, int] = {
    "empty": 422,
    "too_big": 413,
    "too_many_pixels": 413,
    "too_long_side": 413,
    "too_long": 413,
    "too_many_images": 413,
    "too_many_files": 413,
    "unpacks_too_big": 413,
    "no_picture": 415,
    "no_video": 415,
    "no_zip": 415,
    "zip_beside_others": 422,
    "corrupt_picture": 422,
    "corrupt_video": 422,
    "corrupt_zip": 422,
    "zip_password": 422,
    "zip_path": 422,
    "nothing_in_zip": 422,
    "unknown_model": 404,
    "unknown_detector": 404,
    "unknown_decision": 404,
    "no_decision": 422,
    "detector_absent": 503,
    "no_rest": 422,
    "busy": 503,
    "full": 503,
    "gone": 410,
    "not_deleted": 500,
    "internal": 500,
}
"""Code of a refusal -> its HTTP status."""


@dataclass(frozen=True)
class Limits:
    """The limits on what is accepted.

    Args:
        max_upload_mb: Size of any upload, in millions of bytes.
        max_photo_mb: Size of one image.
        max_pixels: Pixels of one image; those of 48-megapixel phones are accepted.
        max_side: Longer side of an image or frame, in px.
        max_frame_pixels: Pixels of one video frame; 4K is accepted.
        max_video_s: Duration of a video.
        max_images: Images in one batch.
        max_unpacked_mb: Total size of a zip's images when unpacked.
        max_stored_mb: Total size of all uploads and results on disk; the results of the running
            job may exceed it.
        max_ratio: Ratio of unpacked to packed size of a file in a zip.

    Raises:
        ValueError: If a limit is not positive.
    """

    max_upload_mb: float = 200
    max_photo_mb: float = 30
    max_pixels: int = 50_000_000
    max_side: int = ImageLimits.max_side
    max_frame_pixels: int = 4096 * 2304
    max_video_s: float = 600
    max_images: int = 2000
    max_unpacked_mb: float = 1000
    max_stored_mb: float = 5000
    max_ratio: float = 200

    def __post_init__(self) -> None:
        check_types(self)
        wrong = {k: v for k, v in vars(self).items() if not v > 0}
        if wrong:
            raise ValueError(f"Expected limits above 0. Received: {wrong}.")

    @property
    def photo_bytes(self) -> int:
        return int(min(self.max_photo_mb, self.max_upload_mb) * MEGABYTE)

    @property
    def upload_bytes(self) -> int:
        return int(self.max_upload_mb * MEGABYTE)

    @property
    def stored_bytes(self) -> int:
        return int(self.max_stored_mb * MEGABYTE)


def clean_name(name: str | None, otherwise: str = "upload") -> str:
    """Return a bare, printable, short file name from a client's name for a file.

    A name that a spreadsheet would take for a formula (`=1+1.jpg`) gets a leading `_`.
    """
    bare = re.split(r"[/\\]", name or "")[-1]
    printable = "".join(letter for letter in bare if letter.isprintable()).strip(". ")
    name = printable[-MOST_NAME:] or otherwise
    return f"_{name}" if name.startswith(FORMULAS) else name


def check_size(size: int, limit: int) -> None:
    """Refuse a file with no bytes, or too many.

    Raises:
        Refused: `empty` or `too_big`.
    """
    if size == 0:
        raise Refused("empty")
    if size > limit:
        raise Refused("too_big", size_mb=in_millions(size), limit_mb=in_millions(limit))


def check_photo(data: bytes, limits: Limits) -> None:
    """Refuse, by its header, a file that is not an image or too large.

    Raises:
        Refused: `empty`, `too_big`, `no_picture`, `too_many_pixels` or `too_long_side`.
    """
    check_size(len(data), limits.photo_bytes)
    try:
        header = image_header(data)
    except ImageError as error:
        raise Refused("no_picture") from error
    _check_pixels(header.width, header.height, limits.max_pixels, limits)


def _check_pixels(width: int, height: int, limit: int, limits: Limits) -> None:
    if width * height > limit:
        raise Refused(
            "too_many_pixels", pixels_mp=in_millions(width * height), limit_mp=in_millions(limit)
        )
    if max(width, height) > limits.max_side:
        raise Refused("too_long_side", size_px=max(width, height), limit_px=limits.max_side)


def check_video(path: Path, limits: Limits) -> None:
    """Refuse, by its header, a file that is not a video, or is too large or too long.

    Raises:
        Refused: `empty`, `too_big`, `no_video`, `corrupt_video`, `too_many_pixels`,
            `too_long_side` or `too_long`.
    """
    check_size(path.stat().st_size, limits.upload_bytes)
    with path.open("rb") as file:
        start = file.read(189)
    is_transport_stream = start[:1] == b"G" and start[188:189] == b"G"  # MPEG
    signed = any(start[at : at + len(mark)] == mark for at, mark in _VIDEO_SIGNATURES)
    if not (is_transport_stream or signed):
        raise Refused("no_video")
    try:
        header = film_header(path)
    except ValueError as error:
        raise Refused("corrupt_video") from error
    if not header.has_images:
        raise Refused("no_video")
    _check_pixels(header.width, header.height, limits.max_frame_pixels, limits)
    check_duration(header.seconds, limits)


def check_duration(seconds: float, limits: Limits) -> None:
    """Refuse a video that is, or turns out to be, too long.

    Raises:
        Refused: `too_long`.
    """
    if seconds > limits.max_video_s:
        raise Refused("too_long", seconds=round(seconds), limit_s=round(limits.max_video_s))


def in_millions(size: float) -> float:
    """Return a number of bytes or pixels in millions, to one decimal."""
    return round(size / MEGABYTE, 1)
