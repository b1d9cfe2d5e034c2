"""Archives that are run again: what failed is tried again, and no file is kept twice."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("pyarrow")
pytest.importorskip("pandas")

import numpy as np
import pandas as pd
import pyarrow.parquet

from builder_tools.archive import Settings, archive
from builder_tools.archive import run as runs
from builder_tools.archive.work import PATHS, SUMMARY_KEY, told_by
from builder_tools.cli import main
from builder_tools.journal import among_others_in
from builder_tools.media import VideoWriter, write_image
from builder_tools.media.partial import replacing
from builder_tools.timeline.people import LEAST_SCORES


def grey(path, side=64):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, np.full((side, side, 3), 90, np.uint8))
    return path


def test_images_that_failed_are_tried_again(tmp_path, monkeypatch):
    root, out = tmp_path / "photos", tmp_path / "out"
    grey(root / "small.png")
    grey(root / "large.png", 1100)
    monkeypatch.setenv("BUILDER_TOOLS_MAX_MEGAPIXELS", "1")
    for made in (1, 0, 0):
        report = archive([root], out, Settings())
        assert [one["source"] for one in report.failed] == ["large.png"]
        assert (report.files, report.made) == (1, made)
        assert pd.read_csv(out / "errors.csv")["source"].tolist() == ["large.png"]
    monkeypatch.delenv("BUILDER_TOOLS_MAX_MEGAPIXELS")
    report = archive([root], out, Settings())
    assert (report.files, report.made, report.failed) == (2, 1, ())
    assert len(pd.read_csv(out / "errors.csv")) == 0
    assert archive([root], out, Settings()).made == 0


def test_the_people_of_an_image_are_its_faces(tmp_path, astronaut):
    for name, image in (("one", astronaut), ("two", np.hstack([astronaut] * 2))):
        write_image(tmp_path / f"{name}.png", image)
    archive([tmp_path / "one.png", tmp_path / "two.png"], tmp_path / "out", Settings())
    told = pd.read_csv(tmp_path / "out" / "summary.csv").set_index("source")
    assert told["people"].tolist() == [1, 2] and told["frames"].tolist() == [1, 1]


@pytest.mark.parametrize(("least_score", "people"), [(0.5, 1), (0.99, 0)])
def test_people_are_those_of_the_detectors_own_scores(
    tmp_path, astronaut, monkeypatch, least_score, people
):
    """As `video` counts them; an archive of Haar's faces had a third of its people."""
    monkeypatch.setitem(LEAST_SCORES, "mediapipe", least_score)
    with VideoWriter(tmp_path / "a.mp4", 10, (240, 240)) as writer:
        for _ in range(10):
            writer.write(np.ascontiguousarray(astronaut[:240, 80:320]))
    archive([tmp_path / "a.mp4"], tmp_path / "out", Settings())
    (told,) = pd.read_csv(tmp_path / "out" / "summary.csv").to_dict("records")
    assert (told["people"], told["emotion"] == "happy") == (people, bool(people))


def test_whoever_reads_an_archive_judges_people_by_its_detector(tmp_path, astronaut, capsys):
    """By the least score of the reader's own, most people of Haar's archives were missing."""
    for name in ("a", "b"):
        with VideoWriter(tmp_path / f"{name}.mp4", 10, (240, 240)) as writer:
            for number in range(20):
                writer.write(np.roll(astronaut[:240, 80:320], number, axis=1))
    out = tmp_path / "archive"
    archive([tmp_path / "a.mp4", tmp_path / "b.mp4"], out, Settings(detector="haar"))
    for part in out.glob("parts/*.parquet"):
        table = pyarrow.parquet.read_table(part)
        column = table.schema.get_field_index("detection_score")
        weak = pyarrow.array([0.5] * len(table), table.schema.field(column).type)
        pyarrow.parquet.write_table(table.set_column(column, "detection_score", weak), part)
    (tmp_path / "show.toml").write_text(
        "minimum_group = 2\nminimum_dwell_s = 0\n[[exhibit]]\nname = 'Room'\nsource = 'archive'\n"
    )
    assert main(["exhibits", str(tmp_path / "show.toml"), "--out", str(tmp_path / "report")]) == 0
    assert capsys.readouterr().out.startswith(" 1. Room: 2 visits")
    words = ["highlights", str(out), "--viewers", "all", "--agreement", "1", "--force"]
    main([*words, "--out", str(tmp_path / "moments")])
    viewers = pd.read_csv(tmp_path / "moments" / "reactions.csv").columns
    assert list(viewers) == ["time_s", "median", "a", "b"]


