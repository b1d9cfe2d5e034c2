"""Exhibits once more: a report over an earlier one, nobody to measure, very many visits."""

import errno
import math
import tracemalloc
from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest
from test_exhibits import config, visit

from builder_tools.cli import main
from builder_tools.results import Box, Face, FaceEmotion, FrameResult
from builder_tools.timeline.exhibits import judge_exhibits, watch_exhibit
from builder_tools.timeline.exhibits_config import Exhibit
from builder_tools.timeline.writer import TimelineWriter


def test_a_report_that_breaks_off_leaves_no_page_of_the_one_before(tmp_path, monkeypatch, capsys):
    """The table was new then, and the page beside it that of other days."""
    pytest.importorskip("sqlalchemy")
    from builder_tools.watch.database import Database

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "exhibits.html")

    Database(str(tmp_path / "visits.db"), ZoneInfo("UTC")).close()
    camera = "[[camera]]\nname='a'\nexhibit='b'\nsource=0\n"
    (tmp_path / "site.toml").write_text(camera)
    words = ["exhibits", str(tmp_path / "site.toml"), "--out", str(tmp_path / "out")]
    assert main(words) == 0
    assert main(words) == 0
    with monkeypatch.context() as one:  # as if a spreadsheet program held the table
        one.setattr("builder_tools.timeline.exhibits.write_exhibits", full)
        assert main(words) == 2
    assert len(list((tmp_path / "out").iterdir())) == 2, "the earlier report stays whole"
    monkeypatch.setattr("builder_tools.timeline.exhibits_page.write_report", full)
    assert main(words) == 2
    assert "exhibits.html" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["exhibits.csv"]


@pytest.mark.parametrize("measure", ["turned_away", "not_seen", "eyes_closed"])
def test_a_ranking_by_the_geometry_of_nobody_is_a_report(measure):
    """Where only an archive had enough visitors, watching all exhibits ended in an error."""
    visits = {"archive": [visit(5.0, 0.5)] * 3, "film": [visit(5.0, 0.5, turned_away=0.1)]}
    archive, film = judge_exhibits(visits, config(*visits, rank_by=measure))
    assert (archive.rank, film.rank) == (1, None)
    assert math.isnan(archive.estimates[measure].value)


def test_the_memory_of_the_bootstrap_does_not_grow_with_the_visits():
    """20,000 visits took 650 MB, 100,000 more than 3 GB."""
    someone = visit(5.0, 0.5)
    visits = [replace(someone, dwell_s=float(number % 7)) for number in range(20_000)]
    tracemalloc.start()
    (found,) = judge_exhibits({"a": visits}, config("a", resamples=400))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 50_000_000
    dwell = found.estimates["dwell_s"]
    assert dwell.value == pytest.approx(3, abs=0.001)
    # 1.96 standard errors, 2 / sqrt(20,000)
    assert (dwell.low, dwell.high) == pytest.approx((2.972, 3.028), abs=0.004)


def test_a_visit_of_just_the_least_time_counts_whenever_it_begins(tmp_path):
    """Of two of 24 frames, that from 0.166667 s to 1.166667 s lasted 0.9999999999999999 s."""
    names = ("happy", "sad")
    faces = {
        track: FaceEmotion(Face(Box(0, 0, 9, 9), 0.9, track=track), dict.fromkeys(names, 0.5))
        for track in (1, 2)
    }
    first = {1: 0, 2: 4}
    with TimelineWriter(tmp_path / "parts" / "video-0.parquet", names) as writer:
        for frame in range(40):
            there = (faces[track] for track in faces if 0 <= frame - first[track] <= 24)
            writer.write(FrameResult("film", frame, frame / 24, tuple(there)))
    summary = "source,kind,detector,part\na.mp4,video,haar,video-0.parquet\n"
    (tmp_path / "summary.csv").write_text(summary)
    exhibit = Exhibit("room", str(tmp_path))
    visits, _ = watch_exhibit(exhibit, None, None, minimum_dwell_s=1.0)
    assert [one.summary.track for one in visits] == [1, 2]
    assert not watch_exhibit(exhibit, None, None, minimum_dwell_s=1.01)[0]
