"""Videos as they come: squeezed, trimmed, piped, animated, changing, damaged, huge."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np
import pytest
from PIL import Image

from builder_tools.media import CameraReader, VideoReader, VideoWriter
from builder_tools.media.clips import ClipReader
from builder_tools.media.pyav import explained


def grey(value: int, size: tuple[int, int] = (64, 48)) -> np.ndarray:
    return np.full((size[1], size[0], 3), value, np.uint8)


def encode(path, images, *, times=None, sar=None, codec="libx264", sound=None, **options):
    """Encode images without our writer; times in ms, sound as (codec, rate, hz)."""
    with av.open(str(path), "w", **options) as output:
        stream = output.add_stream(codec, rate=25)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if sar:
            stream.codec_context.sample_aspect_ratio = sar
        if times:
            stream.codec_context.time_base = Fraction(1, 1000)
        voice = output.add_stream(sound[0], rate=sound[1], layout="mono") if sound else None
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if times:
                frame.pts, frame.time_base = times[index], Fraction(1, 1000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        if voice:
            _, rate, hz = sound
            tone = np.sin(2 * np.pi * hz * np.arange(rate * len(images) // 25) / rate)
            samples = (8000 * tone).astype(np.int16)[None]
            heard = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            heard.sample_rate = rate
            output.mux(voice.encode(heard))
            output.mux(voice.encode(None))
    return path


def read(source) -> tuple[VideoReader, list]:
    with VideoReader(source) as reader:
        return reader, list(reader)


def record(source, out):
    """Write the images of a video again, with its sound, as `video-rec` does."""
    with (
        VideoReader(source) as reader,
        VideoWriter(out, reader.fps, reader.size, audio_from=reader.opened) as writer,
    ):
        for frame in reader:
            writer.write(frame.image, frame.time_s)
    return out


def tone_of(path) -> tuple[float, float]:
    """The loudest frequency of a file's sound and its length in seconds."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        samples = np.concatenate([f.to_ndarray()[0] for f in container.decode(stream)])
        rate = stream.codec_context.sample_rate
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return spectrum.argmax() * rate / len(samples), len(samples) / rate


