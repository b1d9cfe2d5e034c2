"""A window that shows images and reads keys."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress

import cv2
import numpy as np

_KEY_NAMES = {27: "esc", 13: "enter", 10: "enter", 9: "tab", 8: "backspace"}
_NO_KEY = -1
_WINDOW_FLAGS = cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL
_X_PORT = 6000
_ADVICE = "Try --headless, no --show (show_state_mode='none'), or xvfb-run."


class Window:
    """A window on the screen; a context manager.

    Args:
        title: Text of the title bar.

    Raises:
        RuntimeError: If there is no display. OpenCV would end the whole process, so this is
            checked first.
    """

    def __init__(self, title: str = "builder_tools") -> None:
        check_display()
        self.title = title
        self.closed = False
        cv2.namedWindow(title, _WINDOW_FLAGS)
        self._size: tuple[int, int] | None = None

    def show(self, image_rgb: np.ndarray, *, wait_ms: int = 1) -> str | None:
        """Show an image and return the key pressed meanwhile.

        Args:
            image_rgb: `(H, W, 3)` uint8 RGB.
            wait_ms: How long to wait for a key; 0 waits until one is pressed.

        Returns:
            None, a lower-case character, "esc", "enter", "tab" or "backspace"; "esc" also if the
            user has closed the window (`closed` is then True).
        """
        if self._is_gone():
            return "esc"
        if self._size is None:
            self._size = (image_rgb.shape[1], image_rgb.shape[0])
            cv2.resizeWindow(self.title, *self._size)
        cv2.imshow(self.title, cv2.cvtColor(image_rgb, cv2.COLOR_RGB2BGR))
        key = cv2.waitKey(wait_ms)
        return "esc" if self._is_gone() else key_name(key)

    def _is_gone(self) -> bool:
        """Return whether the user has closed the window; showing an image would reopen it."""
        if self._size is not None and not self.closed:
            try:
                self.closed = cv2.getWindowProperty(self.title, cv2.WND_PROP_VISIBLE) < 1
            except cv2.error:  # raised by OpenCV once its last window is closed
                self.closed = True
        return self.closed

    def close(self) -> None:
        """Close the window; may be called twice."""
        if not self._is_gone():
            self.closed = True
            cv2.destroyWindow(self.title)

    def __enter__(self) -> Window:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def check_display() -> None:
    """Refuse if no window can be opened.

    OpenCV's wheel draws only via X; under Wayland that needs XWayland, which also sets DISPLAY.

    Raises:
        RuntimeError: If this is Linux and DISPLAY is unset or no server answers there.
    """
    if not sys.platform.startswith("linux"):
        return
    display = os.environ.get("DISPLAY", "")
    if not display:
        raise RuntimeError(f"No window can be opened: DISPLAY is not set. {_ADVICE}")
    if not _answers(display):
        raise RuntimeError(
            f"No window can be opened: no X server answers at DISPLAY={display!r}. {_ADVICE}"
        )


def _answers(display: str) -> bool:
    """Return whether an X display answers, such as ":0", "localhost:10.0" or a socket's path."""
    host, _, number = display.rpartition(":")
    number = number.split(".")[0]
    if not number.isdecimal():
        return False
    local = host in ("", "unix")
    addresses = [f"\0/tmp/.X11-unix/X{number}", f"/tmp/.X11-unix/X{number}"]
    tries = (
        addresses if local else [display] * host.startswith("/") + [(host, _X_PORT + int(number))]
    )
    for address in tries:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as knock, suppress(OSError):
            knock.settimeout(3)
            knock.connect(address)
            return True
    return False


def key_name(key: int) -> str | None:
    """Return the name of a key code that `cv2.waitKey` returned."""
    if key == _NO_KEY:
        return None
    code = key & 0xFF
    return _KEY_NAMES.get(code) or (chr(code).lower() if 32 <= code < 127 else None)
