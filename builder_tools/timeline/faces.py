"""A face of each person in a video, if requested: where it was detected most confidently."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from builder_tools.detectors.turning import turned_back
from builder_tools.results import Face, FrameResult, crop

if TYPE_CHECKING:
    from builder_tools.inference.search import Orientation

FACE_PX = 96
MARGIN = 1.5
"""Side of the crop, relative to that of the face."""


class BestSights:
    """Remembers where each person was detected most confidently, without pixels."""

    def __init__(self) -> None:
        self._sights: dict[int, tuple[int, Face]] = {}

    def add(self, result: FrameResult) -> None:
        """Add the result of a frame."""
        for face in result.faces:
            seen, track = face.face, face.face.track
            if track is None:
                continue
            if track not in self._sights or seen.score > self._sights[track][1].score:
                self._sights[track] = result.frame, seen

    def cut(
        self, video: str | Path, people: Collection[int], view: Orientation
    ) -> dict[int, np.ndarray]:
        """Read a video again and return a face per person, `(96, 96, 3)` uint8 RGB, by track.

        Faces are upright.

        Args:
            video: The same video as before; a source that can be read only once, such as a pipe,
                will not do.
            people: Tracks of the people.
            view: How its frames were turned before the faces were found.

        Raises:
            OSError, ValueError: If the video cannot be read.
        """
        import cv2

        from builder_tools.inference.search import oriented
        from builder_tools.media import VideoReader

        wanted = {track: self._sights[track] for track in people if track in self._sights}
        last = max((frame for frame, _ in wanted.values()), default=-1)
        faces: dict[int, np.ndarray] = {}
        size = (FACE_PX, FACE_PX)
        with closing(oriented(VideoReader(video), view)) as reader:
            for frame in reader:
                for track, (index, seen) in wanted.items():
                    if index == frame.index:
                        face = crop(frame.image, seen.box.square().scale(MARGIN))
                        upright = turned_back(face, seen.turned_deg)
                        faces[track] = cv2.resize(upright, size, interpolation=cv2.INTER_AREA)
                if frame.index >= last:
                    break
        return faces
