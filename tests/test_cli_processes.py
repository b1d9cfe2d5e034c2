"""The command line in processes of its own: what a start imports, and its two streams."""

import json
import os
import subprocess
import sys

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
