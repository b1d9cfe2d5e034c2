"""A face of each person of a video, for those who ask for it: where it was found most surely."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import closing
from pathlib import Path

import numpy as np

from builder_tools.results import Box, FrameResult, crop

FACE_PX = 96
MARGIN = 1.5
"""Side of what is cut out, in those of the face."""


class BestSights:
    """Remembers where each person was found most surely; no pixels."""

    def __init__(self) -> None:
        self._sights: dict[int, tuple[float, int, Box]] = {}

    def add(self, result: FrameResult) -> None:
        """Take in a frame."""
        for face in result.faces:
            track, score = face.face.track, float(face.face.score)
            if track is not None and score > self._sights.get(track, (-1.0,))[0]:
                self._sights[track] = score, result.frame, face.face.box

    def cut(self, video: str | Path, people: Collection[int]) -> dict[int, np.ndarray]:
        """Read a video again and return a face a person, `(96, 96, 3)` uint8 RGB, by track.

        Args:
            video: The one that was watched; of what can be read once only, such as a pipe, no
                face is given.
            people: Whose.

        Raises:
            OSError, ValueError: If it cannot be read.
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
