"""Images that are too large, cut short, damaged, or none."""

import io
import os
import struct
import tracemalloc
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_images import encoded, mean_difference
from PIL import Image

from builder_tools.cli import main
from builder_tools.media import ImageError, read_image


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_the_first_image_of_an_animation_counts(kind):
    first, second = Image.new("RGB", (20, 10), (250, 0, 0)), Image.new("RGB", (20, 10), (0, 0, 250))
    data = encoded(first, kind, save_all=True, append_images=[second])
    red, _, blue = read_image(data)[5, 10]
    assert red > 240 and blue < 10


def test_one_pixel_and_fifty_megapixels():
    assert read_image(encoded(Image.new("RGB", (1, 1), (1, 2, 3)), "PNG")).tolist() == [[[1, 2, 3]]]
    big = cv2.imencode(".jpg", np.full((6250, 8000), 77, np.uint8))[1].tobytes()
    image = read_image(big)
    assert image.shape == (6250, 8000, 3) and image[3000, 4000].tolist() == [77, 77, 77]


def test_too_many_pixels_are_refused_before_decoding(portrait, astronaut):
    data = encoded(portrait, "JPEG")
    assert read_image(data, max_pixels=512 * 512).shape == (512, 512, 3)
    with pytest.raises(ValueError, match=r"at most 262143 pixels.*512 x 512"):
        read_image(data, max_pixels=512 * 512 - 1)
    with pytest.raises(ValueError, match="at most 1000 pixels"):
        read_image(astronaut, max_pixels=1000)
    bomb = bytearray(encoded(Image.new("1", (8, 8)), "PNG")[:33])
    bomb[16:24] = (60000).to_bytes(4, "big") * 2
    with pytest.raises(ValueError, match="at most 100000000 pixels"):
        read_image(bytes(bomb), max_pixels=10**8)


def test_the_thumbnail_of_a_raw_photograph_is_not_taken_for_it():
    tifffile = pytest.importorskip("tifffile")
    for thumbnail, words in ((1, "a raw photograph, of which only a thumbnail"), (0, None)):
        stream = io.BytesIO()
        with tifffile.TiffWriter(stream) as writer:
            small = np.zeros((12, 16, 3), np.uint8)
            writer.write(small, photometric="rgb", subfiletype=thumbnail, subifds=1)
            writer.write(np.zeros((120, 160), np.uint16), photometric="minisblack")
        if words is None:
            assert read_image(stream.getvalue()).shape == (12, 16, 3)
        else:
            with pytest.raises(ImageError, match=words):
                read_image(stream.getvalue())


def test_sides_are_bounded_and_limits_can_be_changed(monkeypatch):
    line = encoded(Image.new("L", (100_001, 1)), "PNG")
    with pytest.raises(ImageError, match=r"at most 100000 px a side.*100001 x 1.*MAX_SIDE"):
        read_image(line)
    with pytest.raises(ImageError, match="at most 100000 px"):
        read_image(np.zeros((1, 100_001, 3), np.uint8))
    assert read_image(line, max_side=200_000).shape == (1, 100_001, 3)
    monkeypatch.setenv("BUILDER_TOOLS_MAX_SIDE", "200000")
    assert read_image(line).shape == (1, 100_001, 3)
    monkeypatch.setenv("BUILDER_TOOLS_MAX_MEGAPIXELS", "0.1")
    with pytest.raises(ImageError, match="at most 100000 pixels"):
        read_image(line)
    monkeypatch.setenv("BUILDER_TOOLS_MAX_MEGAPIXELS", "many")
    with pytest.raises(RuntimeError, match=r"number in the environment's .*MEGAPIXELS.*'many'"):
        read_image(line)
    assert read_image(line, max_pixels=200_000).shape == (1, 100_001, 3)
    with pytest.raises(ValueError, match=r"limits of 1\.\.\.500000000 pixels"):
        read_image(line, max_pixels=10**9)


