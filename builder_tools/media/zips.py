"""Zip archives: the true names of their files, which are images, and what damaged ones raise.

A zip either marks a name as UTF-8 or says nothing; then it is in whichever encoding the packing
computer used. `zipfile` assumes the DOS code page 437, which garbles names packed by a Mac (UTF-8)
or a Russian Windows (code page 866, or 1251 by some programs).
"""

from __future__ import annotations

import lzma
import re
import struct
import zlib
from contextlib import suppress
from pathlib import PurePosixPath
from zipfile import BadZipFile, ZipFile, ZipInfo

from builder_tools.media.formats import IMAGE_SUFFIXES, SIGNATURE_BYTES, is_surely_image

DAMAGED_ZIP = (BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError)
"""Errors raised when reading from a zip that was altered, or that needs a password."""

_IS_UTF8 = 0x800
_UNICODE_PATH = 0x7075
_LIKELY = re.compile(r"[А-ЯЁ№]*[а-яё№]*|[ -~]+")  # noqa: RUF001 - Russian letters are meant
_POSSIBLE = re.compile(r"[А-Яа-яЁё№]+|[ -~]+")  # noqa: RUF001


def zip_entry_name(entry: ZipInfo) -> str:
    """Return the name of a file in a zip, decoded by its extra field, as UTF-8 or by a code page.

    Code page 866 or 1251 is chosen if it makes every word Russian, preferably with capitals only
    at the start, or plain ASCII; else 437.
    """
    if entry.flag_bits & _IS_UTF8:
        return entry.filename
    try:
        packed = entry.orig_filename.encode("cp437")
    except UnicodeEncodeError:
        return entry.filename
    if packed.isascii():
        return entry.filename
    if named := _in_extra_field(entry.extra, packed):
        return named
    with suppress(UnicodeDecodeError):
        return packed.decode("utf-8")
    for word in (_LIKELY, _POSSIBLE):
        for page in ("cp866", "cp1251"):
            russian = packed.decode(page, "replace")
            if all(map(word.fullmatch, re.findall(r"[^\s\x21-\x40_]+", russian))):
                return russian
    return packed.decode("cp437")


def images_in_zip(archive: ZipFile) -> tuple[list[tuple[str, ZipInfo]], list[str]]:
    """Return the images of a zip, with their names, and the names of its other files.

    As in folders, an image has an image's suffix or surely an image's first bytes; hidden files,
    and those that macOS adds, are neither images nor others.
    """
    images, others = [], []
    for entry in archive.infolist():
        name = zip_entry_name(entry)
        path = PurePosixPath(name.replace("\\", "/"))
        if entry.is_dir() or any(part.startswith(".") or part == "__MACOSX" for part in path.parts):
            continue
        if path.suffix.lower() in IMAGE_SUFFIXES or _starts_as_image(archive, entry):
            images.append((name, entry))
        else:
            others.append(name)
    return images, others


def _starts_as_image(archive: ZipFile, entry: ZipInfo) -> bool:
    with suppress(*DAMAGED_ZIP, OSError), archive.open(entry) as file:
        return is_surely_image(file.read(SIGNATURE_BYTES))
    return False


def _in_extra_field(extra: bytes, packed: bytes) -> str | None:
    """Return the name in Info-ZIP's extra field, if its checksum matches the header's name."""
    while len(extra) >= 4:
        kind, length = struct.unpack("<HH", extra[:4])
        field, extra = extra[4 : 4 + length], extra[4 + length :]
        if kind == _UNICODE_PATH and len(field) > 5 and field[0] == 1:
            (checksum,) = struct.unpack("<L", field[1:5])
            if checksum == zlib.crc32(packed):
                return field[5:].decode("utf-8", "replace")
    return None
