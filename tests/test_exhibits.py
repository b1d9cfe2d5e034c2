"""Exhibits: groups in figures, nothing of anybody alone, one page that needs nothing else."""

import logging
import math
import os
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_videos import BrightFaceDetector, BrightnessModel

from builder_tools.cli import main
from builder_tools.inference import Inference
from builder_tools.media import VideoWriter, write_image
from builder_tools.timeline.exhibits import (
    Visit,
    judge_exhibits,
    watch_exhibit,
    write_exhibits,
)
from builder_tools.timeline.exhibits_config import Exhibit, ExhibitConfig, read_config
from builder_tools.timeline.exhibits_page import write_report
from builder_tools.timeline.small_groups import standard_errors
from builder_tools.timeline.summary import Summary
from builder_tools.timeline.writer import TimelineWriter


def visit(dwell_s, happy, valence=0.2, turned_away=None):
    return Visit(
        dwell_s,
        Summary(
            track=1,
            first_s=0.0,
            last_s=dwell_s or 0.0,
            seen_s=dwell_s or 0.0,
            probabilities={"happy": happy, "sad": 1 - happy},
            shown={},
            valence=valence,
            arousal=0.1,
            intensity=happy,
            changes=0,
            turned_away=turned_away,
            not_seen=None if turned_away is None else 0.25,
            eyes_closed=None if turned_away is None else 0.0,
        ),
    )


def config(*names, **options):
    options = {"minimum_group": 3, "resamples": 500} | options
    return ExhibitConfig(tuple(Exhibit(name, "folder") for name in names), **options)


@pytest.fixture
def results():
    visits = {
        "dull <b>": [visit(1.0, 0.1), visit(2.0, 0.2), visit(3.0, 0.3)],
        "fun": [visit(9.0, 0.8), visit(8.0, 0.9), visit(7.0, 1.0), visit(None, 0.7)],
        "empty": [visit(99.0, 0.5)] * 2,
    }
    settings = config(*visits, title="Show & tell")
    return judge_exhibits(visits, settings), settings


def test_exhibits_are_ranked_with_intervals(results):
    fun, dull, _ = results[0]
    assert [(fun.name, fun.rank), (dull.name, dull.rank)] == [("fun", 1), ("dull <b>", 2)]
    assert fun.visits == 4
    happy = dull.estimates["happy"]
    assert happy.value == pytest.approx(0.2)
    # the middle 95 % of the resamples, 0.1...0.3, 4.3 / 1.96 * sqrt(3 / 2) times as wide
    assert (happy.low, happy.high) == (0, pytest.approx(0.2 + 0.1 * 2.69, abs=0.002))
    assert fun.estimates["dwell_s"].value == pytest.approx(8.0)  # the image has none
    assert fun.estimates["happy"].value + fun.estimates["sad"].value == pytest.approx(1)


def test_intervals_of_five_visits_hold_the_mean():
    """The middle 95 % of the resamples hold it 83 times in a hundred: they are too alike."""
    dwell_s = np.random.default_rng(0).normal(30, 5, (600, 5))
    visits = {str(number): [visit(s, 0.5) for s in row] for number, row in enumerate(dwell_s)}
    found = judge_exhibits(visits, config("a", rank_by="dwell_s"))
    ends = [one.estimates["dwell_s"] for one in found]
    assert np.mean([one.low <= 30 <= one.high for one in ends]) == pytest.approx(0.95, abs=0.02)
    assert all(0 <= one.low < one.value < one.high for one in ends)


def test_no_end_of_an_interval_is_that_of_one_visit():
    visits = {"a": [visit(10.0, 0.4, valence=-0.9), visit(20.0, 0.6, valence=0.9)]}
    (found,) = judge_exhibits(visits, config("a", minimum_group=2))
    happy, valence = found.estimates["happy"], found.estimates["valence"]
    assert (happy.low, happy.high, valence.low, valence.high) == (0, 1, -1, 1)
    assert found.estimates["dwell_s"].high > 60


