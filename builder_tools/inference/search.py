"""How images are turned, and where faces are looked for: at any turn, or near their last place.

Of a camera the whole image is searched at the first frame, at a cut, then every `FULL_EVERY_S`
where it has changed (every `BUSY_EVERY_S` where the last search found that a face had come or
gone), and every `STILL_EVERY_S` where it has not. In between, each face known is looked for near
its last place, where the detector can do that (`follow`). Those not found there, those lost in the
last `REMEMBERED_S`, and places that the search was not sure of are searched as the whole image
would be (`detect_at`): many small faces are seen in every other frame only. For a face that is not
seen so either, the whole image is searched, but not sooner than `BUSY_EVERY_S` after the last time.
(Of a video, the frames to come are known, too: see `parts`.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from builder_tools.detectors import FaceDetector
from builder_tools.detectors.base import SAME_FACE_IOU, faces_found, suppress_overlaps
from builder_tools.detectors.turning import AUTO, check_rotation, detect_at_any_turn, turned_back
from builder_tools.fields import check_types
from builder_tools.media import Frame
from builder_tools.results import Face

if TYPE_CHECKING:
    from builder_tools.media import CameraReader, VideoReader

FULL_EVERY_S, BUSY_EVERY_S, STILL_EVERY_S = 0.25, 0.08, 1.0
REMEMBERED_S, BUSY_S = 0.5, 1.0
LIKELY = 0.4
"""Places less sure than this to show a face are looked at for `BUSY_S` after one has come or gone
only: 1 in 70 shows one in the next frame of a street, of the surer ones 1 in 8."""
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
        check_types(self)
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
        self._doubts: list[Face] = []
        self._lost: list[tuple[float, Face]] = []
        self._full_s = self._busy_s = -np.inf
        self._last: Glance | None = None
        self._searched: Glance | None = None

    def find(self, detector: FaceDetector, frame: Frame) -> list[Face]:
        """Return the faces of the next frame, largest first."""
        seen, near = Glance(frame.image), None
        if self._last is None or self._searched is None or seen.is_cut_from(self._last):
            self._faces, self._doubts, self._lost, self._full_s = [], [], [], -np.inf
        changed = self._searched is None or seen.differs_from(self._searched)
        every_s = BUSY_EVERY_S if self._busy_s == self._full_s else FULL_EVERY_S
        if 0 <= frame.time_s - self._full_s < (every_s if changed else STILL_EVERY_S):
            near = self._found_near(detector, frame)
        if near is None:
            near, self._doubts = find_and_doubt(detector, frame.image, self._rotate)
            self._full_s, self._searched = frame.time_s, seen
            if _missing(near, self._faces) or _missing(self._faces, near):
                self._busy_s = frame.time_s
        elif changed:
            near = [*near, *new_large(detector, frame.image, near)]
            near.sort(key=lambda face: face.box.area, reverse=True)
        known = [*self._lost, *((frame.time_s, face) for face in self._faces)]
        self._lost = [
            (seen_s, face)
            for seen_s, face in known
            if 0 <= frame.time_s - seen_s < REMEMBERED_S
            and _missing([face], [*near, *self._doubts])
        ]
        self._faces, self._last = near, seen
        return near

    def _found_near(self, detector: FaceDetector, frame: Frame) -> list[Face] | None:
        """Return the faces in places known; None where the whole image has to be searched."""
        found = follow(detector, frame.image, self._faces)
        if found is None:
            return None
        missing = _missing(self._faces, found)
        is_busy = frame.time_s - self._busy_s < BUSY_S
        others = [one for one in self._doubts if is_busy or one.score >= LIKELY]
        others += [face for _, face in self._lost]
        look = getattr(detector, "detect_at", None)
        if look is not None and (missing or others):
            seen = look(frame.image, missing, others)
            if seen is None:
                return None
            found, self._doubts = suppress_overlaps([*found, *seen[0]], SAME_FACE_IOU), seen[1]
            missing = _missing(missing, found)
        return None if missing and frame.time_s - self._full_s >= BUSY_EVERY_S else found


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
    return faces_found(detector, image_rgb)


def find_and_doubt(
    detector: FaceDetector, image_rgb: np.ndarray, rotate: str | int
) -> tuple[list[Face], list[Face]]:
    """Return the same, and where the detector tells, places that may show a face a moment later."""
    look = getattr(detector, "detect_and_doubt", None)
    if look is None or rotate == AUTO:
        return find_faces(detector, image_rgb, rotate), []
    return look(image_rgb)


def follow(detector: FaceDetector, image_rgb: np.ndarray, faces: list[Face]) -> list[Face] | None:
    """Return the faces found near where they were; None where the detector cannot do that."""
    look_near = getattr(detector, "follow", None)
    return None if look_near is None or len(faces) > MOST_FOLLOWED else look_near(image_rgb, faces)


def _missing(faces: list[Face], among: list[Face]) -> list[Face]:
    return [one for one in faces if not any(one.box.iou(f.box) > SAME_FACE_IOU for f in among)]


def new_large(detector: FaceDetector, image_rgb: np.ndarray, faces: list[Face]) -> list[Face]:
    """Return large faces that are none of those known, if the detector has a look for them."""
    look = getattr(detector, "detect_large", None)
    large = [] if look is None else look(image_rgb)
    return [one for one in large or [] if not any(one.box.iou(f.box) > NEW_FACE_IOU for f in faces)]
