"""What the page refuses: sizes, pixels, seconds, wrong types, bombs and paths in zips."""

import io
import resource
import struct
import subprocess
import sys
import time
import warnings
import zipfile
import zlib
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from builder_tools.media import read_image
from builder_tools.web.limits import (
    STATUS_OF,
    Limits,
    Refused,
    check_duration,
    check_photo,
    check_video,
    clean_name,
)
from builder_tools.web.zips import unpack_images

LIMITS = Limits()


def encoded(image, suffix=".jpg"):
    return cv2.imencode(suffix, image[..., ::-1])[1].tobytes()


PACKED = zlib.compress(bytes(100))


def png_header(width, height, packed=PACKED):
    """A PNG that says it is large and holds nothing: what a decompression bomb begins with."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    data = b"IDAT" + packed
    chunk += struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))
    return b"\x89PNG\r\n\x1a\n" + chunk


def refused(call, *arguments):
    with pytest.raises(Refused) as caught:
        call(*arguments)
    assert caught.value.status == STATUS_OF[caught.value.code]
    return caught.value


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tiff", ".jp2", ".ppm"])
def test_images_of_all_formats_are_taken(astronaut, suffix):
    check_photo(encoded(astronaut, suffix), LIMITS)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty"),
        (b"hello, I am a text", "no_picture"),
        (b"%PDF-1.7\n", "no_picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no_picture"),
        (b"GIF89a" + bytes(100), "no_picture"),
        (png_header(40_000, 40_000), "too_many_pixels"),
        (png_header(10_000, 10_000), "too_many_pixels"),
        (png_header(200_000, 1), "too_long_side"),
        (b"RIFF\0\0\0\0WEBPVP8X", "no_picture"),
        (b"\x89PNG\r\n\x1a\n", "no_picture"),
        (bytes(31_000_000), "too_big"),
    ],
)
def test_images_that_are_refused_by_their_first_bytes(data, code):
    assert refused(check_photo, data, LIMITS).code == code


@pytest.mark.parametrize(("side", "pixels_mp"), [(8_000, 64.0), (20_000, 400.0)])
def test_a_bomb_is_refused_without_being_decoded(monkeypatch, side, pixels_mp):
    rows = zlib.compressobj(1)
    data = b"".join(rows.compress(bytes(side + 1)) for _ in range(100)) + rows.flush()
    bomb = png_header(side, side, data)
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was decoded"))
    error = refused(check_photo, bomb, LIMITS)
    assert error.code == "too_many_pixels"
    assert error.facts == {"pixels_mp": pixels_mp, "limit_mp": 50.0}


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("photo.jpg", "photo.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\a.png", "a.png"),
        ("a\x00b\n.jpg", "ab.jpg"),
        ("..", "upload"),
        ("", "upload"),
        (None, "upload"),
        ("лицо 1.jpg", "лицо 1.jpg"),
        ("=1+1.jpg", "_=1+1.jpg"),
        ("@SUM(A1).jpg", "_@SUM(A1).jpg"),
        ("\t+1.jpg", "_+1.jpg"),
        ("a/-2+3.jpg", "_-2+3.jpg"),
        ("1=1.jpg", "1=1.jpg"),
        ("x" * 300 + ".jpg", "x" * 116 + ".jpg"),
    ],
)
def test_names_become_bare_and_printable(name, clean):
    assert clean_name(name) == clean


def make_zip(path: Path, files: dict[str, bytes], **options) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def test_a_zip_keeps_its_folders_apart(tmp_path, folder, astronaut):
    small = encoded(astronaut[:100, :100])
    files = {
        "all/test/10.jpg": small,
        "all/test/2.jpg": small,
        "all/other/2.JPG": small,
        "all/other/2.jpg": small,
        "all/other/2.jpg/3.jpg": small,
        "notes.txt": b"text",
        ".hidden.jpg": small,
        "all/.cache/1.jpg": small,
        "__MACOSX/._2.jpg": b"mac",
    }
    found = unpack_images(make_zip(tmp_path / "a.zip", files), folder, LIMITS)
    assert list(found.paths) == [
        *("test/10.jpg", "test/2.jpg", "other/2.JPG", "other/2_2.jpg", "other/2.jpg/3.jpg"),
    ]
    assert found.renamed == {"all/other/2.jpg": "other/2_2.jpg"}
    assert found.ignored == 4
    assert sorted(path.name for path in folder.iterdir()) == [f"{n}.jpg" for n in range(5)]
    assert read_image(found.paths["test/10.jpg"]).shape == (100, 100, 3)


def test_a_zip_of_one_folder_gives_bare_names_of_any_length_and_language(tmp_path, folder):
    names = ["лицо.jpg", "笑" * 110 + ".jpg", "x.tif"]
    files = {f"test_kaggle/{name}": b"x" for name in names}
    found = unpack_images(make_zip(tmp_path / "a.zip", files), folder, LIMITS)
    assert list(found.paths) == names and not found.renamed


def test_a_zip_of_very_many_names_is_refused_before_they_are_read(tmp_path, folder, monkeypatch):
    """A million empty names are 47 MB, twenty seconds and 400 MB of memory."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(60_000):
            archive.writestr(f"{number:0>60}.jpg", b"")
    monkeypatch.setattr(zipfile, "ZipFile", lambda *_: pytest.fail("it was read"))
    error = refused(unpack_images, path, folder, LIMITS)
    assert (error.code, error.facts["limit"]) == ("too_many_files", 50_000)


