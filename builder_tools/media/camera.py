"""Live images: always the newest one, across interruptions, with a well-defined end."""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections.abc import Iterator

import numpy as np

from builder_tools.media.addresses import camera_name
from builder_tools.media.connections import (
    Connection,
    camera_of,
    connect,
    no_camera_message,
)
from builder_tools.media.frame import Frame
from builder_tools.media.own_process import OwnProcess

CLOSE_TIMEOUT_S = 2.0

_logger = logging.getLogger(__name__)


class CameraReader:
    """The newest image of a camera or network stream: late images are dropped, not queued.

    A context manager and an iterator of `Frame`. A thread reads as fast as the camera delivers
    and keeps one image. `Frame.index` counts every image received, so gaps reveal dropped ones;
    `Frame.time_s` is the monotonic time of arrival since the first image. If the camera
    disappears, reconnecting is tried `retries` times in a row, after `first_delay_s` and then
    twice as long each time, up to `longest_delay_s`; then iteration stops and `error` says why.

    Args:
        source: Camera index, device path or address (MJPEG over HTTP, RTSP, ...).
        retries: Attempts to reconnect after a loss.
        first_delay_s: Delay before the first attempt.
        longest_delay_s: The longest delay.
        timeout_s: How long an address may stay silent before it counts as lost.

    Attributes:
        size: (width, height) of the first image.
        dropped: Number of images replaced by a newer one before they were read.
        error: Why the images ended; None while they continue and after `close`.
        ended: Whether no more images will follow.

    Raises:
        ConnectionError: If there is no camera; lists what was tried.
        ValueError: If `source` cannot name a camera.
    """

    def __init__(
        self,
        source: int | str = 0,
        *,
        retries: int = 5,
        first_delay_s: float = 0.5,
        longest_delay_s: float = 8.0,
        timeout_s: float = 5.0,
    ) -> None:
        self.source = camera_of(source)
        self.error: str | None = None
        self.dropped = 0
        self.ended = False
        self._retries = retries
        self._delays_s = (first_delay_s, longest_delay_s)
        self._timeout_s = timeout_s
        self._news = threading.Condition()
        self._stop = threading.Event()
        self._newest: Frame | None = None
        self._unread = False
        self._name = camera_name(self.source)
        self._owner = OwnProcess(self._name, "Open it there by itself.")
        try:
            connection, image = self._connect()
        except ConnectionError as error:
            raise ConnectionError(no_camera_message(self.source, str(error))) from error
        self.size = (image.shape[1], image.shape[0])
        self._start_s = time.monotonic()
        self._publish(image)
        self._thread = threading.Thread(
            target=self._run, args=(connection,), name=self._name, daemon=True
        )
        atexit.register(self.close)
        self._thread.start()

    def read(self, timeout_s: float | None = None) -> Frame | None:
        """Wait for an image newer than the last one returned.

        Args:
            timeout_s: How long to wait; None waits until there is one or the camera has ended.

        Returns:
            The newest image, or None on timeout or if no more will follow (`ended`).

        Raises:
            RuntimeError: In a forked process.
        """
        self._owner.check()
        with self._news:
            self._news.wait_for(lambda: self._unread or self.ended, timeout_s)
            if not self._unread:
                return None
            self._unread = False
            return self._newest

    def close(self) -> None:
        """Stop, within 2 s even if the camera is silent. May be called twice."""
        self._stop.set()
        self._end(None)
        self._thread.join(timeout=CLOSE_TIMEOUT_S)
        atexit.unregister(self.close)

    def __enter__(self) -> CameraReader:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        frame = self.read()
        if frame is None:
            raise StopIteration
        return frame

    def _connect(self) -> tuple[Connection, np.ndarray]:
        """Open the camera and wait for its first image."""
        connection = connect(self.source, self._timeout_s)
        try:
            image = connection.grab()
            if image is None:
                raise ConnectionError("it opened but gave no image")
        except BaseException:
            connection.close()
            raise
        return connection, image

    def _run(self, connection: Connection | None) -> None:
        """Run the reader thread: images, losses, reconnections."""
        try:
            while connection is not None:
                lost = self._pump(connection)
                connection = self._reconnect(lost) if lost else None
            self._end(None)
        except Exception as error:
            _logger.exception("Reading %s failed.", self._name)
            self._end(f"Reading {self._name} failed: {error}")

    def _pump(self, connection: Connection) -> str | None:
        """Publish images until stopped or at the end (returns None), or lost (returns why)."""
        try:
            while not self._stop.is_set():
                image = connection.grab()
                if image is None:
                    return None
                self._publish(image)
            return None
        except ConnectionError as error:
            return str(error)
        finally:
            connection.close()

    def _reconnect(self, lost: str) -> Connection | None:
        """Try again with growing delays; return None if stopped or unsuccessful."""
        reason = lost
        for attempt in range(1, self._retries + 1):
            delay_s = min(self._delays_s[0] * 2 ** (attempt - 1), self._delays_s[1])
            _logger.warning(
                "Lost %s: %s. Attempt %d of %d to reconnect in %.1f s.",
                *(self._name, reason, attempt, self._retries, delay_s),
            )
            if self._stop.wait(delay_s):
                return None
            try:
                connection, image = self._connect()
            except ConnectionError as error:
                reason = str(error)
                continue
            _logger.warning("%s is back.", self._name)
            self._publish(image)
            return connection
        self._end(
            f"Lost {self._name}: {lost}. {self._retries} attempts to reconnect failed: {reason}."
        )
        return None

    def _publish(self, image: np.ndarray) -> None:
        time_s = time.monotonic() - self._start_s
        with self._news:
            index = 0 if self._newest is None else self._newest.index + 1
            self.dropped += self._unread
            self._newest, self._unread = Frame(index, time_s, image), True
            self._news.notify_all()

    def _end(self, error: str | None) -> None:
        with self._news:
            if not self.ended and error is not None:
                self.error = error
                _logger.error("%s", error)
            self.ended = True
            self._news.notify_all()
