import contextlib
import http.server
import io
import os
import struct
import subprocess
import sys
import threading
import tracemalloc
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from builder_tools.media import ImageError, list_images, read_image, write_image


@pytest.fixture(scope="module")
def portrait(astronaut) -> Image.Image:
    return Image.fromarray(astronaut)


def _encoded(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def _mean_difference(first: np.ndarray, second: np.ndarray) -> float:
    assert first.shape == second.shape
    return float(np.abs(first.astype(int) - second).mean())


@pytest.mark.parametrize(
    ("kind", "mode", "limit"),
    [
        ("PNG", "RGB", 0),
        ("BMP", "RGB", 0),
        ("TIFF", "RGB", 0),
        ("JPEG", "RGB", 4),
        ("WEBP", "RGB", 4),
        ("JPEG", "CMYK", 4),
        ("PNG", "P", 0),
        ("GIF", "P", 0),
        ("PNG", "RGBA", 0),
        ("TIFF", "CMYK", 0),
        ("TIFF", "1", 0),
        ("TIFF", "LAB", 1),
        ("AVIF", "RGB", 4),
        ("AVIF", "RGBA", 4),
        ("JPEG2000", "RGB", 0),
        ("JPEG2000", "L", 0),
        ("PPM", "RGB", 0),
        ("PPM", "1", 0),
        ("MPO", "RGB", 4),
        ("TGA", "RGB", 0),
        ("TGA", "RGBA", 0),
        ("TGA", "P", 0),
    ],
)
def test_every_format_comes_out_as_rgb(portrait, kind, mode, limit):
    original = portrait.convert(mode)
    image = read_image(_encoded(original, kind))
    assert image.dtype == np.uint8 and image.flags.c_contiguous
    assert _mean_difference(image, np.asarray(original.convert("RGB"))) <= limit


@pytest.mark.parametrize(
    ("kind", "mode"), [("PNG", "L"), ("PNG", "LA"), ("JPEG", "L"), ("PNG", "1")]
)
def test_grey_images_get_three_equal_channels(portrait, kind, mode):
    grey = portrait.convert(mode)
    image = read_image(_encoded(grey, kind))
    assert (image[..., 0] == image[..., 1]).all() and (image[..., 0] == image[..., 2]).all()
    assert _mean_difference(image[..., 0], np.asarray(grey.convert("L"))) <= 3


def test_sixteen_bits_keep_the_high_byte():
    grey = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    from_file = read_image(cv2.imencode(".png", grey)[1].tobytes())
    assert (from_file[..., 0] == grey >> 8).all()
    assert (read_image(grey) == from_file).all()


def test_an_icon_gives_its_largest_image(portrait):
    assert read_image(_encoded(portrait, "ICO", sizes=[(16, 16), (64, 64)])).shape == (64, 64, 3)


def test_heif_is_read_with_its_package_and_said_to_need_it_without(portrait, monkeypatch):
    heif = pytest.importorskip("pillow_heif")
    stream = io.BytesIO()
    original = portrait.resize((320, 200))
    heif.from_pillow(original).save(stream)
    image = read_image(stream.getvalue())
    assert _mean_difference(image, np.asarray(original)) < 4
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageError, match=r"pip install 'builder-tools\[heif\]'"):
        read_image(stream.getvalue())


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_of_a_sensor_with_fewer_are_stretched(suffix, bits, channels, caplog):
    """A 10-bit image in 16 bits would be black if its high byte were taken."""
    grey = np.arange(256, dtype=np.uint16).reshape(16, 16)
    stored = np.repeat(grey[..., None] << (bits - 8), channels, axis=2)
    image = read_image(cv2.imencode(suffix, stored)[1].tobytes())
    assert (image == grey[..., None]).all()
    assert (f"read as {bits} bits" in caplog.text) is (bits < 16)
    assert (read_image(stored) == image).all()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1, 255])
def test_float_tiffs_are_images(channels, dtype, scale):
    ramp = np.repeat(np.linspace(0, 1, 256).reshape(16, 16, 1), channels, 2)
    data = cv2.imencode(".tiff", (ramp * scale).astype(dtype))[1].tobytes()
    assert (read_image(data) == np.arange(256).reshape(16, 16, 1)).all()