@pytest.mark.parametrize(
    ("aspect", "size"),
    [
        (Fraction(2), (128, 48)),
        (Fraction(1, 2), (64, 96)),
        (Fraction(12, 11), (70, 48)),
        (Fraction(1), (64, 48)),
        (Fraction(1000), (64, 48)),  # no such pixels: taken for square
    ],
)
def test_pixels_are_made_square(tmp_path, aspect, size):
    image = grey(40)
    image[:, :32] = 200
    path = encode(tmp_path / "squeezed.mp4", [image] * 3, sar=aspect)
    reader, frames = read(path)
    assert reader.size == size and frames[0].image.shape == (size[1], size[0], 3)
    assert frames[0].image[:, : size[0] // 2 - 2].mean() == pytest.approx(200, abs=4)
    assert read(record(path, tmp_path / "out.mp4"))[0].size == tuple(s + s % 2 for s in size)


def test_pixels_of_a_network_camera_are_made_square(tmp_path):
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    encode(tmp_path / "live.ts", [grey(90)] * 50, sar=Fraction(2))
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with CameraReader(f"http://127.0.0.1:{server.server_port}/live.ts") as camera:
            assert camera.size == (128, 48)
    finally:
        server.shutdown()
        server.server_close()


def test_a_squeezed_video_that_is_turned(tmp_path):
    path = tmp_path / "turned.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(2)
        stream.set_display_rotation(90)
        output.mux(stream.encode(av.VideoFrame.from_ndarray(grey(90), format="rgb24")))
        output.mux(stream.encode(None))
    reader, frames = read(path)
    assert reader.size == (48, 128) and frames[0].image.shape == (128, 48, 3)


def _with_matrix(path: Path, entries) -> Path:
    """Put a display matrix (a, b, c, d as the file has them) into a written MP4."""
    data = path.read_bytes()
    identity = b"".join(
        int(v).to_bytes(4, "big") for v in (65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    )
    at = data.rindex(identity)
    a, b, c, d = (round(65536 * value).to_bytes(4, "big", signed=True) for value in entries)
    zero = bytes(4)
    matrix = a + b + zero + c + d + zero + zero + zero + (1 << 30).to_bytes(4, "big")
    path.write_bytes(data[:at] + matrix + data[at + 36 :])
    return path


@pytest.mark.parametrize(
    ("entries", "turned"),
    [
        ((1, 0, 0, 1), False),
        ((0.5, 0, 0, 0.5), False),
        ((0, 0, 0, 0), False),
        ((0, 0.5, -0.5, 0), True),
        ((0.8, 0.6, -0.6, 0.8), False),
        ((2, 0, 0, 2), False),
    ],
)
def test_any_display_matrix(tmp_path, entries, turned):
    path = _with_matrix(encode(tmp_path / "m.mp4", [grey(90)] * 3), entries)
    size = (48, 64) if turned else (64, 48)
    reader, frames = read(record(path, tmp_path / "out.mp4"))
    assert reader.size == size and len(frames) == 3
    assert read(path)[1][0].image.mean() == pytest.approx(90, abs=3)


def test_a_trimmed_clip_is_whole(tmp_path):
    """A phone trims by an edit list: images before the first key frame stay in the file."""
    whole = encode(tmp_path / "whole.mp4", [grey(5 * index) for index in range(50)])
    trimmed = tmp_path / "trimmed.mp4"
    options = {"use_editlist": "1", "avoid_negative_ts": "disabled"}
    with av.open(str(whole)) as source, av.open(str(trimmed), "w", options=options) as output:
        stream = source.streams.video[0]
        copy = output.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is not None:
                shift = round(0.4 / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, copy
                output.mux(packet)
    with av.open(str(trimmed)) as container:
        assert container.streams.video[0].frames == 50
    reader, frames = read(trimmed)
    assert reader.warning is None and len(frames) == 40
    assert [frame.time_s for frame in frames] == pytest.approx([i / 25 for i in range(40)])
    assert [f.image.mean() for f in frames] == pytest.approx([5 * i for i in range(10, 50)], abs=4)


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


def test_raw_dv_has_the_rate_of_its_frames(tmp_path):
    """As camcorders gave it; its header counts ticks of the clock."""
    with av.open(str(tmp_path / "tape.dv"), "w") as output:
        stream = output.add_stream("dvvideo", rate=Fraction(30000, 1001))
        stream.width, stream.height, stream.pix_fmt = 720, 480, "yuv411p"
        for _ in range(10):
            image = np.full((480, 720, 3), 90, np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        output.mux(stream.encode(None))
    reader, frames = read(tmp_path / "tape.dv")
    assert reader.fps == pytest.approx(29.97, abs=0.01) and reader.size == (720, 540)
    assert [frame.time_s for frame in frames] == pytest.approx(
        [i / 29.97 for i in range(10)], abs=2e-3
    )


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


@pytest.mark.parametrize(
    ("suffix", "more"), [("webp", {"lossless": True}), ("png", {}), ("gif", {})]
)
def test_animations_are_videos(tmp_path, suffix, more):
    path = tmp_path / f"a.{suffix}"
    images = [Image.fromarray(grey(value)) for value in (0, 80, 160)]
    images[0].save(path, save_all=True, append_images=images[1:], duration=[100, 200, 300], **more)
    reader, frames = read(path)
    assert [frame.time_s for frame in frames] == pytest.approx([0, 0.1, 0.3])
    assert [frame.image.mean() for frame in frames] == pytest.approx([0, 80, 160], abs=3)
    assert reader.size == (64, 48) and reader.warning is None
    with ClipReader(path) as clip:
        (shown,) = clip.images_at([0.35])
    assert shown.mean() == pytest.approx(160, abs=3)


@pytest.mark.parametrize(("suffix", "more"), [("webp", {"lossless": True}), ("png", {"blend": 0})])
def test_transparent_pixels_of_an_animation_are_white(tmp_path, suffix, more):
    path = tmp_path / f"a.{suffix}"
    shades = [
        np.dstack([grey(v), np.full((48, 64, 1), a, np.uint8)]) for v, a in ((0, 255), (9, 0))
    ]
    images = [Image.fromarray(shade) for shade in shades]
    images[0].save(path, save_all=True, append_images=images[1:], duration=100, **more)
    assert [frame.image.mean() for frame in read(path)[1]] == [0, 255]


def test_a_still_or_damaged_webp_is_no_video(tmp_path):
    Image.fromarray(grey(9)).save(tmp_path / "still.webp")
    (tmp_path / "broken.webp").write_bytes(b"RIFF\x10\0\0\0WEBPVP8X\0\0\0\0")
    for name in ("still.webp", "broken.webp"):
        with pytest.raises(ValueError, match=name):
            VideoReader(tmp_path / name)


def test_images_that_change_their_size_keep_their_shape(tmp_path):
    parts = [
        encode(tmp_path / "a.ts", [grey(200, (96, 48))] * 10, codec="mpeg2video"),
        encode(tmp_path / "b.ts", [grey(200, (48, 96))] * 10, codec="mpeg2video"),
    ]
    path = tmp_path / "both.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    reader, frames = read(path)
    assert reader.size == (96, 48) and len(frames) >= 18
    assert {frame.image.shape for frame in frames} == {(48, 96, 3)}
    last = frames[-1].image
    assert last[:, 38:58].mean() == pytest.approx(200, abs=5)  # 24 px wide, in the middle
    assert last[:, :34].max() < 30 and last[:, 62:].max() < 30
    assert (np.diff([frame.time_s for frame in frames]) > 0).all()


def test_sound_that_changes_its_rate_stays_right(tmp_path):
    images = [grey(90)] * 25
    parts = [
        encode(tmp_path / f"{rate}.ts", images, codec="mpeg2video", sound=("aac", rate, 600))
        for rate in (48000, 32000)
    ]
    path = tmp_path / "both.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    out = record(path, tmp_path / "out.mp4")
    hz, length_s = tone_of(out)
    assert hz == pytest.approx(600, abs=3) and length_s > 1.7


@pytest.mark.parametrize(
    "times",
    [
        [0, 3_000_000, 6_000_000],  # 1/3000 frames a second
        [0, 40, 1_000_000_000, 1_000_000_040],  # a gap of 10^6 s
        [0, 40, 40, 40, 80],
        [0, 40, 80, 10, 50, 90],
    ],
)
def test_any_times_can_be_recorded(tmp_path, times):
    path = tmp_path / "odd.mkv"
    encode(path, [grey(10 * i) for i in range(len(times))], times=sorted(times), codec="ffv1")
    _, frames = read(path)
    _, copies = read(record(path, tmp_path / "out.mp4"))
    shown = {round(copy.time_s, 2): round(copy.image.mean()) for copy in copies}
    for frame in frames:
        assert shown[round(frame.time_s, 2)] == pytest.approx(frame.image.mean(), abs=4)


@pytest.mark.parametrize("fps", [1 / 3600, 1 / 2001, 0.3, 0.49, 1, 23.976, 1000, 90000])
def test_any_speed_can_be_written(tmp_path, fps):
    with VideoWriter(tmp_path / "v.mp4", fps, (64, 48)) as writer:
        for value in (0, 100, 200):
            writer.write(grey(value))
    times = [frame.time_s for frame in read(tmp_path / "v.mp4")[1]]
    assert times == pytest.approx([0, 1 / fps, 2 / fps], rel=1e-3, abs=2e-5)


@pytest.mark.parametrize(
    ("container", "codec"),
    [("mp4", "aac"), ("matroska", "ac3"), ("matroska", "libopus"), ("avi", "libmp3lame")],
)
def test_damaged_sound_never_costs_the_film(tmp_path, container, codec):
    path = tmp_path / "film"
    encode(path, [grey(5 * i) for i in range(50)], sound=(codec, 48000, 500), format=container)
    with av.open(str(path)) as source:
        voice = source.streams.audio[0]
        places = [(p.pos, p.size) for p in source.demux(voice) if p.size and p.pos]
    data, rng = bytearray(path.read_bytes()), np.random.default_rng(3)
    for position, size in places[8:40:3]:
        data[position + 4 : position + size] = rng.bytes(max(size - 4, 0))
    path.write_bytes(data)
    out = record(path, tmp_path / "out.mp4")
    assert len(read(out)[1]) == 50
    with av.open(str(out)) as written:
        assert sum(packet.size > 0 for packet in written.demux(written.streams.audio[0])) > 40


def test_whatever_a_decoder_raises_is_an_os_or_value_error():
    kinds = {kind for kind in vars(av.error).values() if isinstance(kind, type)}
    kinds = {kind for kind in kinds if issubclass(kind, av.error.FFmpegError)}
    assert av.error.MemoryError in kinds
    errors = [kind(1, "words", "a file") for kind in kinds]
    errors += [MemoryError(), IndexError("i"), SystemError("s"), UnicodeError(), RuntimeError("r")]
    for error in errors:
        with pytest.raises((OSError, ValueError), match="film"), explained("film.mp4"):
            raise error


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


def test_huge_images_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    (tmp_path / "huge.y4m").write_bytes(
        b"YUV4MPEG2 W9000 H9000 F25:1 C420jpeg\nFRAME\n" + bytes(64)
    )
    with pytest.raises(ValueError, match=r"68 megapixels.*9000 x 9000.*MAX_VIDEO_MEGAPIXELS"):
        VideoReader(tmp_path / "huge.y4m")
    path = encode(tmp_path / "small.mp4", [grey(9)])
    monkeypatch.setenv("BUILDER_TOOLS_MAX_VIDEO_MEGAPIXELS", "0.01")
    assert len(read(path)[1]) == 1
    larger = encode(tmp_path / "larger.mp4", [grey(9, (128, 96))])
    with pytest.raises(ValueError, match=r"0\.01 megapixels"):
        VideoReader(larger)
    monkeypatch.setenv("BUILDER_TOOLS_MAX_VIDEO_MEGAPIXELS", "many")
    with pytest.raises(ValueError, match="many"):
        VideoReader(path)


def test_images_that_grow_beyond_the_limit_are_left_out(tmp_path, monkeypatch):
    small = encode(tmp_path / "a.ts", [grey(200, (96, 48))] * 10, codec="mpeg2video")
    large = encode(tmp_path / "b.ts", [grey(200, (256, 256))] * 10, codec="mpeg2video")
    path = tmp_path / "both.ts"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    monkeypatch.setenv("BUILDER_TOOLS_MAX_VIDEO_MEGAPIXELS", "0.02")
    reader, frames = read(path)
    assert 5 < len(frames) <= 11 and "damaged" in reader.warning
