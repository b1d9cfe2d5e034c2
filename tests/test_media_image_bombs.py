"""Small files that took gigabytes or hours: headers that two readers read differently, and tags."""

import io
import struct
import time
import tracemalloc
import zlib

import numpy as np
import pytest
from made_images import encoded
from PIL import Image

from builder_tools.media import ImageError, read_image
from builder_tools.media.headers import image_header


def chunk(kind, data):
    return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))


def black_png(side, *, first=b""):
    """A PNG with a chunk before its size, perhaps."""
    header = chunk(b"IHDR", struct.pack(">LLBBBBB", side, side, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes((side + 1) * side)))
    return b"\x89PNG\r\n\x1a\n" + first + header + pixels + chunk(b"IEND", b"")


def icon(image, side=16):
    """An icon whose list says how large its image is, whatever that says itself."""
    entry = struct.pack("<BBBBHHLL", side, side, 0, 0, 1, 32, len(image), 22)
    return struct.pack("<HHH", 0, 1, 1) + entry + image


def tiff(tags, data=b""):
    """A TIFF of the given (tag, type, count, value), where None is the place of the data."""
    place = 8 + 2 + 12 * len(tags) + 4
    rows = [struct.pack("<HHLL", *row, place if at is None else at) for *row, at in tags]
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + b"".join(rows) + bytes(4) + data


def test_the_image_in_an_icon_is_measured_itself(monkeypatch):
    """Pillow decodes an icon when it opens it: 4 MB of PNG in one of "16 x 16" took 4 GB."""
    monkeypatch.setattr("PIL.IcoImagePlugin.IcoImageFile.load", lambda self: 1 / 0)
    bomb = icon(black_png(3000))
    header = image_header(bomb)
    assert (header.format, header.width, header.height) == ("ICO", 3000, 3000)
    with pytest.raises(ImageError, match="at most 1000000 pixels"):
        read_image(bomb, max_pixels=1_000_000)


@pytest.mark.parametrize("kind", ["GIF", "PPM", "TIFF"])
def test_the_size_of_an_image_is_no_limit_for_those_of_other_threads(monkeypatch, kind):
    """Pillow refused whatever else was opened meanwhile, and was more than twice as large."""
    data, limits = encoded(Image.new("L", (8, 8)), kind), []
    opened = Image.open

    def open_as_others_do(*args, **options):
        limits.append(Image.MAX_IMAGE_PIXELS)
        return opened(*args, **options)

    monkeypatch.setattr("PIL.Image.open", open_as_others_do)
    assert read_image(data[:-1] if kind == "GIF" else data).shape == (8, 8, 3)
    assert limits and set(limits) == {None}


@pytest.mark.parametrize("form", ["png", "bmp"])
def test_icons_have_the_size_of_their_largest_image(portrait, form):
    data = encoded(portrait, "ICO", sizes=[(16, 16), (48, 48)], bitmap_format=form)
    header = image_header(data)
    assert (header.width, header.height) == (48, 48)
    assert read_image(data).shape == (48, 48, 3)


def test_an_icon_is_read_although_a_smaller_image_in_it_is_missing(portrait):
    data = bytearray(encoded(portrait, "ICO", sizes=[(16, 16), (48, 48)]))
    usual = read_image(bytes(data))
    struct.pack_into("<L", data, 6 + 12, len(data))
    assert (read_image(bytes(data)) == usual).all()


def test_a_png_whose_size_does_not_come_first_is_refused():
    """It said 16 x 16 where the size is looked for, and Pillow decoded 144 megapixels."""
    said = chunk(b"tEXt", struct.pack(">LLB", 16, 16, 8) + bytes(4))
    with pytest.raises(ImageError, match="Cannot read"):
        read_image(black_png(3000, first=said), max_pixels=1_000_000)


def test_a_second_size_counts_for_no_decoder():
    other = chunk(b"IHDR", struct.pack(">LLBBBBB", 16, 16, 8, 0, 0, 0, 0))
    with pytest.raises(ImageError, match="Cannot"):
        read_image(black_png(3000, first=other), max_pixels=1_000_000)


def test_a_webp_without_its_container_is_refused():
    raw = b"\x2f\xff\xff\xff\x0f\0\0\0WEBPVP8X" + bytes(40)  # 16384 x 16384 by its first bytes
    with pytest.raises(ImageError, match="Cannot read"):
        image_header(raw)


def test_a_tiff_that_gives_its_size_twice_is_refused():
    """OpenCV took the first one, of 144 megapixels, and the limit was applied to the last."""
    side, packed = 3000, zlib.compress(bytes(2 * 3000 * 3000))
    size = [(256, 4, 1, side), (256, 4, 1, 16), (257, 4, 1, side), (257, 4, 1, 16)]
    rest = [(258, 3, 1, 16), (259, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, None), (277, 3, 1, 1)]
    rest += [(278, 4, 1, side), (279, 4, 1, len(packed))]
    with pytest.raises(ImageError, match="width and height more than once"):
        read_image(tiff(size + rest, packed), max_pixels=1_000_000)