@pytest.mark.parametrize("table", [None, "person,dwell_s\nA,2.0\n", ""])
def test_recordings_in_a_folder_called_parts_are_no_archive(tmp_path, capsys, table):
    """Nor with a table of somebody's own beside them that is called summary.csv."""
    grey(tmp_path / "room" / "parts" / "a.png")
    if table is not None:
        (tmp_path / "room" / "summary.csv").write_text(table)
    text = "minimum_group = 2\n[[exhibit]]\nname = 'Room'\nsource = 'room'\n"
    (tmp_path / "show.toml").write_text(text)
    assert main(["exhibits", str(tmp_path / "show.toml"), "--out", str(tmp_path / "report")]) == 0
    assert "Room: fewer than 2 visits" in capsys.readouterr().out


def test_faces_of_images_are_found_however_they_are_turned(tmp_path, astronaut):
    """As `img` finds them."""
    write_image(tmp_path / "upright.png", astronaut)
    write_image(tmp_path / "lying.png", np.ascontiguousarray(np.rot90(astronaut)))
    archive([tmp_path / "upright.png", tmp_path / "lying.png"], tmp_path / "out", Settings())
    told = pd.read_csv(tmp_path / "out" / "summary.csv").set_index("source")
    assert told["people"].to_dict() == {"lying.png": 1, "upright.png": 1}
    assert told["p_happy"]["lying.png"] == pytest.approx(told["p_happy"]["upright.png"], abs=0.05)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_processes_that_are_ended_leave_nothing_unfinished(tmp_path, astronaut, name):
    for film in ("a", "b"):
        with VideoWriter(tmp_path / f"{film}.mp4", 10, (240, 240)) as writer:
            for number in range(600):
                writer.write(np.roll(astronaut[:240, 80:320], number, axis=1))
    words = ["archive", tmp_path / "a.mp4", tmp_path / "b.mp4", "--out", tmp_path / "out"]
    run = subprocess.Popen(
        [sys.executable, "-m", "builder_tools", *words, "--workers", "2"],
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 90
    while len(list((tmp_path / "out").glob("parts/.*.part"))) < 2:
        assert time.monotonic() < deadline and run.poll() is None
        time.sleep(0.05)
    os.killpg(run.pid, getattr(signal, name))  # as a terminal that is closed does
    assert run.wait(timeout=60) == 128 + getattr(signal, name)
    assert list((tmp_path / "out" / "parts").iterdir()) == []


def test_a_part_without_what_is_told_of_its_files_is_made_again(tmp_path):
    image, out = grey(tmp_path / "a.png"), tmp_path / "out"
    assert archive([image], out, Settings()).made == 1
    (part,) = (out / "parts").glob("*.parquet")
    part.write_bytes(part.read_bytes()[:-8] + b"\0\0\0\0PAR1")
    report = archive([image], out, Settings())
    assert (report.made, report.files) == (1, 1)


def sources_in(out):
    """The files that whoever reads the folder as one data set finds, with repetitions."""
    return sorted(pd.read_parquet(out / "parts")["source"])


def test_parts_of_replaced_removed_and_regrouped_files_are_removed(tmp_path, capsys):
    root, out = tmp_path / "photos", tmp_path / "out"
    command = ["archive", str(root), "--out", str(out)]
    grey(root / "a.png")
    grey(root / "old" / "b.png")
    assert main(command) == 0
    assert "removed" not in capsys.readouterr().err
    changes = [
        (lambda: grey(root / "a.png", 80), ["a.png", "old/b.png"]),
        (lambda: grey(root / "c.png"), ["a.png", "c.png", "old/b.png"]),
        (lambda: shutil.rmtree(root / "old"), ["a.png", "c.png"]),
    ]
    for change, expected in changes:
        change()
        assert main(command) == 0
        assert sources_in(out) == expected == pd.read_csv(out / "summary.csv")["source"].tolist()
        assert "1 part of replaced, removed or regrouped files removed" in capsys.readouterr().err
    assert main([*command, "--min-score", "0.6"]) == 0
    assert sources_in(out) == ["a.png", "c.png"]


def test_a_film_that_was_removed_leaves_no_part(tmp_path):
    root, out = tmp_path / "films", tmp_path / "out"
    root.mkdir()
    for name in ("a", "b"):
        with VideoWriter(root / f"{name}.mp4", 10, (64, 64)) as writer:
            writer.write(np.full((64, 64, 3), 90, np.uint8))
    archive([root], out, Settings())
    (root / "b.mp4").unlink()
    report = archive([f"{root}/*.mp4"], out, Settings())
    assert (report.files, report.made, report.removed) == (1, 0, 1)
    assert sources_in(out) == ["a.mp4"]


def test_other_sources_and_other_peoples_files_stay(tmp_path):
    out = tmp_path / "out"
    for name in ("a", "b"):
        grey(tmp_path / name / f"{name}.png")
        assert archive([tmp_path / name], out, Settings()).removed == 0
    (of_a,) = [path for path in (out / "parts").iterdir() if sources_of(path) == ["a.png"]]
    shutil.copy(of_a, out / "parts" / "mine.parquet")
    (out / "parts" / f"images-{'0' * 24}.parquet").write_bytes(b"notes")
    pd.DataFrame({"x": [1]}).to_parquet(out / "parts" / f"video-{'0' * 24}.parquet")
    (tmp_path / "a").rename(tmp_path / "disk that is away")
    assert archive([tmp_path / "b"], out, Settings()).removed == 0
    (tmp_path / "disk that is away").rename(tmp_path / "a")
    grey(tmp_path / "a" / "a.png", 80)
    assert archive([tmp_path / "a"], out, Settings()).removed == 1
    assert not of_a.exists() and len([*(out / "parts").iterdir()]) == 5


def test_rows_of_a_folder_that_is_gone_stay_and_are_told_of(tmp_path, capsys):
    """A visitor's own folder, deleted at their request, or a disk that is away: nobody knows."""
    root, out = tmp_path / "photos", tmp_path / "out"
    command = ["archive", str(root), "--out", str(out)]
    grey(root / "one" / "a.png")
    assert main(command) == 0
    (part,) = (path.name for path in (out / "parts").iterdir())
    shutil.rmtree(root / "one")
    grey(root / "two" / "b.png", 80)
    for _ in range(2):
        capsys.readouterr()
        assert main(command) == 0
        (line,) = [x for x in capsys.readouterr().err.splitlines() if "missing" in x]
        assert line.startswith(f"1 part left in {out / 'parts'} ({part} of one/a.png)")
        assert pd.read_csv(out / "summary.csv")["source"].tolist() == ["two/b.png"]
    (out / "parts" / part).unlink()
    capsys.readouterr()
    assert main(command) == 0 and "missing" not in capsys.readouterr().err


def test_a_part_without_rows_whose_folder_is_gone_is_told_of(tmp_path):
    root, out = tmp_path / "photos", tmp_path / "out"
    (root / "one").mkdir(parents=True)
    (root / "one" / "a.png").write_bytes(b"not an image")
    assert archive([root], out, Settings()).failed
    shutil.rmtree(root / "one")
    grey(root / "two" / "b.png", 80)
    (told,) = archive([root], out, Settings()).missing
    assert told.endswith(" of one/a.png")


def sources_of(part):
    return pd.read_parquet(part)["source"].tolist()


def test_parts_of_earlier_versions_stay_and_are_told_of(tmp_path, capsys):
    image, out = grey(tmp_path / "a.png"), tmp_path / "out"
    command = ["archive", str(image), "--out", str(out)]
    assert main(command) == 0
    assert "earlier version" not in capsys.readouterr().err
    (part,) = (out / "parts").iterdir()
    told = {what: value for what, value in told_by(part).items() if what != PATHS}
    table = pyarrow.parquet.read_table(part)
    old = table.replace_schema_metadata({SUMMARY_KEY: json.dumps(told)})
    for number in range(5):
        pyarrow.parquet.write_table(old, out / "parts" / f"images-{number:024}.parquet")
    for _ in range(2):
        assert main(command) == 0
        (line,) = [x for x in capsys.readouterr().err.splitlines() if "earlier version" in x]
        assert line.startswith("5 parts of an earlier version left in") and "..." in line
        assert f"images-{0:024}.parquet" in line and "Remove them, or" in line
    assert len([*(out / "parts").iterdir()]) == 6


def test_nothing_is_replaced_by_a_part_that_could_not_be_made(tmp_path):
    film, out = tmp_path / "a.mp4", tmp_path / "out"
    with VideoWriter(film, 10, (64, 64)) as writer:
        writer.write(np.full((64, 64, 3), 90, np.uint8))
    archive([film], out, Settings())
    film.write_bytes(b"no film")
    report = archive([film], out, Settings())
    assert (len(report.failed), report.removed) == (1, 0)


def test_images_on_a_disk_that_is_away_keep_their_rows(tmp_path):
    out, listed = tmp_path / "out", tmp_path / "list.txt"
    image = grey(tmp_path / "disk" / "a.png")
    listed.write_text(f"{image}\n")
    archive([listed], out, Settings())
    (tmp_path / "disk").rename(tmp_path / "away")
    report = archive([listed], out, Settings())
    assert (len(report.failed), report.removed) == (1, 0)
    (tmp_path / "away").rename(tmp_path / "disk")
    report = archive([listed], out, Settings())
    assert (report.files, report.made, report.failed) == (1, 0, ()), "the rows are still there"


def test_nothing_is_removed_while_another_run_writes_there(tmp_path):
    image, out = grey(tmp_path / "a.png"), tmp_path / "out"
    archive([image], out, Settings())
    grey(image, 80)
    with among_others_in(out / "parts"):
        assert archive([image], out, Settings()).removed == 0
    assert archive([image], out, Settings()).removed == 1
    assert sources_in(out) == ["a.png"]


def test_a_process_that_is_ended_twice_removes_what_is_unfinished(tmp_path, monkeypatch):
    """`systemctl stop` ends all processes, and then each is ended by its parent, too."""

    def make(worker, item):
        with replacing(Path(item)) as partial:
            partial.write_text("rows")
            time.sleep(60)

    unlink = Path.unlink

    def slow(path, **how):
        time.sleep(0.5)
        unlink(path, **how)

    monkeypatch.setattr(Path, "unlink", slow)
    monkeypatch.setattr(runs, "Worker", lambda *given: None)
    monkeypatch.setattr(runs, "make_or_tell", make)
    fork = multiprocessing.get_context("fork")
    commands, theirs = fork.Pipe()
    process = fork.Process(target=runs._work, args=(theirs, None, ""))
    process.start()
    commands.send(str(tmp_path / "a.parquet"))
    deadline = time.monotonic() + 60
    while not list(tmp_path.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    for _ in range(2):
        process.terminate()
        time.sleep(0.1)
    process.join()
    assert list(tmp_path.iterdir()) == []
