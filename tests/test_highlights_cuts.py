"""Cuts at any frame rate: the frames of a trailer, and lists for editing programs."""

import re

import av
import pytest
from made_videos import number_in, numbered_image

from builder_tools.media import VideoReader, VideoWriter
from builder_tools.timeline.cuts import Cut, cuts_of, write_edl, write_ffconcat
from builder_tools.timeline.highlights import Highlight
from builder_tools.timeline.trailer import cut_trailer


@pytest.mark.parametrize("fps", [24.0, 30000 / 1001])
def test_cuts_are_exact_at_any_frame_rate(tmp_path, fps):
    film = tmp_path / "film.mp4"
    with VideoWriter(film, fps, (96, 54)) as writer:
        for number in range(120):
            writer.write(numbered_image(number))
    cuts = [Cut(61, 20), Cut(3, 10), Cut(115, 8)]  # the last one runs over the end
    cut_trailer(film, cuts, tmp_path / "t.mp4")
    with VideoReader(tmp_path / "t.mp4") as reader:
        shown = [number_in(frame.image) for frame in reader]
    assert shown == [*range(61, 81), *range(3, 13), *range(115, 120), 119, 119, 119]
    with av.open(str(tmp_path / "t.mp4")) as container:
        assert not container.streams.audio


def _highlight(start, end):
    return Highlight(1, start, end, end, 1.0, None, None, 1, 1, None, "one viewer")


@pytest.mark.parametrize(("fps", "end"), [(0.4, "00:00:10:00"), (0.02, "00:02:30:00")])
def test_a_film_slower_than_a_frame_a_second(tmp_path, fps, end):
    """Seconds, in timecodes of 25 parts: frames 1...3 of 0.4 a second end after 10 s."""
    film = tmp_path / "film.mp4"
    with VideoWriter(film, fps, (96, 54)) as writer:
        for number in range(6):
            writer.write(numbered_image(number))
    cuts = [Cut(1, 3)] if fps > 0.1 else [Cut(1, 2)]
    text = write_edl(tmp_path / "a.edl", film, cuts, fps, sound=False).read_text()
    codes = re.findall(r"\d\d:\d\d:\d\d:\d\d", text)
    assert codes[1] == end and codes[2] == "00:00:00:00"
    cut_trailer(film, cuts, tmp_path / "trailer.mp4")
    with VideoReader(tmp_path / "trailer.mp4") as trailer:
        frames = list(trailer)
    assert [number_in(frame.image) for frame in frames] == [1, 2, 3][: cuts[0].count]
    assert frames[1].time_s == pytest.approx(1 / fps, rel=1e-4)


def test_lists_for_editing_programs(tmp_path):
    film = tmp_path / "Ann's film.mp4"
    cuts = cuts_of([_highlight(3661.5, 3664.5), _highlight(1, 2)], 25.0)
    assert cuts == [Cut(25, 25), Cut(91538, 75)]
    edl = write_edl(tmp_path / "a.edl", film, cuts, 25.0, sound=True).read_text().splitlines()
    assert edl[:2] == ["TITLE: Ann's film", "FCM: NON-DROP FRAME"]
    codes = [re.findall(r"\d\d:\d\d:\d\d:\d\d", line) for line in edl if line[:3].isdecimal()]
    assert codes == [
        ["00:00:01:00", "00:00:02:00", "00:00:00:00", "00:00:01:00"],
        ["01:01:01:13", "01:01:04:13", "00:00:01:00", "00:00:04:00"],
    ]
    lines = write_ffconcat(tmp_path / "a.ffconcat", film, cuts, 25.0).read_text().splitlines()
    assert lines[:4] == [
        "ffconcat version 1.0",
        "file 'Ann'\\''s film.mp4'",
        "inpoint 1.000000",
        "outpoint 2.000000",
    ]