def test_a_tiff_whose_last_tags_are_cut_off_is_read():
    """Many programs write the list of tags last."""
    size = [(256, 3, 1, 4), (257, 3, 1, 2), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    tags = [*size, (273, 4, 1, 8), (278, 4, 1, 2), (279, 4, 1, 8), (305, 2, 4, 0), (315, 2, 4, 0)]
    rows = b"".join(struct.pack("<HHLL", *row) for row in tags)
    data = b"II*\0\x10\0\0\0" + bytes(range(8)) + struct.pack("<H", len(tags)) + rows + bytes(4)
    for missing in (0, 4, 10, 20):
        image = read_image(data[: len(data) - missing])
        assert (image[..., 0] == np.arange(8).reshape(2, 4)).all()


def shared_tags(count, size):
    """Tags that all have the same bytes for their value."""
    return [(30_000 + number, 7, size, 8) for number in range(count)]


def exif(count, size):
    return tiff([(274, 3, 1, 6), *shared_tags(count, size)], bytes(size))


@pytest.mark.parametrize("kind", ["TIFF", "PNG", "WEBP", "AVIF"])
def test_tags_that_share_their_bytes_take_no_more_memory_than_these(kind):
    """Pillow keeps a copy for each: an upload of 120 kB took 1 GB, one of 1 MB all there is."""
    count, size = 3000, 100_000
    if kind == "TIFF":
        own = [(256, 3, 1, 16), (257, 3, 1, 16), (258, 3, 1, 8)]
        data = tiff(own + shared_tags(count, size), bytes(size))
    else:
        options = {"lossless": True} if kind == "WEBP" else {}
        image = Image.new("RGBA", (32, 16), (9, 9, 9, 200))
        data = encoded(image, kind, exif=exif(count, size), **options)
    tracemalloc.start()
    try:
        image = read_image(data)
    except ImageError:
        assert kind == "TIFF"
    else:
        assert image.shape[2] == 3
    assert tracemalloc.get_traced_memory()[1] < 60_000_000
    tracemalloc.stop()


def test_exif_data_with_a_few_shared_bytes_turn_the_image():
    image = Image.new("RGBA", (32, 16), (9, 9, 9, 200))
    data = encoded(image, "PNG", exif=exif(20, 1000))
    assert read_image(data).shape == (32, 16, 3)


def test_the_scans_of_a_jpeg_are_counted_behind_a_comment_that_ends_it():
    """A comment with the markers of a scan and of the end hid thousands of scans: hours."""
    data = encoded(Image.new("L", (64, 64)), "JPEG", progressive=True)
    scan = data[data.rindex(b"\xff\xda") : -2]
    place = data.index(b"\xff\xc4")
    for said in (b"\xff\xda\0\2\xff\xd9", b"\xff\xda\xff\xff", b"\xff\xd9"):
        comment = b"\xff\xfe" + struct.pack(">H", 2 + len(said)) + said
        usual = data[:place] + comment + data[place:]
        assert read_image(usual).shape == (64, 64, 3)
        with pytest.raises(ImageError, match="more than 200 scans"):
            read_image(usual[:-2] + scan * 300 + b"\xff\xd9")


def test_comments_in_a_gif_take_no_time():
    """Pillow joined them one by one: 30 MB of them would have taken hours."""
    colours = np.arange(256, dtype=np.uint8).reshape(16, 16)
    data = encoded(Image.fromarray(colours), "GIF", transparency=7)
    usual, at = read_image(data), 13 + 3 * 256
    assert data[10] & 0x87 == 0x87
    begin_s = time.monotonic()
    many = data[:at] + b"\x21\xfe\x01a\0" * 400_000 + data[at:]
    assert (read_image(many) == usual).all()
    assert time.monotonic() - begin_s < 8
    junk = data[:at] + b"\x21\xfe\x03a,b\0" + b"\x21\xff\x0bXMP DataXMP\x01,\0" + data[at:]
    assert (read_image(junk) == usual).all()
    with pytest.raises(ImageError, match="Cannot read"):
        read_image(data[:at] + b"\x21\xfe\xffcut")


@pytest.mark.parametrize("kind", [b"P1", b"P2", b"P3"])
def test_comments_in_a_plain_ppm_take_no_time(kind):
    """Pillow copied a megabyte for each of them."""
    most = b"" if kind == b"P1" else b"9\n"
    values = (b"1 " if kind == b"P1" else b"5 ") * (16 * 8 * (3 if kind == b"P3" else 1))
    few = kind + b" # a\n16 8 " + most + b"#b\r" + values
    begin_s = time.monotonic()
    many = kind + b" 16 8 " + most + b"#\n" * 500_000 + values
    assert (read_image(many) == read_image(few)).all()
    assert time.monotonic() - begin_s < 5
    pillow = Image.open(io.BytesIO(few)).convert("RGB")
    assert (read_image(few) == np.asarray(pillow)).all()
