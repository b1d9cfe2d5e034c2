"""Simulated cameras: a real face appears before each for a while and leaves, as MJPEG over HTTP.

Presence depends on the clock alone, so that it does not change when a service is killed and
restarted, and every visit is known to whoever measures.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
from skimage.data import astronaut


@dataclass(frozen=True)
class Plan:
    """When visitors are before a camera.

    Args:
        there_s: How long each visitor stays.
        away_s: How long nobody is there afterwards.
        fps: Frame rate of the stream.
        size: Width and height, px.
    """

    there_s: float
    away_s: float
    fps: float = 15.0
    size: tuple[int, int] = (1280, 720)

    def is_there(self, time_s: float) -> bool:
        """Return whether a visitor is in sight at a time after the start of the stream."""
        return time_s % (self.there_s + self.away_s) < self.there_s

    def visits(self, seconds: float) -> int:
        """Return how many visitors have come within a number of seconds."""
        return math.ceil(seconds / (self.there_s + self.away_s) - 1e-9)


class Streams:
    """Cameras served at `/0`, `/1`, ...; all follow the same plan, each later than the one before.

    Args:
        plan: Plan of each camera.
        phase_s: Delay of each camera's plan relative to that of the camera before.
    """

    def __init__(self, plan: Plan, phase_s: float = 0.0) -> None:
        self.plan, self.phase_s = plan, phase_s
        self.begin_s = time.monotonic()
        width, height = plan.size
        ground = np.random.default_rng(0).integers(70, 110, (height // 8, width // 8, 3), np.uint8)
        empty = cv2.resize(ground, plan.size, interpolation=cv2.INTER_CUBIC)
        head = cv2.resize(np.ascontiguousarray(astronaut()[:300, 70:370]), (height // 2,) * 2)
        # A face that sways between three positions, so that the images are not all the same.
        self._there = [_jpeg(_with(empty, head, shift)) for shift in (0, 2, 4, 2)]
        self._empty = _jpeg(empty)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def address(self, camera: int) -> str:
        """Return the address of a camera."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/{camera}"

    def close(self) -> None:
        """End all streams."""
        self._server.shutdown()

    def _image(self, camera: int, number: int) -> bytes:
        time_s = time.monotonic() - self.begin_s - camera * self.phase_s
        if time_s < 0 or not self.plan.is_there(time_s):
            return self._empty
        return self._there[number // 3 % len(self._there)]

    def _handler(self) -> type:
        streams = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                camera, number, begin_s = int(self.path[1:]), 0, time.monotonic()
                try:
                    while True:
                        jpeg = streams._image(camera, number)
                        head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}"
                        self.wfile.write(head.encode() + b"\r\n\r\n" + jpeg + b"\r\n")
                        number += 1
                        wait_s = begin_s + number / streams.plan.fps - time.monotonic()
                        time.sleep(max(wait_s, 0.0))
                except OSError:
                    return

            def log_message(self, *details: object) -> None:
                """Log nothing."""

        return Handler


def _with(empty: np.ndarray, head: np.ndarray, shift: int) -> np.ndarray:
    image, (height, width) = empty.copy(), head.shape[:2]
    top, left = (empty.shape[0] - height) // 2, (empty.shape[1] - width) // 2 + shift
    image[top : top + height, left : left + width] = head
    return image


def _jpeg(image_rgb: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", image_rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
