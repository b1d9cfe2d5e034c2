"""A face of each person in a video, if requested: where it was detected most confidently."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import closing
from pathlib import Path

import numpy as np

from builder_tools.results import Box, FrameResult, crop

FACE_PX = 96
MARGIN = 1.5
"""Side of the crop, relative to that of the face."""


class BestSights:
    """Remembers where each person was detected most confidently, without pixels."""

    def __init__(self) -> None:
        self._sights: dict[int, tuple[float, int, Box]] = {}

    def add(self, result: FrameResult) -> None:
        """Add the result of a frame."""
        for face in result.faces:
            track, score = face.face.track, float(face.face.score)
            if track is not None and score > self._sights.get(track, (-1.0,))[0]:
                self._sights[track] = score, result.frame, face.face.box

    def cut(self, video: str | Path, people: Collection[int]) -> dict[int, np.ndarray]:
        """Read a video again and return a face per person, `(96, 96, 3)` uint8 RGB, by track.

        Args:
            video: The same video as before; a source that can be read only once, such as a pipe,
                will not do.
            people: Tracks of the people.

        Raises:
            OSError, ValueError: If the video cannot be read.
        """
        import cv2

        from builder_tools.media import VideoReader

        wanted = {track: self._sights[track] for track in people if track in self._sights}
        last = max((frame for _, frame, _ in wanted.values()), default=-1)
        faces: dict[int, np.ndarray] = {}
        with closing(VideoReader(video)) as reader:
            for frame in reader:
                for track, (_, index, box) in wanted.items():
                    if index == frame.index:
                        face = crop(frame.image, box.square().scale(MARGIN))
                        faces[track] = cv2.resize(
                            face, (FACE_PX, FACE_PX), interpolation=cv2.INTER_AREA
                        )
                if frame.index >= last:
                    break
        return faces