@pytest.mark.parametrize(
    ("count", "reach"),
    [(2, 12.706), (3, 4.303), (4, 3.182), (5, 2.776), (10, 2.262), (100, 1.984), (10**7, 1.96)],
)
def test_the_reach_of_an_interval_is_students(count, reach):
    assert standard_errors(count) == pytest.approx(reach, rel=0.003)


def test_a_group_that_is_too_small_shows_nothing(results, tmp_path):
    (small,) = [result for result in results[0] if result.name == "empty"]
    assert (small.rank, small.visits, small.estimates) == (None, None, {})
    table = write_exhibits(tmp_path / "e.csv", *results)
    page = write_report(tmp_path / "e.html", *results)
    row = pd.read_csv(table).set_index("exhibit").loc["empty"]
    assert row["note"] == "fewer than 3 visits: not shown"
    assert row.drop("note").isna().all()
    (line,) = [line for line in page.read_text().splitlines() if ">empty<" in line]
    assert re.sub(r"<[^>]+>", "", line) == "emptyfewer than 3 visits: not shown"


def test_a_measure_known_of_too_few_is_not_shown():
    visits = {"a": [visit(5.0, 0.5), visit(None, 0.5), visit(None, 0.5)]}
    (result,) = judge_exhibits(visits, config("a"))
    assert math.isnan(result.estimates["dwell_s"].value)
    assert result.estimates["happy"].value == pytest.approx(0.5)


def test_the_page_needs_nothing_but_itself(results, tmp_path):
    text = write_report(tmp_path / "new" / "e.html", *results).read_text()
    assert "<h1>Show &amp; tell</h1>" in text and "dull &lt;b&gt;" in text and "<b>" not in text
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', text)
    assert len(sources) == 2 and all(s.startswith("data:image/png;base64,") for s in sources)
    assert "http" not in re.sub(r"base64,[^\"]+", "", text) and "<script" not in text


def test_a_report_without_any_group(tmp_path):
    settings = config("a")
    results = judge_exhibits({"a": []}, settings)
    assert "not shown" in write_report(tmp_path / "e.html", results, settings).read_text()
    assert pd.read_csv(write_exhibits(tmp_path / "e.csv", results, settings)).shape[0] == 1


def test_a_ranking_that_does_not_exist():
    with pytest.raises(ValueError, match="rank_by='beauty'"):
        judge_exhibits({"a": [visit(1.0, 0.5)] * 3}, config("a", rank_by="beauty"))


def _of_classes(*names):
    seen = visit(5.0, 0.5)
    shares = dict.fromkeys(names, 1 / len(names))
    return replace(seen, summary=replace(seen.summary, probabilities=shares))


def test_exhibits_of_other_classes_are_refused():
    """A group that is not shown does not matter, nor does the order of the classes."""
    own, turned, other = (
        _of_classes("happy", "sad"),
        _of_classes("sad", "happy"),
        _of_classes("Happy", "Sad", "Ahegao"),
    )
    with pytest.raises(ValueError, match=r"one model.*'a' with \['happy', 'sad'\], 'b' with .*Ah"):
        judge_exhibits({"a": [own] * 3, "b": [other] * 3}, config("a", "b"))
    with pytest.raises(ValueError, match="one model"):
        judge_exhibits({"a": [own, own, other]}, config("a"))
    found = judge_exhibits({"a": [own] * 3, "b": [other] * 2, "c": [turned] * 3}, config(*"abc"))
    assert [result.name for result in found if result.rank] == ["a", "c"]


