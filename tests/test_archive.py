"""Archives: once a file, whatever happens to the run."""

from __future__ import annotations

import csv
import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyarrow")
pytest.importorskip("pandas")

import pandas as pd

from builder_tools import Inference
from builder_tools.archive import Settings, archive
from builder_tools.cards import ModelCard, find_model, write_card
from builder_tools.cli import main
from builder_tools.media import VideoWriter, write_image
from builder_tools.timeline.reading import read_timeline
from builder_tools.timeline.recordings import parse_viewers, with_offsets

NO_CLUSTER = 77
"""What `ray_nodes.py` ends with where Ray cannot begin."""


def film(path: Path, image: np.ndarray, frames: int) -> Path:
    with VideoWriter(path, 10, image.shape[1::-1]) as writer:
        for number in range(frames):
            writer.write(np.roll(image, number, axis=1))
    return path


@pytest.fixture(scope="module")
def sources(tmp_path_factory, astronaut) -> Path:
    """Two films, four images, a text, a broken film and a broken image."""
    root = tmp_path_factory.mktemp("archive")
    portrait = np.ascontiguousarray(astronaut[:240, 80:320])
    film(root / "a.mp4", portrait, 12)
    (root / "deep").mkdir()
    film(root / "deep" / "b.mp4", portrait[:, ::-1], 8)
    for name in ("1.png", "2.png", "deep/1.png"):
        write_image(root / name, portrait)
    write_image(root / "empty.png", np.full((64, 64, 3), 90, np.uint8))
    (root / "notes.txt2").write_text("no image")
    (root / "broken.mp4").write_bytes(b"no film")
    (root / "broken.png").write_bytes(b"no image")
    return root


def rows(out: Path) -> pd.DataFrame:
    """The whole data set, sorted."""
    table = pd.concat([pd.read_parquet(p) for p in sorted((out / "parts").glob("*.parquet"))])
    return table.sort_values(["source", "frame", "track"], ignore_index=True)


