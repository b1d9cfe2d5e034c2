"""Disks that fill up while results are written: what is on them already stays."""

from __future__ import annotations

import csv
import errno
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
from fakes import FakeDetector, FakeModel, a_face, save_image
from rests import nine

from builder_tools import Inference, RestingFace
from builder_tools.cli import main
from builder_tools.cli.over_time import writing_timeline
from builder_tools.emotions import NINE_EMOTIONS
from builder_tools.inference.sinks import LiveVideoSink, VideoSink, closer
from builder_tools.media import VideoWriter
from builder_tools.results import FrameResult
from builder_tools.submission import make_submission, plan_submission
from builder_tools.timeline import writer
from builder_tools.timeline.cuts import Cut, write_edl
from builder_tools.timeline.people import PersonRule
from builder_tools.timeline.reading import read_timeline
from builder_tools.timeline.trailer import cut_trailer
from builder_tools.timeline.writer import TimelineWriter

resource = pytest.importorskip("resource", reason="files have no limit here")
EMOTIONS = tuple(NINE_EMOTIONS)
ROWS_A_GROUP = 256


@pytest.fixture(autouse=True)
def small_groups(monkeypatch):
    monkeypatch.setattr(writer, "ROWS_A_GROUP", ROWS_A_GROUP)


@contextmanager
def room_for(most_bytes: int) -> Iterator[None]:
    """Let no file grow beyond a size, as if the disk were full then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def frames(count: int) -> Iterator[FrameResult]:
    for number in range(count):
        left = (number * 7919) % 1000 / 7
        face = a_face((left, 0, left + 50 + number % 7, 50), "happy", 0.5 + left / 300, track=1)
        yield FrameResult("film", number, number / 25, (face,))


def write_all(path: Path, results, *, ended_by: BaseException | None = None) -> None:
    with writing_timeline(path, EMOTIONS, sys.stderr, PersonRule()) as write:
        for result in results:
            write(result)
        if ended_by is not None:
            raise ended_by


def check_kept(path: Path, said: str) -> int:
    """Check that as many whole rows are kept as the user was told; return their number."""
    table = read_timeline(path)
    assert f"Written: {path}, {len(table)} rows" in said
    assert table["frame"].tolist() == list(range(len(table)))
    assert table.notna().all().all()
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    return len(table)


def test_a_full_disk_leaves_the_rows_of_a_video(face_video, tmp_path, capsys):
    path = tmp_path / "rows.csv"
    with room_for(6000):
        assert main(["video", str(face_video.path), "--timeline", str(path)]) == 2
    said = capsys.readouterr().err
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    assert path.read_bytes().endswith(b"\n") and {len(row) for row in rows} == {len(rows[0])}
    assert f"Written: {path}, {len(rows) - 1} rows" in said and len(rows) > 20
    assert f"File too large: '{path}'" in said
    assert [one.name for one in tmp_path.iterdir()] == ["rows.csv"]


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_a_full_disk_leaves_whole_rows(tmp_path, capsys, name):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    path = tmp_path / name
    with room_for(150_000), pytest.raises(OSError, match="File too large"):
        write_all(path, frames(5_000))
    assert check_kept(path, capsys.readouterr().err) >= ROWS_A_GROUP


@pytest.mark.parametrize("ended_by", [None, KeyboardInterrupt()])
def test_rows_in_memory_that_find_no_room_cost_no_others(tmp_path, capsys, ended_by):
    pytest.importorskip("pyarrow")

    def fills_up_at_the_end():
        yield from frames(2 * ROWS_A_GROUP - 1)
        (partial,) = tmp_path.iterdir()
        resource.setrlimit(resource.RLIMIT_FSIZE, (partial.stat().st_size, limit[1]))

    path, limit = tmp_path / "rows.parquet", resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(OSError, match="File too large"):
            write_all(path, fills_up_at_the_end(), ended_by=ended_by)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert check_kept(path, capsys.readouterr().err) == ROWS_A_GROUP


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
@pytest.mark.parametrize("most_bytes", [100, 5000])
def test_a_table_that_has_to_be_whole_is_not_left_in_part(tmp_path, name, most_bytes):
    """Of 100 bytes not even the header fits, of 5000 only some of the rows."""
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    with (
        room_for(most_bytes),
        pytest.raises(OSError, match="File too large"),
        TimelineWriter(tmp_path / name, EMOTIONS) as table,
    ):
        for result in frames(1000):
            table.write(result)
    assert list(tmp_path.iterdir()) == []


def test_a_full_temporary_disk_leaves_the_results_of_a_film(face_video):
    """`rest="auto"` keeps them in a file until the film ends."""
    settings = {"show_state_mode": "none", "inference_mode": "video", "rest": "auto"}
    given = []
    with Inference(FakeModel(), FakeDetector(1), **settings) as inference:
        stream = inference.run(face_video.path)
        with room_for(15_000), pytest.raises(OSError, match="File too large"):
            given.extend(stream)
    assert [result.frame for result in given] == list(range(len(given)))
    assert 10 < len(given) < face_video.num_frames
    assert all(face.relative_probabilities for result in given for face in result.faces)


def test_a_table_or_sound_that_finds_no_room_is_named(tmp_path):
    from made_videos import numbered_image, talk, write_wave

    path = tmp_path / "list.edl"
    with room_for(100), pytest.raises(OSError, match=f"File too large: '{path}'"):
        write_edl(path, Path("film.mp4"), [Cut(0, 5)] * 20, 25.0, sound=True)
    sound = write_wave(tmp_path / "film.wav", talk(4, 16000, seed=1), 16000)
    with VideoWriter(tmp_path / "film.mp4", 25, (96, 54), audio_from=sound) as film:
        for number in range(100):
            film.write(numbered_image(number))
    with room_for(50_000), pytest.raises(OSError, match=r"File too large: '.*sound\.wav'"):
        cut_trailer(tmp_path / "film.mp4", [Cut(0, 90)], tmp_path / "trailer.mp4")


def test_a_film_that_cannot_be_finished_is_not_left(astronaut, tmp_path):
    path = tmp_path / "film.mp4"
    with (
        room_for(20_000),
        pytest.raises(OSError, match=rf"Cannot write {path}: File too large\."),
        VideoWriter(path, 25, (512, 512)) as writer,
    ):
        writer.write(astronaut)
        writer.write(astronaut[::-1])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [VideoSink, LiveVideoSink])
def test_a_film_that_finds_no_room_midway_is_named(kind, tmp_path):
    """Discarding it found no room either, and that error named a temporary file."""
    film, random = tmp_path / "drawn.mp4", np.random.default_rng(0)
    sink = kind(VideoWriter(film, 25, (160, 120)))
    with (
        room_for(200_000),
        pytest.raises(OSError, match=r"Cannot write .*drawn\.mp4") as told,
        ExitStack() as stack,
    ):
        stack.push(closer(sink))
        for number in range(100):
            noise = random.integers(0, 256, (120, 160, 3), np.uint8)
            sink.take(FrameResult("film", number, number / 25, (), noise))
    assert told.value.errno == errno.EFBIG
    assert not list(tmp_path.iterdir())


def test_a_resting_face_stays_where_its_successor_finds_no_room(tmp_path):
    known = RestingFace.from_probabilities([nine(neutral=0.8)])
    path = known.save(tmp_path / "me.json")
    successor = RestingFace.from_probabilities([nine(neutral=0.9)])
    with room_for(100), pytest.raises(OSError, match=r"File too large: '.*me\.json'"):
        successor.save(path)
    assert RestingFace.load(path) == known and list(tmp_path.iterdir()) == [path]


def test_rows_under_way_that_find_no_room_are_named_and_go_on(tmp_path):
    for number in range(30):
        save_image(tmp_path / "in" / f"{number}.png", 1)
    job, out = plan_submission(tmp_path / "in"), tmp_path / "a.csv"
    with Inference(FakeModel(), FakeDetector(1), show_state_mode="none") as inference:
        with room_for(2000), pytest.raises(OSError, match=r"File too large: '.*a\.partial\.jsonl'"):
            list(make_submission(inference, job, out))
        assert not out.exists()
        assert len(list(make_submission(inference, job, out))) == 30
    assert len(out.read_text().splitlines()) == 1 + 30