def test_an_archive_of_other_classes_is_refused_before_anything_is_watched(tmp_path, capsys):
    (tmp_path / "film.mp4").write_bytes(b"would be told as failed")
    (tmp_path / "old" / "parts").mkdir(parents=True)
    with TimelineWriter(tmp_path / "old" / "parts" / "a.parquet", ("Happy", "Sad")):
        pass
    (tmp_path / "old" / "summary.csv").write_text("source,kind,part\na.mp4,video,a.parquet\n")
    (tmp_path / "c.toml").write_text(
        "[[exhibit]]\nname='room'\nsource='film.mp4'\n[[exhibit]]\nname='hall'\nsource='old'\n"
    )
    assert main(["exhibits", str(tmp_path / "c.toml"), "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert "'hall' with ['Happy', 'Sad']" in told and "failed" not in told
    assert not (tmp_path / "out").exists()


ONE = "\n[[exhibit]]\nname='a'\nsource=0"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title = 3 3", "as TOML"),
        ("colour = 'red'\n[[exhibit]]\nname='a'\nsource=0", r"Received: \['colour'\]"),
        ("[[exhibit]]\nname='a'", r"Missing: \['source'\]"),
        ("[[exhibit]]\nname='a'\nsource='absent'", "nothing at"),
        ("", "one or more exhibits"),
        ("[exhibit]\nname='a'\nsource=0", r"\[\[exhibit\]\] tables"),
        ("minimum_group=1\n[[exhibit]]\nname='a'\nsource=0", "minimum_group >= 2"),
        ("minimum_group='5'" + ONE, "minimum_group .* whole number.*'5'"),
        ("minimum_dwell_s='long'" + ONE, "minimum_dwell_s .* number of seconds"),
        ("minimum_dwell_s=nan" + ONE, "minimum_dwell_s .* number of seconds"),
        ("title=['T']\n[[exhibit]]\nname='a'\nsource=0", "title .* text"),
        ("rank_by=3" + ONE, "rank_by .* text"),
        ("resamples=2.5" + ONE, "resamples .* whole number"),
        ("seed=-1" + ONE, "seed .* at least 0"),
        ("[[exhibit]]\nname=3\nsource=0", "name .* text"),
        ("[[exhibit]]\nname='a'\nsource=[0]", "source .* camera's index"),
        ("[[exhibit]]\nname='a'\nsource=-1", "source .* camera's index"),
        ("[[exhibit]]\nname='a'\nsource=1.5", "source .* camera's index"),
        ("[[exhibit]]\nname='a'\nsource=true", "source .* camera's index"),
        ("[[exhibit]]\nname='a'\nsource=0\nseconds='5'", "seconds .* above 0"),
        ("[[exhibit]]\nname='a'\nsource=0\nseconds=0", "seconds .* above 0"),
    ],
)
def test_configurations_that_are_none(tmp_path, text, message):
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises((ValueError, OSError), match=message):
        read_config(path)
    with pytest.raises(FileNotFoundError, match="No configuration"):
        read_config(tmp_path / "absent.toml")


def test_a_configuration(tmp_path):
    (tmp_path / "room").mkdir()
    path = tmp_path / "c.toml"
    path.write_text(
        "title = 'T'\nrank_by = 'happy'\n[[exhibit]]\nname='room'\nsource='room'\n"
        "[[exhibit]]\nname='door'\nsource=0\nseconds=5\n[[exhibit]]\nname='net'\n"
        "source='http://192.0.2.1/v'"
    )
    found = read_config(path)
    assert [exhibit.is_camera for exhibit in found.exhibits] == [False, True, True]
    assert found.exhibits[0].source == str(tmp_path / "room") and found.minimum_group == 5


def test_the_example_is_a_configuration(tmp_path, capsys):
    assert main(["exhibits", "--example"]) == 0
    path = tmp_path / "show.toml"
    path.write_text(capsys.readouterr().out)
    (tmp_path / "recordings" / "blue").mkdir(parents=True)
    assert [one.name for one in read_config(path).exhibits] == ["The blue room", "Entrance"]
    assert main(["exhibits", str(path), "--by", "hour", "--out", str(tmp_path)]) == 2
    assert "are of the database" in capsys.readouterr().err
    assert main(["exhibits", str(path)]) == 2
    assert "a configuration and a folder" in capsys.readouterr().err


def _inference(mode):
    return Inference(
        BrightnessModel(), BrightFaceDetector(), show_state_mode="none", inference_mode=mode
    )


