"""Files whose clock does not begin with the first image: sound, sections and lists keep in step."""

import threading
import tracemalloc
from collections.abc import Mapping
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType, SimpleNamespace

import av
import numpy as np
import pytest
from made_videos import number_in, numbered_image
from odd_videos import encode, read, record
from PIL import Image

from builder_tools.media import VideoReader, VideoWriter, restarts
from builder_tools.media.clips import ClipReader
from builder_tools.media.sound_samples import sound_blocks
from builder_tools.timeline.cuts import Cut, write_ffconcat
from builder_tools.timeline.offsets import read_onsets
from builder_tools.timeline.trailer import cut_trailer
from builder_tools.timeline.viewers import _film_length_s

FPS, RATE_HZ = 25, 16000
KEY_FRAMES = {"g": "50", "bf": "0", "sc_threshold": "0"}


def numbered_film(
    path: Path,
    *,
    beep_at: int | None = 100,
    starts_s: float = 0.0,
    codec: str = "libx264",
    b_frames: int = 0,
    first: int = 0,
    voiced: str = "aac",
    sound_s: float = 10.0,
    told: Mapping[str, str] = MappingProxyType({}),
) -> Path:
    """Write 250 numbered images, a key frame at every 50th, and a beep with one of them."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=FPS, options=KEY_FRAMES | {"bf": str(b_frames)})
        stream.width, stream.height, stream.pix_fmt = 96, 54, "yuv420p"
        stream.codec_context.bit_rate = 2_000_000
        stream.metadata.update(told)
        voice = None if beep_at is None else output.add_stream(voiced, RATE_HZ, layout="mono")
        for number in range(250):
            painted = numbered_image(first + number)
            image = av.VideoFrame.from_ndarray(painted, format="rgb24")
            image.pts, image.time_base = number + round(starts_s * FPS), Fraction(1, FPS)
            output.mux(stream.encode(image))
        output.mux(stream.encode(None))
        if voice is not None:
            sound = np.zeros(round(sound_s * RATE_HZ), np.float32)
            begin = beep_at * RATE_HZ // FPS
            sound[begin : begin + 800] = 0.9 * np.sin(np.arange(800) / 2)
            for place in range(0, len(sound), 1024):
                samples = sound[None, place : place + 1024]
                heard = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
                heard.sample_rate, heard.time_base = RATE_HZ, Fraction(1, RATE_HZ)
                heard.pts = place + round(starts_s * RATE_HZ)
                output.mux(voice.encode(heard))
            output.mux(voice.encode(None))
    return path


def recorded_from(film: Path, share: float) -> Path:
    """Cut off the beginning of a transport stream, as whoever starts to record in its midst."""
    data, path = film.read_bytes(), film.with_name("joined_late.ts")
    path.write_bytes(data[int(len(data) * share) // 188 * 188 :])
    return path


def beep_s(path: Path, from_s: float = 0.0) -> float:
    """Return when the beep is heard, or the first after a time, in seconds from the first image."""
    for place, samples in sound_blocks(path, RATE_HZ):
        loud = np.flatnonzero(np.abs(samples[0]) > 0.3)
        if len(loud) and place / RATE_HZ > from_s:
            return (place + loud[0]) / RATE_HZ
    raise AssertionError("no beep")


@pytest.mark.parametrize("share", [0.0, 0.12, 0.2])
def test_sound_and_sections_count_from_the_first_image(tmp_path, share):
    """Images before the first key frame cannot be shown, but their sound is there."""
    film = numbered_film(tmp_path / "film.ts")
    film = recorded_from(film, share) if share else film
    _, frames = read(film)
    seen_s = next(frame.time_s for frame in frames if number_in(frame.image) == 100)
    assert beep_s(film) == pytest.approx(seen_s, abs=0.005)
    assert beep_s(record(film, tmp_path / "again.mp4")) == pytest.approx(seen_s, abs=0.005)
    with ClipReader(film) as clip:
        assert number_in(next(clip.images_at([seen_s]))) == 100


def test_sound_of_a_live_stream_counts_from_the_image_that_was_seen_first(tmp_path):
    """Whoever connects later sees later images; all are on the clock of the stream."""
    film = numbered_film(tmp_path / "film.ts", beep_at=200)
    data, connections = film.read_bytes(), []

    class Live(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            missed = int(len(data) * 0.21 * len(connections)) // 188 * 188
            connections.append(missed)
            self.wfile.write(data[missed:])

        def log_message(self, *told):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Live) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        out = record(f"http://127.0.0.1:{server.server_port}/live.ts", tmp_path / "out.mp4")
        server.shutdown()
    _, frames = read(out)
    seen_s = next(frame.time_s for frame in frames if number_in(frame.image) == 200)
    assert beep_s(out) == pytest.approx(seen_s, abs=0.005)
    assert len(connections) <= 3


@pytest.mark.parametrize("voiced", ["aac", "mp2", "libmp3lame"])
def test_recordings_joined_end_to_end(tmp_path, voiced):
    """The clock restarts with the second; sound lasts a little longer than images in each."""
    parts = [
        numbered_film(tmp_path / f"{first}.ts", first=first, b_frames=2, voiced=voiced)
        for first in (0, 250)
    ]
    film = tmp_path / "joined.ts"
    film.write_bytes(b"".join(part.read_bytes() for part in parts))
    _, frames = read(film)
    assert np.allclose([frame.time_s for frame in frames], np.arange(500) / FPS, atol=0.001)
    record(film, tmp_path / "again.mp4")
    for path in (film, tmp_path / "again.mp4"):
        assert beep_s(path) == pytest.approx(4, abs=0.03)
        assert beep_s(path, 10) == pytest.approx(14, abs=0.03)
    cut_trailer(film, [Cut(345, 25), Cut(20, 5)], tmp_path / "trailer.mp4")
    _, frames = read(tmp_path / "trailer.mp4")
    assert [number_in(frame.image) for frame in frames] == [*range(345, 370), *range(20, 25)]
    assert beep_s(tmp_path / "trailer.mp4") == pytest.approx(5 / FPS, abs=0.03)
    assert _film_length_s(film) == pytest.approx(20, abs=0.01)


@pytest.mark.parametrize("gap_s", [1200, 7200])
def test_sound_with_a_long_gap_is_matched_in_little_memory(tmp_path, gap_s):
    parts = [
        numbered_film(tmp_path / f"{starts_s}.ts", starts_s=starts_s) for starts_s in (0, gap_s)
    ]
    film = tmp_path / "joined.ts"
    film.write_bytes(b"".join(part.read_bytes() for part in parts))
    tracemalloc.start()
    try:
        if gap_s > 3600:
            with pytest.raises(ValueError, match=r"joined.ts' jumps by 71\d\d s"):
                read_onsets(film)
        else:
            assert len(read_onsets(film)) == pytest.approx(100 * (gap_s + 10), abs=20)
        assert tracemalloc.get_traced_memory()[1] < 60e6
    finally:
        tracemalloc.stop()


def test_a_damaged_time_is_no_restart(tmp_path):
    """Of one image, far back; those after it have their own."""
    times = [40 * number for number in range(20)]
    images = [numbered_image(number) for number in range(20)]
    path = encode(tmp_path / "film.ts", images, times=[5000 + time for time in times])
    with VideoReader(path) as reader:
        stamps = [5 + time / 1000 for time in times]
        stamps[10] = 1.0
        told = [SimpleNamespace(time=stamp) for stamp in stamps]
        seen = [time_s for time_s, _ in reader._timed(iter(told))]
    assert np.allclose(seen, np.arange(20) / FPS)


def test_sound_counts_from_itself_where_no_image_can_be_decoded(tmp_path):
    """A recording that ends before the next key frame, on a clock that began long before it."""
    late = recorded_from(numbered_film(tmp_path / "film.ts"), 0.9)
    place, _ = next(sound_blocks(late, RATE_HZ))
    assert place == 0


def test_a_section_of_a_file_whose_first_images_are_empty(tmp_path):
    """The encoder's delay is empty images at the beginning of an AVI."""
    film = numbered_film(tmp_path / "film.avi", beep_at=None)
    with ClipReader(film) as clip:
        assert [number_in(image) for image in clip.images_at([3.0, 8.0])] == [75, 200]


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        *(("film.avi", "libx264"), ("film.wmv", "libx264"), ("film.avi", "mpeg4")),
        *(("film.m1v", "mpeg1video"), ("film.m2v", "mpeg2video"), ("film.264", "libx264")),
        *(("film.mpg", "mpeg1video"), ("film.mpg", "mpeg2video"), ("film.mpg", "libx264")),
        *(("film.ts", "libx264"), ("film.ts", "mpeg2video"), ("film.mkv", "libx264")),
    ],
)
def test_images_stored_in_another_order_than_they_are_shown(tmp_path, name, codec):
    """AVI, ASF and raw streams do not tell when images are shown, program streams not of each."""
    film = numbered_film(tmp_path / name, beep_at=None, codec=codec, b_frames=2)
    _, frames = read(film)
    assert [number_in(frame.image) for frame in frames] == list(range(250))
    assert np.allclose([frame.time_s for frame in frames], np.arange(250) / FPS, atol=0.004)
    sections = [(193, 198), (244, 250), (2, 9), (3, 12), (11, 15), (120, 130)]
    with ClipReader(film) as clip:
        for first, end in sections:
            times_s = [number / FPS for number in range(first, end)]
            shown = [number_in(image) for image in clip.images_at(times_s)]
            assert shown == list(range(first, end))
        assert clip.ends_s == pytest.approx(10, abs=0.01)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_times_of_decoding_that_were_copied_to_another_container(tmp_path, suffix):
    """As by `ffmpeg -i film.avi -c copy film.mp4`."""
    film = numbered_film(tmp_path / "film.avi", beep_at=None, b_frames=2)
    copy = tmp_path / f"copy{suffix}"
    with av.open(str(film)) as source, av.open(str(copy), "w") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                output.mux(packet)
    _, frames = read(copy)
    assert [number_in(frame.image) for frame in frames] == list(range(250))
    assert np.allclose([frame.time_s for frame in frames], np.arange(250) / FPS, atol=0.004)
    with ClipReader(copy) as clip:
        shown = [number_in(image) for image in clip.images_at([number / 25 for number in (80, 81)])]
    assert shown == [80, 81]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_two_images_of_one_time_leave_the_others_their_own(tmp_path, suffix):
    """As phones write at a variable rate; the second cannot be told from the first."""
    times = np.cumsum([40, 25, 110, 15, 90] * 8)
    images = [numbered_image(number) for number in range(40)]
    film = encode(tmp_path / "film.mp4", images, times=times.tolist())
    copy = tmp_path / f"copy{suffix}"
    with av.open(str(film)) as source, av.open(str(copy), "w") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(video=0) if packet.size]
        shown = sorted(packet.pts for packet in packets)
        for packet in packets:
            packet.pts = shown[2] if packet.pts == shown[3] else packet.pts
            packet.stream = stream
            output.mux(packet)
    _, frames = read(copy)
    seen = {number_in(frame.image): frame.time_s for frame in frames}
    others = [number for number in range(40) if number != 3]
    told_s = [(times[number] - times[0]) / 1000 for number in others]
    assert np.allclose([seen[number] for number in others], told_s, atol=0.002)


