"""Clocks that restart or jump midway: playlists with discontinuities, joined recordings."""

import functools
import os
import threading
from contextlib import contextmanager
from fractions import Fraction
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import av
import numpy as np
import pytest
from made_videos import number_in
from odd_videos import read, record
from test_media_clocks import FPS, beep_s, numbered_film

from builder_tools.media import restarts
from builder_tools.timeline.cuts import Cut
from builder_tools.timeline.trailer import cut_trailer
from builder_tools.timeline.viewers import _film_length_s

OTHER_CLOCKS = (0.0, 5000.0, 7.0)
"""As of a film, an advertisement and the film again, or the other way round."""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *told):
        pass


@contextmanager
def served(folder):
    """Yield the address of a folder."""
    handler = functools.partial(Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def parts_of(folder, starts_s, sounds_s):
    """Write transport streams of ten seconds each, and a beep after four."""
    return [
        numbered_film(
            folder / f"{number}.ts", first=250 * number, starts_s=starts, b_frames=2, sound_s=sound
        )
        for number, (starts, sound) in enumerate(zip(starts_s, sounds_s, strict=True))
    ]


def playlist_of(parts, seconds=10.0):
    """Write a playlist with a discontinuity between its parts."""
    entries = [f"#EXTINF:{seconds},\n{part.name}\n" for part in parts]
    path = parts[0].with_name("film.m3u8")
    path.write_text(
        f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:{seconds:.0f}\n"
        + "#EXT-X-DISCONTINUITY\n".join(entries)
        + "#EXT-X-ENDLIST\n"
    )
    return path


def film_with_pauses(path, times_s, quiet_s=(0, 0)):
    """Write an image at each time, and a beep in each tenth second but while it is quiet."""
    rate, step = 16_000, 1024
    with av.open(str(path), "w") as output:
        images = output.add_stream("libx264", options={"bf": "0"})
        images.width, images.height, images.pix_fmt = 64, 48, "yuv420p"
        images.codec_context.time_base = Fraction(1, 1000)
        voice = output.add_stream("aac", rate=rate, layout="mono")
        seconds = np.arange(80 * rate) / rate
        sound = 0.01 * np.random.default_rng(0).normal(size=len(seconds))  # else nothing is coded
        sound += np.where(seconds % 10 < 0.05, 0.9 * np.sin(seconds * rate / 2), 0)
        waiting = list(times_s)
        for place in range(0, len(sound), step):
            while waiting and waiting[0] <= place / rate:
                image = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
                image.pts, image.time_base = round(waiting.pop(0) * 1000), Fraction(1, 1000)
                output.mux(images.encode(image))
            if not quiet_s[0] <= place / rate < quiet_s[1]:
                block = sound[None, place : place + step].astype(np.float32)
                frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
                frame.rate, frame.pts = rate, place
                output.mux(voice.encode(frame))
        output.mux(images.encode(None))
        output.mux(voice.encode(None))
    return path


def check_times(frames):
    assert [number_in(frame.image) for frame in frames] == list(range(750))
    assert np.allclose([frame.time_s for frame in frames], np.arange(750) / FPS, atol=0.002)


def check_beeps(path):
    for begins_s in (0, 10, 20):
        assert beep_s(path, begins_s) == pytest.approx(begins_s + 4, abs=0.03)


@pytest.mark.parametrize("starts_s", [(0, 0, 0), OTHER_CLOCKS, (*OTHER_CLOCKS[1:], 6000.0)])
@pytest.mark.parametrize("sounds_s", [(10.4, 9.6, 10), (9.6, 10.4, 10)])
def test_a_playlist_with_discontinuities(tmp_path, starts_s, sounds_s):
    """Sound is longer or shorter than images in each part, and stays with them in the next."""
    parts = parts_of(tmp_path, starts_s, sounds_s)
    with served(playlist_of(parts).parent) as address:
        check_times(read(f"{address}/film.m3u8")[1])
        again = record(f"{address}/film.m3u8", tmp_path / "again.mp4")
    check_times(read(again)[1])
    check_beeps(again)


EVEN = np.arange(1990) / FPS


@pytest.mark.parametrize(
    ("times_s", "quiet_s"),
    [
        (np.arange(0.0, 80, 20), (0, 0)),
        (EVEN[(EVEN < 22) | (EVEN >= 37)], (0, 0)),
        (EVEN, (22, 37)),
    ],
    ids=["slideshow", "images", "sound"],
)
def test_a_pause_in_a_playlist_is_no_restart(tmp_path, times_s, quiet_s):
    """Of images while sound goes on, or the other way round."""
    playlist = playlist_of([film_with_pauses(tmp_path / "film.ts", times_s, quiet_s)], 80.0)
    with served(tmp_path) as address:
        source = f"{address}/{playlist.name}"
        assert np.allclose([frame.time_s for frame in read(source)[1]], times_s, atol=0.002)
        again = record(source, tmp_path / "again.mp4")
    for second in (20, 40):
        assert beep_s(again, second - 3) == pytest.approx(second, abs=0.08)


def test_a_damaged_time_moves_no_sound():
    """Images of a pipe jump far back and forth; later, both go back to where they began."""
    tick = Fraction(1, 1000)
    streams = [SimpleNamespace(index=index, average_rate=FPS) for index in (0, 1)]

    def packets():
        for place in range(0, 20_000, 40):
            shown = 90_000_000 if place == 4_000 else 90_000 + place % 10_000
            for stream, time in zip(streams, (shown, 90_000 + place % 10_000), strict=True):
                yield SimpleNamespace(stream=stream, pts=time, dts=time, time_base=tick)

    flags = restarts.import_av().format.Flags.ts_discont.value
    container = SimpleNamespace(
        format=SimpleNamespace(name="mpegts", flags=flags), demux=lambda *streams: packets()
    )
    sound = restarts._without_restarts(container, *streams, streams[1])
    assert np.allclose([one.dts for one in sound], np.arange(90_000, 110_000, 40), atol=100)


@pytest.mark.parametrize("starts_s", [(*OTHER_CLOCKS[1:], 6.0), (5000.0, 4000.0, 3000.0)])
def test_recordings_joined_whose_clock_goes_far_back(tmp_path, starts_s):
    """FFmpeg takes that for the end of what the clock can count, 26.5 hours, and a new round."""
    film = tmp_path / "joined.ts"
    parts = parts_of(tmp_path, starts_s, (10.4, 9.6, 10))
    film.write_bytes(b"".join(part.read_bytes() for part in parts))
    check_times(read(film)[1])
    check_beeps(film)
    check_beeps(record(film, tmp_path / "again.mp4"))
    assert _film_length_s(film) == pytest.approx(30, abs=0.01)
    trailer = cut_trailer(film, [Cut(345, 25), Cut(600, 5)], tmp_path / "trailer.mp4")
    _, frames = read(trailer)
    assert [number_in(frame.image) for frame in frames] == [*range(345, 370), *range(600, 605)]
    assert beep_s(trailer) == pytest.approx(5 / FPS, abs=0.03)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_recordings_joined_in_a_pipe(tmp_path):
    """As `cat a.ts b.ts c.ts | builder-tools video-rec - --out film.mp4` gives them."""
    parts = parts_of(tmp_path, (0, 0, 0), (10.4, 9.6, 10))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    data = b"".join(part.read_bytes() for part in parts)
    threading.Thread(target=pipe.write_bytes, args=(data,), daemon=True).start()
    again = record(pipe, tmp_path / "again.mp4")
    check_times(read(again)[1])
    check_beeps(again)