def test_a_folder_of_recordings(tmp_path):
    for name, frames in (("short.mp4", 10), ("long.mp4", 60)):
        with VideoWriter(tmp_path / name, 20, (64, 64)) as writer:
            for _ in range(frames):
                writer.write(np.full((64, 64, 3), 140, np.uint8))
    write_image(tmp_path / "still.png", np.full((64, 64, 3), 240, np.uint8))
    (tmp_path / "broken.mp4").write_bytes(b"nothing" * 100)
    visits, failed = watch_exhibit(
        Exhibit("room", str(tmp_path)),
        _inference("video"),
        _inference("online"),
        minimum_dwell_s=1.0,
    )
    assert [found.dwell_s for found in visits] == [pytest.approx(59 / 20, abs=0.01), None]
    surprise = [found.summary.probabilities["surprise"] for found in visits]
    assert surprise == pytest.approx([0.5, 1.0], abs=0.03)
    assert len(failed) == 1 and "broken.mp4" in failed[0]


def test_who_lies_on_an_image_visits_too(tmp_path, astronaut):
    write_image(tmp_path / "lying.png", np.ascontiguousarray(np.rot90(astronaut)))
    with Inference(show_state_mode="none", inference_mode="video") as video:
        visits, failed = watch_exhibit(
            Exhibit("room", str(tmp_path)), video, video, minimum_dwell_s=1.0
        )
    assert len(visits) == 1 and not failed


def test_a_folder_is_looked_through_whatever_lies_in_it(tmp_path, caplog):
    """Linked folders count, each file once; a pipe is not waited for; what is left out is said."""
    room, elsewhere = tmp_path / "room", tmp_path / "elsewhere"
    room.mkdir()
    elsewhere.mkdir()
    write_image(elsewhere / "still.png", np.full((64, 64, 3), 240, np.uint8))
    (room / "disk").symlink_to(elsewhere)
    (room / "again.png").symlink_to(elsewhere / "still.png")
    (room / "notes.txt").write_text("no film")
    (room / "._film.mp4").write_bytes(b"left by a Mac")
    os.mkfifo(room / "pipe.mp4")
    with caplog.at_level(logging.INFO):
        visits, failed = watch_exhibit(
            Exhibit("room", str(room)),
            _inference("video"),
            _inference("online"),
            minimum_dwell_s=1.0,
        )
    assert (len(visits), len(failed)) == (1, 1) and "pipe.mp4: no file with content" in failed[0]
    assert "notes.txt: neither a video nor an image" in caplog.text


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_configuration_of_windows_editor(tmp_path, encoding):
    (tmp_path / "room").mkdir()
    text = '[[exhibit]]\r\nname = "Зал"\r\nsource = "room"\r\n'
    (tmp_path / "c.toml").write_bytes(text.encode(encoding))
    assert [one.name for one in read_config(tmp_path / "c.toml").exhibits] == ["Зал"]


def test_a_camera_is_watched_for_its_seconds(mjpeg_server):
    with _inference("video") as video, _inference("online") as camera:
        visits, failed = watch_exhibit(
            Exhibit("door", mjpeg_server.url, seconds=1.0), video, camera, minimum_dwell_s=0.5
        )
    assert failed == [] and len(visits) == 1
    assert 0.8 < visits[0].dwell_s < 1.5


def test_a_camera_that_is_not_there_does_not_cost_the_other_exhibits(face_video, tmp_path, capsys):
    (tmp_path / "c.toml").write_text(
        f"minimum_group=2\n[[exhibit]]\nname='room'\nsource='{face_video.path}'\n"
        "[[exhibit]]\nname='door'\nsource='http://127.0.0.1:9/'"
    )
    assert main(["exhibits", str(tmp_path / "c.toml"), "--out", str(tmp_path / "out")]) == 1
    told = capsys.readouterr()
    assert "room: fewer than 2 visits" in told.out and "door: fewer than 2 visits" in told.out
    assert "failed: door: No camera. Tried: http://127.0.0.1:9/" in told.err
    assert (tmp_path / "out" / "exhibits.csv").is_file()


