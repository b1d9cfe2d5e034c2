"""What the page refuses, and why: size, pixels, duration, wrong type, zip bombs and zip paths.

All checks look only at bytes and headers, before anything is decoded or unpacked. A file's type is
determined by its first bytes, never by its name.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import IO, Any

from builder_tools.fields import check_types
from builder_tools.media import IMAGE_SUFFIXES, ImageError, ImageLimits
from builder_tools.media.headers import image_header
from builder_tools.media.zip_names import images_in_zip, zip_entry_name

MEGABYTE = 1_000_000
MOST_DIRECTORY_BYTES = 5_000_000
"""Largest list of files in a zip: 50,000 files with names of usual length."""
_ENTRY_BYTES, _CHUNK = 100, 1 << 20
_BOUNDED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Ways of packing that `zipfile` unpacks bit by bit; by others 4 KB can become gigabytes."""
_ZIP_END_BYTES = 1 << 17
"""The end of a zip, which locates its list of files, before a comment of up to 65,535 bytes."""
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
        raise Refused("too_big", size_mb=_mb(size), limit_mb=_mb(limit))


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
        raise Refused("too_many_pixels", pixels_mp=_mb(width * height), limit_mp=_mb(limit))
    if max(width, height) > limits.max_side:
        raise Refused("too_long_side", size_px=max(width, height), limit_px=limits.max_side)


def check_video(path: Path, limits: Limits) -> None:
    """Refuse, by its header, a file that is not a video, or is too large or too long.

    Raises:
        Refused: `empty`, `too_big`, `no_video`, `too_many_pixels`, `too_long_side` or `too_long`.
    """
    check_size(path.stat().st_size, limits.upload_bytes)
    with path.open("rb") as file:
        start = file.read(189)
    is_transport_stream = start[:1] == b"G" and start[188:189] == b"G"  # MPEG
    signed = any(start[at : at + len(mark)] == mark for at, mark in _VIDEO_SIGNATURES)
    if not (is_transport_stream or signed):
        raise Refused("no_video")
    from builder_tools.media.pyav import import_av, open_input, video_stream_of

    try:  # FFmpeg may open this file and no other
        opened = open_input(str(path), options={"protocol_whitelist": "file"})
    except (ValueError, OSError) as error:
        raise Refused("corrupt_video") from error
    with opened as container:
        try:
            stream = video_stream_of(container, path.name)
        except ValueError as error:
            raise Refused("no_video") from error
        width, height = stream.codec_context.width, stream.codec_context.height
        ticks = container.duration or 0
    _check_pixels(width, height, limits.max_frame_pixels, limits)
    check_duration(ticks / import_av().time_base, limits)


def check_duration(seconds: float, limits: Limits) -> None:
    """Refuse a video that is, or turns out to be, too long.

    Raises:
        Refused: `too_long`.
    """
    if seconds > limits.max_video_s:
        raise Refused("too_long", seconds=round(seconds), limit_s=round(limits.max_video_s))


@dataclass(frozen=True)
class Unpacked:
    """The images of a zip.

    Args:
        paths: Name -> unpacked file, which is numbered so that no name can do harm or clash. The
            names are those in the zip, cleaned, with `/` between folders and without the folders
            that all images share.
        renamed: Names that were taken or cannot be kept -> the new names.
        ignored: Number of files that are not images.
    """

    paths: Mapping[str, Path]
    renamed: Mapping[str, str]
    ignored: int


def unpack_images(
    path: Path, folder: Path, limits: Limits, promise: Callable[[int], None] | None = None
) -> Unpacked:
    """Unpack the images of a zip into a folder, checking the declared and the actual sizes.

    Args:
        path: The zip.
        folder: An empty folder.
        limits: What is accepted.
        promise: Called with the size of all images before they are unpacked; refuses if there is
            no room for them.

    Raises:
        Refused: `no_zip`, `corrupt_zip`, `zip_password`, `zip_path` (a name that leads out of the
            archive), `too_many_files`, `unpacks_too_big` or `nothing_in_zip`; the folder may then
            hold some images and should be deleted.
    """
    check_size(path.stat().st_size, limits.upload_bytes)
    _check_directory(path)
    try:
        with zipfile.ZipFile(path) as archive:
            return _unpack(archive, folder, limits, promise)
    except Refused:
        raise
    except zipfile.BadZipFile as error:
        raise Refused("no_zip" if not zipfile.is_zipfile(path) else "corrupt_zip") from error
    except (NotImplementedError, RuntimeError) as error:
        raise Refused("zip_password") from error
    except Exception as error:  # damaged bytes can make it raise anything
        raise Refused("corrupt_zip") from error


