"""How images are turned, and where faces are looked for: at any turn, or near their last place.

In a stream the whole image is searched at the first frame, then every `FULL_EVERY_S`. In between,
each face known is looked for near its last place, where the detector can do that (`follow`). The
whole image is searched at once where one is not found there, or where the image is another than a
moment ago: at a cut. One that is not found then either is looked for at its last place for
`REMEMBERED_S`: many are seen in every other frame only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from builder_tools.detectors import FaceDetector
from builder_tools.detectors.base import SAME_FACE_IOU
from builder_tools.detectors.turning import AUTO, check_rotation, detect_at_any_turn, turned_back
from builder_tools.media import Frame
from builder_tools.results import Face

if TYPE_CHECKING:
    from builder_tools.media import CameraReader, VideoReader

FULL_EVERY_S = 0.25
REMEMBERED_S = 0.5
MOST_FOLLOWED = 12
"""Of more faces a full search costs less than to follow each."""
CUT_DIFFERENCE = 20.0
"""Mean difference of two images in grey levels from which they are of different scenes."""
SAMPLE = 24
"""Pixels looked at along each side for that."""
GROUP_BYTES = 60_000_000


@dataclass(frozen=True)
class Orientation:
    """How images are turned before anything else.

    Args:
        rotate: By so many degrees, clockwise: 0, 90, 180 or 270. "auto" turns no image.
        mirror: Whether left and right are exchanged then.

    Raises:
        ValueError: If `rotate` is something else.
    """

    rotate: str | int = 0
    mirror: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "rotate", check_rotation(self.rotate))

    @property
    def search(self) -> str | int:
        """What is left for the search for faces to do: "auto", or 0."""
        return AUTO if self.rotate == AUTO else 0

    @property
    def lies(self) -> bool:
        """Whether width and height change places."""
        return self.rotate in (90, 270)

    def applied(self, image_rgb: np.ndarray) -> np.ndarray:
        """Return the image as it should be seen; itself where nothing has to be done."""
        if self.rotate not in (0, AUTO):
            image_rgb = turned_back(image_rgb, 360 - self.rotate)
        return np.ascontiguousarray(image_rgb[:, ::-1]) if self.mirror else image_rgb


AS_THEY_ARE = Orientation()


class OrientedReader:
    """A video or camera whose frames are turned; all else is the reader's own.

    Args:
        reader: Gives the frames; closed with this.
        orientation: How to turn them.
    """

    def __init__(self, reader: VideoReader | CameraReader, orientation: Orientation) -> None:
        self._reader, self._orientation = reader, orientation
        self.size = reader.size[::-1] if orientation.lies else reader.size

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def __iter__(self) -> Iterator[Frame]:
        return map(self._turned, self._reader)

    def read(self, timeout_s: float | None = None) -> Frame | None:
        """Wait for the newest frame, as `CameraReader.read` does."""
        frame = self._reader.read(timeout_s)
        return None if frame is None else self._turned(frame)

    def close(self) -> None:
        """Close the reader."""
        self._reader.close()

    def _turned(self, frame: Frame) -> Frame:
        return replace(frame, image=self._orientation.applied(frame.image))


def oriented(reader: Any, orientation: Orientation) -> Any:
    """Return the reader itself where its frames are not to be turned, else one that turns them."""
    if orientation.rotate in (0, AUTO) and not orientation.mirror:
        return reader
    return OrientedReader(reader, orientation)


class Search:
    """Finds faces in the frames of a stream; make a new one a stream, or a part of one.

    Args:
        rotate: "auto" searches at any turn.
    """

    def __init__(self, rotate: str | int = 0) -> None:
        self._rotate = rotate
        self._faces: list[Face] = []
        self._lost: list[tuple[float, Face]] = []
        self._full_s = -np.inf
        self._sample: np.ndarray | None = None

    def find(self, detector: FaceDetector, frame: Frame) -> list[Face]:
        """Return the faces of the next frame, largest first."""
        sample = _sampled(frame.image)
        if self._is_cut(sample):
            self._faces, self._lost, self._full_s = [], [], -np.inf
        near, lost = None, [face for _, face in self._lost]
        if 0 <= frame.time_s - self._full_s < FULL_EVERY_S:
            near = follow(detector, frame.image, self._faces, lost)
        if near is None:
            near, self._full_s = find_faces(detector, frame.image, self._rotate), frame.time_s
        known = [*self._lost, *((frame.time_s, face) for face in self._faces)]
        self._lost = [
            (seen_s, face)
            for seen_s, face in known
            if 0 <= frame.time_s - seen_s < REMEMBERED_S
            and not any(face.box.iou(one.box) > SAME_FACE_IOU for one in near)
        ]
        self._faces, self._sample = near, sample
        return near

    def _is_cut(self, sample: np.ndarray) -> bool:
        before = self._sample
        if before is None or before.shape != sample.shape:
            return True
        return float(np.abs(sample - before).mean()) > CUT_DIFFERENCE


def find_faces(detector: FaceDetector, image_rgb: np.ndarray, rotate: str | int) -> list[Face]:
    """Return the faces of one image, largest first; with "auto" at any turn."""
    if rotate == AUTO:
        return detect_at_any_turn(detector, image_rgb)
    return detector.detect(image_rgb)


def follow(
    detector: FaceDetector, image_rgb: np.ndarray, faces: list[Face], lost: list[Face]
) -> list[Face] | None:
    """Return the faces near where they were; None if one is lost or the detector cannot do that.

    Those lost before are looked for, too, as many as may be; they may stay so.
    """
    look_near = getattr(detector, "follow", None)
    if look_near is None or len(faces) > MOST_FOLLOWED:
        return None
    return look_near(image_rgb, faces, lost[-MOST_FOLLOWED:])


def parts_of(frames: Iterable[Frame]) -> Iterator[list[Frame]]:
    """Yield the frames in groups of `FULL_EVERY_S`, each to be searched by a `Search` of its own.

    So several threads can search a video, with the same results as one.
    """
    group: list[Frame] = []
    try:
        for frame in frames:
            late = group and not 0 <= frame.time_s - group[0].time_s < FULL_EVERY_S
            if late or sum(one.image.nbytes for one in group) > GROUP_BYTES:
                yield group
                group = []
            group.append(frame)
    except Exception:  # what came before it counts
        if group:
            yield group
        raise
    if group:
        yield group


def _sampled(image_rgb: np.ndarray) -> np.ndarray:
    """Return some pixels of an image, evenly spread."""
    steps = [max(side // SAMPLE, 1) for side in image_rgb.shape[:2]]
    return image_rgb[:: steps[0], :: steps[1]].astype(np.float32)