def test_the_verb_on_a_real_face(face_video, tmp_path, capsys):
    rooms = tmp_path / "room"
    rooms.mkdir()
    for number in range(2):
        (rooms / f"{number}.mp4").write_bytes(face_video.path.read_bytes())
    (tmp_path / "c.toml").write_text(
        "minimum_group=2\nrank_by='happy'\n[[exhibit]]\nname='room'\nsource='room'\n"
        f"[[exhibit]]\nname='alone'\nsource='{face_video.path}'"
    )
    out = tmp_path / "out"
    assert main(["exhibits", str(tmp_path / "c.toml"), "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(" 1. room: 2 visits, happy ")
    assert lines[1] == " -  alone: fewer than 2 visits: not shown"
    assert sorted(path.name for path in out.iterdir()) == ["exhibits.csv", "exhibits.html"]


def test_a_ranking_by_what_is_known_of_nobody_says_so(tmp_path, astronaut, capsys):
    """Images have no dwell time."""
    (tmp_path / "room").mkdir()
    for name in ("1.png", "2.png"):
        write_image(tmp_path / "room" / name, astronaut)
    config_file, out = tmp_path / "c.toml", tmp_path / "out"
    config_file.write_text(
        "minimum_group=2\nrank_by='dwell_s'\n[[exhibit]]\nname='room'\nsource='room'\n"
    )
    assert main(["exhibits", str(config_file), "--out", str(out)]) == 0
    assert capsys.readouterr().out == " 1. room: 2 visits, dwell_s known of too few\n"


@pytest.mark.parametrize("measure", ["beauty", "eyes_closed"])
def test_a_measure_that_there_will_not_be_is_refused_before_anything_is_watched(
    measure, tmp_path, capsys
):
    (tmp_path / "film.mp4").write_bytes(b"no film")
    (tmp_path / "c.toml").write_text(
        f"rank_by='{measure}'\n[[exhibit]]\nname='room'\nsource='film.mp4'\n"
    )
    words = ["exhibits", str(tmp_path / "c.toml"), "--out", str(tmp_path / "out")]
    assert main(words) == 2
    assert f"rank_by='{measure}'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["exhibits.csv", "exhibits.html"])
def test_a_report_of_somebody_else_is_not_replaced(tmp_path, name, capsys):
    (tmp_path / "film.mp4").touch()
    (tmp_path / "c.toml").write_text("[[exhibit]]\nname='room'\nsource='film.mp4'\n")
    (tmp_path / name).write_text("<!doctype html><p>mine</p>")
    assert main(["exhibits", str(tmp_path / "c.toml"), "--out", str(tmp_path)]) == 2
    assert "Something else is there" in capsys.readouterr().err
    assert (tmp_path / name).read_text() == "<!doctype html><p>mine</p>"


def test_who_looked_where_the_geometry_is_known(tmp_path):
    """A room whose visitors had no geometry has no figure, and no other room's."""
    visits = {
        "facing": [visit(5.0, 0.5, turned_away=share) for share in (0.1, 0.2, 0.3)],
        "unknown": [visit(5.0, 0.9)] * 3,
    }
    settings = config(*visits, rank_by="turned_away")
    facing, unknown = judge_exhibits(visits, settings)
    assert (facing.name, facing.rank) == ("facing", 1)
    assert facing.estimates["turned_away"].value == pytest.approx(0.2)
    assert facing.estimates["eyes_closed"].value == 0
    assert facing.estimates["not_seen"].value == 0.25
    assert math.isnan(unknown.estimates["turned_away"].value)
    page = write_report(tmp_path / "a.html", [facing, unknown], settings).read_text()
    assert "time turned away" in page and "time with eyes closed" in page
    assert "turned_away_low" in write_exhibits(tmp_path / "a.csv", [facing], settings).read_text()


def test_without_geometry_nothing_is_said_of_looking(results):
    assert "turned_away" not in results[0][0].estimates