def test_a_transport_stream_is_searched_for_restarts_once(tmp_path, monkeypatch):
    """Not for each section: an hour of it is gigabytes."""
    searched = []
    packets = restarts._packets
    monkeypatch.setattr(restarts, "_packets", lambda *args: searched.append(0) or packets(*args))
    film = numbered_film(tmp_path / "film.ts")
    cut_trailer(film, [Cut(20 * number, 5) for number in range(4)], tmp_path / "trailer.mp4")
    assert len(searched) == 1
    film.write_bytes(film.read_bytes() * 2)
    assert restarts.clock_shifts_s(film)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((f"film{suffix}", {"starts_s": 5.0}) for suffix in (".mkv", ".flv", ".mp4", ".ts")),
        ("film.mkv", {"sound_s": 14.0}),
        ("film.mkv", {"starts_s": 5.0, "sound_s": 14.0}),
    ],
)
def test_a_film_is_as_long_as_its_images(tmp_path, caplog, name, options):
    """Not as its sound, nor from the beginning of its clock; nothing of it is missing."""
    film = numbered_film(tmp_path / name, **options)
    reader, frames = read(film)
    assert len(frames) == 250 and reader.duration_s == pytest.approx(10, abs=0.1)
    assert _film_length_s(film) == pytest.approx(10, abs=0.1)
    assert reader.warning is None and not caplog.records


