"""The window: keys, sizes, closing, and screens that are not there."""

import os
import shutil
import subprocess
import sys
import textwrap

import pytest

from builder_tools.media import Window
from builder_tools.media.window import check_display, key_name

linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="X displays only")


@linux_only
@pytest.mark.parametrize(
    ("display", "message"),
    [("", "DISPLAY is not set"), (":87", "no X server answers"), ("nonsense", "no X server")],
)
def test_without_a_display_it_refuses_before_opencv_aborts(monkeypatch, display, message):
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    for refused in (Window, check_display):
        with pytest.raises(RuntimeError, match=f"{message}.*--headless"):
            refused()


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (-1, None),
        (27, "esc"),
        (ord("q"), "q"),
        (ord("Q"), "q"),
        (ord("s") | 0x100000, "s"),
        (13, "enter"),
        (32, " "),
        (0xFFE1, None),
    ],
)
def test_keys_have_names(code, name):
    assert key_name(code) == name


def _run_under_xvfb(code):
    for program in ("xvfb-run", "xauth"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [
            "xvfb-run",
            "-a",
            "-s",
            "-screen 0 800x600x24 -noreset",
            sys.executable,
            "-c",
            textwrap.dedent(code),
        ],
        capture_output=True,
        text=True,
        timeout=50,
        env=environment,
        check=False,
    )


def test_a_real_key_press_is_seen():
    if shutil.which("xdotool") is None:
        pytest.skip("xdotool is not installed")
    done = _run_under_xvfb(
        """
        import subprocess, time
        import numpy as np
        from builder_tools.media import Window

        image = np.zeros((120, 160, 3), np.uint8)
        with Window("faces") as window:
            assert window.show(image, wait_ms=50) is None
            found = subprocess.run(
                ["xdotool", "search", "--name", "^faces$"], capture_output=True, text=True
            )
            name = found.stdout.split()[0]
            subprocess.run(["xdotool", "windowfocus", "--sync", name], check=True)
            for key in ("s", "Escape", "q"):
                subprocess.run(["xdotool", "key", key], check=True)
                deadline_s, seen = time.monotonic() + 20, None
                while seen is None and time.monotonic() < deadline_s:
                    seen = window.show(image, wait_ms=20)
                print(seen)
        """
    )
    assert done.stdout.split() == ["s", "esc", "q"], done.stderr
    assert done.returncode == 0


def test_the_image_is_shown_in_its_colours():
    done = _run_under_xvfb(
        """
        import os, time
        import numpy as np
        from PIL import ImageGrab
        from builder_tools.media import Window

        deadline_s, shown = time.monotonic() + 40, 0
        with Window("faces") as window:
            while shown < 300 * 400 and time.monotonic() < deadline_s:
                window.show(np.full((300, 400, 3), (250, 120, 10), np.uint8), wait_ms=50)
                screen = np.array(ImageGrab.grab(xdisplay=os.environ["DISPLAY"]).convert("RGB"))
                shown = (np.abs(screen.astype(int) - (250, 120, 10)).max(axis=-1) < 3).sum()
        print(shown)
        """
    )
    assert done.stdout.strip() == str(300 * 400), done.stderr


def test_a_window_closed_by_the_user_stays_closed():
    done = _run_under_xvfb(
        """
        import cv2, numpy as np
        from builder_tools.media import Window

        image = np.zeros((120, 160, 3), np.uint8)
        with Window("faces") as window:
            assert window.show(image, wait_ms=20) is None and not window.closed
            cv2.destroyWindow("faces")
            print(window.show(image), window.show(image), window.closed)
        """
    )
    assert done.stdout.split() == ["esc", "esc", "True"], done.stderr


def test_images_given_to_a_window_are_not_changed():
    done = _run_under_xvfb(
        """
        import numpy as np
        from builder_tools.media import Window

        image = np.arange(120 * 160 * 3, dtype=np.uint32).astype(np.uint8).reshape(120, 160, 3)
        before = image.copy()
        with Window() as window:
            window.show(image)
        print((image == before).all())
        """
    )
    assert done.stdout.strip() == "True", done.stderr
