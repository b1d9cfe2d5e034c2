"""Images of all formats as RGB, and as they are written."""

import io
import os
import sys

import cv2
import numpy as np
import pytest
from made_images import encoded, mean_difference
from PIL import Image

from builder_tools.media import ImageError, list_images, read_image, write_image


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
    image = read_image(encoded(original, kind))
    assert image.dtype == np.uint8 and image.flags.c_contiguous
    assert mean_difference(image, np.asarray(original.convert("RGB"))) <= limit


@pytest.mark.parametrize(
    ("kind", "mode"), [("PNG", "L"), ("PNG", "LA"), ("JPEG", "L"), ("PNG", "1")]
)
def test_grey_images_get_three_equal_channels(portrait, kind, mode):
    grey = portrait.convert(mode)
    image = read_image(encoded(grey, kind))
    assert (image[..., 0] == image[..., 1]).all() and (image[..., 0] == image[..., 2]).all()
    assert mean_difference(image[..., 0], np.asarray(grey.convert("L"))) <= 3


def test_sixteen_bits_keep_the_high_byte():
    grey = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    from_file = read_image(cv2.imencode(".png", grey)[1].tobytes())
    assert (from_file[..., 0] == grey >> 8).all()
    assert (read_image(grey) == from_file).all()


def test_an_icon_gives_its_largest_image(portrait):
    assert read_image(encoded(portrait, "ICO", sizes=[(16, 16), (64, 64)])).shape == (64, 64, 3)


def test_heif_is_read_with_its_package_and_said_to_need_it_without(portrait, monkeypatch):
    heif = pytest.importorskip("pillow_heif")
    stream = io.BytesIO()
    original = portrait.resize((320, 200))
    heif.from_pillow(original).save(stream)
    image = read_image(stream.getvalue())
    assert mean_difference(image, np.asarray(original)) < 4
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
    assert (read_image(encoded(Image.fromarray(values), "TIFF"))[..., 0] == values >> 8).all()


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
    image = read_image(encoded(Image.fromarray(pixels), kind, **options))
    assert image[0, 0].tolist() == [200, 100, 50]
    assert image[2, 0].tolist() == [255, 255, 255]
    # 100 * 0.2 + 255 * 0.8 = 224, 0 * 0.2 + 204 = 204, 50 * 0.2 + 204 = 214
    assert image[3, 0].tolist() == [224, 204, 214]
    assert (read_image(pixels) == image).all()


def test_palette_transparency_is_seen():
    original = Image.new("P", (3, 3), 1)
    original.putpalette([10, 20, 30, 200, 100, 50])
    original.putpixel((0, 0), 0)
    image = read_image(encoded(original, "PNG", transparency=0))
    assert image[0, 0].tolist() == [255, 255, 255]
    assert image[1, 1].tolist() == [200, 100, 50]


def test_palette_transparency_is_seen_behind_a_colour_profile():
    original = Image.new("P", (3, 3), 1)
    original.putpalette([10, 20, 30, 200, 100, 50])
    original.putpixel((0, 0), 0)
    profile = np.random.default_rng(0).bytes(4000)  # before it in the file, and hardly compressed
    image = read_image(encoded(original, "PNG", transparency=0, icc_profile=profile))
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
    image = read_image(encoded(Image.fromarray(stored), kind, exif=exif, **options))
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
    image = read_image(encoded(Image.fromarray(stored), kind, exif=exif))
    assert image.shape == (40, 24, 3) and image[4, -4, 1] < 60


@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("form", [{}, {"bigtiff": True}, {"byteorder": ">"}])
def test_deep_tiffs_are_turned_upright_once(dtype, channels, form):
    tifffile = pytest.importorskip("tifffile")
    stored = np.full((24, 40, channels), 1 if dtype != np.uint16 else 65535, dtype)
    stored[:8, :8] = 0  # a black corner: top left as stored
    photometric = "rgb" if channels == 3 else "minisblack"
    for orientation in range(1, 9):
        stream, tags = io.BytesIO(), [(0x0112, "H", 1, orientation, True)]
        pixels = stored if channels == 3 else stored[..., 0]
        tifffile.imwrite(stream, pixels, photometric=photometric, extratags=tags, **form)
        image = read_image(stream.getvalue())
        assert image.shape == ((24, 40, 3) if orientation < 5 else (40, 24, 3))
        bottom, right = orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7)
        assert image[-4 if bottom else 4, -4 if right else 4].max() == 0, orientation


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I", "F"])
def test_images_of_pillow_are_taken_in_every_mode(portrait, mode):
    given = portrait.resize((60, 40)).convert(mode)
    expected = given.convert("L" if mode in "IF" else "RGB").convert("RGB")
    assert mean_difference(read_image(given), np.asarray(expected)) <= 0.5


def test_an_image_of_pillow_is_turned_and_laid_over_white():
    given = Image.new("RGBA", (40, 24), (200, 100, 50, 0))
    given.getexif()[0x0112] = 6
    image = read_image(given)
    assert image.shape == (40, 24, 3) and (image == 255).all()


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
        "cut": (encoded(portrait, "PNG")[:30], "cut short"),
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
    assert mean_difference(read_image(str(path)), astronaut) <= limit
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
