"""Reading videos: every picture with its true time, upright, in RGB.

Colours follow the stream's own matrix and range (swscale). Non-square pixels are not stretched.
A damaged video gives what can be read and then says so in `VideoReader.warning`.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from builder_tools.media.frame import Frame
from builder_tools.media.pyav import decode_past_damage, import_av, open_input, video_stream_of

if TYPE_CHECKING:
    from av import VideoFrame

DEFAULT_FPS = 25.0
EARLY_END_S = 1.0
"""A video that ends this much before its declared end is reported as cut short."""

_logger = logging.getLogger(__name__)


class VideoReader:
    """The pictures of a video file or address, one by one, in constant memory.

    An iterator of `Frame` and a context manager; it can be read once. A missing or backward
    timestamp becomes the previous one plus 1/fps, so times always increase.

    Args:
        source: Path or address of the video; a GIF counts as one.

    Attributes:
        fps: Mean pictures a second as the header says (29.97 stays 29.97...).
        size: (width, height) in pixels after rotation.
        duration_s: Declared length in seconds, or None when unknown.
        has_audio: Whether there is a sound stream.
        warning: None, or after the last picture a sentence on what could not be read.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no video, or not one picture can be decoded.
    """

    def __init__(self, source: str | Path) -> None:
        self.source = str(source)
        self.warning: str | None = None
        _check_path(self.source)
        self._container = open_input(self.source)
        try:
            self._open_stream()
        except BaseException:
            self._container.close()
            raise

    def _open_stream(self) -> None:
        self._stream = video_stream_of(self._container, self.source)
        self._damaged = 0
        self._reformatter = import_av().video.reformatter.VideoReformatter()
        decoded = self._decode()
        first = next(decoded, None)
        if first is None:
            raise ValueError(f"Not one picture of the video {self.source!r} could be decoded.")
        self.fps = self._declared_fps()
        self.duration_s = self._declared_duration_s()
        self.has_audio = bool(self._container.streams.audio)
        self._coded_size = (first.width, first.height)
        self._matrix = _display_matrix(first)
        turned = self._matrix[0, 0] == 0
        self.size = self._coded_size[::-1] if turned else self._coded_size
        self._frames = self._to_frames(itertools.chain([first], decoded))

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        return next(self._frames)

    def close(self) -> None:
        """Closes the file; may be called twice."""
        self._frames.close()
        self._container.close()

    def _decode(self) -> Iterator[VideoFrame]:
        try:
            yield from decode_past_damage(self._container, self._stream, self._count_damage)
        except import_av().error.FFmpegError as error:
            _logger.debug("%s stops with %s", self.source, error)
            self._damaged += 1

    def _count_damage(self, parts: int) -> None:
        self._damaged += parts

    def _to_frames(self, pictures: Iterator[VideoFrame]) -> Iterator[Frame]:
        index, time_s, start_s = -1, 0.0, None
        for index, picture in enumerate(pictures):
            stamp_s = picture.time
            if start_s is None:
                start_s = stamp_s or 0.0
            elif stamp_s is None or stamp_s - start_s <= time_s:
                time_s += 1 / self.fps
            else:
                time_s = stamp_s - start_s
            yield Frame(index, time_s, self._to_rgb(picture))
        self._warn(index + 1, time_s)

    def _to_rgb(self, picture: VideoFrame) -> np.ndarray:
        """Converts in FFmpeg's buffer, which is used again for the next picture, then copies.

        Handing that buffer out instead costs a fresh one a picture: half the speed at 720p.
        """
        width, height = self._coded_size
        converted = self._reformatter.reformat(picture, width, height, "rgb24", threads=1)
        return _turn(converted.to_ndarray().copy(), self._matrix)

    def _declared_fps(self) -> float:
        rate = self._stream.average_rate or self._stream.guessed_rate
        if not rate:
            _logger.warning("%s names no frame rate; %s is assumed.", self.source, DEFAULT_FPS)
        return float(rate or DEFAULT_FPS)

    def _declared_duration_s(self) -> float | None:
        if self._stream.duration is not None:
            return float(self._stream.duration * self._stream.time_base)
        if self._container.duration is not None:
            return self._container.duration / import_av().time_base
        return None

    def _warn(self, read: int, end_s: float) -> None:
        """Says what is missing, once all is read."""
        promised, found = self._stream.frames, []
        if self._damaged:
            found.append(f"{self._damaged} damaged parts")
        if promised > read:
            found.append(f"its header promises {promised} pictures")
        if not promised and (self.duration_s or 0) - end_s - 1 / self.fps > EARLY_END_S:
            found.append(f"its header promises {self.duration_s:.1f} s")
        if found:
            self.warning = (
                f"{self.source}: {read} pictures ({end_s:.1f} s) could be read; {', '.join(found)}."
            )
            _logger.warning("%s", self.warning)


def _check_path(source: str) -> None:
    if "://" in source:
        return
    path = Path(source)
    if not path.exists():
        raise FileNotFoundError(f"No video at {source!r}. Check the spelling and the folder.")
    if path.is_dir():
        raise ValueError(f"Expected a video file. Received a folder: {source!r}.")
    if path.stat().st_size == 0:
        raise ValueError(f"Expected a video. Received an empty file (0 bytes): {source!r}.")


def _display_matrix(picture: VideoFrame) -> np.ndarray:
    """Gives how to turn the coded picture for display: `(2, 2)` of -1, 0, 1.

    Ask the first picture only: PyAV ties a picture whose side data was looked at into a reference
    cycle, and a video full of those takes gigabytes before the garbage collector comes.

    FFmpeg's matrix maps a point to x' = a x + c y, y' = b x + d y; here [[a, b], [c, d]].
    """
    data: Any = picture.side_data.get("DISPLAYMATRIX")
    if data is None:
        return np.eye(2, dtype=int)
    matrix = np.frombuffer(data, np.int32).reshape(3, 3)[:2, :2] / 65536
    return np.rint(matrix).astype(int)


def _turn(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    (a, b), (c, d) = matrix
    if a == 0 and b and c:
        image, flip_x, flip_y = cv2.transpose(image), c < 0, b < 0
    else:
        flip_x, flip_y = a < 0, d < 0
    if flip_x and flip_y:
        return cv2.flip(image, -1)
    return cv2.flip(image, int(flip_x)) if flip_x or flip_y else image