@pytest.mark.parametrize("limit", ["many", "1000", "nan", "0"])
@pytest.mark.parametrize("verb", ["img", "img-batch", "clean", "archive"])
def test_a_wrong_limit_ends_a_verb_and_makes_no_image_unreadable(
    verb, limit, tmp_path, monkeypatch, capsys
):
    """A csv was written in which every image had the most frequent emotion."""
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    Image.new("L", (64, 64)).save(photos / "a.png")
    monkeypatch.setenv("BUILDER_TOOLS_MAX_MEGAPIXELS", limit)
    given = {"img": [photos / "a.png"], "img-batch": [photos, "--csv", out]}
    words = map(str, given.get(verb, [photos, "--out", out]))
    assert main([verb, *words]) == 2
    assert "BUILDER_TOOLS_MAX_MEGAPIXELS" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(("side", "scans", "most"), [(64, 300, 200), (9000, 60, 49)])
def test_a_jpeg_of_very_many_scans_is_refused(side, scans, most):
    """57 kilobytes took ten seconds of decoding; a megabyte would take minutes."""
    data = encoded(Image.new("L", (side, side)), "JPEG", progressive=True)
    own = data.count(b"\xff\xda")
    scan = data[data.rindex(b"\xff\xda") : -2]
    with pytest.raises(ImageError, match=f"more than {most} scans"):
        read_image(data[:-2] + scan * scans + b"\xff\xd9")
    few = data[:-2] + scan * 5 + b"\xff\xd9"
    junk = b"\xff\xda\0\x08" * 500  # behind the image: a film that some phones append
    assert own + 5 < most and read_image(few[:] + junk).shape == (side, side, 3)


def test_deep_images_of_two_gibibytes_are_refused():
    header = struct.pack(">LLBBBBB", 19_000, 19_000, 16, 6, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">L", 13) + b"IHDR" + header + bytes(4)
    with pytest.raises(ImageError, match=r"less than 2 GiB.*19000 x 19000 pixels of 16 bits"):
        read_image(data, max_pixels=400_000_000)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "TGA", "PPM"])
