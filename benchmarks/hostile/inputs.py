"""Hostile files made from a seed: images, videos and zips that no camera would make.

Every case is a small well-formed file (drawn here, no one's face) corrupted by some mutators: bits
flipped, sizes in headers inflated, parts dropped and doubled, checksums corrected so that decoders
carry on, files glued together, cut off or given another suffix. The same seed and number give the
same bytes.
"""

from __future__ import annotations

import io
import os
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

Rng = np.random.Generator
Mutator = Callable[[bytes, Rng], bytes]

IMAGE_KINDS = (
    *(("JPEG", ".jpg"), ("PNG", ".png"), ("WEBP", ".webp"), ("BMP", ".bmp"), ("TIFF", ".tif")),
    *(("GIF", ".gif"), ("AVIF", ".avif"), ("JPEG2000", ".jp2"), ("PPM", ".ppm"), ("TGA", ".tga")),
    *(("ICO", ".ico"), ("MPO", ".mpo")),
)
VIDEO_KINDS = ((".mp4", "libx264"), (".mkv", "libx264"), (".avi", "mjpeg"), (".webm", "libvpx"))
EXTREMES = (0, 1, 2, 32_767, 32_768, 65_535, 65_536, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
LONG_SIDES = (32_766, 32_767, 32_768, 40_000, 65_536, 99_999, 100_000, 100_001, 1_000_000)
NAMES = ("a\rb", "a\nb", "лицо", "笑", "a,b", '"a"', "-rf", "=1+1", "a\u2028b", "x" * 200, " ")


def image_file(seed: int, number: int) -> tuple[str, bytes]:
    """Return the name and the bytes of a hostile image."""
    rng = np.random.default_rng([seed, 1, number])
    kind, suffix = IMAGE_KINDS[rng.integers(len(IMAGE_KINDS))]
    roll = rng.random()
    if roll < 0.04:
        data = _long_image(rng)
        suffix = ".png"
    elif roll < 0.06:
        data, suffix = _large_png(rng), ".png"
    elif roll < 0.09:
        data = _tricky_start(rng)
    else:
        data = _spoilt(_drawn(kind, int(rng.integers(6))), rng)
    if rng.random() < 0.15:  # disguised as another
        suffix = IMAGE_KINDS[rng.integers(len(IMAGE_KINDS))][1]
    stem = f"{number}"
    if rng.random() < 0.05:
        stem += NAMES[rng.integers(len(NAMES))]
    return f"{stem}{suffix}", data


def video(seed: int, number: int) -> tuple[str, bytes]:
    """Return the name and the bytes of a hostile video."""
    rng = np.random.default_rng([seed, 2, number])
    suffix, codec = VIDEO_KINDS[rng.integers(len(VIDEO_KINDS))]
    data = _spoilt(_filmed(suffix, codec), rng)
    if rng.random() < 0.1:
        suffix = VIDEO_KINDS[rng.integers(len(VIDEO_KINDS))][0]
    return f"{number}{suffix}", data


def archive(seed: int, number: int) -> tuple[str, bytes]:
    """Return the name and the bytes of a hostile zip of images."""
    rng = np.random.default_rng([seed, 3, number])
    stream = io.BytesIO()
    warnings.filterwarnings("ignore", "Duplicate name")  # one of the tricks
    method = int(rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA]))
    with zipfile.ZipFile(stream, "w", method) as packed:
        for index in range(int(rng.integers(1, 6))):
            packed.writestr(_entry(index, rng), _drawn("PNG", int(rng.integers(6))))
        if rng.random() < 0.1:
            packed.writestr(zipfile.ZipInfo("bomb.png"), bytes(30_000_000), method)
    data = stream.getvalue()
    return f"{number}.zip", data if rng.random() < 0.2 else _spoilt(data, rng)


