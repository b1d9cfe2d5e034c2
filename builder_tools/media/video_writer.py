"""Writes videos that browsers play: H.264 and sound in MP4, at true times, whole or not at all."""

from __future__ import annotations

import math
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import cv2
import numpy as np

from builder_tools.media.partial import partial_path
from builder_tools.media.pipes import Pipe
from builder_tools.media.pyav import explained_writing, import_av
from builder_tools.media.sound import SOUND_TAIL_S, SoundTrack

if TYPE_CHECKING:
    from av import VideoFrame

    from builder_tools.media.video import VideoReader

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov")
ENDING_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
QUALITY_CRF = "20"
SPEED_PRESET = "superfast"
_LOOK_AHEAD = "mbtree=1:rc-lookahead=10"
"""As in the preset "veryfast": files are 4 to 6 % larger than with that preset, not twice as large,
and as good (0.02 dB less), in two thirds of its time."""
_CLOCK_HZ = 60_000
"""Times have at least this resolution."""
_FINEST_CLOCK_HZ = 1_000_000
_MOST_TICKS = 2**28
"""How long MP4 can show an image: 1.2 h at 60 kHz; an image shown for longer is repeated."""
_LEAN_PIXELS = 3840 * 2160
"""Larger images are encoded without lookahead, which would hold dozens of them in memory."""
_LEAN = "rc-lookahead=0:sync-lookahead=0:bframes=0:sliced-threads=1:ref=1"


