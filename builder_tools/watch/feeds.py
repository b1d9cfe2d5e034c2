"""Camera feeds that reconnect whenever they are lost, for as long as the service runs."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

from builder_tools.media import CameraReader, Frame, VideoReader
from builder_tools.watch.config import Camera

FIRST_DELAY_S, LONGEST_DELAY_S = 1.0, 30.0
CONNECTING, WATCHING, LOST, ENDED = "connecting", "watching", "lost", "ended"

logger = logging.getLogger(__name__)


class Feed:
    """The newest image of a camera, whatever happens to it.

    A thread reads; late images are replaced, not queued. If a camera is lost, or was never there,
    reconnecting is tried after 1, 2, 4 ... 30 s, indefinitely. A film is played once at its own
    speed, as a camera would show it.

    Args:
        camera: The camera.
        news: Notified whenever there is a new image.

    Attributes:
        state: `connecting`, `watching`, `lost` (being tried again) or `ended` (a film).
        message: Why it is lost.
    """

    def __init__(self, camera: Camera, news: threading.Condition) -> None:
        self.camera, self._news = camera, news
        self.state, self.message = CONNECTING, ""
        self._newest: Frame | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=camera.name, daemon=True)
        self._thread.start()

    def take(self) -> Frame | None:
        """Return the newest image, or None if it was taken already."""
        with self._news:
            newest, self._newest = self._newest, None
            return newest

    @property
    def waits(self) -> bool:
        """Whether there is an image to take."""
        return self._newest is not None

    @property
    def is_over(self) -> bool:
        """Whether it is a film whose last image was taken."""
        return self.state == ENDED and not self.waits

    def close(self) -> None:
        """Release the camera; may be called twice."""
        self._stop.set()
        self._thread.join(timeout=5.0)

    def _run(self) -> None:
        delay_s = FIRST_DELAY_S
        while not self._stop.is_set():
            began_s = time.monotonic()
            try:
                self._watch()
            except Exception as error:  # also of a driver or a decoder; the other cameras go on
                self.message = " ".join(str(error).split()) or type(error).__name__
                self.state = LOST
                foreseen = isinstance(error, OSError | ValueError | RuntimeError)
                logger.warning("%s: %s", self.camera.name, self.message, exc_info=not foreseen)
            if self.state == ENDED:
                return
            if time.monotonic() - began_s > LONGEST_DELAY_S:
                delay_s = FIRST_DELAY_S
            self._stop.wait(delay_s)
            delay_s = min(2 * delay_s, LONGEST_DELAY_S)

    def _watch(self) -> None:
        source = self.camera.source
        if isinstance(source, str) and Path(source).is_file():
            self._play(source)
            return
        with CameraReader(source, retries=0) as reader:
            while not self._stop.is_set():
                frame = reader.read(0.5)
                if frame is not None:
                    self._publish(frame)
                elif reader.ended:
                    raise ConnectionError(reader.error or "the camera ended")

    def _play(self, path: str) -> None:
        start_s = time.monotonic()
        with VideoReader(path) as reader:
            for frame in reader:
                self._stop.wait(max(frame.time_s - (time.monotonic() - start_s), 0.0))
                if self._stop.is_set():
                    return
                self._publish(frame)
        self.state = ENDED

    def _publish(self, frame: Frame) -> None:
        with self._news:
            self.state, self.message = WATCHING, ""
            self._newest = frame
            self._news.notify_all()
