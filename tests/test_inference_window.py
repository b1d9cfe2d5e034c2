"""The real window: key presses by xdotool, in a process of its own under a virtual X display."""

import os
import shutil
import subprocess
import sys
import textwrap
import threading

import pytest
from conftest import wait_until

from builder_tools.media import read_image

PRESSING = """
import os, subprocess, sys, threading, time
from pathlib import Path
from builder_tools.cli import main

watchdog = threading.Timer(60, os._exit, [9])
watchdog.daemon = True
watchdog.start()

def xdotool(*words):
    return subprocess.run(["xdotool", *words], capture_output=True, text=True)

def find_window():
    found = ""
    while not found:
        time.sleep(0.05)
        found = xdotool("search", "--onlyvisible", "--name", "^builder_tools$").stdout
    return found.split()[0]

def press(key):
    while xdotool("windowfocus", find_window()).returncode:
        pass  # A window that is only just coming or going takes no focus.
    xdotool("key", key)

def press_until(key, done):
    deadline_s = time.monotonic() + 20
    while not done() and time.monotonic() < deadline_s:
        press(key)
        time.sleep(0.3)

"""


def _run_under_xvfb(code, *arguments, cwd):
    for program in ("xvfb-run", "xauth", "xdotool"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    command = ["xvfb-run", "-a", "-s", "-screen 0 800x600x24 -noreset", sys.executable, "-c"]
    return subprocess.run(
        [*command, PRESSING + textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        timeout=90,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )


@pytest.mark.parametrize("quit_key", ["q", "Escape"])
def test_s_saves_a_snapshot_and_q_or_esc_quits(mjpeg_server, tmp_path, quit_key):
    code = """
        camera, quit_key = sys.argv[1:]
        saved = lambda: any(Path("shots").glob("snapshot_*.png"))
        ended = threading.Event()

        def user():
            press_until("s", saved)
            press_until(quit_key, ended.is_set)

        threading.Thread(target=user, daemon=True).start()
        code = main(["online", "--camera", camera, "--window", "--snapshots", "shots"])
        ended.set()
        sys.exit(code)
    """
    done = _run_under_xvfb(code, mjpeg_server.url, quit_key, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    shots = list((tmp_path / "shots").iterdir())
    assert shots and all(path.name.startswith("snapshot_") for path in shots)
    assert read_image(shots[0]).shape == (512, 512, 3)
    assert any(f"Saved {shot.relative_to(tmp_path)}" in done.stderr for shot in shots)
    assert done.stdout == ""
    wait_until(lambda: mjpeg_server.num_clients == 0)


def test_q_is_heard_while_the_camera_is_away(mjpeg_server, tmp_path):
    """The camera is tried again for 15 s; q ends it at once."""
    code = """
        seen, gone, ended = Path("seen"), Path("gone"), threading.Event()

        def user():
            find_window()
            time.sleep(0.5)
            seen.touch()
            while not gone.exists():
                time.sleep(0.05)
            time.sleep(1)
            pressed_s = time.monotonic()
            press_until("q", ended.is_set)
            print("ended after", time.monotonic() - pressed_s)

        thread = threading.Thread(target=user, daemon=True)
        thread.start()
        code = main(["online", "--camera", sys.argv[1], "--window"])
        ended.set()
        thread.join()
        sys.exit(code)
    """

    def lose_the_camera():
        wait_until((tmp_path / "seen").exists, 40)
        mjpeg_server.stop()
        (tmp_path / "gone").touch()

    losing = threading.Thread(target=lose_the_camera)
    losing.start()
    done = _run_under_xvfb(code, mjpeg_server.url, cwd=tmp_path)
    losing.join()
    assert done.returncode == 0, done.stderr
    assert "Attempt 1 of 5" in done.stderr
    assert float(done.stdout.split()[-1]) < 12


def test_an_image_stays_until_a_key_is_pressed(astronaut, tmp_path):
    from builder_tools.media import write_image

    write_image(tmp_path / "a.png", astronaut)
    code = """
        pressed = []

        def user():
            find_window()
            time.sleep(0.7)
            pressed.append(True)
            press("q")

        threading.Thread(target=user, daemon=True).start()
        code = main(["img", "a.png", "--show"])
        print("pressed", bool(pressed))
        sys.exit(code)
    """
    done = _run_under_xvfb(code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    first, last = done.stdout.splitlines()
    assert first.startswith("a.png: face 1 of 1: happy") and last == "pressed True"


def test_q_ends_a_video_early(face_video, tmp_path):
    code = """
        ended = threading.Event()
        threading.Thread(
            target=lambda: press_until("q", ended.is_set), daemon=True
        ).start()
        from builder_tools.media import Window
        show = Window.show
        Window.show = lambda self, image, wait_ms=1: show(self, image, wait_ms=150)
        code = main(["video", sys.argv[1], "--show", "--detector", "haar"])
        ended.set()
        sys.exit(code)
    """
    done = _run_under_xvfb(code, str(face_video.path), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert 1 <= len(done.stdout.splitlines()) < 60
