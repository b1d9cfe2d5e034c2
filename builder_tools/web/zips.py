"""Zips of images sent to the page: how much they may unpack to, and to where.

Sizes are checked twice, as declared and as unpacked, since a header may lie.
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
from typing import IO

from builder_tools.media import IMAGE_SUFFIXES
from builder_tools.media.zips import images_in_zip, zip_entry_name
from builder_tools.web.limits import (
    MEGABYTE,
    Limits,
    Refused,
    check_size,
    clean_name,
    in_millions,
)

MOST_DIRECTORY_BYTES = 5_000_000
"""Largest list of files in a zip: 50,000 files with names of usual length."""
_ENTRY_BYTES, _CHUNK = 100, 1 << 20
_BOUNDED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Ways of packing that `zipfile` unpacks bit by bit; by others 4 KB can become gigabytes."""
_ZIP_END_BYTES = 1 << 17
"""The end of a zip, which locates its list of files, before a comment of up to 65,535 bytes."""


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
    except RuntimeError as error:
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
        raise Refused(
            "unpacks_too_big", size_mb=in_millions(total), limit_mb=round(limits.max_unpacked_mb)
        )
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
                "unpacks_too_big",
                size_mb=in_millions(copied),
                limit_mb=round(limits.max_unpacked_mb),
            )
        out.write(chunk)
    return copied