def test_bombs_of_every_format_are_refused_by_their_header(kind):
    """A file of some bytes that says it has 60000 x 60000 pixels is never decoded."""
    at = {"PNG": (16, ">LL"), "BMP": (18, "<ll"), "GIF": (6, "<HH"), "TGA": (12, "<HH")}
    data = bytearray(encoded(Image.new("RGB", (250, 250)), kind))
    if kind in at:
        place, layout = at[kind]
        struct.pack_into(layout, data, place, 60_000, 60_000)
    elif kind == "PPM":
        data = data.replace(b"250 250", b"60000 60000", 1)
    elif kind == "JPEG":
        struct.pack_into(">HH", data, data.index(b"\xff\xc0") + 5, 60_000, 60_000)
    elif kind == "WEBP":
        data = bytearray(b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x5f\xea\0\x5f\xea\0")
    else:
        data = data.replace(struct.pack("<L", 250), struct.pack("<L", 60_000))
    with pytest.raises(ImageError, match="at most 200000000 pixels"):
        read_image(bytes(data))


def test_reading_is_bounded(tmp_path):
    huge = tmp_path / "huge.jpg"
    with open(huge, "wb") as file:
        file.truncate(200 * 10**9)
    with pytest.raises(ImageError, match=r"at most 800 MB.*200000 MB"):
        read_image(huge)
    with open(huge, "wb") as file:
        file.truncate(700 * 10**6)
    tracemalloc.start()
    with pytest.raises(ImageError, match="full of zeros"):
        read_image(huge)
    assert tracemalloc.get_traced_memory()[1] < 10 * 10**6
    tracemalloc.stop()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in (tmp_path / "pipe.jpg", "/dev/zero", "/dev/tty"):
        if Path(path).exists():
            with pytest.raises(ImageError, match="a pipe or device"):
                read_image(path)
    (tmp_path / "dead.jpg").symlink_to("nowhere.jpg")
    with pytest.raises(FileNotFoundError, match=r"a link to 'nowhere.jpg'"):
        read_image(tmp_path / "dead.jpg")


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        *(("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("BMP", {})),
        *(("GIF", {"interlace": 0}), ("TIFF", {}), ("PPM", {}), ("TGA", {}), ("MPO", {})),
    ],
)
def test_an_image_without_its_last_bytes_gives_what_is_there(portrait, kind, options, caplog):
    whole = read_image(portrait)
    data = encoded(portrait, kind, **options)
    almost = read_image(data[:-2])
    assert mean_difference(almost[:400], whole[:400]) < 6
    half = read_image(data[: len(data) // 2])
    begins_below = kind in ("BMP", "TGA")
    there = slice(-150, None) if begins_below else slice(150)
    assert half.shape == whole.shape and mean_difference(half[there], whole[there]) < 25
    assert "it is cut short or damaged; about " in caplog.text


def test_a_progressive_jpeg_may_be_cut_anywhere_behind_its_first_scan(portrait):
    data = encoded(portrait, "JPEG", progressive=True)
    scans = [place for place in range(len(data)) if data[place : place + 2] == b"\xff\xda"]
    for scan in scans[1:]:
        for length in range(scan - 6, scan + 12, 3):
            assert read_image(data[:length]).std() > 40


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_an_image_of_which_nothing_is_there_is_unreadable(portrait, kind):
    data = encoded(portrait, kind)
    start = data.index(b"\xff\xda") + 14 if kind == "JPEG" else 33
    with pytest.raises(ImageError, match="cut short"):
        read_image(data[:start])


@pytest.mark.parametrize("length", range(8, 40))
def test_no_start_of_a_webp_ends_in_another_error(length):
    data = b"RIFF\x1a\0\0\0WEBPVP8X\x0a\0\0\0\x10\0\0\0\x07\0\0\x07\0\0ALPH\0\0\0\0"
    with pytest.raises(ImageError):
        read_image(data[:length])


def test_a_reason_is_the_same_each_time(portrait):
    """It stands in tables; Pillow's own words may name an object at its place in memory."""
    data = encoded(portrait, "PNG")[:33]
    with pytest.raises(ImageError, match=r"a PNG image of 512 x 512 px") as caught:
        read_image(data)
    assert "0x" not in str(caught.value)


@pytest.mark.parametrize("packed", [None, "tiff_lzw"])
@pytest.mark.parametrize("pillows_limit", [1000, 300])
def test_a_tiff_larger_than_pillow_takes_is_not_called_cut_short(
    monkeypatch, recwarn, caplog, packed, pillows_limit
):
    """Its own limit is 179 megapixels, with a warning from 89 on."""
    colours = np.arange(30 * 40 * 3, dtype=np.uint8).reshape(30, 40, 3)
    data = encoded(Image.fromarray(colours), "TIFF", compression=packed)
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", pillows_limit)
    assert (read_image(data) == colours).all()
    assert not caplog.records and not recwarn.list


def test_a_tiff_that_is_cut_short_is_a_sentence_alone(portrait, recwarn):
    with pytest.raises(ImageError, match="cut short"):
        read_image(encoded(portrait, "TIFF", compression="tiff_lzw")[:-9000])
    assert not recwarn


def test_metadata_that_is_damaged_is_no_reason_to_refuse_an_image():
    """A transparent PNG whose eXIf chunk is no TIFF."""
    data = encoded(Image.new("RGBA", (8, 8), (10, 20, 30, 255)), "PNG")
    text = b"eXIfno TIFF at all"
    chunk = struct.pack(">L", len(text) - 4) + text + struct.pack(">L", zlib.crc32(text))
    assert read_image(data[:33] + chunk + data[33:])[0, 0].tolist() == [10, 20, 30]


@pytest.mark.parametrize("error", [IndexError("x"), SyntaxError("x"), MemoryError(), KeyError(1)])
def test_whatever_a_decoder_raises_is_a_sentence(portrait, monkeypatch, error):
    from builder_tools.media import decoding, pillow

    def fail(*args, **options):
        raise error

    monkeypatch.setattr(decoding.cv2, "imdecode", fail)
    monkeypatch.setattr(pillow, "decode_by_pillow", fail)
    with pytest.raises(ImageError, match="Cannot read bytes"):
        read_image(encoded(portrait, "JPEG"))
    with pytest.raises(ImageError, match="Cannot read bytes"):
        read_image(encoded(portrait, "TIFF"))
