"""Videos of any speed: trimmed, with gaps, slow and fast, their sound in time."""

from fractions import Fraction

import av
import numpy as np
import pytest
from odd_videos import encode, grey, read, record, tone_of

from builder_tools.media import VideoWriter


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


@pytest.mark.parametrize("ticks", [1, 40])
def test_an_avi_that_leaves_images_out_is_whole(tmp_path, ticks):
    """Webcams leave images out where they are late; the header of an AVI counts those, too.

    Some screen recorders count milliseconds: 39 of 40 places are empty.
    """
    places, film = [*range(40), 45, 46, 80, *range(120, 200)], tmp_path / "film.avi"
    with av.open(str(film), "w") as output:
        stream = output.add_stream("mjpeg", rate=25 * ticks)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for place in places:
            image = av.VideoFrame.from_ndarray(grey(place), format="rgb24")
            image.pts, image.time_base = place * ticks, Fraction(1, 25 * ticks)
            output.mux(stream.encode(image))
        output.mux(stream.encode(None))
    reader, frames = read(film)
    assert reader.warning is None
    assert [frame.time_s * 25 for frame in frames] == pytest.approx(places)
    images, _, _ = film.read_bytes().partition(b"idx1")
    (tmp_path / "cut.avi").write_bytes(images[: len(images) * 2 // 3])
    reader, frames = read(tmp_path / "cut.avi")
    assert "its header promises 8.0 s" in reader.warning and 40 < len(frames) < len(places)
