"""Where commands write: readers that go away, closed streams, places that take no file."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from made_videos import numbered_image

from builder_tools import inference
from builder_tools.cli import main
from builder_tools.inference import batch
from builder_tools.media import write_image

ROOT = Path(__file__).resolve().parents[1]


def test_files_that_a_gone_reader_leaves_undone_are_told(face_video, tmp_path):
    """`builder-tools video-rec film.mp4 --out drawn.mp4 --json | head -1` leaves no film."""
    out = tmp_path / "drawn.mp4"
    with subprocess.Popen(
        [
            sys.executable,
            "-m",
            "builder_tools",
            "video-rec",
            str(face_video.path),
            "--out",
            str(out),
            "--json",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        assert process.stdout.readline().startswith("{")
        process.stdout.close()
        said = process.stderr.read()
    assert process.returncode == 141 and not list(tmp_path.iterdir())
    assert "nobody reads the results" in said and str(out) in said and said.count("\n") == 1


@pytest.mark.skipif(os.name == "nt", reason="the shell's words are POSIX's")
def test_messages_do_not_go_to_stdout_where_stderr_is_closed(tmp_path):
    photo = write_image(tmp_path / "a.png", numbered_image(1))
    command = shlex.join(
        [sys.executable, "-m", "builder_tools", "img", str(photo), "nowhere.jpg", "--json"]
    )
    done = subprocess.run(
        f"{command} 2>&-", shell=True, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert done.returncode == 1 and [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.skipif(os.name == "nt", reason="the shell's words are POSIX's")
@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_no_file_takes_the_place_of_a_closed_stream(closed, tmp_path):
    """What a native library says to stderr would stand in it."""
    code = (
        "import os, sys; from builder_tools.cli import main; main(['completion', 'bash']);"
        "sys.exit(os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY))"
    )
    command = shlex.join([sys.executable, "-c", code, str(tmp_path / "file")])
    assert subprocess.run(f"{command} {closed}", shell=True, cwd=ROOT).returncode > 2


@pytest.fixture
def closed(tmp_path, monkeypatch):
    """A folder in which nothing can be made, not even by root."""
    (tmp_path / "closed").mkdir()
    touch = Path.touch

    def refuse(path, *given, **options):
        if path.resolve().parent == tmp_path / "closed":
            raise OSError(30, "Read-only file system", str(path))
        touch(path, *given, **options)

    monkeypatch.setattr(Path, "touch", refuse)
    return tmp_path / "closed"


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["img", "photos/1.png", "--out", "closed"], "closed"),
        (["img-batch", "photos", "--csv", "closed/a.csv"], "closed/a.csv"),
        (["img-batch", "photos", "--csv", "a.csv", "--faces-csv", "closed/f.csv"], "closed/f.csv"),
        (["img-batch", "photos", "--csv", "a.csv", "--out", "closed"], "closed"),
        (["rest", "photos/1.png", "--out", "closed/me.json"], "closed/me.json"),
        (["online", "--camera", "61", "--snapshots", "closed"], "closed"),
    ],
)
def test_a_place_that_takes_no_file_is_refused_before_the_work(
    closed, words, name, monkeypatch, capsys
):
    monkeypatch.chdir(closed.parent)
    write_image("photos/1.png", numbered_image(1))
    monkeypatch.setattr(inference, "read_image", lambda *given: pytest.fail("it was looked at"))
    monkeypatch.setattr(batch, "open_image", lambda *given: pytest.fail("it was looked at"))
    assert main(words) == 2
    assert f"Cannot write {name}: Read-only file system. Try another" in capsys.readouterr().err
    assert {path.name for path in closed.parent.iterdir()} == {"closed", "photos"}


@pytest.mark.parametrize(
    "words",
    [
        ["img-batch", "", "--csv", "a.csv"],
        ["img-batch", "photos", "--csv", ""],
        ["clean", "", "--out", "o"],
        ["archive", "", "--out", "o"],
        ["data", "verify", "folders", "--source", ""],
        ["video", "", "--json"],
        ["img", ""],
    ],
)
def test_an_unset_variable_is_not_this_folder(words, tmp_path, monkeypatch, capsys):
    """`img-batch "$PHOTOS"`: an empty text, as a path, would be the current folder."""
    monkeypatch.chdir(tmp_path)
    write_image("photos/1.png", numbered_image(1))
    with pytest.raises(SystemExit, match="2"):
        main(words)
    assert "received an empty text" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_an_empty_text_is_no_folder_of_images():
    with pytest.raises(ValueError, match="empty text"):
        inference.Inference(show_state_mode="none").analyse_images("")
