"""Clocks that restart or jump midway: playlists with discontinuities, joined recordings."""

import functools
import os
import threading
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from made_videos import number_in
from odd_videos import read, record
from test_media_clocks import FPS, beep_s, numbered_film

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
    entries = [f"#EXTINF:10.0,\n{part.name}\n" for part in parts]
    (tmp_path / "film.m3u8").write_text(
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:11\n"
        + "#EXT-X-DISCONTINUITY\n".join(entries)
        + "#EXT-X-ENDLIST\n"
    )
    with served(tmp_path) as address:
        check_times(read(f"{address}/film.m3u8")[1])
        again = record(f"{address}/film.m3u8", tmp_path / "again.mp4")
    check_times(read(again)[1])
    check_beeps(again)


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