def put_image(folder: Path, seed: int, number: int) -> Path:
    """Write a hostile image to a folder; some are links, pipes or sparse files instead."""
    name, data = image_file(seed, number)
    path = folder / name
    roll = np.random.default_rng([seed, 4, number]).random()
    if roll < 0.01:
        path.symlink_to(folder / "nowhere.jpg")
    elif roll < 0.015:
        path.symlink_to(path.name)
    elif roll < 0.02 and hasattr(os, "mkfifo"):
        os.mkfifo(path)
    elif roll < 0.025:
        with open(path, "wb") as file:
            file.truncate(int(10 ** (5 + 6 * roll * 40)))
    else:
        path.write_bytes(data)
    return path


def _entry(index: int, rng: Rng) -> zipfile.ZipInfo:
    names = ("a", "d/e/f", "лицо", "a\\b", "CON", "x" * 300)
    if rng.random() < 0.1:
        names = ("../../evil", "/etc/evil", "C:\\evil", "a/../../evil")
    name = f"{names[rng.integers(len(names))]}{index if rng.random() < 0.8 else ''}.png"
    entry = zipfile.ZipInfo(name)
    if rng.random() < 0.1:
        entry.external_attr = 0o120777 << 16  # a symbolic link
    return entry


@cache
def _drawn(kind: str, number: int) -> bytes:
    """Return a small drawn image in one of several modes, encoded."""
    mode = ("RGB", "L", "P", "RGBA", "CMYK", "1")[number]
    x, y = np.meshgrid(np.linspace(0, 6, 96), np.linspace(0, 4, 64))
    waves = [127 + 120 * np.sin(x * (1 + c)) * np.cos(y * (1 + number)) for c in range(3)]
    drawn = Image.fromarray(np.stack(waves, axis=2).astype(np.uint8))
    stream = io.BytesIO()
    try:
        drawn.convert(mode).save(stream, kind)
    except (OSError, ValueError, KeyError):  # the format has no such mode
        stream = io.BytesIO()
        drawn.save(stream, kind)
    return stream.getvalue()


