import io
import os

import cv2
import numpy as np
import pytest
from PIL import Image

from builder_tools.media import list_images, read_image, write_image


@pytest.fixture(scope="module")
def portrait(astronaut) -> Image.Image:
    return Image.fromarray(astronaut)


def _encoded(picture: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
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
    ],
)
def test_every_format_comes_out_as_rgb(portrait, kind, mode, limit):
    picture = portrait.convert(mode)
    image = read_image(_encoded(picture, kind))
    assert image.dtype == np.uint8 and image.flags.c_contiguous
    assert _mean_difference(image, np.asarray(picture.convert("RGB"))) <= limit


@pytest.mark.parametrize(
    ("kind", "mode"), [("PNG", "L"), ("PNG", "LA"), ("JPEG", "L"), ("PNG", "1")]
)
def test_grey_pictures_get_three_equal_channels(portrait, kind, mode):
    grey = portrait.convert(mode)
    image = read_image(_encoded(grey, kind))
    assert (image[..., 0] == image[..., 1]).all() and (image[..., 0] == image[..., 2]).all()
    assert _mean_difference(image[..., 0], np.asarray(grey.convert("L"))) <= 3


def test_sixteen_bits_keep_the_high_byte():
    grey = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    from_file = read_image(cv2.imencode(".png", grey)[1].tobytes())
    assert (from_file[..., 0] == grey >> 8).all()
    assert (read_image(grey) == from_file).all()


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
    picture = Image.new("P", (3, 3), 1)
    picture.putpalette([10, 20, 30, 200, 100, 50])
    picture.putpixel((0, 0), 0)
    image = read_image(_encoded(picture, "PNG", transparency=0))
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


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_the_first_picture_of_an_animation_counts(kind):
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
def test_arrays_that_are_no_pictures_are_named(array, message):
    with pytest.raises(ValueError, match=message):
        read_image(array)


def test_files_that_are_no_pictures_are_named(tmp_path, portrait):
    with pytest.raises(FileNotFoundError, match=r"missing\.jpg"):
        read_image(tmp_path / "missing.jpg")
    with pytest.raises(ValueError, match="folder"):
        read_image(tmp_path)
    contents = {
        "empty": (b"", "0 bytes"),
        "text": (b"hello, I am no picture", "no picture"),
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
def test_written_pictures_come_back(tmp_path, astronaut, suffix):
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
