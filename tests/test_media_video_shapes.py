"""Images of a video in their true shape: squeezed, turned, animated, changing their size."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from odd_videos import encode, grey, read, record
from PIL import ExifTags, Image

from builder_tools.media import CameraReader, VideoReader
from builder_tools.media.clips import ClipReader


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


def squeezed(path):
    return encode(path.with_suffix(".ts"), [_marked()] * 50, sar=Fraction(2))


def turned(path):
    return _with_matrix(encode(path.with_suffix(".mp4"), [_marked()] * 50), (0, 1, -1, 0))


def mirrored(path):
    return _with_matrix(encode(path.with_suffix(".mp4"), [_marked()] * 50), (-1, 0, 0, 1))


def of_high_range(path):
    return encode(path.with_suffix(".mp4"), [_marked()] * 50, trc=16)


def _marked() -> np.ndarray:
    image = grey(90)
    image[:16, :16] = 220
    return image


@pytest.mark.parametrize("made", [squeezed, turned, mirrored, of_high_range])
def test_a_network_camera_is_seen_as_a_film_is(tmp_path, made):
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    path = made(tmp_path / "live")
    reader, frames = read(path)
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with CameraReader(f"http://127.0.0.1:{server.server_port}/{path.name}") as camera:
            assert camera.size == reader.size
            image = camera.read(timeout_s=5).image
    finally:
        server.shutdown()
        server.server_close()
    np.testing.assert_allclose(image, frames[0].image, atol=8)


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


@pytest.mark.parametrize("by", ["name", "pipe"])
def test_an_animated_png_is_a_video_whatever_comes_first(tmp_path, by):
    """FFmpeg looks at its first 2 kB, in which a colour profile may stand alone."""
    path = tmp_path / "moves.png"
    images = [Image.fromarray(grey(value)) for value in (0, 100, 200)]
    profile = np.random.default_rng(0).bytes(100_000)
    images[0].save(path, save_all=True, append_images=images[1:], duration=40, icc_profile=profile)
    assert path.read_bytes().index(b"acTL") > 50_000
    source = path
    if by == "pipe":
        os.mkfifo(source := tmp_path / "fifo")
        threading.Thread(target=lambda: source.write_bytes(path.read_bytes()), daemon=True).start()
    found = [(frame.time_s, frame.image.mean()) for frame in read(source)[1]]
    assert np.array(found) == pytest.approx(np.array([(0, 0), (0.04, 100), (0.08, 200)]), abs=1)


def test_ctrl_c_ends_the_wait_for_the_rest_of_a_png(tmp_path, monkeypatch):
    path, read_some = tmp_path / "still.png", os.read
    Image.fromarray(grey(9)).save(path)
    os.mkfifo(source := tmp_path / "fifo")
    first, reads = path.read_bytes()[:33], []
    threading.Thread(target=lambda: source.write_bytes(first), daemon=True).start()

    def read_once(file, size):
        reads.append(size)
        if len(reads) > 1:
            raise KeyboardInterrupt
        return read_some(file, size)

    monkeypatch.setattr("builder_tools.media.pipes.os.read", read_once)
    with pytest.raises(KeyboardInterrupt):
        VideoReader(source)


def test_a_film_of_png_images_with_a_colour_profile_ends_no_process(tmp_path):
    """A web server was ended by a film of ten such images."""
    path, tick = tmp_path / "film.mov", Fraction(1, 25)
    with av.open(str(path), "w") as film:
        stream = film.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb24"
        for number in range(10):
            Image.fromarray(grey(100)).save(file := io.BytesIO(), "PNG", icc_profile=b"profile")
            packet = av.Packet(file.getvalue())
            packet.stream, packet.time_base = stream, tick
            packet.pts = packet.dts = number
            film.mux(packet)
    code = "import gc, sys; from builder_tools.media import VideoReader; "
    code += "print(len(list(VideoReader(sys.argv[1])))); gc.collect()"
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True
    )
    assert done.stdout == "10\n"


def test_a_film_without_streams_is_no_video(tmp_path):
    path, heads = tmp_path / "bare.mp4", {b"moov": 116, b"mvhd": 108}
    boxes = [heads[kind].to_bytes(4, "big") + kind for kind in heads]
    path.write_bytes(b"\0\0\0\x14ftypisom\0\0\0\0isom" + b"".join(boxes) + bytes(100))
    with pytest.raises(ValueError, match=r"Expected a video stream\. '.*' holds none\."):
        VideoReader(path)


@pytest.mark.parametrize("name", ["still.png", "cut.png"])
def test_a_png_of_one_image_is_no_video(tmp_path, name):
    path = tmp_path / name
    Image.fromarray(grey(9)).save(path)
    path.write_bytes(path.read_bytes()[: None if name == "still.png" else 30])
    with pytest.raises(ValueError, match=r"still image|Cannot read"):
        VideoReader(path)


@pytest.mark.parametrize(("suffix", "more"), [("webp", {"lossless": True}), ("png", {"blend": 0})])
def test_transparent_pixels_of_an_animation_are_white(tmp_path, suffix, more):
    path = tmp_path / f"a.{suffix}"
    shades = [
        np.dstack([grey(v), np.full((48, 64, 1), a, np.uint8)]) for v, a in ((0, 255), (9, 0))
    ]
    images = [Image.fromarray(shade) for shade in shades]
    images[0].save(path, save_all=True, append_images=images[1:], duration=100, **more)
    assert [frame.image.mean() for frame in read(path)[1]] == [0, 255]


@pytest.mark.parametrize("kind", ["mjpeg", "png"])
@pytest.mark.parametrize(("orientation", "size"), [(1, (64, 48)), (6, (48, 64))])
def test_images_with_exif_data_of_their_own_are_read(tmp_path, kind, orientation, size):
    """As from many cameras; PyAV refuses to tell of side data that it does not know."""
    path, exif = tmp_path / f"film.{kind}", Image.Exif()
    exif[ExifTags.Base.Orientation], exif[ExifTags.Base.Make] = orientation, "A camera"
    images = [Image.fromarray(grey(value)) for value in (0, 100, 200)]
    for image in images:
        image.paste((255, 255, 255), (0, 0, 16, 16))
    if kind == "png":
        images[0].save(path, save_all=True, append_images=images[1:], exif=exif)
    else:
        with path.open("wb") as file:
            for image in images:
                image.save(file, "JPEG", exif=exif)
    reader, frames = read(path)
    assert reader.size == size and len(frames) == 3
    corner = frames[0].image[:16, -16:] if orientation == 6 else frames[0].image[:16, :16]
    assert corner.mean() > 240 and frames[0].image.mean() < 60


def test_each_jpeg_of_a_film_is_turned_as_it_says(tmp_path):
    """As from a camera that is turned while it films."""
    path, upright = tmp_path / "film.mjpeg", np.ascontiguousarray(np.rot90(_marked()))
    orientations = [6, 6, 8, 3, 1, 6]
    quarters = {1: 0, 3: 2, 6: 1, 8: 3}
    with path.open("wb") as file:
        for orientation in orientations:
            exif = Image.Exif()
            exif[ExifTags.Base.Orientation] = orientation
            stored = np.rot90(upright, quarters[orientation])
            Image.fromarray(stored).save(file, "JPEG", exif=exif)
    reader, frames = read(path)
    assert reader.size == (48, 64) and len(frames) == len(orientations)
    for frame in frames:
        np.testing.assert_allclose(frame.image, frames[0].image, atol=12)
    with ClipReader(path) as clips:
        for image in clips.images_at([0.0, 0.08, 0.12, 0.16]):
            np.testing.assert_allclose(image, frames[0].image, atol=12)


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
