"""Reads videos: every image with its true time, upright, in RGB.

Colours follow the stream's own matrix and range (swscale), and HDR10 (PQ) gets the brightness of
usual films; transparent pixels are composited over white. Non-square pixels are made square. All
images have the size of the first: if a stream changes its size, later images are fitted into it,
padded with black. From a damaged video, whatever can be read is returned, and
`VideoReader.warning` says so at the end.
"""

from __future__ import annotations

import itertools
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from builder_tools.media.addresses import camera_name, without_file_scheme
from builder_tools.media.frame import Frame, fitted
from builder_tools.media.own_process import OwnProcess
from builder_tools.media.pipes import Pipe, check_file, is_pipe
from builder_tools.media.pyav import (
    import_av,
    known_streams,
    open_input,
    shown_images,
    video_stream_of,
)
from builder_tools.media.restarts import has_restarted, image_packets, longest_gap_s
from builder_tools.media.upright import Upright

if TYPE_CHECKING:
    import numpy as np
    from av import VideoFrame

DEFAULT_FPS = 25.0
EARLY_END_S = 1.0
"""A video that ends this much before its declared end is reported as truncated."""
_CLOCK_TIME = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")

_logger = logging.getLogger(__name__)


class VideoReader:
    """The images of a video file, pipe or address, one by one, in constant memory.

    An iterator of `Frame` and a context manager; it can be read once. A missing or backward
    timestamp becomes the previous one plus 1/fps, so times always increase; a clock that restarts
    goes on from there.

    Args:
        source: Path or address of the video; `-` for standard input. Animated GIF, PNG and WebP
            count as videos. Data from a pipe is kept in a temporary file while the reader is open.

    Attributes:
        fps: Mean frames per second according to the header (29.97 stays 29.97...).
        size: (width, height) in square pixels after rotation.
        duration_s: Declared length in seconds, or None if unknown. Recordings joined end to end
            (`cat a.ts b.ts`) declare that of the last one.
        start_s: When the first image is shown on the file's own clock, in seconds.
        has_audio: Whether there is a sound stream.
        opened: What was opened, which can be opened again; `VideoWriter(audio_from=...)` takes it
            or, as is better for live streams, the reader itself.
        warning: None or, after the last image, a sentence on what could not be read.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a video, too large, or no image of it can be decoded.
        OSError: If it cannot be read, or an address does not answer.
    """

    def __init__(self, source: str | Path) -> None:
        if not isinstance(source, str | os.PathLike):
            raise ValueError(
                f"Expected the path or address of a video. Received: {type(source).__name__}. "
                "Save it to a file first, or give its images to analyse_image one by one."
            )
        self.source = without_file_scheme(os.fspath(source))
        self._name = camera_name(self.source)
        self.warning: str | None = None
        self._owner = OwnProcess("a video", "Open it there by itself.")
        self.opened: str | Pipe = self.source
        if is_pipe(self.source):
            self.opened = Pipe(self.source)
        elif "://" not in self.source:
            check_file(self.source)
        try:
            self._container = open_input(self.opened)
            try:
                self._open_stream()
            except BaseException:
                self._container.close()
                raise
        except BaseException:
            self._close_pipe()
            raise

    def _open_stream(self) -> None:
        self._stream = video_stream_of(self._container, self._name)
        self._damaged = 0
        self._longest_gap_s = longest_gap_s(self._container)
        decoded = self._decode()
        first = next(decoded, None)
        if first is None:
            raise ValueError(f"Not one image of the video {self._name!r} could be decoded.")
        self.start_s, self._is_timed = first.time or 0.0, first.time is not None
        rate, guessed = self._stream.average_rate, self._stream.guessed_rate
        if not rate or (guessed and rate > 2 * guessed):  # raw DV gives clock ticks
            rate = guessed
        if not rate:
            _logger.warning("%s names no frame rate; %s is assumed.", self._name, DEFAULT_FPS)
        self.fps = float(rate or DEFAULT_FPS)
        self.duration_s = self._declared_s()
        self.has_audio = bool(known_streams(self._container.streams.audio))
        self._upright = Upright(first, self._stream, self._name)
        self.size = self._upright.size
        self._frames = self._to_frames(itertools.chain([first], decoded))

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        self._owner.check()
        return next(self._frames)

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._frames.close()
        if self._container is not None:
            self._container.close()
        # This ends the decoder's threads; a process forked later must not find them running.
        self._container = self._stream = None
        self._close_pipe()

    def _close_pipe(self) -> None:
        if isinstance(self.opened, Pipe):
            self.opened.close()

    def _decode(self) -> Iterator[VideoFrame]:
        try:
            packets = image_packets(self._container, self._stream)
            images, self._is_told = shown_images(
                packets, self._stream, self._count_damage, self._name
            )
            yield from images
        except OSError as error:
            _logger.debug("%s stops with %s", self._name, error)
            self._damaged += 1

    def _declared_s(self) -> float | None:
        """Return for how long images are shown by the header, or None if it does not say."""
        if self._stream.duration is not None:
            return float(self._stream.duration * self._stream.time_base)
        told = _CLOCK_TIME.fullmatch(self._stream.metadata.get("DURATION", ""))
        if told:  # of Matroska: until when by FFmpeg (Lavf), for how long by mkvmerge
            hours, minutes, seconds = map(float, told.groups())
            length_s = 3600 * hours + 60 * minutes + seconds
            writer = self._container.metadata.get("ENCODER", "")
            length_s -= self.start_s if writer.startswith("Lavf") else 0.0
        elif self._container.duration is not None:  # of everything in the file
            length_s = self._container.duration / import_av().time_base - self.start_s
            if "matroska" not in self._container.format.name:
                length_s += (self._container.start_time or 0) / import_av().time_base
        else:
            return None
        return length_s if length_s > 0 else None

    def _count_damage(self, parts: int) -> None:
        self._damaged += parts

    def _timed(self, images: Iterator[VideoFrame]) -> Iterator[tuple[float, VideoFrame]]:
        """Yield each image after its time, in seconds from the first; times always increase."""
        time_s, shift_s, restarted_s = None, 0.0, 0.0
        for image in images:
            stamp_s = image.time
            if time_s is None:
                time_s = 0.0
                shift_s = restarted_s = -(stamp_s or 0.0)
            elif stamp_s is None:
                time_s += 1 / self.fps
            else:
                # One time far off is damaged; from the second on, the clock has restarted.
                if has_restarted(stamp_s + shift_s - time_s, self._longest_gap_s):
                    shift_s = restarted_s
                is_later = 0 < stamp_s + shift_s - time_s < self._longest_gap_s
                time_s = stamp_s + shift_s if is_later else time_s + 1 / self.fps
                restarted_s = time_s - stamp_s
            yield time_s, image

    def _to_frames(self, stream: Iterator[VideoFrame]) -> Iterator[Frame]:
        index, time_s = -1, 0.0
        for time_s, decoded in self._timed(stream):
            try:
                image = self._to_rgb(decoded)
            except ValueError as error:
                _logger.debug("%s: a decoded cannot be shown: %s", self._name, error)
                self._damaged += 1
                continue
            index += 1
            yield Frame(index, time_s, image)
        self._warn(index + 1, time_s)

    def _to_rgb(self, decoded: VideoFrame) -> np.ndarray:
        """Return `(H, W, 3)` uint8 RGB of the reader's size, upright."""
        return fitted(self._upright.to_rgb(decoded, self._stream), self.size)

    def _warn(self, read: int, end_s: float) -> None:
        """Log what is missing after everything has been read."""
        promised, promised_s, found = self._stream.frames, self.duration_s or 0.0, []
        if promised and self._container.format.name == "avi":
            # It counts ticks of its clock; where an image is left out, the one before is shown.
            promised, promised_s = 0, float(promised * self._stream.time_base)
        if promised and "mov" in self._container.format.name:
            # The edit list of a trimmed clip hides images that are in the file.
            shown = sum(not entry.is_discard for entry in self._stream.index_entries)
            promised = min(promised, shown or promised)
        if self._damaged:
            found.append(f"{self._damaged} damaged parts")
        if promised > read:
            found.append(f"its header promises {promised} images")
        if not promised and promised_s - end_s - 1 / self.fps > EARLY_END_S:
            found.append(f"its header promises {promised_s:.1f} s")
        if found:
            self.warning = (
                f"{self._name}: {read} images ({end_s:.1f} s) could be read; {', '.join(found)}."
            )
            _logger.warning("%s", self.warning)