def test_whole_numbers_of_32_bits_in_a_tiff():
    values = np.arange(256, dtype=np.int32).reshape(16, 16) * 256
    assert (read_image(_encoded(Image.fromarray(values), "TIFF"))[..., 0] == values >> 8).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiffs_in_which_zero_is_white(dtype):
    tifffile = pytest.importorskip("tifffile")
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    highest = np.iinfo(dtype).max
    stream = io.BytesIO()
    stored = (highest - grey.astype(dtype) * (highest // 255)).astype(dtype)
    tifffile.imwrite(stream, stored, photometric="miniswhite")
    assert (read_image(stream.getvalue()) == grey[..., None]).all()


def test_a_kind_of_pixels_that_is_not_read_is_never_shown_wrong():
    tifffile = pytest.importorskip("tifffile")
    for pixels, options in (
        (np.zeros((3, 16, 16), np.uint16), {"photometric": "rgb", "planarconfig": "separate"}),
        (np.zeros((16, 16), np.complex64), {"photometric": "minisblack"}),
    ):
        stream = io.BytesIO()
        tifffile.imwrite(stream, pixels, **options)
        with pytest.raises(ImageError, match="not read"):
            read_image(stream.getvalue())


def test_a_tiff_of_negative_values_says_so_and_is_not_called_damaged():
    data = cv2.imencode(".tif", np.full((4, 4), -1.5, np.float32))[1].tobytes()
    with pytest.raises(ImageError, match=r"values of -1.5") as caught:
        read_image(data)
    assert "damaged" not in str(caught.value)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_transparent_pixels_are_laid_over_white(kind):
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[:2] = (200, 100, 50, 255)
    pixels[2] = (200, 100, 50, 0)
    pixels[3] = (100, 0, 50, 51)
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    image = read_image(_encoded(Image.fromarray(pixels), kind, **options))
    assert image[0, 0].tolist() == [200, 100, 50]
    assert image[2, 0].tolist() == [255, 255, 255]
    # 100 * 0.2 + 255 * 0.8 = 224, 0 * 0.2 + 204 = 204, 50 * 0.2 + 204 = 214
    assert image[3, 0].tolist() == [224, 204, 214]
    assert (read_image(pixels) == image).all()


def test_palette_transparency_is_seen():
    original = Image.new("P", (3, 3), 1)
    original.putpalette([10, 20, 30, 200, 100, 50])
    original.putpixel((0, 0), 0)
    image = read_image(_encoded(original, "PNG", transparency=0))
    assert image[0, 0].tolist() == [255, 255, 255]
    assert image[1, 1].tolist() == [200, 100, 50]


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("JPEG", "RGB"), ("PNG", "RGB"), ("WEBP", "RGB"), ("PNG", "RGBA"), ("WEBP", "RGBA")],
)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(kind, mode, orientation):
    stored = np.full((24, 40, len(mode)), 255, np.uint8)
    stored[:8, :8, 1:3] = 0  # a red corner: top left as stored
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95} if kind == "JPEG" else {}
    image = read_image(_encoded(Image.fromarray(stored), kind, exif=exif, **options))
    assert image.shape == ((24, 40, 3) if orientation < 5 else (40, 24, 3))
    # where the stored top left corner belongs, from the table of the EXIF standard
    bottom, right = orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7)
    corner = image[-4 if bottom else 4, -4 if right else 4].astype(int)
    assert corner[0] > 200 and corner[1] < 60 and corner[2] < 60


@pytest.mark.parametrize("kind", ["TIFF", "AVIF"])
def test_pillow_formats_are_turned_upright(kind):
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = np.full((24, 40, 3), 255, np.uint8)
    stored[:8, :8, 1:3] = 0
    image = read_image(_encoded(Image.fromarray(stored), kind, exif=exif))
    assert image.shape == (40, 24, 3) and image[4, -4, 1] < 60


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I", "F"])
def test_images_of_pillow_are_taken_in_every_mode(portrait, mode):
    given = portrait.resize((60, 40)).convert(mode)
    expected = given.convert("L" if mode in "IF" else "RGB").convert("RGB")
    assert _mean_difference(read_image(given), np.asarray(expected)) <= 0.5


def test_a_image_of_pillow_is_turned_and_laid_over_white():
    given = Image.new("RGBA", (40, 24), (200, 100, 50, 0))
    given.getexif()[0x0112] = 6
    image = read_image(given)
    assert image.shape == (40, 24, 3) and (image == 255).all()


class Tensor:
    """Like a tensor of some framework: no array, but says how to become one, or that it won't."""

    def __init__(self, values, error=None):
        self._values, self._error = values, error

    def __array__(self, dtype=None, copy=None):
        if self._error:
            raise self._error
        return np.asarray(self._values, dtype)


