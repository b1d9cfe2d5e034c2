"""Names of files in zip archives by their true encoding.

A zip says of a name either that it is UTF-8, or nothing; then it is in whatever the computer wrote
it in. `zipfile` takes that for the DOS code page 437, which makes garbage of what a Mac (UTF-8) or
a Russian Windows (code page 866, or 1251 by some programs) packed.
"""

from __future__ import annotations

import re
import struct
import zlib
from contextlib import suppress
from zipfile import ZipInfo

_IS_UTF8 = 0x800
_UNICODE_PATH = 0x7075
_LIKELY = re.compile(r"[А-ЯЁ№]*[а-яё№]*|[ -~]+")  # noqa: RUF001 - Russian letters are meant
_POSSIBLE = re.compile(r"[А-Яа-яЁё№]+|[ -~]+")  # noqa: RUF001


def zip_entry_name(entry: ZipInfo) -> str:
    """Return the name of a file in a zip as its extra field, UTF-8 or a code page give it.

    Code page 866 or 1251 is taken where every word is then Russian, capitals first if it can be,
    or plain ASCII; else 437.
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


def _in_extra_field(extra: bytes, packed: bytes) -> str | None:
    """Return the name in Info-ZIP's field, if it is of the name that stands in the header."""
    while len(extra) >= 4:
        kind, length = struct.unpack("<HH", extra[:4])
        field, extra = extra[4 : 4 + length], extra[4 + length :]
        if kind == _UNICODE_PATH and len(field) > 5 and field[0] == 1:
            (checksum,) = struct.unpack("<L", field[1:5])
            if checksum == zlib.crc32(packed):
                return field[5:].decode("utf-8", "replace")
    return None
