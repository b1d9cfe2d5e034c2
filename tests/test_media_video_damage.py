"""Videos that are damaged, too large, or none."""

import av
import av.error
import numpy as np
import pytest
from odd_videos import encode, grey, read, record
from PIL import Image

from builder_tools.media import VideoReader
from builder_tools.media.pyav import explained


def test_a_still_or_damaged_webp_is_no_video(tmp_path):
    Image.fromarray(grey(9)).save(tmp_path / "still.webp")
    (tmp_path / "broken.webp").write_bytes(b"RIFF\x10\0\0\0WEBPVP8X\0\0\0\0")
    for name in ("still.webp", "broken.webp"):
        with pytest.raises(ValueError, match=name):
            VideoReader(tmp_path / name)


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