def test_sources_of_all_kinds_give_the_same(portrait, tmp_path):
    small = np.asarray(portrait.resize((40, 30)))
    path = write_image(tmp_path / "лицо.png", small)
    data = path.read_bytes()
    with open(path, "rb") as file:
        given = [
            *(path, str(path), os.fsencode(path).decode(), data, bytearray(data)),
            *(memoryview(data), file, io.BytesIO(data), Image.fromarray(small), Image.open(path)),
            *(small, small / 255, small.astype(np.float16), small.astype(np.uint16) * 257),
            *(small.astype(">u2") * 257, Tensor(small), memoryview(small), small[::-1][::-1]),
            np.dstack([small, np.full(small.shape[:2], 255, np.uint8)]),
        ]
        for number, source in enumerate(given):
            assert _mean_difference(read_image(source), small) <= 0.05, number
    assert (read_image(small[..., 0] > 100) == 255 * (small[..., :1] > 100)).all()


def test_sources_that_give_no_image_say_what_to_do(tmp_path):
    with pytest.raises(ImageError, match=r"opened for bytes.*open\(path, 'rb'\)"):
        read_image(io.StringIO("text"))
    with pytest.raises(ImageError, match=r"file\.seek\(0\)"):
        read_image(io.BytesIO())
    with pytest.raises(ImageError, match=r"cuda.*\.detach\(\)\.cpu\(\)"):
        read_image(Tensor(None, TypeError("can't convert cuda tensor")))
    with pytest.raises(FileNotFoundError, match="null"):
        read_image("a\0b.jpg")


def test_file_addresses_are_paths(portrait, tmp_path):
    path = write_image(tmp_path / "a b%20 笑.png", np.asarray(portrait.resize((40, 30))))
    for address in (path.as_uri(), f"FILE://localhost{path.as_uri()[7:]}"):
        assert read_image(address).shape == (30, 40, 3)
    with pytest.raises(FileNotFoundError, match=r"No image at '/not/here\.jpg'"):
        read_image("file:///not/here.jpg")
    for elsewhere in ("file://host/a.jpg", "file://a.jpg"):
        with pytest.raises(ImageError, match=rf"file:///PATH.*Received: '{elsewhere}'"):
            read_image(elsewhere)


@pytest.mark.parametrize("piped", [False, True])
def test_an_image_comes_from_standard_input(portrait, tmp_path, piped):
    path = write_image(tmp_path / "a.png", np.asarray(portrait.resize((40, 30))))
    code = "from builder_tools.media import read_image; print(read_image('-').shape)"
    command, given = [sys.executable, "-c", code], path.read_bytes()
    with path.open("rb") as file:
        source = {"input": given} if piped else {"stdin": file}
        done = subprocess.run(command, capture_output=True, **source)
    assert done.stdout == b"(30, 40, 3)\n", done.stderr


def test_no_image_on_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(ImageError, match=r"an image on standard input \(-\). It is closed"):
        read_image("-")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    with pytest.raises(ImageError, match=r"0 bytes.*: -"):
        read_image("-")


def test_what_a_text_file_gives_is_no_image(portrait, tmp_path):
    path = tmp_path / "a.jpg"
    portrait.save(path)
    with open(path, encoding="utf-8") as file, pytest.raises(ImageError, match="opened for bytes"):
        read_image(file)


def test_an_image_of_pillow_without_pixels_is_refused():
    with pytest.raises(ImageError, match="at least one pixel"):
        read_image(Image.new("RGB", (0, 0)))


class Site(http.server.BaseHTTPRequestHandler):
    """Answers `/image`, and `/endless` without an end."""

    image = b""

    def do_GET(self):
        self.send_response({"/image": 200, "/endless": 200}.get(self.path, 404))
        if self.path == "/large":
            self.send_header("Content-Length", str(10**12))
        self.end_headers()
        if self.path == "/image":
            self.wfile.write(self.image)
        with contextlib.suppress(OSError):
            while self.path == "/endless":
                self.wfile.write(bytes(1 << 20))

    def log_message(self, *args):
        pass


@pytest.fixture
def site(portrait):
    Site.image = _encoded(portrait.resize((40, 30)), "PNG")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_addresses_are_fetched_up_to_a_size(site):
    assert read_image(f"{site}/image").shape == (30, 40, 3)
    with pytest.raises(OSError, match=r"Cannot fetch the image .*/absent: HTTP Error 404"):
        read_image(f"{site}/absent")
    with pytest.raises(ImageError, match="file of at most 64 MB"):
        read_image(f"{site}/endless", max_pixels=1000)
    with pytest.raises(FileNotFoundError):
        read_image(Path(f"{site}/image"))  # a path is never an address


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_the_first_image_of_an_animation_counts(kind):
    first, second = Image.new("RGB", (20, 10), (250, 0, 0)), Image.new("RGB", (20, 10), (0, 0, 250))
    data = _encoded(first, kind, save_all=True, append_images=[second])
    red, _, blue = read_image(data)[5, 10]
    assert red > 240 and blue < 10