def test_a_damaged_stream_in_a_zip_is_a_refusal(tmp_path, folder):
    path = make_zip(tmp_path / "a.zip", {"a.jpg": bytes(range(256)) * 40})
    data = bytearray(path.read_bytes())
    for at in range(36, 60):
        data[at] ^= 0xFF
    path.write_bytes(data)
    assert refused(unpack_images, path, folder, LIMITS).code == "corrupt_zip"


@pytest.mark.parametrize(
    "name", ["../evil.jpg", "/etc/evil.jpg", "a/../../evil.jpg", "..\\evil.jpg", "C:\\evil.jpg"]
)
def test_names_that_lead_out_of_a_zip_are_refused(tmp_path, folder, name):
    path = make_zip(tmp_path / "a.zip", {"good.jpg": b"x", name: b"x"})
    error = refused(unpack_images, path, folder, LIMITS)
    assert (error.code, error.facts["name"]) == ("zip_path", "evil.jpg")
    assert not list(folder.iterdir()) and not (tmp_path / "evil.jpg").exists()


def test_a_link_in_a_zip_is_left_out(tmp_path, folder):
    entry = zipfile.ZipInfo("link.jpg")
    entry.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(entry, "/etc/passwd")
        archive.writestr("good.jpg", b"x")
    found = unpack_images(tmp_path / "a.zip", folder, LIMITS)
    assert (list(found.paths), found.ignored) == (["good.jpg"], 1)


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path, folder):
    path = make_zip(tmp_path / "a.zip", {"bomb.jpg": bytes(50_000_000)})
    assert path.stat().st_size < 100_000
    assert refused(unpack_images, path, folder, LIMITS).code == "unpacks_too_big"
    assert not list(folder.iterdir())


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_zips_whose_unpacking_has_no_bounds_are_refused(tmp_path, folder, packing):
    """Half a kilobyte of bzip2 unpacks to 500 MB in one step, whatever the header says."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", packing) as archive:
        archive.writestr("a.jpg", bytes(1000))
    assert refused(unpack_images, path, folder, LIMITS).code == "zip_password"


def test_images_without_a_suffix_are_unpacked(tmp_path, folder, astronaut):
    files = {"a/3f2c": encoded(astronaut), "a/.b": encoded(astronaut), "notes": b"x", "empty": b""}
    unpacked = unpack_images(make_zip(tmp_path / "a.zip", files), folder, LIMITS)
    assert list(unpacked.paths) == ["3f2c"] and unpacked.ignored == 3
    assert read_image(unpacked.paths["3f2c"]).shape == astronaut.shape


def test_a_zip_that_lies_about_its_sizes_is_cut_off(tmp_path, folder):
    """The header says 10 bytes; zipfile stops there, and its check sum tells."""
    path = make_zip(tmp_path / "a.zip", {"liar.jpg": bytes(5_000_000)})
    data = bytearray(path.read_bytes())
    told = struct.pack("<I", 5_000_000)
    data = data.replace(told, struct.pack("<I", 10))
    path.write_bytes(data)
    assert refused(unpack_images, path, folder, LIMITS).code == "corrupt_zip"
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 10


@pytest.mark.parametrize(
    ("files", "limits", "code"),
    [
        ({f"{n}.jpg": b"x" for n in range(5)}, Limits(max_images=4), "too_many_files"),
        ({"a.txt": b"x"}, LIMITS, "nothing_in_zip"),
        ({}, LIMITS, "nothing_in_zip"),
        (
            {"a.jpg": np.random.default_rng(0).bytes(200_000)},
            Limits(max_unpacked_mb=0.1),
            "unpacks_too_big",
        ),
    ],
)
def test_zips_that_are_refused(tmp_path, folder, files, limits, code):
    path = make_zip(tmp_path / "a.zip", files)
    assert refused(unpack_images, path, folder, limits).code == code


def test_what_is_no_zip_or_a_damaged_or_locked_one(tmp_path, folder):
    path = tmp_path / "a.zip"
    path.write_bytes(b"PK\x03\x04 and then nothing")
    assert refused(unpack_images, path, folder, LIMITS).code == "no_zip"
    whole = make_zip(path, {"a.jpg": np.random.default_rng(0).bytes(50_000)}).read_bytes()
    path.write_bytes(whole[:20_000] + bytes(1000) + whole[21_000:])
    assert refused(unpack_images, path, folder, LIMITS).code == "corrupt_zip"
    locked = bytearray(make_zip(path, {"b.jpg": b"x" * 100}).read_bytes())
    locked[6] |= 1  # flag of the entry, and of the directory
    locked[locked.find(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(locked)
    assert refused(unpack_images, path, folder, LIMITS).code == "zip_password"


def test_a_video_is_taken_and_its_limits_hold(face_video):
    check_video(face_video.path, LIMITS)
    too_long = refused(check_video, face_video.path, Limits(max_video_s=2))
    assert (too_long.code, too_long.facts["limit_s"]) == ("too_long", 2)
    too_large = refused(check_video, face_video.path, Limits(max_frame_pixels=100_000))
    assert (too_large.code, too_large.facts["pixels_mp"]) == ("too_many_pixels", 0.2)
    assert refused(check_video, face_video.path, Limits(max_upload_mb=0.01)).code == "too_big"


def test_a_film_that_asks_for_gigabytes_is_refused_in_another_process(tmp_path):
    """Of a film of one image, all says that it has 30 million of one byte: 700 MB of index."""
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as film:
        images = film.add_stream("mpeg4", 25)
        images.width = images.height = 64
        images.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))
        film.mux([*images.encode(frame), *images.encode()])
    check_video(path, LIMITS)
    data = bytearray(path.read_bytes())
    for box, place, number in (
        (b"stsz", 8, 1),
        (b"stsz", 12, 30_000_000),
        (b"stsc", 16, 30_000_000),
    ):
        struct.pack_into(">L", data, data.find(box) + place, number)
    path.write_bytes(data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert refused(check_video, path, LIMITS).code == "corrupt_video"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


LARGE_SERVER = """
import sys
from pathlib import Path
import numpy as np
from builder_tools.web.film_header import MOST_BYTES, film_header
held = np.ones({held} * MOST_BYTES, np.uint8)
print(film_header(Path(sys.argv[1])).has_images)
"""


@pytest.mark.parametrize("held", [0, 2])
def test_neither_a_large_server_nor_files_beside_it_count_for_a_film(face_video, tmp_path, held):
    """Linux tells a process's peak as its child's, too: a server of 500 MB refused every film."""
    (tmp_path / "json.py").write_text("raise ImportError('of the folder that it was started in')")
    script = tmp_path / "server" / "server.py"
    script.parent.mkdir()
    script.write_text(LARGE_SERVER.format(held=held))
    done = subprocess.run(
        [sys.executable, script, face_video.path], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.stdout == "True\n", done.stderr


def test_what_grows_too_long_is_refused_on_the_way():
    check_duration(600.0, LIMITS)
    assert refused(check_duration, 601.0, LIMITS).code == "too_long"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty"),
        (b"just a text", "no_video"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "no_video"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "no_video"),
        (b"<?xml version='1.0'?><MPD/>", "no_video"),
        (b"\x00\x00\x00\x20ftypisom" + bytes(200), "corrupt_video"),
        (b"\x1aE\xdf\xa3" + bytes(500), "corrupt_video"),
    ],
)
def test_what_is_no_video_is_refused(tmp_path, data, code):
    """Playlists too: FFmpeg would open the files and addresses they name."""
    path = tmp_path / "video.mp4"
    path.write_bytes(data)
    assert refused(check_video, path, LIMITS).code == code


def test_an_image_called_video_is_refused(tmp_path, astronaut):
    path = tmp_path / "video.mp4"
    path.write_bytes(encoded(astronaut))
    assert refused(check_video, path, LIMITS).code == "no_video"


def test_limits_must_be_positive():
    with pytest.raises(ValueError, match="max_video_s"):
        Limits(max_video_s=0)


def test_refused_uploads_are_named_by_code_and_facts():
    error = Refused("too_big", size_mb=3, limit_mb=2)
    assert isinstance(error, ValueError) and error.status == 413
    assert io.StringIO(str(error)).read() == "too_big: size_mb=3, limit_mb=2"


def test_equal_names_are_numbered_without_trying_all_numbers(tmp_path, folder):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of zipfile: the name is there
        archive.writestr("a_3.jpg", b"x")
        for number in range(1500):
            archive.writestr("A.jpg" if number == 1 else "a.jpg", b"x")
    begin_s = time.process_time()
    names = list(unpack_images(tmp_path / "a.zip", folder, LIMITS).paths)
    assert time.process_time() - begin_s < 3
    assert names[:5] == ["a_3.jpg", "a.jpg", "A_2.jpg", "a_4.jpg", "a_5.jpg"]
    assert names[-1] == "a_1501.jpg"
