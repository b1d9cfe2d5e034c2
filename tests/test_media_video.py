"""Videos: what is read from them and written to them."""

import gc
import itertools
import logging
import os
import subprocess
import sys
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from odd_videos import tone_of

from builder_tools.media import VideoReader, VideoWriter


def _packets(path, kind):
    with av.open(str(path)) as container:
        stream = getattr(container.streams, kind)[0]
        return [
            (float(packet.pts * packet.time_base), bytes(packet))
            for packet in container.demux(stream)
            if packet.pts is not None
        ]


def _write(path, images, fps=25, **options):
    """Encodes images without our writer; options are set on the stream."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream(options.pop("codec", "libx264"), rate=fps)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = options.pop("pix_fmt", "yuv420p")
        if "rotation" in options:
            stream.set_display_rotation(options["rotation"], hflip=options.get("hflip", False))
        for image in images:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        output.mux(stream.encode(None))
    return path


def test_every_frame_comes_with_its_time(face_video):
    with VideoReader(face_video.path) as reader:
        assert reader.fps == pytest.approx(30000 / 1001, rel=1e-9)
        assert reader.size == (640, 360) and reader.has_audio
        assert reader.duration_s == pytest.approx(face_video.duration_s, abs=0.01)
        frames = list(reader)
        assert reader.warning is None
    assert [frame.index for frame in frames] == list(range(90))
    expected = [face_video.time_s(index) for index in range(90)]
    assert [frame.time_s for frame in frames] == pytest.approx(expected, abs=1e-4)
    assert all(frame.image.shape == (360, 640, 3) for frame in frames)
    assert frames[0].image.dtype == np.uint8 and frames[0].image.flags.c_contiguous


def test_frames_keep_their_own_pixels(face_video, astronaut):
    """Buffers are used again inside; what was handed out must not change afterwards."""
    with VideoReader(face_video.path) as reader:
        frames = list(reader)
    differences = [
        np.abs(first.image.astype(int) - second.image).mean()
        for first, second in itertools.pairwise(frames[20:61])
    ]
    assert min(differences) > 0.5


def test_images_are_let_go(face_video):
    """No reference cycles: with them, memory grows by gigabytes until the collector comes."""

    def alive() -> int:
        return sum(isinstance(thing, av.VideoFrame) for thing in gc.get_objects())

    gc.collect()
    before = alive()  # of other tests
    gc.disable()
    try:
        with VideoReader(face_video.path) as reader:
            for _ in reader:
                pass
            assert alive() - before <= 3
    finally:
        gc.enable()


def _copy(source, path, num_frames=None):
    """Writes the images of a video again, with its sound."""
    reader = VideoReader(source)
    with reader, VideoWriter(path, reader.fps, reader.size, audio_from=source) as writer:
        for frame in itertools.islice(reader, num_frames):
            writer.write(frame.image, frame.time_s)
    return path


@pytest.mark.parametrize("colour", [(200, 40, 40), (40, 200, 40), (40, 40, 200), (128, 128, 128)])
def test_colours_are_right(tmp_path, colour):
    image = np.full((64, 64, 3), colour, np.uint8)
    with VideoReader(_write(tmp_path / "theirs.mp4", [image])) as reader:
        assert next(reader).image.mean(axis=(0, 1)) == pytest.approx(colour, abs=4)
    with VideoWriter(tmp_path / "ours.mp4", 25, (64, 64)) as writer:
        writer.write(image)
    with VideoReader(tmp_path / "ours.mp4") as reader:
        assert next(reader).image.mean(axis=(0, 1)) == pytest.approx(colour, abs=4)


@pytest.mark.parametrize(
    ("rotation", "hflip", "expected"),
    [
        (0, False, lambda image: image),
        (90, False, lambda image: np.rot90(image)),
        (180, False, lambda image: np.rot90(image, 2)),
        (270, False, lambda image: np.rot90(image, 3)),
        (0, True, lambda image: image[:, ::-1]),
        (90, True, lambda image: np.rot90(image)[:, ::-1]),
    ],
)
def test_phone_videos_stand_upright(tmp_path, astronaut, rotation, hflip, expected):
    stored = cv2.resize(astronaut[:256], (128, 64))
    path = _write(tmp_path / "phone.mp4", [stored] * 3, rotation=rotation, hflip=hflip)
    turned = expected(stored)
    with VideoReader(path) as reader:
        assert reader.size == (turned.shape[1], turned.shape[0])
        image = next(reader).image
    assert image.shape == turned.shape and image.flags.c_contiguous
    assert np.abs(image.astype(int) - turned).mean() < 12


def test_variable_times_survive_writing_and_reading(tmp_path, astronaut):
    times = [0.0, 0.04, 0.5, 0.533, 2.0, 2.001]
    with VideoWriter(tmp_path / "v.mp4", 25, (512, 512)) as writer:
        for time_s in times:
            writer.write(astronaut, time_s)
    with VideoReader(tmp_path / "v.mp4") as reader:
        assert [frame.time_s for frame in reader] == pytest.approx(times, abs=2e-5)


def test_a_stream_that_starts_late_starts_at_zero(tmp_path, astronaut):
    with VideoWriter(tmp_path / "late.mp4", 25, (512, 512)) as writer:
        for time_s in (7.0, 7.5, 8.0):
            writer.write(astronaut, time_s)
    with VideoReader(tmp_path / "late.mp4") as reader:
        assert [frame.time_s for frame in reader] == pytest.approx([0, 0.5, 1.0], abs=1e-4)


def test_a_gif_counts_as_a_video(tmp_path):
    path = tmp_path / "a.gif"
    images = [np.full((32, 32, 3), value, np.uint8) for value in (0, 80, 160)]
    _write(path, images, fps=10, codec="gif", pix_fmt="rgb8")
    with VideoReader(path) as reader:
        frames = list(reader)
    assert [round(frame.time_s, 3) for frame in frames] == [0.0, 0.1, 0.2]
    assert frames[2].image.mean() == pytest.approx(160, abs=20)


def test_a_truncated_video_gives_what_it_has_and_says_so(tmp_path, face_video, caplog):
    whole = tmp_path / "whole.mp4"
    with VideoReader(face_video.path) as reader, VideoWriter(whole, 30, reader.size) as writer:
        for frame in reader:
            writer.write(frame.image, frame.time_s)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with caplog.at_level(logging.WARNING), VideoReader(cut) as reader:
        frames = list(reader)
    assert 20 < len(frames) < 80
    assert f"{len(frames)} images" in reader.warning and "90" in reader.warning
    assert reader.warning in caplog.text


def test_a_hole_in_the_middle_does_not_end_the_video(tmp_path, face_video):
    data = bytearray(face_video.path.read_bytes())
    middle = len(data) // 3
    data[middle : middle + 3000] = os.urandom(3000)
    path = tmp_path / "hole.mp4"
    path.write_bytes(data)
    with VideoReader(path) as reader:
        frames = list(reader)
    assert len(frames) > 45 and frames[-1].time_s > 2.5
    assert "damaged" in reader.warning


def test_what_is_no_video_is_named(tmp_path, face_video, astronaut):
    (tmp_path / "text.mp4").write_text("I am no video at all. " * 50)
    (tmp_path / "text.txt").write_text("I am no video at all. " * 50)
    (tmp_path / "empty.mp4").touch()
    cv2.imwrite(str(tmp_path / "still.png"), astronaut)
    with av.open(str(face_video.path)) as source, av.open(str(tmp_path / "a.m4a"), "w") as output:
        stream = output.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = stream
                output.mux(packet)
    no_index = tmp_path / "no_index.mp4"
    no_index.write_bytes(face_video.path.read_bytes()[:4000])
    for name, message in {
        "text.mp4": "as a video",
        "text.txt": "text or a still image",
        "still.png": "text or a still image",
        "empty.mp4": "0 bytes",
        "a.m4a": "audio only",
        "no_index.mp4": "as a video",
    }.items():
        with pytest.raises(ValueError, match=message) as caught:
            VideoReader(tmp_path / name)
        assert name in str(caught.value)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        VideoReader(tmp_path / "nowhere.mp4")
    with pytest.raises(ValueError, match="folder"):
        VideoReader(tmp_path)


@pytest.mark.parametrize("source", [5, b"a.mp4", ["a.mp4"], np.zeros((3, 9, 9, 3), np.uint8)])
def test_what_names_no_video_is_refused(source):
    with pytest.raises(ValueError, match=f"Received: {type(source).__name__}. Save it"):
        VideoReader(source)


def test_written_videos_play_in_browsers(tmp_path, face_video):
    path = tmp_path / "видео" / "out.mp4"
    _copy(face_video.path, path)
    data = path.read_bytes()
    assert data.find(b"moov") < data.find(b"mdat")
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, video.pix_fmt) == ("h264", "yuv420p")
        assert video.codec_context.colorspace == 1 and video.codec_context.color_range == 1
        assert video.average_rate == Fraction(30000, 1001) and video.frames == 90
        assert audio.codec_context.name == "aac"
    assert list(path.parent.iterdir()) == [path]
    with VideoReader(face_video.path) as source, VideoReader(path) as copy:
        for before, after in zip(source, copy, strict=True):
            assert after.time_s == pytest.approx(before.time_s, abs=1e-4)
            assert np.abs(before.image.astype(int) - after.image).mean() < 4


def test_the_sound_is_copied_bit_by_bit_and_in_step(tmp_path, face_video):
    path = tmp_path / "out.mp4"
    _copy(face_video.path, path)
    before, after = _packets(face_video.path, "audio"), _packets(path, "audio")
    assert [data for _, data in after] == [data for _, data in before]
    assert [t for t, _ in after] == pytest.approx([t for t, _ in before], abs=1e-3)
    assert tone_of(path)[0] == pytest.approx(440, abs=2)


def _write_tone(path, codec, rate, layout, length_s, hz=660):
    wave = (8000 * np.sin(2 * np.pi * hz * np.arange(length_s * rate) / rate)).astype(np.int16)
    num_channels = av.AudioLayout(layout).nb_channels
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=rate, layout=layout)
        interleaved = np.repeat(wave, num_channels)[None]
        samples = av.AudioFrame.from_ndarray(interleaved, format="s16", layout=layout)
        samples.sample_rate = rate
        output.mux(stream.encode(samples))
        output.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "codec", "rate", "layout", "codec_after"),
    [
        ("a.wav", "pcm_s16le", 16000, "mono", "aac"),
        ("a.wav", "pcm_s16le", 96000, "stereo", "aac"),
        ("a.mkv", "ac3", 48000, "5.1", "aac"),
        ("a.mp3", "libmp3lame", 44100, "stereo", "mp3"),
        ("a.ts", "aac", 48000, "stereo", "aac"),
    ],
)
def test_any_sound_is_carried_over(tmp_path, astronaut, name, codec, rate, layout, codec_after):
    source = _write_tone(tmp_path / name, codec, rate, layout, length_s=3)
    with VideoWriter(tmp_path / "out.mp4", 10, (512, 512), audio_from=source) as writer:
        for _ in range(30):
            writer.write(astronaut)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.audio[0].codec_context.name.startswith(codec_after)
    tone_hz, length_s = tone_of(tmp_path / "out.mp4")
    assert tone_hz == pytest.approx(660, abs=2) and length_s == pytest.approx(3, abs=0.15)


def test_sound_ends_soon_after_the_last_image(tmp_path, face_video):
    path = tmp_path / "short.mp4"
    _copy(face_video.path, path, num_frames=30)
    assert _packets(path, "audio")[-1][0] == pytest.approx(29 * 1001 / 30000 + 1, abs=0.05)


@pytest.mark.parametrize("size", [(639, 359), (1, 1), (33, 64), (64, 33)])
def test_odd_sizes_keep_every_pixel(tmp_path, astronaut, size):
    drawn = cv2.resize(astronaut, size)
    with VideoWriter(tmp_path / "odd.mp4", 25, size) as writer:
        writer.write(drawn)
    with VideoReader(tmp_path / "odd.mp4") as reader:
        image = next(reader).image
    assert reader.size == tuple(side + side % 2 for side in size)
    assert np.abs(image[: size[1], : size[0]].astype(int) - drawn).mean() < 12


def test_nothing_is_left_after_an_exception(tmp_path, astronaut):
    path = tmp_path / "out.mp4"
    path.write_bytes(b"an older file")
    with pytest.raises(KeyError), VideoWriter(path, 25, (512, 512)) as writer:
        writer.write(astronaut)
        raise KeyError("stop")
    assert list(tmp_path.iterdir()) == [path] and path.read_bytes() == b"an older file"


def test_wrong_use_of_the_writer_is_named(tmp_path, astronaut):
    for arguments, message in [
        (("a.avi", 25, (64, 64)), "ends in one of"),
        (("a.mp4", 0, (64, 64)), "fps > 0"),
        (("a.mp4", float("nan"), (64, 64)), "fps > 0"),
        (("a.mp4", 25, (0, 64)), "at least 1 x 1"),
    ]:
        with pytest.raises(ValueError, match=message):
            VideoWriter(tmp_path / arguments[0], *arguments[1:])
    with pytest.raises(ValueError, match="at least one image"):
        VideoWriter(tmp_path / "a.mp4", 25, (64, 64)).close()
    with VideoWriter(tmp_path / "b.mp4", 25, (512, 512)) as writer:
        with pytest.raises(ValueError, match=r"\(512, 512, 3\).*\(100, 512, 3\)"):
            writer.write(astronaut[:100])
        writer.write(astronaut, 1.0)
        with pytest.raises(ValueError, match="times that grow"):
            writer.write(astronaut, 0.5)
    with pytest.raises(ValueError, match="already closed"):
        writer.write(astronaut)
    assert [path.name for path in tmp_path.iterdir()] == ["b.mp4"]


def test_unwritable_places_are_found_out_at_once(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder.mp4").mkdir()
    for path in (tmp_path / "file" / "a.mp4", tmp_path / "folder.mp4"):
        with pytest.raises(OSError, match="Cannot write"):
            VideoWriter(path, 25, (64, 64))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        VideoWriter(tmp_path / "a.mp4", 25, (64, 64), audio_from=tmp_path / "nowhere.mp4")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.mp4"]


def test_still_images_do_not_pay_for_videos():
    code = (
        "import sys, builder_tools.media, builder_tools.drawing;"
        "sys.exit(any(name in sys.modules for name in ('av', 'PIL', 'tensorflow')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("name", "num_frames", "size", "sound", "warned"),
    [
        ("carphone_pristine.mp4", 120, (193, 144), False, False),
        ("fer_test.mp4", 115, (596, 336), False, False),
        ("pyfeat_face_noface.mov", 169, (960, 540), True, False),
        ("pyfeat_no_face.mp4", 95, (960, 540), True, False),
        ("short_hamilton_clip.mp4", 275, (640, 360), True, False),
    ],
)
def test_real_videos(media_dir, name, num_frames, size, sound, warned):
    with VideoReader(media_dir / "videos" / name) as reader:
        times = [frame.time_s for frame in reader]
    assert (len(times), reader.size, reader.has_audio) == (num_frames, size, sound)
    assert bool(reader.warning) is warned
    assert times[0] == 0 and (np.diff(times) > 0).all()


def test_sound_that_starts_before_the_images_stays_in_step(media_dir, tmp_path):
    """The images of this clip start 0.852 s after its clock, the sound at 0.008 s."""
    source, path = media_dir / "videos" / "short_hamilton_clip.mp4", tmp_path / "out.mp4"
    _copy(source, path)
    wanted = {data: time_s - 10214 / 11988 for time_s, data in _packets(source, "audio")}
    shifts = [time_s - wanted[data] for time_s, data in _packets(path, "audio")]
    assert len(shifts) > 380 and np.abs(shifts).max() < 0.002


def test_a_video_of_an_unknown_codec_says_so(face_video, tmp_path):
    path = tmp_path / "unknown.mp4"
    data = face_video.path.read_bytes()
    path.write_bytes(data.replace(b"avc1", b"zz\0z").replace(b"avcC", b"zzzC"))
    with pytest.raises(ValueError, match=r"codec that is known|Not one image"):
        VideoReader(path)
    path.write_bytes(data.replace(b"mp4a", b"zz\0z").replace(b"esds", b"zzzs"))
    with VideoReader(path) as reader:
        assert not reader.has_audio