def test_one_pixel_and_fifty_megapixels():
    assert read_image(_encoded(Image.new("RGB", (1, 1), (1, 2, 3)), "PNG")).tolist() == [
        [[1, 2, 3]]
    ]
    big = cv2.imencode(".jpg", np.full((6250, 8000), 77, np.uint8))[1].tobytes()
    image = read_image(big)
    assert image.shape == (6250, 8000, 3) and image[3000, 4000].tolist() == [77, 77, 77]


def test_too_many_pixels_are_refused_before_decoding(portrait, astronaut):
    data = _encoded(portrait, "JPEG")
    assert read_image(data, max_pixels=512 * 512).shape == (512, 512, 3)
    with pytest.raises(ValueError, match=r"at most 262143 pixels.*512 x 512"):
        read_image(data, max_pixels=512 * 512 - 1)
    with pytest.raises(ValueError, match="at most 1000 pixels"):
        read_image(astronaut, max_pixels=1000)
    bomb = bytearray(_encoded(Image.new("1", (8, 8)), "PNG")[:33])
    bomb[16:24] = (60000).to_bytes(4, "big") * 2
    with pytest.raises(ValueError, match="at most 100000000 pixels"):
        read_image(bytes(bomb), max_pixels=10**8)


def test_sides_are_bounded_and_limits_can_be_changed(monkeypatch):
    line = _encoded(Image.new("L", (100_001, 1)), "PNG")
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
    with pytest.raises(ValueError, match=r"number in the environment's .*MEGAPIXELS.*'many'"):
        read_image(line)
    monkeypatch.setenv("BUILDER_TOOLS_MAX_MEGAPIXELS", "1000")
    with pytest.raises(ValueError, match=r"limits of 1\.\.\.500000000 pixels"):
        read_image(line)


@pytest.mark.parametrize(("side", "scans", "most"), [(64, 300, 200), (9000, 60, 49)])
def test_a_jpeg_of_very_many_scans_is_refused(side, scans, most):
    """57 kilobytes took ten seconds of decoding; a megabyte would take minutes."""
    data = _encoded(Image.new("L", (side, side)), "JPEG", progressive=True)
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
    data = bytearray(_encoded(Image.new("RGB", (250, 250)), kind))
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
def test_a_image_without_its_last_bytes_gives_what_is_there(portrait, kind, options, caplog):
    whole = read_image(portrait)
    data = _encoded(portrait, kind, **options)
    almost = read_image(data[:-2])
    assert _mean_difference(almost[:400], whole[:400]) < 6
    half = read_image(data[: len(data) // 2])
    begins_below = kind in ("BMP", "TGA")
    there = slice(-150, None) if begins_below else slice(150)
    assert half.shape == whole.shape and _mean_difference(half[there], whole[there]) < 25
    assert "it is cut short or damaged; about " in caplog.text


def test_a_progressive_jpeg_may_be_cut_anywhere_behind_its_first_scan(portrait):
    data = _encoded(portrait, "JPEG", progressive=True)
    scans = [place for place in range(len(data)) if data[place : place + 2] == b"\xff\xda"]
    for scan in scans[1:]:
        for length in range(scan - 6, scan + 12, 3):
            assert read_image(data[:length]).std() > 40


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_image_of_which_nothing_is_there_is_unreadable(portrait, kind):
    data = _encoded(portrait, kind)
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
    data = _encoded(portrait, "PNG")[:33]
    with pytest.raises(ImageError, match=r"a PNG image of 512 x 512 px") as caught:
        read_image(data)
    assert "0x" not in str(caught.value)


def test_a_tiff_that_is_cut_short_is_a_sentence_alone(portrait, recwarn):
    with pytest.raises(ImageError, match="cut short"):
        read_image(_encoded(portrait, "TIFF", compression="tiff_lzw")[:-9000])
    assert not recwarn


def test_metadata_that_is_damaged_is_no_reason_to_refuse_a_image():
    """A transparent PNG whose eXIf chunk is no TIFF."""
    data = _encoded(Image.new("RGBA", (8, 8), (10, 20, 30, 255)), "PNG")
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
        read_image(_encoded(portrait, "JPEG"))
    with pytest.raises(ImageError, match="Cannot read bytes"):
        read_image(_encoded(portrait, "TIFF"))


def test_an_rgb_array_is_passed_through(astronaut):
    assert read_image(astronaut) is astronaut
    assert read_image(astronaut[:, ::-1]).flags.c_contiguous
    grey = astronaut[..., :1]
    assert (read_image(grey) == np.repeat(grey, 3, 2)).all()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((4, 4, 3), np.nan), "values of nan"),
        (np.full((4, 4), -0.5), "values of -0.5"),
        (np.full((4, 4), 256.0), "0...255.*values of 256"),
        (np.full((4, 4), np.inf, np.float16), "values of inf"),
        (np.zeros((4, 4, 3), np.int64), "dtype=int64.*astype"),
        (np.zeros((4, 4, 3), complex), "dtype=complex128"),
        (np.zeros((3, 40, 40), np.uint8), r"shape=\(3, 40, 40\).*channels come first.*moveaxis"),
        (np.zeros((2, 4, 4, 3), np.uint8), r"shape=\(2, 4, 4, 3\).*one by one"),
        (np.zeros((4, 4, 2), np.uint8), r"shape=\(4, 4, 2\)"),
        (np.zeros((0, 4, 3), np.uint8), r"shape=\(0, 4, 3\)"),
        (np.zeros(9, np.uint8), r"shape=\(9,\)"),
    ],
)
def test_arrays_that_are_no_images_are_named(array, message):
    with pytest.raises(ValueError, match=message):
        read_image(array)


