"""Where an image may come from: paths, addresses, bytes, files, arrays, standard input, sites."""

import contextlib
import http.server
import io
import os
import subprocess
import sys
import threading
import tracemalloc
import types
from pathlib import Path

import numpy as np
import pytest
from made_images import encoded, mean_difference
from PIL import Image

from builder_tools.cli import main
from builder_tools.media import ImageError, read_image, write_image


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
            assert mean_difference(read_image(source), small) <= 0.05, number
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


@pytest.mark.parametrize(
    "start", ["data:image/jpeg;base64,", "DATA:image/png;base64,", "", "iVBORw0KGgo", "UklGR"]
)
def test_an_image_written_as_a_text_is_refused_and_not_repeated(start, capsys):
    text = start + "/9j/secret" * 999
    with pytest.raises(ImageError, match=r"bytes.*base64\.b64decode") as refused:
        read_image(text)
    assert "secret" not in str(refused.value)
    assert main(["img", text]) == 1
    told = capsys.readouterr().err
    assert told.startswith("failed: image in base64: Expected") and "secret" not in told


@pytest.mark.parametrize("path", ["/9j/" + "a" * 99 + ".jpg", "UklGR", "iVBORw0KGgo/photo.png"])
def test_a_path_that_begins_as_an_image_does_in_base64_is_a_path(path):
    with pytest.raises(FileNotFoundError, match="No image at"):
        read_image(path)


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
    Site.image = encoded(portrait.resize((40, 30)), "PNG")
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


def test_an_array_is_read_while_another_thread_imports_pillow(astronaut, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL.Image", types.ModuleType("PIL.Image"))
    np.testing.assert_array_equal(read_image(astronaut), astronaut)


@pytest.mark.parametrize("buffering", [None, 0, -1])
def test_a_small_file_takes_little_memory_to_read(tmp_path, buffering):
    """`read(most)` of a file first allocates the most that an image may have, here 800 MB."""
    path = tmp_path / "face.png"
    write_image(path, np.zeros((48, 48, 3), np.uint8))
    read_image(path)
    with open(path, "rb", buffering=-1 if buffering is None else buffering) as file:
        tracemalloc.start()
        try:
            face = read_image(path if buffering is None else file)
            assert tracemalloc.get_traced_memory()[1] < 5_000_000
        finally:
            tracemalloc.stop()
    assert face.shape == (48, 48, 3)
