"""Names of files in zip archives by their true encoding.

A zip says of a name either that it is UTF-8, or nothing; then it is in whatever the computer wrote
it in. `zipfile` takes that for the DOS code page 437, which makes garbage of what a Mac (UTF-8) or
a Russian Windows (code page 866) packed.
"""

from __future__ import annotations

import re
import struct
import zlib
from zipfile import ZipInfo

_IS_UTF8 = 0x800
_UNICODE_PATH = 0x7075
_WORD = re.compile(r"[А-Яа-яЁё№_]+|[ -~]+")  # noqa: RUF001 - Russian letters are meant


def zip_entry_name(entry: ZipInfo) -> str:
    """Return the name of a file in a zip: as its extra field, UTF-8, code page 866 or 437 give it.

    Code page 866 (a Russian Windows) is taken where every word is then Russian or plain ASCII.
    """
    if entry.flag_bits & _IS_UTF8:
        return entry.filename
    try:
        packed = entry.orig_filename.encode("cp437")
    except UnicodeEncodeError:
        return entry.filename
    if packed.isascii():
        return entry.filename
    return _in_extra_field(entry.extra, packed) or _decoded(packed)


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


def _decoded(packed: bytes) -> str:
    try:
        return packed.decode("utf-8")
    except UnicodeDecodeError:
        russian = packed.decode("cp866")
        is_russian = all(_WORD.fullmatch(word) for word in re.findall(r"[^\s\x21-\x40]+", russian))
        return russian if is_russian else packed.decode("cp437")
