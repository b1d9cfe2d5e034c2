"""Sections of a video, image by image at any times, not only from key frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from builder_tools.media.pyav import (
    decode_past_damage,
    explained,
    open_input,
    video_stream_of,
)
from builder_tools.media.video import VideoReader

if TYPE_CHECKING:
    from av import VideoFrame

_TOLERANCE_FRAMES = 0.25
"""A time that precedes an image's by up to this fraction of a frame selects that image."""
_EARLIER_S = 10.0


class ClipReader(VideoReader):
    """A video that can be read from anywhere, any number of times.

    Arguments, attributes and errors are those of `VideoReader`.

    Attributes:
        ends_s: Until when the last image is shown, in seconds from the first; None until it was
            read.
    """

    ends_s: float | None = None

    def images_at(self, times_s: Sequence[float]) -> Iterator[np.ndarray]:
        """Yield the image shown at each time.

        Args:
            times_s: Increasing times in seconds from the first image. Where images are missing
                or damaged, and after the last one, the previous image is repeated.

        Yields:
            `(H, W, 3)` uint8 RGB.

        Raises:
            ValueError: If no image can be decoded there.
        """
        if not len(times_s):
            return
        self._frames.close()
        tolerance_s = _TOLERANCE_FRAMES / self.fps
        decoded = self._from(times_s[0] + tolerance_s)
        shown, following, image = None, next(decoded, None), None
        for time_s in times_s:
            while following is not None and self._time_s(following) <= time_s + tolerance_s:
                shown, following, image = following, next(decoded, None), None
                if following is None:
                    lasts_s = float((shown.duration or 0) * shown.time_base)
                    self.ends_s = self._time_s(shown) + max(lasts_s, 1 / self.fps)
            if shown is None:
                shown = following
            if shown is None:
                raise ValueError(f"No image of {self._name!r} at {time_s:.3f} s.")
            image = self._to_rgb(shown) if image is None else image
            yield image

    def _from(self, time_s: float) -> Iterator[VideoFrame]:
        """Decode from a key frame at or before a time; seek earlier if that overshoots."""
        for earlier_s in (0.0, _EARLIER_S, time_s):
            decoded = self._decoded_from(time_s - earlier_s)
            first = next(decoded, None)
            if first is not None and (self._time_s(first) <= time_s or earlier_s == time_s):
                yield first
                yield from decoded
                return

    def _decoded_from(self, time_s: float) -> Iterator[VideoFrame]:
        if not self._is_timed:  # a raw stream has no times and cannot be sought
            yield from self._decoded_anew()
            return
        place = max(time_s, 0.0) + self.start_s
        with explained(self._name):
            self._container.seek(round(place / self._stream.time_base), stream=self._stream)
        try:
            for image in decode_past_damage(
                self._container, self._stream, self._count_damage, self._name
            ):
                if image.time is not None:
                    yield image
        except OSError:
            self._damaged += 1

    def _decoded_anew(self) -> Iterator[VideoFrame]:
        """Decode from the beginning, with times by the mean rate."""
        self._container.close()
        self._container = open_input(self.opened)
        self._stream = video_stream_of(self._container, self._name)
        step = 1 / Fraction(self.fps).limit_denominator(1001)
        for number, image in enumerate(self._decode()):
            image.pts, image.duration, image.time_base = number, 1, step
            yield image

    def _time_s(self, image: VideoFrame) -> float:
        return image.time - self.start_s