def test_files_that_are_no_images_are_named(tmp_path, portrait):
    with pytest.raises(FileNotFoundError, match=r"missing\.jpg"):
        read_image(tmp_path / "missing.jpg")
    with pytest.raises(ValueError, match="folder"):
        read_image(tmp_path)
    contents = {
        "empty": (b"", "0 bytes"),
        "text": (b"hello, I am no image", "no image"),
        "cut": (_encoded(portrait, "PNG")[:30], "cut short"),
        "zeros": (bytes(2_000_000), "full of zeros"),
        "page": (b"%PDF-1.7 and so on", "PDF"),
        "film": (b"\0\0\0\x18ftypisom" + bytes(40), "MP4 or MOV"),
    }
    for name, (data, message) in contents.items():
        path = tmp_path / f"{name}.jpg"
        path.write_bytes(data)
        with pytest.raises(ValueError, match=message) as caught:
            read_image(path)
        assert name in str(caught.value)
    with pytest.raises(ValueError, match="list"):
        read_image([[1, 2], [3, 4]])


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".JPEG"])
def test_written_images_come_back(tmp_path, astronaut, suffix):
    path = tmp_path / "новая папка" / f"лицо один{suffix}"
    assert write_image(str(path), astronaut) == path
    limit = 0 if suffix in (".png", ".bmp") else 3
    assert _mean_difference(read_image(str(path)), astronaut) <= limit
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, astronaut, monkeypatch):
    path = tmp_path / "a.png"
    write_image(path, astronaut[:8, :8])
    before = path.read_bytes()

    def fail(source, target):
        raise PermissionError("no")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(PermissionError):
        write_image(path, astronaut)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_writing_refuses_unknown_formats_and_wrong_arrays(tmp_path, astronaut):
    for name in ("a.xyz", "a", "a.gif"):
        with pytest.raises(ValueError, match="ends in one of"):
            write_image(tmp_path / name, astronaut)
    with pytest.raises(ValueError, match="dtype=int32"):
        write_image(tmp_path / "a.png", astronaut.astype(np.int32))
    with pytest.raises(ValueError, match=r"too large for that format"):
        write_image(tmp_path / "a.jpg", np.zeros((1, 70_000, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_a_very_long_name_can_be_written(tmp_path):
    path = tmp_path / ("x" * 250 + ".png")
    write_image(path, np.zeros((2, 2, 3), np.uint8))
    assert read_image(path).shape == (2, 2, 3)


def test_every_shared_photo_can_be_read(media_dir):
    folders = [folder for folder in (media_dir / "photos").iterdir() if folder.is_dir()]
    paths = [path for folder in folders for path in list_images(folder)[:6]]
    assert len(paths) >= 20
    for path in paths:
        image, upright = read_image(path), Image.open(path)
        turned = upright.getexif().get(0x0112, 1) >= 5
        assert image.shape[:2] == (upright.size if turned else upright.size[::-1])
