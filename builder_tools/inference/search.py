"""How images are turned, and where faces are looked for: at any rotation, or near their last place.

With a camera, the whole image is searched at the first frame, at a cut, and then every
`FULL_EVERY_S` if it has changed (every `BUSY_EVERY_S` if the last search found that a face had come
or gone), or every `STILL_EVERY_S` if it has not. In between, each known face is looked for near its
last place, if the detector supports that (`follow`). Faces not found there, those lost in the last
`REMEMBERED_S`, and places of which the search was unsure are searched as the whole image would be
(`detect_at`), because many small faces are visible only in every other frame. If a face is not
found that way either, the whole image is searched, but no sooner than `BUSY_EVERY_S` after the
last time. (With a video, later frames are also available: see `parts`.)
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
"""Places that score below this are looked at only for `BUSY_S` after a face has come or gone: in a
street scene, 1 in 70 of them shows a face in the next frame, against 1 in 8 of the others."""
NEW_FACE_IOU = 0.1
"""A large face that overlaps no known one by more than this is new."""
MOST_FOLLOWED = 12
"""With more faces, a full search costs less than following each of them."""
CUT_DIFFERENCE = 20.0
"""Mean difference in grey levels above which two images are from different scenes."""
CHANGE = 8.0
"""Mean difference in grey levels, in any cell, above which an image has changed; the noise of dark
rooms (standard deviation 5) amounts to 5.6."""
SAMPLES, CELLS = 96, 12
"""Pixels sampled along each side for both comparisons, and cells."""


@dataclass(frozen=True)
class Orientation:
    """How images are turned before anything else.

    Args:
        rotate: Degrees clockwise: 0, 90, 180 or 270. "auto" leaves images unturned.
        mirror: Whether images are then flipped left to right.

    Raises:
        ValueError: If `rotate` is anything else.
    """

    rotate: str | int = 0
    mirror: bool = False

    def __post_init__(self) -> None:
        check_types(self)
        object.__setattr__(self, "rotate", check_rotation(self.rotate))

    @property
    def search(self) -> str | int:
        """The `rotate` left for the face search to handle: "auto", or 0."""
        return AUTO if self.rotate == AUTO else 0

    @property
    def lies(self) -> bool:
        """Whether width and height are swapped."""
        return self.rotate in (90, 270)

    def applied(self, image_rgb: np.ndarray) -> np.ndarray:
        """Return the image as it should be seen; the same object if nothing has to be done."""
        if self.rotate not in (0, AUTO):
            image_rgb = turned_back(image_rgb, 360 - self.rotate)
        return np.ascontiguousarray(image_rgb[:, ::-1]) if self.mirror else image_rgb


AS_THEY_ARE = Orientation()


class OrientedReader:
    """A video or camera whose frames are turned; everything else is delegated to the reader.

    Args:
        reader: Provides the frames; closed along with this object.
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
    """Return the reader itself if its frames need no turning, else one that turns them."""
    if orientation.rotate in (0, AUTO) and not orientation.mirror:
        return reader
    return OrientedReader(reader, orientation)


class Search:
    """Find faces in the frames of a stream; use a new object for each stream, or part of one.

    Args:
        rotate: "auto" searches at any rotation.
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
        """Return the faces at known places; None if the whole image has to be searched."""
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
    """Evenly spaced pixels of an image, for comparing it with others of its stream.

    Args:
        image_rgb: `(H, W, 3)` uint8 RGB.
    """

    def __init__(self, image_rgb: np.ndarray) -> None:
        self._shape = image_rgb.shape
        size = (SAMPLES, SAMPLES)
        self._pixels = cv2.resize(image_rgb, size, interpolation=cv2.INTER_NEAREST)

    def is_cut_from(self, before: Glance) -> bool:
        """Return whether the images are of different scenes or sizes."""
        return (
            self._shape != before._shape
            or cv2.mean(self._apart(before).reshape(-1))[0] > CUT_DIFFERENCE
        )

    def differs_from(self, other: Glance) -> bool:
        """Return whether anything has changed between two images."""
        if self._shape != other._shape:
            return True
        per_cell = SAMPLES // CELLS
        apart = self._apart(other).reshape(CELLS, per_cell, -1).sum(axis=1, dtype=np.uint32)
        cells = apart.reshape(CELLS, CELLS, -1).sum(axis=2)
        return bool(cells.max() > CHANGE * 3 * per_cell**2)

    def _apart(self, other: Glance) -> np.ndarray:
        return cv2.absdiff(self._pixels, other._pixels)


def find_faces(detector: FaceDetector, image_rgb: np.ndarray, rotate: str | int) -> list[Face]:
    """Return the faces of one image, largest first; with "auto", at any rotation."""
    if rotate == AUTO:
        return detect_at_any_turn(detector, image_rgb)
    return faces_found(detector, image_rgb)


def find_and_doubt(
    detector: FaceDetector, image_rgb: np.ndarray, rotate: str | int
) -> tuple[list[Face], list[Face]]:
    """Return faces and, if the detector reports them, places that may show one a moment later."""
    look = getattr(detector, "detect_and_doubt", None)
    if look is None or rotate == AUTO:
        return find_faces(detector, image_rgb, rotate), []
    return look(image_rgb)


def follow(detector: FaceDetector, image_rgb: np.ndarray, faces: list[Face]) -> list[Face] | None:
    """Return the faces found near where they were; None if the detector cannot do that."""
    look_near = getattr(detector, "follow", None)
    return None if look_near is None or len(faces) > MOST_FOLLOWED else look_near(image_rgb, faces)


def _missing(faces: list[Face], among: list[Face]) -> list[Face]:
    return [one for one in faces if not any(one.box.iou(f.box) > SAME_FACE_IOU for f in among)]


def new_large(detector: FaceDetector, image_rgb: np.ndarray, faces: list[Face]) -> list[Face]:
    """Return large faces that are not yet known, if the detector has a quick look for them."""
    look = getattr(detector, "detect_large", None)
    large = [] if look is None else look(image_rgb)
    return [one for one in large or [] if not any(one.box.iou(f.box) > NEW_FACE_IOU for f in faces)]