def test_a_film_cut_from_one_of_mkvmerge_is_as_long_as_its_images(tmp_path):
    """FFmpeg keeps what mkvmerge told of the whole film beside its own."""
    told = {"DURATION-eng": "01:30:00.000000000", "_STATISTICS_TAGS-eng": "BPS DURATION"}
    film = numbered_film(tmp_path / "film.mkv", starts_s=5.0, told=told)
    reader, _ = read(film)
    assert reader.duration_s == pytest.approx(10, abs=0.1) and reader.warning is None


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs a list of threads")
@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_closing_ends_the_threads_of_a_section_s_decoder(tmp_path, suffix):
    """A process forked later must not find them."""
    film = numbered_film(tmp_path / f"film{suffix}", beep_at=None, b_frames=2)
    threads = set(Path("/proc/self/task").iterdir())
    clip = ClipReader(film)
    for first in (2.0, 3.0, 1.0):
        list(clip.images_at([first, first + 0.2]))
    clip.close()
    assert set(Path("/proc/self/task").iterdir()) <= threads


@pytest.mark.parametrize("suffix", [".avi", ".mp4"])
def test_a_section_after_one_that_was_left_early(tmp_path, suffix):
    film = numbered_film(tmp_path / f"film{suffix}", beep_at=None, b_frames=2)
    with ClipReader(film) as clip:
        list(clip.images_at([1.0, 2.0]))
        left = clip.images_at([2.0, 6.0, 8.0])
        assert [number_in(next(left)) for _ in range(2)] == [50, 150]
        shown = [number_in(image) for image in clip.images_at([3.0, 4.0])]
        left.close()
        assert shown == [75, 100]
        assert [number_in(image) for image in clip.images_at([5.0])] == [125]


