"""One live connection to a camera: by index or device (OpenCV) or by address (PyAV)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from builder_tools.media.addresses import camera_name
from builder_tools.media.pyav import decode_past_damage, import_av, open_input, video_stream_of
from builder_tools.media.upright import Upright

_LIVE_OPTIONS = {
    "analyzeduration": "500000",
    "fpsprobesize": "0",
}
"""Open fast. Not "fflags nobuffer": it discards the first key frame, which H.264 needs."""


class Connection(Protocol):
    """An open camera."""

    def grab(self) -> np.ndarray | None:
        """Wait for the next image, `(H, W, 3)` uint8 RGB; None at the end of a finite source.

        Raises:
            ConnectionError: If the camera is gone; the message is the short reason.
        """

    def close(self) -> None:
        """Release the camera."""


def camera_of(source: int | str) -> int | str:
    """Return what a source names: an index, a device path or an address ("1" is index 1).

    Raises:
        ValueError: If it names none of these.
    """
    if isinstance(source, str):
        if source.isdecimal():
            return int(source)
        if "://" in source or source.startswith("/dev/"):
            return source
    elif isinstance(source, int) and not isinstance(source, bool) and source >= 0:
        return source
    raise ValueError(
        "Expected a camera index (0, 1, ...), a device (/dev/video0) or an address (http://..., "
        f"rtsp://...). Received: {source!r}. Try video for files."
    )


def connect(camera: int | str, timeout_s: float) -> Connection:
    """Open a camera.

    Args:
        camera: As returned by `camera_of`.
        timeout_s: How long an address may stay silent.

    Raises:
        ConnectionError: If it cannot be opened; the message is the short reason.
    """
    if isinstance(camera, str) and "://" in camera:
        return _AddressConnection(camera, timeout_s)
    return _DeviceConnection(camera)


def no_camera_message(camera: int | str, reason: str) -> str:
    """Return a message on what was tried, why it failed and what to do."""
    name = camera_name(camera)
    if isinstance(camera, str) and "://" in camera:
        return (
            f"No camera. Tried: {name} with FFmpeg ({reason}). "
            "Check the address, the password, the network, and that the camera is on."
        )
    registry = cv2.videoio_registry
    backends = ", ".join(registry.getBackendName(b) for b in registry.getCameraBackends())
    present = ", ".join(sorted(map(str, Path("/dev").glob("video*")))) or "none"
    devices = f" Video devices present: {present}." if _on_linux() else ""
    return (
        f"No camera. Tried: {name} with OpenCV's {backends} ({reason}).{devices} Is it plugged in, "
        "free and permitted? Others: camera 1, or an address (http://..., rtsp://...)."
    )


class _DeviceConnection:
    def __init__(self, camera: int | str) -> None:
        device = Path(f"/dev/video{camera}" if isinstance(camera, int) else camera)
        if _on_linux() and not device.exists():
            raise ConnectionError(f"{device} does not exist")
        self._capture = cv2.VideoCapture(camera)
        if not self._capture.isOpened():
            self._capture.release()
            raise ConnectionError("it does not open")
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)

    def grab(self) -> np.ndarray | None:
        got, image_bgr = self._capture.read()
        if not got:
            raise ConnectionError("it gives no image")
        return cv2.cvtColor(image_bgr, cv2.COLOR_BGR2RGB)

    def close(self) -> None:
        self._capture.release()


class _AddressConnection:
    def __init__(self, address: str, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        try:
            self._container = open_input(
                address, timeout=(timeout_s, timeout_s), options=_LIVE_OPTIONS
            )
        except (OSError, ValueError) as error:
            raise ConnectionError(self._reason(error)) from error
        self._images = self._decode(address)

    def _decode(self, address: str) -> Iterator[np.ndarray]:
        name = camera_name(address)
        stream = video_stream_of(self._container, name)
        stream.thread_type = "SLICE"  # frame threads would delay images
        packets, upright = self._container.demux(stream), None
        for decoded in decode_past_damage(packets, lambda parts: None, name):
            upright = upright or Upright(decoded, stream, name)
            yield upright.to_rgb(decoded, stream)

    def grab(self) -> np.ndarray | None:
        try:
            image = next(self._images, None)
        except (OSError, ValueError) as error:
            raise ConnectionError(self._reason(error)) from error
        if image is None and self._container.duration is None:
            raise ConnectionError("it closed the stream")
        return image

    def close(self) -> None:
        self._images.close()
        self._container.close()

    def _reason(self, error: BaseException) -> str:
        cause = error.__cause__ or error
        if isinstance(cause, import_av().error.ExitError):
            return f"silent for {self._timeout_s:g} s"
        return getattr(cause, "strerror", None) or str(cause)


def _on_linux() -> bool:
    return sys.platform.startswith("linux")
