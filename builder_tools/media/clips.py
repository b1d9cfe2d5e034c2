"""Stretches of a video, image by image at wanted times, not only from key frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from builder_tools.media.pyav import decode_past_damage, explained
from builder_tools.media.video import VideoReader

if TYPE_CHECKING:
    from av import VideoFrame

_TOLERANCE_FRAMES = 0.25
"""Times that miss an image's by this part of a frame mean it."""
_EARLIER_S = 10.0


class ClipReader(VideoReader):
    """A video that can be read from anywhere, any number of times.

    Arguments, attributes and errors are those of `VideoReader`.
    """

    def images_at(self, times_s: Sequence[float]) -> Iterator[np.ndarray]:
        """Yield the image that is shown at each time.

        Args:
            times_s: Growing, seconds from the first image. Where images are missing or
                damaged the one before stays; after the last one it stays too.

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
            if shown is None:
                shown = following
            if shown is None:
                raise ValueError(f"No image of {self.source!r} at {time_s:.3f} s.")
            image = self._to_rgb(shown) if image is None else image
            yield image

    def _from(self, time_s: float) -> Iterator[VideoFrame]:
        """Decode from a key frame at or before a time; earlier where that seeks too far."""
        for earlier_s in (0.0, _EARLIER_S, time_s):
            decoded = self._decoded_from(time_s - earlier_s)
            first = next(decoded, None)
            if first is not None and (self._time_s(first) <= time_s or earlier_s == time_s):
                yield first
                yield from decoded
                return

    def _decoded_from(self, time_s: float) -> Iterator[VideoFrame]:
        place = max(time_s, 0.0) + self._zero_s
        with explained(self.source):
            self._container.seek(round(place / self._stream.time_base), stream=self._stream)
        try:
            for image in decode_past_damage(
                self._container, self._stream, self._count_damage, self.source
            ):
                if image.time is not None:
                    yield image
        except OSError:
            self._damaged += 1

    @property
    def _zero_s(self) -> float:
        return float((self._stream.start_time or 0) * self._stream.time_base)

    def _time_s(self, image: VideoFrame) -> float:
        return image.time - self._zero_s
