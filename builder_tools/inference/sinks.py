"""Where results go as they are produced: a window, a notebook, a video file.

A sink is called with each `FrameResult` (its image drawn) and returns whether to go on. The modules
that open windows and write files are imported on demand, as most images need neither.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from builder_tools.media.frame import fitted
from builder_tools.media.guarding import UnusedPaths
from builder_tools.results import FrameResult

if TYPE_CHECKING:
    from builder_tools.media import CameraReader, VideoReader, VideoWriter

QUIT_KEYS = ("q", "esc")
SNAPSHOT_KEY = "s"
REST_KEY = "c"
HOLD_POLL_MS = 30

logger = logging.getLogger(__name__)


class Sink(Protocol):
    """A consumer of results, one by one."""

    def take(self, result: FrameResult) -> bool:
        """Take a result; False asks the loop to end."""
        ...

    def wait(self) -> bool:
        """Wait while a live source provides nothing; False asks the loop to end."""
        ...

    def close(self, error: BaseException | None) -> None:
        """Close, once: after the last result (None) or with the error that ended the loop."""
        ...


class NoSink:
    """`show_state_mode="none"`: show nothing."""

    def take(self, result: FrameResult) -> bool:
        return True

    def wait(self) -> bool:
        return True

    def close(self, error: BaseException | None) -> None:
        pass


class WindowSink:
    """`show_state_mode="cv2"`: a window; q or Esc quits, s saves a snapshot.

    Args:
        title: Title of the window.
        folder: Where snapshots are saved.
        hold: Whether each image stays until a key is pressed (still images).
        on_rest_key: Called when the c key is pressed.
    """

    def __init__(
        self,
        title: str,
        *,
        folder: str | Path = ".",
        hold: bool = False,
        on_rest_key: Callable[[], None] = lambda: None,
    ) -> None:
        from builder_tools.media import Window

        self._window, self._folder, self._hold = Window(title), Path(folder), hold
        self._on_rest_key = on_rest_key
        self._last: FrameResult | None = None

    def take(self, result: FrameResult) -> bool:
        key = self._window.show(result.image)
        while self._hold and key in (None, SNAPSHOT_KEY):
            self._snapshot_if(key, result)
            key = self._window.show(result.image, wait_ms=HOLD_POLL_MS)
        self._snapshot_if(key, result)
        if key == REST_KEY:
            self._on_rest_key()
        self._last = result
        return key not in QUIT_KEYS

    def wait(self) -> bool:
        return self._last is None or self.take(self._last)

    def close(self, error: BaseException | None) -> None:
        self._window.close()

    def _snapshot_if(self, key: str | None, result: FrameResult) -> None:
        if key == SNAPSHOT_KEY:
            from builder_tools.media.images import write_unused

            name = f"snapshot_{time.strftime('%Y%m%d_%H%M%S')}_{result.frame}.png"
            try:
                path = write_unused(self._folder / name, result.image, UnusedPaths())
                logger.warning("Saved %s", path)
            except (OSError, ValueError) as error:  # the rest, a recording too, goes on
                logger.warning("No snapshot is saved: %s", error)


class InlineSink:
    """`show_state_mode="inline"`: an image in the notebook, replaced by the next one."""

    def __init__(self) -> None:
        try:
            from IPython.display import display
        except ImportError as error:
            raise ImportError(
                "show_state_mode='inline' needs a notebook. Try `pip install notebook`, or "
                "show_state_mode='none'."
            ) from error
        self._display, self._handle = display, None

    def take(self, result: FrameResult) -> bool:
        from IPython.display import Image
        from PIL import Image as Pillow

        image = Image(data=Pillow.fromarray(result.image)._repr_png_(), format="png")
        if self._handle is None:
            self._handle = self._display(image, display_id=True)
        else:
            self._handle.update(image)
        return True

    def wait(self) -> bool:
        return True

    def close(self, error: BaseException | None) -> None:
        pass


def open_show_sink(mode: str, *, required: bool, **window: Any) -> Sink:
    """Open the sink that shows results.

    Args:
        mode: `cv2`, `inline` or `none`.
        required: Whether to raise an error if there is no screen, instead of showing nothing.
        window: Arguments of `WindowSink` other than its title.
    """
    if mode == "inline":
        return InlineSink()
    if mode == "none":
        return NoSink()
    try:
        return WindowSink("builder_tools", **window)
    except RuntimeError as error:
        if required:
            raise
        logger.warning("Results are given but not shown. %s", error)
        return NoSink()


class VideoSink:
    """Write the drawn frames to a video file with the sound of their source.

    Args:
        writer: An open `VideoWriter`; the loop closes it, or discards it after an error or an
            early end.
    """

    def __init__(self, writer: VideoWriter) -> None:
        self._writer = writer

    @classmethod
    def open(cls, out: str | Path, reader: VideoReader) -> VideoSink:
        """Return a sink that writes a file while the video is read."""
        from builder_tools.media import VideoWriter

        return cls(VideoWriter(out, reader.fps, reader.size, audio_from=reader))

    def take(self, result: FrameResult) -> bool:
        self._writer.write(result.image, result.time_s)
        return True

    def wait(self) -> bool:
        return True

    def close(self, error: BaseException | None) -> None:
        if error is None:
            self._writer.close()
        else:
            self._writer.discard()


class LiveVideoSink(VideoSink):
    """Write the drawn images of a camera, whose film is kept however it ends.

    Images of another size (after a camera has reconnected) are fitted in with black borders.
    """

    @classmethod
    def open(cls, out: str | Path, reader: CameraReader) -> LiveVideoSink:
        """Return a sink that writes a file while the camera is read."""
        from builder_tools.media import VideoWriter
        from builder_tools.media.video import DEFAULT_FPS

        return cls(VideoWriter(out, DEFAULT_FPS, reader.size))

    def take(self, result: FrameResult) -> bool:
        self._writer.write(fitted(result.image, self._writer.size), result.time_s)
        return True

    def close(self, error: BaseException | None) -> None:
        if self._writer.has_images:
            self._writer.close()
        else:
            self._writer.discard()


def closer(sink: Sink):
    """Return an exit callback for a `with` that closes a sink, passing on any error."""

    def close(kind, error, trace) -> bool:
        sink.close(error)
        return False

    return close


class FrameRate:
    """Frames per second over the last `seconds`."""

    def __init__(self, seconds: float = 2.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock, self._times = seconds, clock, deque()

    def tick(self) -> float | None:
        """Count a frame; return the rate, or None for the first one."""
        now = self._clock()
        self._times.append(now)
        while now - self._times[0] > self._seconds and len(self._times) > 2:
            self._times.popleft()
        span = now - self._times[0]
        return (len(self._times) - 1) / span if span > 0 else None
