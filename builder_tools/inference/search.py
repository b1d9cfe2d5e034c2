"""How images are turned, and where faces are looked for: at any turn, or near their last place.

Of a camera the whole image is searched at the first frame, then every `FULL_EVERY_S` where it has
changed, and every `STILL_EVERY_S` where it has not. In between, each face known is looked for near
its last place, where the detector can do that (`follow`). The whole image is searched at once where
one is not found there, or where the image is another than a moment ago: at a cut. One that is not
found then either is looked for at its last place for `REMEMBERED_S`: many are seen in every other
frame only. (Of a video, the frames to come are known, too: see `parts`.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from builder_tools.detectors import FaceDetector
from builder_tools.detectors.base import SAME_FACE_IOU
from builder_tools.detectors.turning import AUTO, check_rotation, detect_at_any_turn, turned_back
from builder_tools.media import Frame
from builder_tools.results import Face

if TYPE_CHECKING:
    from builder_tools.media import CameraReader, VideoReader

FULL_EVERY_S = 0.25
STILL_EVERY_S = 1.0
REMEMBERED_S = 0.5
NEW_FACE_IOU = 0.1
"""A large face that overlaps with none known by more is new."""
MOST_FOLLOWED = 12
"""Of more faces a full search costs less than to follow each."""
CUT_DIFFERENCE = 20.0
"""Mean difference of two images in grey levels from which they are of different scenes."""
CHANGE = 8.0
"""Mean difference in grey levels of some cell of two images from which something has changed; of
the noise of dark rooms (standard deviation 5) it is 5.6."""
SAMPLES, CELLS = 96, 12
"""Pixels looked at along each side for both, and cells."""


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
        self._last: Glance | None = None
        self._searched: Glance | None = None

    def find(self, detector: FaceDetector, frame: Frame) -> list[Face]:
        """Return the faces of the next frame, largest first."""
        seen = Glance(frame.image)
        if self._last is None or self._searched is None or seen.is_cut_from(self._last):
            self._faces, self._lost, self._full_s = [], [], -np.inf
        near, lost = None, [face for _, face in self._lost]
        changed = self._searched is None or seen.differs_from(self._searched)
        if 0 <= frame.time_s - self._full_s < (FULL_EVERY_S if changed else STILL_EVERY_S):
            near = follow(detector, frame.image, self._faces, lost)
        if near is None:
            near, self._full_s = find_faces(detector, frame.image, self._rotate), frame.time_s
            self._searched = seen
        elif changed:
            near = [*near, *new_large(detector, frame.image, near)]
            near.sort(key=lambda face: face.box.area, reverse=True)
        known = [*self._lost, *((frame.time_s, face) for face in self._faces)]
        self._lost = [
            (seen_s, face)
            for seen_s, face in known
            if 0 <= frame.time_s - seen_s < REMEMBERED_S
            and not any(face.box.iou(one.box) > SAME_FACE_IOU for one in near)
        ]
        self._faces, self._last = near, seen
        return near


class Glance:
    """Some pixels of an image, evenly spread, to compare it with others of its stream.

    Args:
        image_rgb: `(H, W, 3)` uint8 RGB.
    """

    def __init__(self, image_rgb: np.ndarray) -> None:
        self._shape = image_rgb.shape
        size = (SAMPLES, SAMPLES)
        self._pixels = cv2.resize(image_rgb, size, interpolation=cv2.INTER_NEAREST)

    def is_cut_from(self, before: Glance) -> bool:
        """Return whether the images are of different scenes, or sizes."""
        return (
            self._shape != before._shape
            or cv2.mean(self._apart(before).reshape(-1))[0] > CUT_DIFFERENCE
        )

    def differs_from(self, other: Glance) -> bool:
        """Return whether something has changed between two images, somewhere."""
        if self._shape != other._shape:
            return True
        per_cell = SAMPLES // CELLS
        apart = self._apart(other).reshape(CELLS, per_cell, -1).sum(axis=1, dtype=np.uint32)
        cells = apart.reshape(CELLS, CELLS, -1).sum(axis=2)
        return bool(cells.max() > CHANGE * 3 * per_cell**2)

    def _apart(self, other: Glance) -> np.ndarray:
        return cv2.absdiff(self._pixels, other._pixels)


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


def new_large(detector: FaceDetector, image_rgb: np.ndarray, faces: list[Face]) -> list[Face]:
    """Return large faces that are none of those known, if the detector has a look for them."""
    look = getattr(detector, "detect_large", None)
    large = [] if look is None else look(image_rgb)
    return [one for one in large or [] if not any(one.box.iou(f.box) > NEW_FACE_IOU for f in faces)]
