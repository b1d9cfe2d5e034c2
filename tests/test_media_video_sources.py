"""Where a video may come from: pipes, standard input, addresses, names of any kind."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import av
import numpy as np
import pytest
from odd_videos import encode, grey, read, record, tone_of

from builder_tools.media import VideoReader
from builder_tools.media.sound_samples import read_sound


@pytest.mark.parametrize("container", ["mp4", "matroska", "mpegts"])
def test_a_fifo_is_read_whole(tmp_path, container):
    """Also an MP4 whose index stands at its end; the sound is read from it a second time."""
    path = tmp_path / "film"
    encode(path, [grey(8 * i) for i in range(25)], sound=("aac", 48000, 440), format=container)
    expected = [(frame.time_s, frame.image.mean()) for frame in read(path)[1]]
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    threading.Thread(target=lambda: fifo.write_bytes(path.read_bytes()), daemon=True).start()
    out = record(fifo, tmp_path / "out.mp4")
    found = [(frame.time_s, frame.image.mean()) for frame in read(out)[1]]
    assert np.array(found) == pytest.approx(np.array(expected), abs=3)
    assert tone_of(out) == pytest.approx((440, 1), abs=6)


@pytest.mark.parametrize("piece", [700, 1 << 16])
def test_an_mp4_comes_through_a_pipe_with_its_index_last(tmp_path, piece):
    """More than FFmpeg keeps in memory, to which it could go back."""
    noise = np.random.default_rng(0).integers(0, 255, (60, 48, 64, 3), np.uint8)
    data = encode(tmp_path / "film.mp4", list(noise)).read_bytes()
    assert len(data) > 1 << 16 and data.index(b"mdat") < data.index(b"moov")
    receiving, giving = os.pipe()

    def write() -> None:
        with open(giving, "wb", 0) as pipe:
            for place in range(0, len(data), piece):
                pipe.write(data[place : place + piece])

    threading.Thread(target=write, daemon=True).start()
    assert len(read(f"/dev/fd/{receiving}")[1]) == 60
    os.close(receiving)


def test_standard_input_is_a_video(tmp_path):
    path = encode(tmp_path / "film.mp4", [grey(8 * i) for i in range(5)])
    code = "from builder_tools.media import VideoReader as V; print(len(list(V('-'))))"
    given = {"capture_output": True, "text": True, "check": True}
    command = [sys.executable, "-c", code]
    with path.open("rb") as file:
        assert subprocess.run(command, stdin=file, **given).stdout == "5\n"
    with subprocess.Popen(["cat", path], stdout=subprocess.PIPE) as cat:
        assert subprocess.run(command, stdin=cat.stdout, **given).stdout == "5\n"


def test_what_comes_through_a_pipe_is_shown_as_it_comes(tmp_path):
    """A live stream has no end; its first images must not wait for it."""
    noise = np.random.default_rng(0).integers(0, 255, (60, 48, 64, 3), np.uint8)
    path = encode(tmp_path / "film.mkv", list(noise), codec="mjpeg", options={"live": "1"})
    fifo, data, more = tmp_path / "fifo", path.read_bytes(), threading.Event()
    os.mkfifo(fifo)

    def write() -> None:
        with fifo.open("wb", 0) as pipe:
            pipe.write(data[: 3 * len(data) // 4])
            more.wait(60)
            pipe.write(data[3 * len(data) // 4 :])

    threading.Thread(target=write, daemon=True).start()
    with VideoReader(fifo) as reader:
        first = next(reader)
        more.set()
        assert first.time_s == 0 and sum(1 for _ in reader) == 59


def test_an_empty_pipe_is_no_video(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    threading.Thread(target=lambda: fifo.write_bytes(b""), daemon=True).start()
    with pytest.raises(ValueError, match="fifo"):
        VideoReader(fifo)
    with pytest.raises(ValueError, match="device"):
        VideoReader("/dev/zero")


def test_a_playlist_opens_no_other_file(tmp_path):
    other = encode(tmp_path / "secret.ts", [grey(9)] * 5, codec="mpeg2video")
    (tmp_path / "list.avi").write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{other.name}\n#EXT-X-ENDLIST\n"
    )
    (tmp_path / "joined.mp4").write_text(f"ffconcat version 1.0\nfile {other.name}\n")
    for name in ("list.avi", "joined.mp4"):
        with pytest.raises(ValueError, match="playlist"):
            VideoReader(tmp_path / name)


def test_file_addresses_are_paths(tmp_path):
    path = encode(tmp_path / "a b.mp4", [grey(9)] * 3)
    reader, frames = read(path.as_uri())
    assert reader.source == str(path) and len(frames) == 3
    with pytest.raises(FileNotFoundError, match=r"/not/here\.mp4"):
        VideoReader("file:///not/here.mp4")
    (tmp_path / "list.m3u8").write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\na b.mp4\n#EXT-X-ENDLIST\n"
    )
    with pytest.raises(ValueError, match="playlist"):
        VideoReader((tmp_path / "list.m3u8").as_uri())


def test_names_that_look_like_addresses(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    encode(tmp_path / "film.mp4", [grey(9)] * 3)
    for name in (
        "15:30.mp4",
        "http:a.mp4",
        "%03d.mp4",
        "笑.mp4",
        b"\xff.mp4".decode(errors="surrogateescape"),
    ):
        os.replace("film.mp4", name)
        assert len(read(name)[1]) == 3
        os.replace(name, "film.mp4")


def test_what_is_said_of_an_address_holds_no_password(tmp_path, caplog):
    film = encode(tmp_path / "film.ts", [grey(90)] * 50, format="mpegts")
    film.write_bytes(film.read_bytes()[:-2000] + bytes(2000))
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    host = f"127.0.0.1:{server.server_port}"
    try:
        reader, _ = read(f"http://{host}/film.ts?password=secret")
        assert reader.warning.startswith(f"http://{host}/film.ts?***: ")
        with pytest.raises(OSError, match="404") as none:
            VideoReader(f"http://me:secret@{host}/user=me_password=secret.mp4?password=secret")
    finally:
        server.shutdown()
        server.server_close()
    with pytest.raises(OSError, match="Connection refused") as refused:
        VideoReader(f"http://{host}/film.ts?password=secret")
    assert "secret" not in f"{none.value} {refused.value} {caplog.text}"


@pytest.mark.parametrize(("code", "reason"), [(401, "401 Unauth"), (404, "404 Not"), (503, "5XX")])
def test_an_address_that_refuses_is_no_damaged_film(code, reason):
    class Refusing(SimpleHTTPRequestHandler):
        def do_GET(self):
            self.send_error(code)

        def log_message(self, *told):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with pytest.raises(OSError, match=reason) as error:
            VideoReader(f"http://me:secret@127.0.0.1:{server.server_port}/film.mp4")
    finally:
        server.shutdown()
        server.server_close()
    assert "convert" not in str(error.value) and "secret" not in str(error.value)


@pytest.mark.parametrize("name", ["film.mkv", "film.mp4"])
@pytest.mark.parametrize("chosen", [0, 1])
def test_of_several_streams_the_default_one_is_read(tmp_path, name, chosen):
    """As players do: a film may hold a commentary or a preview first."""
    path, default = tmp_path / name, av.stream.Disposition.default
    with av.open(str(path), "w") as output:
        images = [output.add_stream("libx264", rate=25) for _ in range(2)]
        sounds = [output.add_stream("aac", rate=16000, layout="mono") for _ in range(2)]
        for number in range(2):
            images[number].width, images[number].height = 64 + 32 * number, 48
            for stream in (images[number], sounds[number]):
                stream.disposition = default if number == chosen else 0
        output.start_encoding()
        for number, (image, sound) in enumerate(zip(images, sounds, strict=True)):
            for _ in range(25):
                shown = av.VideoFrame.from_ndarray(grey(90, (image.width, 48)), format="rgb24")
                output.mux(image.encode(shown))
            output.mux(image.encode(None))
            tone = np.sin(2 * np.pi * (400 + 800 * number) * np.arange(16000) / 16000)
            heard = av.AudioFrame.from_ndarray(
                (8000 * tone).astype(np.int16)[None], format="s16", layout="mono"
            )
            heard.sample_rate = 16000
            output.mux(sound.encode(heard))
            output.mux(sound.encode(None))
    reader, frames = read(path)
    assert reader.size == (64 + 32 * chosen, 48) and len(frames) == 25
    copied = record(path, tmp_path / "out.mp4")
    assert tone_of(copied)[0] == pytest.approx(400 + 800 * chosen, abs=5)
    samples = read_sound(path, 16000, start_s=0, num_samples=16000, channels=1)[0]
    spectrum = np.abs(np.fft.rfft(samples))
    assert spectrum.argmax() == pytest.approx(400 + 800 * chosen, abs=5)