@pytest.mark.parametrize("suffix", [".avi", ".ts"])
def test_sound_is_in_step_with_images_stored_in_another_order(tmp_path, suffix):
    film = numbered_film(tmp_path / f"film{suffix}", b_frames=2)
    assert beep_s(film) == pytest.approx(4, abs=0.03)
    again = record(film, tmp_path / "again.mp4")
    assert beep_s(again) == pytest.approx(beep_s(film), abs=0.005)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_list_for_ffmpeg_names_times_of_the_films_own_clock(tmp_path, suffix):
    """FFmpeg counts `inpoint` on that clock, and begins at the key frame before it."""
    film = numbered_film(tmp_path / f"film{suffix}", starts_s=2.0)
    with VideoReader(film) as reader:
        start_s = reader.start_s
    cuts = [Cut(50, 25), Cut(200, 25)]
    path = write_ffconcat(tmp_path / "film.ffconcat", film, cuts, FPS, start_s)
    with av.open(str(path), format="concat", options={"safe": "0"}) as container:
        images = [image.to_ndarray(format="rgb24") for image in container.decode(video=0)]
    shown = [number_in(image) for image in images]
    assert set(shown) == {*range(50, 75), *range(200, 225)}


def test_a_film_without_a_clock_is_cut(tmp_path):
    """A raw stream, as surveillance cameras give it, has no times and cannot be sought."""
    film = numbered_film(tmp_path / "film.h264", beep_at=None)
    cut_trailer(film, [Cut(75, 5), Cut(20, 5)], tmp_path / "trailer.mp4")
    _, frames = read(tmp_path / "trailer.mp4")
    assert [number_in(frame.image) for frame in frames] == [*range(75, 80), *range(20, 25)]


def test_a_trailer_of_a_film_that_breaks_off_says_so(tmp_path, caplog):
    film, broken = numbered_film(tmp_path / "whole.mkv", beep_at=None), tmp_path / "broken.mkv"
    cut_trailer(film, [Cut(75, 5), Cut(240, 12)], tmp_path / "trailer.mp4")
    assert not caplog.records
    broken.write_bytes(film.read_bytes()[: int(film.stat().st_size * 0.6)])
    cut_trailer(broken, [Cut(75, 5), Cut(200, 10)], tmp_path / "trailer.mp4")
    _, frames = read(tmp_path / "trailer.mp4")
    assert len(frames) == 15 and number_in(frames[4].image) == 79
    assert "broken.mkv: only the images up to" in caplog.text


def test_a_last_image_that_is_shown_for_long_breaks_nothing_off(tmp_path, caplog):
    """As the last of an animation, or each of a slide show."""
    images = [Image.fromarray(numbered_image(number)) for number in range(20)]
    lasts_ms = [100] * 19 + [4000]
    images[0].save(
        tmp_path / "film.gif", save_all=True, append_images=images[1:], duration=lasts_ms
    )
    with VideoReader(tmp_path / "film.gif") as reader:
        end = int(reader.duration_s * reader.fps)
    assert reader.duration_s == pytest.approx(5.9)
    cut_trailer(tmp_path / "film.gif", [Cut(end - 10, 10)], tmp_path / "trailer.mp4")
    with VideoWriter(tmp_path / "slides.mp4", 0.2, (96, 54)) as writer:
        for number in range(6):
            writer.write(numbered_image(number))
    cut_trailer(tmp_path / "slides.mp4", [Cut(3, 3)], tmp_path / "trailer.mp4")
    assert not caplog.records
