"""Which images a folder holds, what is left out and why, and names in zips."""

import io
import os
import struct
import zipfile
import zlib

import pytest
from PIL import Image

from builder_tools.media import find_images, list_images
from builder_tools.media.formats import IMAGE_SUFFIXES, format_of, is_surely_image
from builder_tools.media.zips import zip_entry_name


def test_images_are_listed_in_natural_order(tmp_path):
    for name in ("10.jpg", "2.JPG", "1.png", "0.webp", "b2.bmp", "b10.jpeg", "a.txt", ".9.jpg"):
        (tmp_path / name).touch()
    (tmp_path / "3.jpg").mkdir()
    names = [path.name for path in list_images(tmp_path)]
    assert names == ["0.webp", "1.png", "2.JPG", "10.jpg", "b2.bmp", "b10.jpeg"]
    with pytest.raises(FileNotFoundError, match="nowhere"):
        list_images(tmp_path / "nowhere")
    with pytest.raises(NotADirectoryError):
        list_images(tmp_path / "1.png")


def _jpeg() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(stream, "JPEG")
    return stream.getvalue()


def test_images_are_found_in_sub_folders_under_their_relative_names(tmp_path):
    for name in ("b/10.jpg", "b/9.jpg", "2.png", "1.png", "a b/x/1.jpg", "b/x.tif/1.gif"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = find_images(tmp_path)
    assert found.names == (
        *("1.png", "2.png", "a b/x/1.jpg", "b/9.jpg", "b/10.jpg", "b/x.tif/1.gif"),
    )
    assert not found.left_out and found.sentences() == []


def test_every_format_of_the_list_is_found_whatever_the_case(tmp_path):
    for suffix in IMAGE_SUFFIXES:
        (tmp_path / f"{suffix[1:]}{suffix.upper()}").touch()
    assert len(list_images(tmp_path)) == len(find_images(tmp_path).paths) == len(IMAGE_SUFFIXES)
    assert {".jpg", ".jfif", ".jpe", ".heic", ".avif", ".jp2", ".mpo", ".tga"} < IMAGE_SUFFIXES


def test_what_is_left_out_is_said_and_hidden_files_are_not(tmp_path):
    hidden = (".hidden.jpg", "._1.jpg", ".cache/1.jpg", "__MACOSX/1.jpg", "Thumbs.db")
    for name in (*hidden, "notes.txt", "sub/film.mp4", "1.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = find_images(tmp_path)
    assert found.names == ("1.jpg",)
    (sentence,) = found.sentences()
    assert sentence.startswith("2 left out because they are no image of a known format (JPEG, ")
    assert sentence.endswith(": notes.txt, sub/film.mp4")


def test_images_under_other_names_are_images(tmp_path):
    for name in ("photo", "photo.jpg.bak", "photo.thm"):
        (tmp_path / name).write_bytes(_jpeg())
    assert len(list_images(tmp_path)) == 3


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_damaged_ones_dead_links_and_pipes_are_listed(tmp_path):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "dead.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    os.mkfifo(tmp_path / "pipe")  # not opened: nobody may ever write into it
    (tmp_path / "dead").symlink_to("nowhere")
    found = find_images(tmp_path)
    assert found.names == ("dead.jpg", "empty.jpg", "loop.jpg", "pipe.jpg")
    assert list(found.left_out.values()) == [("dead", "pipe")]
    assert [path.name for path in list_images(tmp_path)] == list(found.names)


def test_linked_folders_are_looked_into_but_none_twice(tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "1.jpg").touch()
    (tmp_path / "root" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root" / "up").symlink_to(tmp_path / "root")
    assert find_images(tmp_path / "root").names == ("linked/1.jpg",)


@pytest.mark.parametrize(
    ("start", "kind", "sure"),
    [
        (b"\xff\xd8\xff\xe0", "JPEG", True),
        (b"RIFF\0\0\0\0WEBPVP8 ", "WEBP", True),
        (b"RIFF\0\0\0\0AVI LIST", None, False),
        (b"II*\0", "TIFF", False),
        (b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miaf", "AVIF", True),
        (b"\0\0\0\x20ftypmif1\0\0\0\0mif1avif", "AVIF", True),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIF", True),
        (b"\0\0\0\x18ftypisom\0\0\2\0isomiso2mp41", None, False),
        (b"P6\n3 3\n255\n", "PPM", False),
        (b"Python", None, False),
        (b"", None, False),
    ],
)
def test_first_bytes_say_what_a_file_is(start, kind, sure):
    assert format_of(start) == kind
    assert is_surely_image(start) is sure


def _names_read(raw: bytes, *, utf8: bool = False, extra: bytes = b"") -> str:
    """Packs a file of a name of so many bytes, and reads its name."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        entry = zipfile.ZipInfo("x" * len(raw))
        entry.extra = extra
        archive.writestr(entry, b"")
    data = stream.getvalue().replace(b"x" * len(raw), raw)
    if utf8:
        data = data.replace(b"PK\x01\x02\x14\x03\x14\0\0\0", b"PK\x01\x02\x14\x03\x14\0\0\x08")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return zip_entry_name(archive.infolist()[0])


@pytest.mark.parametrize("encoding", ["utf-8", "cp866", "cp1251"])
@pytest.mark.parametrize("name", ["папка/лицо 1.jpg", "серая/Ёлка №2.JPG", "ФОТО/Яблоко_IMG.png"])
def test_names_in_zips_that_say_no_encoding(encoding, name):
    assert _names_read(name.encode(encoding)) == name


def test_capitals_within_russian_names_in_zips():
    assert _names_read("МоёФото.jpg".encode("cp866")) == "МоёФото.jpg"


def test_other_names_in_zips():
    assert _names_read(b"plain.jpg") == "plain.jpg"
    assert _names_read("笑.jpg".encode(), utf8=True) == "笑.jpg"
    assert _names_read("Grüße.jpg".encode("cp437")) == "Grüße.jpg"
    raw = b"????.jpg\xff"
    name = "笑顔.jpg".encode()
    field = struct.pack("<HHBL", 0x7075, 5 + len(name), 1, zlib.crc32(raw)) + name
    assert _names_read(raw, extra=field) == "笑顔.jpg"