@pytest.fixture(scope="module")
def made(sources, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    return out, archive([sources], out, Settings())


def test_every_file_is_there_or_told(sources, made):
    out, report = made
    assert report.files == 6 and report.made == 3
    assert [one["source"] for one in report.failed] == ["broken.mp4", "broken.png"]
    assert list(report.left_out) == ["notes.txt2: neither a video nor an image by its name"]
    with open(out / "summary.csv", newline="") as file:
        summary = {row["source"]: row for row in csv.DictReader(file)}
    assert sorted(summary) == ["1.png", "2.png", "a.mp4", "deep/1.png", "deep/b.mp4", "empty.png"]
    assert (summary["a.mp4"]["frames"], summary["a.mp4"]["people"]) == ("12", "1")
    assert summary["empty.png"]["emotion"] == "" and summary["1.png"]["emotion"] == "happy"
    with open(out / "errors.csv", newline="") as file:
        assert [row["source"] for row in csv.DictReader(file)] == ["broken.mp4", "broken.png"]


@pytest.mark.parametrize("name", ["summary.csv", "errors.csv"])
def test_tables_of_somebody_else_are_not_replaced(sources, tmp_path, name, capsys):
    (tmp_path / name).write_text("my,own\n1,2\n")
    assert main(["archive", str(sources), "--out", str(tmp_path)]) == 2
    assert "Something else is there" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "my,own\n1,2\n"


def test_rows_are_those_of_the_verb_for_one_file(sources, made, tmp_path):
    out, _ = made
    command = ["video", str(sources / "a.mp4"), "--timeline", str(tmp_path / "a.parquet")]
    assert main(command) == 0
    alone = read_timeline(tmp_path / "a.parquet")
    own = rows(out).query("source == 'a.mp4'").drop(columns="source").reset_index(drop=True)
    pd.testing.assert_frame_equal(own.astype(alone.dtypes), alone)
    with Inference(show_state_mode="none") as inference:
        (face,) = inference.run(sources / "1.png").faces
    image = rows(out).query("source == '1.png'")
    assert image["probability"].tolist() == [round(face.probability, 5)]


def test_highlights_of_an_archive_are_those_of_its_films(sources, made, tmp_path):
    out, _ = made
    films = [f"{sources}/a.mp4@+0", f"{sources}/deep/b.mp4@+0.2"]
    (tmp_path / "starts.csv").write_text("viewer,offset_s\ndeep/b,0.2\n")
    own = [f"{out}@+0", "--offsets", str(tmp_path / "starts.csv")]
    for name, viewers in (("films", films), ("archive", own)):
        assert main(["highlights", *viewers, "--out", str(tmp_path / name)]) == 0
    for table in ("reactions.csv", "highlights.csv", "viewers.csv"):
        of_films, of_archive = (
            pd.read_csv(tmp_path / name / table).replace("deep/b", "b")
            for name in ("films", "archive")
        )
        of_archive = of_archive.rename(columns={"deep/b": "b"})
        pd.testing.assert_frame_equal(of_films, of_archive, atol=1e-9)
    assert not (tmp_path / "archive" / "timelines").exists()
    with pytest.raises(ValueError, match=r"viewers such as 'a'. Received those of \['x'\]"):
        with_offsets(parse_viewers([str(out)]), {"x": 1.0})


def test_exhibits_of_an_archive_are_those_of_its_files(sources, made, tmp_path):
    out, _ = made
    text = "minimum_group=2\nminimum_dwell_s=0\n[[exhibit]]\nname='all'\nsource='{}'\n"
    text += "[[exhibit]]\nname='deep'\nsource='{}'\n"
    (tmp_path / "files.toml").write_text(text.format(sources, sources / "deep"))
    (tmp_path / "archive.toml").write_text(text.format(out, out) + "files='deep/*'\n")
    codes = [
        main(["exhibits", f"{tmp_path}/{name}.toml", "--out", str(tmp_path / name)])
        for name in ("files", "archive")
    ]
    assert codes == [1, 0], "what is broken was told when the archive was made"
    found, expected = (
        pd.read_csv(tmp_path / name / "exhibits.csv") for name in ("archive", "files")
    )
    assert dict(zip(found["exhibit"], found["visits"], strict=True)) == {"all": 5, "deep": 2}
    pd.testing.assert_frame_equal(found, expected, atol=2e-4)


def test_an_archive_that_is_not_done_is_a_sentence(tmp_path, capsys):
    (tmp_path / "half" / "parts").mkdir(parents=True)
    command = ["highlights", str(tmp_path / "half"), "--out", str(tmp_path / "cut")]
    assert main(command) == 2
    assert "has not come to its end" in capsys.readouterr().err
    (tmp_path / "half" / "summary.csv").write_text("source,kind,part\n1.png,images,x.parquet\n")
    assert main(command) == 2
    assert "Found images alone" in capsys.readouterr().err


def test_what_is_there_is_not_made_again_and_what_changed_is(sources, made, tmp_path, astronaut):
    root = tmp_path / "own"
    root.mkdir()
    film(root / "a.mp4", np.ascontiguousarray(astronaut[:240, 80:320]), 4)
    assert archive([root], tmp_path / "out", Settings()).made == 1
    assert archive([root], tmp_path / "out", Settings()).made == 0
    assert archive([root], tmp_path / "out", Settings(threads=2)).made == 0
    film(root / "a.mp4", np.ascontiguousarray(astronaut[:240, 80:320]), 6)
    report = archive([root], tmp_path / "out", Settings())
    assert (report.made, report.files) == (1, 1)
    with open(tmp_path / "out" / "summary.csv", newline="") as file:
        assert [row["frames"] for row in csv.DictReader(file)] == ["6"]


def start(sources: Path, out: Path, *more: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "builder_tools", "archive", sources, "--out", out, *more]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def parts(out: Path) -> list[Path]:
    return list((out / "parts").glob("*.parquet"))


def wait_until(true, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_killed_and_begun_again_the_data_set_is_the_same(sources, made, tmp_path):
    out = tmp_path / "out"
    for number in (signal.SIGKILL, signal.SIGTERM):
        before = len(parts(out))
        run = start(sources, out)
        wait_until(
            lambda before=before, run=run: len(parts(out)) > before or run.poll() is not None
        )
        run.send_signal(number)
        run.communicate(timeout=60)
    run = start(sources, out)
    words, _ = run.communicate(timeout=120)
    assert run.returncode == 1 and words.startswith("6 files"), words
    pd.testing.assert_frame_equal(rows(out), rows(made[0]))


def test_what_killed_runs_left_is_removed_after_a_day(sources, tmp_path):
    left = [tmp_path / "parts" / f".{name}.part" for name in ("old", "new")]
    left[0].parent.mkdir()
    for path in left:
        path.write_bytes(b"half")
    os.utime(left[0], (time.time() - 90_000,) * 2)
    archive([sources / "empty.png"], tmp_path, Settings())
    assert [path.exists() for path in left] == [False, True]


def test_workers_give_the_same_and_one_may_be_killed(sources, made, tmp_path):
    out = tmp_path / "out"
    run = start(sources, out, "--workers", "2")
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children")

    def workers() -> list[int]:
        found = [int(pid) for pid in children.read_text().split()]
        return [p for p in found if b"spawn_main" in Path(f"/proc/{p}/cmdline").read_bytes()]

    wait_until(lambda: len(workers()) == 2)
    os.kill(workers()[0], signal.SIGKILL)
    words, told = run.communicate(timeout=240)
    assert run.returncode == 1 and words.startswith("6 files"), words + told
    pd.testing.assert_frame_equal(rows(out), rows(made[0]))


def test_a_film_that_is_cut_short_is_kept_as_far_as_it_goes_and_told(sources, tmp_path):
    root = tmp_path / "films"
    root.mkdir()
    portrait = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
    whole = film(root / "cut.mp4", portrait, 60).read_bytes()
    (root / "cut.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    report = archive([root], tmp_path / "out", Settings())
    assert report.files == 1 and [one["source"] for one in report.failed] == ["cut.mp4"]
    assert 5 < len(rows(tmp_path / "out")) < 60


def test_lists_globs_and_what_is_wrong(sources, tmp_path, capsys):
    (tmp_path / "list.txt").write_text(f"{sources}/1.png\n\n{sources}/gone.png\n")
    report = archive([tmp_path / "list.txt", f"{sources}/?.png"], tmp_path / "out", Settings())
    assert report.files == 2, "a file that two sources name is looked at once"
    assert [one["source"] for one in report.failed] == [f"{sources}/gone.png"]
    assert main(["archive", str(tmp_path / "nothing"), "--out", str(tmp_path / "o")]) == 2
    assert "Nothing at" in capsys.readouterr().err
    (tmp_path / "words").mkdir()
    assert main(["archive", str(tmp_path / "words"), "--out", str(tmp_path / "o")]) == 2
    assert "Found none" in capsys.readouterr().err


def test_what_lies_in_a_folder_by_a_link_is_looked_at_and_what_cannot_be_is_told(sources, tmp_path):
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    root.mkdir()
    elsewhere.mkdir()
    write_image(elsewhere / "1.png", np.full((64, 64, 3), 90, np.uint8))
    (root / "disk").symlink_to(elsewhere)
    (root / "up").symlink_to(root)
    (root / "dead.mp4").symlink_to("nowhere.mp4")
    os.mkfifo(root / "camera.mp4")  # nobody may ever write into it
    report = archive([root], tmp_path / "out", Settings())
    assert report.files == 1
    assert [one["source"] for one in report.failed] == ["dead.mp4"]
    (left_out,) = report.left_out
    assert left_out.startswith("camera.mp4: no file with content")
    table = pd.read_csv(tmp_path / "out" / "summary.csv")
    assert table["source"].tolist() == ["disk/1.png"]


def test_films_of_camcorders_are_films(sources, tmp_path):
    pytest.importorskip("av")
    (tmp_path / "cards").mkdir()
    whole = (sources / "a.mp4").read_bytes()  # what a film is, its content says
    (tmp_path / "cards" / "00001.MTS").write_bytes(whole)
    report = archive([tmp_path / "cards"], tmp_path / "out", Settings())
    assert (report.files, report.left_out) == (1, ())


def test_files_of_one_name_are_told_apart(sources, tmp_path):
    """Else whoever reads an archive by its names takes the rows of both for each one's."""
    for room, kept in (("north", "1.png"), ("south", "empty.png")):
        (tmp_path / room / "day").mkdir(parents=True)
        (tmp_path / room / "day" / "x.png").write_bytes((sources / kept).read_bytes())
    (tmp_path / "north" / "y.png").write_bytes((sources / "2.png").read_bytes())
    rooms = [tmp_path / "north", tmp_path / "south"]
    assert archive(rooms, tmp_path / "out", Settings()).files == 3
    table = pd.read_csv(tmp_path / "out" / "summary.csv")
    names = ["north/day/x.png", "south/day/x.png", "y.png"]
    assert table["source"].tolist() == sorted(rows(tmp_path / "out")["source"]) == names
    assert table["with_face"].tolist() == [1, 0, 1]
    assert archive(rooms, tmp_path / "out", Settings()).made == 0
    assert archive([f"{tmp_path}/*/day/x.png"], tmp_path / "glob", Settings()).files == 2
    assert sorted(rows(tmp_path / "glob")["source"]) == names[:2]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_lists_of_any_editor(sources, tmp_path, encoding):
    text = f"{sources}/1.png\r\n{sources}/2.png\r\n"
    (tmp_path / "list.txt").write_bytes(text.encode(encoding))
    report = archive([tmp_path / "list.txt"], tmp_path / "out", Settings())
    assert (report.files, report.failed, report.left_out) == (2, (), ())


def test_names_in_lists_hold_whatever_names_hold(sources, tmp_path):
    name = "a\x85b\u2028c\x0c.png"
    (tmp_path / name).write_bytes((sources / "empty.png").read_bytes())
    (tmp_path / "list.txt").write_text(name + "\n", encoding="utf-8")
    assert archive([tmp_path / "list.txt"], tmp_path / "out", Settings()).files == 1


def test_a_list_that_is_no_text_is_a_sentence(tmp_path, capsys):
    (tmp_path / "list.txt").write_bytes(b"PK\3\4\0\0\0")
    assert main(["archive", str(tmp_path / "list.txt"), "--out", str(tmp_path / "o")]) == 2
    assert "Expected a list with a path a line" in capsys.readouterr().err


def test_a_part_that_a_disk_lost_is_made_again(sources, tmp_path):
    assert archive([sources / "empty.png"], tmp_path, Settings()).made == 1
    (part,) = parts(tmp_path)
    whole = part.read_bytes()
    for left in (b"", b"\0" * len(whole), whole[:-20]):
        part.write_bytes(left)
        report = archive([sources / "empty.png"], tmp_path, Settings())
        assert (report.made, report.files) == (1, 1)


@pytest.mark.parametrize("place", ["add", "describe"])
def test_a_full_disk_ends_the_run(sources, tmp_path, monkeypatch, capsys, place):
    """The films that are still to come are not looked at for nothing."""
    tried = []

    def write(*given):
        tried.append(given)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(f"builder_tools.archive.work._Part.{place}", write)
    command = ["archive", str(sources / "a.mp4"), str(sources / "deep"), "--out", str(tmp_path)]
    assert main(command) == 2
    words = capsys.readouterr().err
    assert "No space left" in words and str(tmp_path / "parts") in words
    assert len(tried) == 1 and list((tmp_path / "parts").iterdir()) == []


def test_workers_that_cannot_begin_are_one_sentence(sources, tmp_path):
    run = start(sources, tmp_path / "out", "--workers", "2", "--model", "nothere")
    words, told = run.communicate(timeout=120)
    assert run.returncode == 2 and words == "", told
    assert told.startswith("builder-tools archive: Expected one of the models"), told
    assert "Traceback" not in told


def test_the_settings_hash_knows_what_changes_rows():
    assert Settings(threads=4).sha256 == Settings().sha256
    assert Settings(smooth_s=0).sha256 != Settings().sha256


def test_parts_of_another_model_of_the_same_name_are_not_taken(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hashes = set()
    for temperature in (1.0, 1.5):
        shutil.copytree(find_model("tiny"), "saved_models/ours", dirs_exist_ok=True)
        card = ModelCard.read("saved_models/ours")
        write_card("saved_models/ours", replace(card, temperature=temperature))
        hashes.add(Settings(model="ours").sha256)
    assert len(hashes) == 2


def test_two_nodes_make_the_same_and_one_may_die(sources, made, tmp_path):
    pytest.importorskip("ray")
    script = Path(__file__).with_name("ray_nodes.py")
    environment = {**os.environ, "PYTHONPATH": str(script.parents[1])}
    done = subprocess.run(
        [sys.executable, script, sources, tmp_path],
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    if done.returncode == NO_CLUSTER:
        pytest.skip(f"a Ray cluster could not be begun on this machine: {done.stderr}")
    assert done.returncode == 0, done.stderr
    pd.testing.assert_frame_equal(rows(tmp_path / "whole"), rows(made[0]))


def test_a_cluster_that_is_not_there_is_a_sentence(sources, tmp_path, capsys):
    pytest.importorskip("ray")
    command = ["archive", str(sources), "--out", str(tmp_path / "o"), "--ray", "127.0.0.1:1"]
    assert main(command) in (1, 2)
    assert "builder-tools archive:" in capsys.readouterr().err
