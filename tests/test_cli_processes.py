"""The command line in processes of its own: what a start imports, and its two streams."""

import json
import os
import subprocess
import sys

import pytest
from conftest import REPOSITORY

import builder_tools


def run_command(*arguments, **options):
    root = os.path.dirname(os.path.dirname(builder_tools.__file__))
    return subprocess.run(
        [sys.executable, "-m", "builder_tools", *arguments],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        env={**os.environ, "PYTHONPATH": root},
        **options,
    )


def test_a_start_imports_one_verb(tmp_path):
    code = (
        "import sys; from builder_tools.cli import main; main(['assets']); "
        "print([m for m in sys.modules if m.startswith('builder_tools.cli.')], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "cli.house" in done.stderr and "cli.train" not in done.stderr, done.stderr


def test_a_photo_judged_unseen_imports_nothing_that_draws_tracks_or_films(photo):
    unwanted = ("PIL", "av", "builder_tools.drawing", "builder_tools.tracking")
    code = (
        f"import sys; from builder_tools.cli import main; main(['img', {photo!r}, '--json']); "
        f"print([m for m in {unwanted} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert json.loads(done.stdout)["faces"] and done.stderr == "[]\n", done.stderr


def test_python_m_builder_tools(photo):
    done = run_command("img", photo, "--json")
    assert done.returncode == 0 and done.stderr == ""
    assert [face["emotion"] for face in json.loads(done.stdout)["faces"]] == ["happy"]


def test_stdout_holds_results_only_and_stderr_the_rest(photo, tmp_path):
    done = run_command("img", photo, "nowhere.jpg")
    assert done.returncode == 1 and done.stdout.count("\n") == 1
    assert done.stderr.startswith("failed: nowhere.jpg") and done.stderr.count("\n") == 1
    done = run_command("video", str(tmp_path / "nowhere.mp4"))
    assert (done.returncode, done.stdout) == (2, "") and done.stderr.count("\n") == 1


def test_a_reader_that_goes_away_is_no_error(face_video):
    """`builder-tools video film.mp4 | head -1`"""
    root = os.path.dirname(os.path.dirname(builder_tools.__file__))
    command = [sys.executable, "-m", "builder_tools", "video", str(face_video.path)]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
    ) as process:
        assert "s  no face" in process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
    assert (process.returncode, said) == (0, "")


def test_the_img_command_never_loads_tensorflow(photo):
    root = os.path.dirname(os.path.dirname(builder_tools.__file__))
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "builder_tools", "img", photo],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        env={**os.environ, "PYTHONPATH": root},
    )
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert done.returncode == 0 and "cv2" in imported
    heavy = ("tensorflow", "keras", "sklearn", "pandas", "matplotlib", "seaborn")
    assert not [name for name in imported if name.split(".")[0] in heavy]


def _printed_into(stdout, *arguments, stderr=subprocess.PIPE):
    """A command whose results wait in Python's buffer until it ends, as they do in a shell."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    environment.pop("PYTHONUNBUFFERED", None)
    command = [sys.executable, "-m", "builder_tools", *arguments]
    return subprocess.run(
        command, stdout=stdout, stderr=stderr, text=True, timeout=90, check=False, env=environment
    )


@pytest.fixture
def unread():
    """The writing end of a pipe that nobody reads."""
    reads, writes = os.pipe()
    os.close(reads)
    yield writes
    os.close(writes)


@pytest.mark.parametrize("words", [["models"], ["--help"], ["exhibits", "--example"]])
def test_results_that_nobody_reads_end_in_0(unread, words):
    done = _printed_into(unread, *words)
    assert (done.returncode, done.stderr) == (0, "")


def test_results_and_messages_that_nobody_reads_end_in_141(unread, photo, tmp_path):
    words = ["img", photo, "nofile.jpg", "--json", "--out", str(tmp_path / "out")]
    assert _printed_into(unread, *words, stderr=unread).returncode == 141


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
@pytest.mark.parametrize("words", [["models"], ["--version"]])
def test_results_that_do_not_fit_end_in_a_sentence(words):
    with open("/dev/full", "w") as full:
        done = _printed_into(full, *words)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "Cannot write the results to stdout: " in done.stderr and "No space" in done.stderr