@cache
def _filmed(suffix: str, codec: str) -> bytes:
    """Return an encoded video with ten frames of a moving square."""
    import av

    stream = io.BytesIO()
    container = {".mp4": "mp4", ".mkv": "matroska", ".avi": "avi", ".webm": "webm"}[suffix]
    with av.open(stream, "w", format=container) as output:
        images = output.add_stream(codec, rate=Fraction(25))
        images.width, images.height = 128, 96
        images.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for index in range(10):
            image = np.full((96, 128, 3), 60, np.uint8)
            image[20:60, 5 * index : 5 * index + 40] = 200
            output.mux(images.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        output.mux(images.encode(None))
    return stream.getvalue()


def _long_image(rng: Rng) -> bytes:
    """Return an encoded image that is a few pixels wide and very long."""
    side, other = int(rng.choice(LONG_SIDES)), int(rng.integers(1, 9))
    shape = (side, other) if rng.random() < 0.5 else (other, side)
    return cv2.imencode(".png", np.full(shape, int(rng.integers(256)), np.uint8))[1].tobytes()


def _large_png(rng: Rng) -> bytes:
    """Return a plain image of many megapixels in a few kilobytes, or the start of a huge one."""
    side = int(rng.choice([2_000, 4_000, 6_000, 20_000, 60_000]))
    rows = zlib.compressobj(9)
    num_rows = side if side <= 6_000 else 10
    packed = b"".join(rows.compress(bytes(side + 1)) for _ in range(num_rows)) + rows.flush()
    header = struct.pack(">LLBBBBB", side, side, 8, 0, 0, 0, 0)
    chunks = _chunk(b"IHDR", header) + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def _tricky_start(rng: Rng) -> bytes:
    """Return the first bytes of a format, followed by at most a few random ones."""
    starts = (
        b"RIFF\0\0\0\0WEBPVP8X",
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"BM",
        b"II*\0",
        b"GIF89a",
    )
    starts += (b"\0\0\0\x1cftypheic", b"\0\0\0\x1cftypavif", b"\0\0\1\0", b"P6\n", b"", b"%PDF-1.7")
    start = starts[rng.integers(len(starts))]
    return start + rng.bytes(int(rng.choice([0, 1, 4, 8, 30, 200, 3000])))


def _spoilt(data: bytes, rng: Rng) -> bytes:
    """Apply one to three mutators, or occasionally none, so that some files stay good."""
    for _ in range(int(rng.choice([0, 1, 1, 1, 2, 3]))):
        data = MUTATORS[rng.integers(len(MUTATORS))](data, rng)
    return data


def _flip(data: bytes, rng: Rng) -> bytes:
    return _changed(data, rng, len(data))


def _flip_header(data: bytes, rng: Rng) -> bytes:
    return _changed(data, rng, 100)


def _changed(data: bytes, rng: Rng, within: int) -> bytes:
    changed = bytearray(data)
    for place in rng.integers(0, max(min(within, len(data)), 1), int(rng.integers(1, 20))):
        if place < len(changed):
            changed[place] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _cut(data: bytes, rng: Rng) -> bytes:
    return data[: int(rng.integers(0, len(data) + 1))]


def _cut_end(data: bytes, rng: Rng) -> bytes:
    return data[: -int(rng.integers(1, 40))]


def _extend(data: bytes, rng: Rng) -> bytes:
    return data + rng.bytes(int(rng.integers(1, 5000)))


def _zeros(data: bytes, rng: Rng) -> bytes:
    at, length = int(rng.integers(0, len(data) + 1)), int(rng.integers(1, 200))
    return data[:at] + bytes(length) + data[at + length :]


def _double(data: bytes, rng: Rng) -> bytes:
    at, length = int(rng.integers(0, len(data) + 1)), int(rng.integers(1, 400))
    return data[:at] + data[at : at + length] * int(rng.integers(2, 9)) + data[at + length :]


def _drop(data: bytes, rng: Rng) -> bytes:
    at = int(rng.integers(0, len(data) + 1))
    return data[:at] + data[at + int(rng.integers(1, 400)) :]


def _extreme(data: bytes, rng: Rng) -> bytes:
    """Write an extreme number where a header might hold a size."""
    changed = bytearray(data)
    layout = str(rng.choice([">H", "<H", ">L", "<L"]))
    size = struct.calcsize(layout)
    value = int(rng.choice(EXTREMES)) & (256**size - 1)
    if len(changed) > size:
        place = int(rng.integers(0, min(len(changed) - size, 250)))
        struct.pack_into(layout, changed, place, value)
    return bytes(changed)


def _glue(data: bytes, rng: Rng) -> bytes:
    kind, _ = IMAGE_KINDS[rng.integers(len(IMAGE_KINDS))]
    other = _drawn(kind, int(rng.integers(6)))
    return data[: int(rng.integers(0, len(data) + 1))] + other[int(rng.integers(0, len(other))) :]


def _odd_metadata(data: bytes, rng: Rng) -> bytes:
    """Insert rubbish EXIF data into a PNG or JPEG."""
    rubbish = rng.bytes(int(rng.integers(0, 60)))
    if rng.random() < 0.5:
        rubbish = b"II*\0\x08\0\0\0" + rubbish
    if data.startswith(b"\x89PNG"):
        return data[:33] + _chunk(b"eXIf", rubbish) + data[33:]
    if data.startswith(b"\xff\xd8"):
        body = b"Exif\0\0" + rubbish
        return data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]
    return data


def _good_checksums(data: bytes, rng: Rng) -> bytes:
    """Corrupt chunks of a PNG and correct their checksums, so that decoders carry on."""
    if not data.startswith(b"\x89PNG"):
        return _changed(data, rng, len(data))
    out, at = bytearray(data[:8]), 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        if rng.random() < 0.4:
            body = _changed(body, rng, len(body))
        out += _chunk(kind, body)
        at += 12 + length
    return bytes(out)


def _chunk(kind: bytes, body: bytes) -> bytes:
    checksum = zlib.crc32(kind + body)
    return struct.pack(">L", len(body)) + kind + body + struct.pack(">L", checksum)


MUTATORS: tuple[Mutator, ...] = (
    *(_flip, _flip_header, _cut, _cut_end, _extend, _zeros, _double, _drop, _extreme, _extreme),
    *(_glue, _odd_metadata, _good_checksums),
)