def _check_directory(path: Path) -> None:
    """Refuse a zip whose list of files is so long that reading it would take minutes."""
    with path.open("rb") as file:
        file.seek(-min(path.stat().st_size, _ZIP_END_BYTES), os.SEEK_END)
        end = file.read()
    sizes = []
    for mark, place, kind in ((b"PK\5\6", 12, "<L"), (b"PK\6\6", 40, "<Q")):
        at = end.rfind(mark)
        field = end[at + place : at + place + struct.calcsize(kind)]
        if at >= 0 and len(field) == struct.calcsize(kind):
            sizes += [size for size in struct.unpack(kind, field) if size != 0xFFFFFFFF]
    if max(sizes, default=0) > MOST_DIRECTORY_BYTES:
        raise Refused(
            "too_many_files",
            count=max(sizes) // _ENTRY_BYTES,
            limit=MOST_DIRECTORY_BYTES // _ENTRY_BYTES,
        )


def _unpack(
    archive: zipfile.ZipFile,
    folder: Path,
    limits: Limits,
    promise: Callable[[int], None] | None,
) -> Unpacked:
    entries = [(zip_entry_name(one), one) for one in archive.infolist() if not one.is_dir()]
    for name, entry in entries:
        _check_entry_name(name)
        _check_entry_name(entry.filename)
    if any(entry.compress_type not in _BOUNDED for _, entry in entries):
        raise Refused("zip_password")
    images = [
        (name, entry)
        for name, entry in images_in_zip(archive)[0]
        if stat.S_IFMT(entry.external_attr >> 16) in (0, stat.S_IFREG)
    ]
    if not images:
        raise Refused("nothing_in_zip")
    if len(images) > limits.max_images:
        raise Refused("too_many_files", count=len(images), limit=limits.max_images)
    total = sum(entry.file_size for _, entry in images)
    is_squeezed = any(
        entry.file_size > limits.max_ratio * max(entry.compress_size, 1000) for _, entry in images
    )
    if total > limits.max_unpacked_mb * MEGABYTE or is_squeezed:
        raise Refused("unpacks_too_big", size_mb=_mb(total), limit_mb=round(limits.max_unpacked_mb))
    if promise is not None:
        promise(total)
    paths: dict[str, Path] = {}
    taken: dict[str, int] = {}
    renamed: dict[str, str] = {}
    left = int(limits.max_unpacked_mb * MEGABYTE)
    parts = [PurePosixPath(name.replace("\\", "/")).parts for name, _ in images]
    cleaned = [[clean_name(part) for part in own] for own in parts]
    levels = zip(*(own[:-1] for own in cleaned), strict=False)
    common = len(list(takewhile(lambda level: len(set(level)) == 1, levels)))
    names = ["/".join(own[common:]) for own in cleaned]
    for wanted, (called, entry) in zip(names, images, strict=True):
        name = free_name(wanted, taken)
        if PurePosixPath(name).name != PurePosixPath(called).name:
            renamed[called] = name
        paths[name] = folder / numbered_name(len(paths), name)
        with archive.open(entry) as packed, paths[name].open("xb") as out:
            left -= _copy(packed, out, left, limits)
    return Unpacked(paths, renamed, len(entries) - len(images))


def numbered_name(number: int, name: str) -> str:
    """Return an image's file name on disk, which depends only on its number and suffix."""
    suffix = PurePosixPath(name).suffix.lower()
    return f"{number}{suffix if suffix in IMAGE_SUFFIXES else ''}"


def _check_entry_name(name: str) -> None:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if ".." in parts or parts[:1] == ("/",) or re.match(r"[A-Za-z]:", name) or "\0" in name:
        raise Refused("zip_path", name=clean_name(name))


def free_name(name: str, taken: dict[str, int]) -> str:
    """Return the name, with a number before its suffix if it is taken; from now on it is.

    Args:
        name: The wanted name.
        taken: Names in use, case-folded -> the last number tried for each, so that very many equal
            names need not try all numbers from the first one; the returned name is added.
    """
    path, wanted, free = PurePosixPath(name), name.casefold(), name
    while free.casefold() in taken:
        taken[wanted] += 1
        free = path.with_name(f"{path.stem}_{taken[wanted]}{path.suffix}").as_posix()
    taken[free.casefold()] = 1
    return free


def _copy(packed: IO[bytes], out: IO[bytes], limit: int, limits: Limits) -> int:
    """Copy to the end, refusing more than the limit whatever the header says; return the size."""
    copied = 0
    while chunk := packed.read(_CHUNK):
        copied += len(chunk)
        if copied > limit:
            raise Refused(
                "unpacks_too_big", size_mb=_mb(copied), limit_mb=round(limits.max_unpacked_mb)
            )
        out.write(chunk)
    return copied


def _mb(size: float) -> float:
    return round(size / MEGABYTE, 1)