class VideoWriter:
    """Writes RGB images as an H.264 video (yuv420p, BT.709, faststart).

    A context manager. The file appears under its name only if the `with` block succeeds; after
    an exception nothing is left. For odd sizes the last row or column is doubled, because the
    format requires even ones.

    Args:
        path: Path to write to, ending in .mp4, .m4v or .mov; missing folders are created.
        fps: Frames per second; sets the step between images written without a time.
        size: (width, height) in pixels of every image.
        audio_from: A file, or an open `VideoReader`, whose sound to copy: MP3, and the AAC of MP4
            and Matroska, bit for bit, other codecs as AAC. Its first image is time 0; sound ends
            at most 1 s after the last image written. Damaged sound is left out.

    Raises:
        ValueError: If the suffix, `fps` or the size is invalid, or `audio_from` is not a media
            file.
        FileNotFoundError: If `audio_from` does not exist.
        OSError: If the path cannot be written to.
    """

    def __init__(
        self,
        path: str | Path,
        fps: float,
        size: tuple[int, int],
        *,
        audio_from: str | Path | Pipe | VideoReader | None = None,
    ) -> None:
        self.path = Path(path)
        self.fps = float(fps)
        self.size = (int(size[0]), int(size[1]))
        if self.path.suffix.lower() not in VIDEO_SUFFIXES:
            raise ValueError(
                f"Expected a file name that ends in one of {list(VIDEO_SUFFIXES)}. "
                f"Received: {self.path.name!r}."
            )
        if not (math.isfinite(self.fps) and self.fps > 0) or min(self.size) < 1:
            raise ValueError(
                f"Expected fps > 0 and a size of at least 1 x 1. "
                f"Received: fps={self.fps}, size={self.size}."
            )
        self._partial = partial_path(self.path)
        try:  # fail now, not after an hour of work, if nothing can be written
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.is_dir():
                raise IsADirectoryError(f"{self.path} is a folder")
            self._partial.touch()
        except OSError as error:
            raise OSError(
                f"Cannot write {self.path}: {error.strerror or error}. Try another folder."
            ) from error
        self._sound: SoundTrack | None = None
        self._container = None
        self._last_pts = -1
        self._time_s = 0.0
        try:
            self._open(audio_from)
        except BaseException:
            self.discard()
            raise

    @property
    def has_images(self) -> bool:
        """Whether an image has been written."""
        return self._last_pts >= 0

    def write(self, image_rgb: np.ndarray, time_s: float | None = None) -> None:
        """Add an image.

        Args:
            image_rgb: `(H, W, 3)` uint8 RGB of the writer's size.
            time_s: When it is shown, in seconds from the first image; by default 1/fps after the
                previous one.

        Raises:
            ValueError: If the size differs, or the time is not after the previous one.
        """
        if self._container is None:
            raise ValueError(f"Expected an open writer. {self.path} is already closed.")
        expected = (self.size[1], self.size[0], 3)
        if image_rgb.shape != expected or image_rgb.dtype != np.uint8:
            raise ValueError(
                f"Expected images of shape {expected}, uint8 RGB. "
                f"Received: shape={image_rgb.shape}, dtype={image_rgb.dtype}."
            )
        begun = self.has_images
        if time_s is None:
            time_s = self._time_s + 1 / self.fps if begun else 0.0
        if time_s < 0 or (begun and time_s <= self._time_s):
            raise ValueError(
                f"Expected times that grow. Received: {time_s} s after {self._time_s} s."
            )
        pts = max(round(time_s / self._clock), self._last_pts + 1)
        with explained_writing(self.path):
            while begun and pts - self._last_pts > _MOST_TICKS:
                self._encode(self._last_yuv, self._last_pts + _MOST_TICKS)
            right, below = self.size[0] % 2, self.size[1] % 2
            if right or below:
                edges = (0, below, 0, right)
                image_rgb = cv2.copyMakeBorder(image_rgb, *edges, cv2.BORDER_REPLICATE)
            # Not copied: new memory for each image would cost more than its conversion.
            packed = np.ascontiguousarray(image_rgb)
            rgb = import_av().VideoFrame.from_numpy_buffer(packed, format="rgb24")
            colours = {"dst_colorspace": "ITU709", "dst_color_range": "MPEG"}
            self._encode(self._reformatter.reformat(rgb, format="yuv420p", **colours), pts)
        self._time_s = time_s
        if self._sound is not None:
            self._sound.write_until(time_s)

    def close(self) -> None:
        """Finish the file and give it its name; Ctrl-C and the like wait until that is done.

        Raises:
            ValueError: If no image was written.
            OSError: If the file cannot be written.
        """
        if self._container is None:
            return
        with _signals_waiting():
            try:
                self._finish()
            finally:
                self.discard()

    def discard(self) -> None:
        """Discard what was written and leave no file; harmless after `close`."""
        if self._sound is not None:
            self._sound.close()
        container, self._container = self._container, None
        try:
            if container is not None:
                # What it cannot write any more is not wanted, and the error at hand says why.
                with suppress(OSError, ValueError), explained_writing(self.path):
                    container.close()
        finally:
            self._partial.unlink(missing_ok=True)

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def _open(self, audio_from: str | Path | Pipe | VideoReader | None) -> None:
        av = import_av()
        # Frames per second, or seconds per image, with a denominator of at most 1001.
        if self.fps >= 1:
            rate = Fraction(self.fps).limit_denominator(1001)
        else:
            rate = 1 / Fraction(1 / self.fps).limit_denominator(1001)
        # Makes the duration of an image a whole number of ticks.
        hz = rate.numerator * math.ceil(_CLOCK_HZ / rate.numerator)
        self._clock = Fraction(1, min(hz, _FINEST_CLOCK_HZ))
        self._container = av.open(
            str(self._partial), "w", format="mp4", options={"movflags": "+faststart"}
        )
        params = _LEAN if self.size[0] * self.size[1] > _LEAN_PIXELS else _LOOK_AHEAD
        self._stream = self._container.add_stream(
            "libx264",
            rate=rate,
            options={"preset": SPEED_PRESET, "crf": QUALITY_CRF, "x264-params": params},
        )
        codec = self._stream.codec_context
        codec.width, codec.height = (side + side % 2 for side in self.size)
        codec.pix_fmt = "yuv420p"
        codec.time_base = self._clock
        codec.color_range, codec.colorspace = 1, 1
        codec.color_primaries, codec.color_trc = 1, 1
        codec.thread_type = "AUTO"
        self._reformatter = av.video.reformatter.VideoReformatter()
        if isinstance(audio_from, str | Path | Pipe):
            source = audio_from if isinstance(audio_from, Pipe) else str(audio_from)
            self._sound = SoundTrack(source, self._container)
        elif audio_from is not None:  # also one that turns the images of another
            self._sound = SoundTrack(audio_from.opened, self._container, audio_from.start_s)

    def _finish(self) -> None:
        if not self.has_images:
            raise ValueError(f"Expected at least one image for {self.path}. None was written.")
        with explained_writing(self.path):
            self._container.mux(self._stream.encode(None))
        if self._sound is not None:
            self._sound.write_until(self._time_s + SOUND_TAIL_S)
        container, self._container = self._container, None
        with explained_writing(self.path):
            container.close()
        os.replace(self._partial, self.path)

    def _encode(self, yuv: VideoFrame, pts: int) -> None:
        yuv.pts, yuv.time_base = pts, self._clock
        self._container.mux(self._stream.encode(yuv))
        self._last_yuv, self._last_pts = yuv, pts


@contextmanager
def _signals_waiting() -> Iterator[None]:
    """Have signals that would raise an error wait until the `with` block ends.

    Handlers are replaced, as blocked signals would reach Python through another thread. Python
    handles signals in the main thread only, so there is nothing to do in others.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[int] = []
    numbers = [getattr(signal, name) for name in ENDING_SIGNALS if hasattr(signal, name)]
    numbers = [number for number in numbers if callable(signal.getsignal(number))]
    handlers = {
        number: signal.signal(number, lambda number, frame: heard.append(number))
        for number in numbers
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in heard[:1]:
            signal.raise_signal(number)
