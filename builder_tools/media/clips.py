"""Sections of a video, image by image at any times, not only from key frames."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from builder_tools.media.pyav import decode_past_damage, explained, open_input, video_stream_of
from builder_tools.media.restarts import clock_shifts_s
from builder_tools.media.video import VideoReader

if TYPE_CHECKING:
    from av import VideoFrame

_TOLERANCE_FRAMES = 0.25
"""A time that precedes an image's by up to this fraction of a frame selects that image."""
_EARLIER_S = 10.0
_MISPLACED = frozenset({"mpeg"})
"""Formats in which not every image has a time: those after a seek are counted wrong."""
_Timed = tuple[float, "VideoFrame"]
"""An image after its time in seconds from the first."""


class ClipReader(VideoReader):
    """A video that can be read from anywhere, any number of times.

    Arguments, attributes and errors are those of `VideoReader`.

    Attributes:
        ends_s: Until when the last image is shown, in seconds from the first; None until it was
            read.
    """

    ends_s: float | None = None

    def __init__(self, source: str | Path) -> None:
        super().__init__(source)
        self._can_seek = bool(
            self._is_timed
            and self._is_told
            and self._container.format.name not in _MISPLACED
            and not clock_shifts_s(self.opened)
        )
        self._ahead: list[_Timed] = []
        self._decoded: Iterator[_Timed] = iter(())

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._ahead, self._decoded = [], iter(())  # they hold the decoder, and its threads
        super().close()

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
            while following is not None and following[0] <= time_s + tolerance_s:
                shown, following, image = following, next(decoded, None), None
                if following is None:
                    lasts_s = float((shown[1].duration or 0) * shown[1].time_base)
                    self.ends_s = shown[0] + max(lasts_s, 1 / self.fps)
            if shown is None:
                shown = following
            if shown is None:
                raise ValueError(f"No image of {self._name!r} at {time_s:.3f} s.")
            image = self._to_rgb(shown[1]) if image is None else image
            yield image
        if not self._can_seek:
            self._ahead = [one for one in (shown, following) if one is not None]
            self._decoded = decoded

    def _from(self, time_s: float) -> Iterator[_Timed]:
        """Decode from an image at or before a time; seek earlier if that overshoots."""
        if not self._can_seek:
            ahead, self._ahead = self._ahead, []
            if ahead and ahead[0][0] <= time_s:
                return itertools.chain(ahead, self._decoded)
            return self._decoded_anew()
        for earlier_s in (0.0, _EARLIER_S):
            decoded = self._decoded_from(time_s - earlier_s)
            first = next(decoded, None)
            if first is not None and first[0] <= time_s:
                return itertools.chain([first], decoded)
        # In transport streams, seeking may miss the first key frame.
        return self._decoded_anew()

    def _decoded_from(self, time_s: float) -> Iterator[_Timed]:
        place = max(time_s, 0.0) + self.start_s
        with explained(self._name):
            self._container.seek(round(place / self._stream.time_base), stream=self._stream)
        try:
            packets = self._container.demux(self._stream)
            for image in decode_past_damage(packets, self._count_damage, self._name):
                if image.time is not None:
                    yield image.time - self.start_s, image
        except OSError:
            self._damaged += 1

    def _decoded_anew(self) -> Iterator[_Timed]:
        """Decode from the beginning."""
        self._container.close()
        self._container = open_input(self.opened)
        self._stream = video_stream_of(self._container, self._name)
        return self._timed(self._decode())
