"""What all face detectors share: one method, one box convention, one way to open and close.

Boxes are in pixels of the given image, clipped to it, largest first. `BaseDetector.detect` is
the template: it checks the image, calls the back end, and tidies up the result.

No back end is given an image longer than `LONGEST_SIDE_PX`: on a side of 32,767 px, as in
screenshots of long pages, MediaPipe's native library kills the process and OpenCV's remapping
functions fail. Such images are searched strip by strip; if shrunk, their faces would be specks.
"""

from __future__ import annotations

import logging
import math
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from numbers import Real
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import cv2
import numpy as np

from builder_tools.fields import check_range
from builder_tools.media.forks import at_work
from builder_tools.media.limits import MOST_BYTES
from builder_tools.results import Box, Face

LONGEST_SIDE_PX = 8_192
"""Longer images are not searched whole, but in strips or shrunk to this."""
STRIP = 4.0
"""Long images with at least this aspect ratio are cut into strips of this aspect ratio."""
LEAST_STRIP_PX = 2_048
SAME_FACE_IOU = 0.3
DETECTOR_ERRORS = (ValueError, RuntimeError, MemoryError, cv2.error)
"""What a detector may raise for an image that it cannot process. A missing file of its own (an
OSError) is not among them, as that would affect every image."""
DETECTOR_FAILED = "the detector failed"
"""How the reason begins if an image could be read but not processed."""

LONGEST_WAIT_S = 10.0

logger = logging.getLogger(__name__)


@runtime_checkable
class FaceDetector(Protocol):
    """Anything that finds faces in an image.

    Attributes:
        crop_scale: Ratio of the side of the square face image (framed as in FER2013) to the
            longer side of the detector's box; the box itself is never suitable to classify.
        crop_shift_y: How far to move the centre of that square, as a fraction of the box's
            height; negative is up.
    """

    @property
    def crop_scale(self) -> float:
        """See above; may be an attribute of the class or the object."""
        ...

    @property
    def crop_shift_y(self) -> float:
        """See above."""
        ...

    def detect(self, image_rgb: np.ndarray) -> list[Face]:
        """Return the faces in an `(H, W, 3)` uint8 RGB image, largest first, or `[]`."""
        ...

    def close(self) -> None:
        """Free what the back end holds; may be called more than once."""
        ...


def faces_found(detector: FaceDetector, image_rgb: np.ndarray) -> Sequence[Face]:
    """Return the faces found in an image by a detector, whoever wrote it.

    See `in_image` for the boxes; scores are clipped to 0...1.

    Raises:
        TypeError: If it returns anything else.
    """
    found, whose = detector.detect(image_rgb), f"Expected {type(detector).__name__}.detect to give"
    is_list = isinstance(found, list | tuple)
    if not (is_list and all(isinstance(face, Face) for face in found)):
        received = f"a list with {found[:1]!r}" if is_list else type(found).__name__
        raise TypeError(f"{whose} a list of Face, [] where it finds none. Received: {received}.")
    if isinstance(detector, BaseDetector):
        return found
    found = [replace(face, score=_plain(face.score)) for face in found]
    for fault in filter(None, map(_fault_of, found)):
        raise TypeError(
            f"{whose} faces with a Box, a score of 0...1, turned_deg of 0, 90, 180 or 270, and "
            f"keypoints (k, 2) or None. Received: {fault}."
        )
    return in_image(map(_in_form, found), image_rgb)


def _plain(score: Any) -> Any:
    """Return the number of an array or a tensor that holds only one; anything else as it is."""
    return score.item() if hasattr(score, "item") and np.ndim(score) == 0 else score


def _fault_of(face: Face) -> str:
    """Return what is wrong with a face of a detector of a user's own, "" if nothing."""
    if not isinstance(face.box, Box):
        return f"box={face.box!r}"
    if not isinstance(face.score, Real) or math.isnan(face.score):
        return f"score={face.score!r}"
    if face.turned_deg not in (0, 90, 180, 270):
        return f"turned_deg={face.turned_deg!r}"
    if face.keypoints is None:
        return ""
    shape = np.shape(face.keypoints)
    if len(shape) != 2 or shape[1] != 2:
        return f"keypoints of shape {shape}"
    are_finite = np.isfinite(np.asarray(face.keypoints, float)).all()
    return "" if are_finite else "keypoints that are no finite numbers"


def _in_form(face: Face) -> Face:
    keypoints = None if face.keypoints is None else np.asarray(face.keypoints)
    return replace(face, score=min(max(float(face.score), 0.0), 1.0), keypoints=keypoints)


def in_image(faces: Iterable[Face], image_rgb: np.ndarray) -> list[Face]:
    """Return faces clipped to their image, largest first; those beyond its edge are left out."""
    height, width = image_rgb.shape[:2]
    clipped = [replace(face, box=face.box.clip(width, height)) for face in faces]
    kept = [face for face in clipped if face.box.area > 0]
    return sorted(kept, key=lambda face: face.box.area, reverse=True)


def face_square(box: Box, detector: FaceDetector, turned_deg: int = 0) -> Box:
    """Return the square around a face, framed like the training faces.

    Detectors draw their boxes differently (MediaPipe from brows to chin, SSD around the head);
    `crop_scale` and `crop_shift_y` specify how to turn a detector's box into such a square.

    Args:
        box: Box of the face.
        detector: The detector that found it.
        turned_deg: How far the face is turned clockwise: 0, 90, 180 or 270.
    """
    return box.framed(detector.crop_scale, detector.crop_shift_y, turned_deg)


def face_frame(box: Box, detector: FaceDetector, turned_deg: int = 0) -> Box:
    """Return the square around a face, framed as in FER2013, for whatever was fitted to that frame.

    It differs from `face_square` where another square is read more accurately: such a detector
    tells the scale and the shift of its frame in the attribute `frame`.

    Arguments are those of `face_square`.
    """
    scale, shift_y = getattr(detector, "frame", (detector.crop_scale, detector.crop_shift_y))
    return box.framed(scale, shift_y, turned_deg)


class BaseDetector(ABC):
    """Base class of detectors: subclasses implement `_find` and, if needed, `_release`.

    An object may be shared by threads: a lock admits one image at a time. For speed on several
    threads, make one detector per thread. A forked process may go on using its parent's.

    Args:
        min_score: Faces with a lower score, in [0, 1], are left out.
        min_size_px: Faces are left out if the longer side of their box is below this.

    Raises:
        ValueError: If an argument is out of range.
    """

    crop_scale: ClassVar[float] = 1.3
    crop_shift_y: ClassVar[float] = 0.0
    sure_score: ClassVar[float | None] = None
    """Score from which a face is upright beyond doubt; None if the score does not tell."""

    def __init__(self, *, min_score: float = 0.5, min_size_px: float = 0.0) -> None:
        check_range(0, 1, min_score=min_score)
        check_range(0, min_size_px=min_size_px)
        self.min_score = min_score
        self.min_size_px = min_size_px
        self._closed = False
        self._lock, self._process = threading.Lock(), os.getpid()

    def detect(self, image_rgb: np.ndarray) -> list[Face]:
        """Return the faces in an image.

        Args:
            image_rgb: `(H, W, 3)` uint8 RGB, any size from 1x1 and any strides; not modified.

        Returns:
            Faces, largest box first; boxes clipped to the image, scores in [0, 1]. `[]` if none
            are found.

        Raises:
            ValueError: If the image has the wrong shape or type.
            RuntimeError: If the detector is closed, or cannot be used in a forked process.
        """
        with self._working_on(image_rgb):
            found = find_in_parts(self._find, image_rgb)
        return self._tidy(found, image_rgb)

    def close(self) -> None:
        """Free what the back end holds. A second call does nothing."""
        with self._own_lock():
            if not self._closed:
                self._closed = True
                self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @abstractmethod
    def _find(self, image_rgb: np.ndarray) -> list[Face]:
        """Call the back end; the image has been checked and is contiguous."""

    @contextmanager
    def _working_on(self, image_rgb: np.ndarray) -> Iterator[None]:
        """Admit one image at a time; refuse invalid images, and any image after closing."""
        check_image(image_rgb)
        with at_work(), self._own_lock():
            if self._closed:
                raise RuntimeError(f"This {type(self).__name__} is closed. Make a new one.")
            yield

    def _own_lock(self) -> threading.Lock:
        """Return this process's lock: a fork copies the object and held locks, but no threads."""
        if self._process != os.getpid():
            self._leave_to_parent()
            self._lock, self._process = threading.Lock(), os.getpid()
        return self._lock

    def _leave_to_parent(self) -> None:  # noqa: B027 - most back ends survive a fork
        """Drop, without closing it, whatever works only in the process that made it.

        Raises:
            RuntimeError: If it cannot be replaced; says what to do.
        """

    def _release(self) -> None:  # noqa: B027 - most back ends hold nothing
        """Free what the back end holds; called once."""

    def _tidy(self, faces: Iterable[Face], image_rgb: np.ndarray) -> list[Face]:
        sure = [
            replace(face, score=min(max(face.score, 0.0), 1.0))
            for face in faces
            if face.score >= self.min_score
        ]
        return [face for face in in_image(sure, image_rgb) if self._is_large_enough(face.box)]

    def _is_large_enough(self, box: Box) -> bool:
        return max(box.width, box.height) >= self.min_size_px


def check_image(image_rgb: np.ndarray) -> None:
    """Refuse anything but an `(H, W, 3)` uint8 array with at least one pixel.

    Raises:
        ValueError: If it is anything else; says what was received.
    """
    if not isinstance(image_rgb, np.ndarray):
        raise ValueError(
            f"Expected an (H, W, 3) uint8 RGB array. Received: {type(image_rgb).__name__}."
        )
    shape, kind = image_rgb.shape, image_rgb.dtype
    if kind != np.uint8 or len(shape) != 3 or shape[2] != 3 or 0 in shape:
        raise ValueError(f"Expected an (H, W, 3) uint8 RGB array. Received: {kind} {shape}.")
    if image_rgb.nbytes > MOST_BYTES:
        raise ValueError(
            f"Expected an image of less than 2 GiB. Received: {kind} {shape}. Try a smaller copy."
        )


def find_in_parts(find: Callable[[np.ndarray], list[Face]], image_rgb: np.ndarray) -> list[Face]:
    """Return the faces of an image of any size, using a function that cannot take long images.

    Strips overlap by their own width (at most half their length), so a face cut off by one lies
    entirely within the next.

    Args:
        find: Returns the faces of a contiguous `(H, W, 3)` uint8 RGB image.
        image_rgb: `(H, W, 3)` uint8 RGB.
    """
    longer, shorter = max(image_rgb.shape[:2]), min(image_rgb.shape[:2])
    if longer <= LONGEST_SIDE_PX:
        return find(np.ascontiguousarray(image_rgb))
    if longer < STRIP * shorter:
        small, factor = shrink(image_rgb, LONGEST_SIDE_PX)
        return [enlarge(face, factor) for face in find(small)]
    length = min(max(round(STRIP * shorter), LEAST_STRIP_PX), LONGEST_SIDE_PX)
    step = length - min(shorter, length // 2)
    is_tall = image_rgb.shape[0] == longer
    found: list[Face] = []
    for start in range(0, longer - length + step, step):
        at = min(start, longer - length)
        part = image_rgb[at : at + length] if is_tall else image_rgb[:, at : at + length]
        faces = find(np.ascontiguousarray(part))
        found += [moved(face, 0, at) if is_tall else moved(face, at, 0) for face in faces]
    return suppress_overlaps(found, SAME_FACE_IOU)


def shrink(image_rgb: np.ndarray, max_side_px: int) -> tuple[np.ndarray, float]:
    """Return the image with its longer side at most `max_side_px`, and the factor applied."""
    factor = max_side_px / max(image_rgb.shape[:2])
    if factor >= 1:
        return image_rgb, 1.0
    height, width = image_rgb.shape[:2]
    size = (max(round(width * factor), 1), max(round(height * factor), 1))
    return cv2.resize(image_rgb, size, interpolation=cv2.INTER_AREA), factor


def enlarge(face: Face, factor: float) -> Face:
    """Convert a face found in an image shrunk by `factor` to pixels of the original image."""
    if factor == 1:
        return face
    keypoints = None if face.keypoints is None else face.keypoints / factor
    box = Box(*(value / factor for value in face.box.xyxy))
    return replace(face, box=box, keypoints=keypoints)


def moved(face: Face, dx: float, dy: float) -> Face:
    """Convert a face found in a part of an image to pixels of the whole image."""
    keypoints = None if face.keypoints is None else np.add(face.keypoints, (dx, dy))
    return replace(face, box=face.box.shift(dx, dy), keypoints=keypoints)


def suppress_overlaps(faces: Iterable[Face], iou: float, inside: float = 0.8) -> list[Face]:
    """Keep the best-scored of detections that show the same face.

    Args:
        faces: Candidates from several passes over one image.
        iou: Two boxes that overlap more than this are the same face.
        inside: So are two boxes if more than this fraction of the smaller one is in the other.

    Returns:
        The faces kept, best score first.
    """
    ordered = sorted(faces, key=lambda face: face.score, reverse=True)
    boxes, areas = _boxes(ordered)
    is_same = np.zeros(len(ordered), bool)
    for index in range(len(ordered)):
        if not is_same[index]:
            others, least = slice(index + 1, None), np.minimum(areas[index], areas[index + 1 :])
            shared = _shared(boxes[index], boxes[others])
            of_union = shared > iou * (areas[index] + areas[others] - shared)
            is_same[others] |= of_union | (shared > inside * least)
    return [face for face, same in zip(ordered, is_same, strict=True) if not same]


def apart_from(known: Sequence[Face], seen: Sequence[Face], iou: float) -> list[Face]:
    """Return the seen faces that overlap no known one by more than `iou`."""
    boxes, areas = _boxes(known)
    own_boxes, own_areas = _boxes(seen)
    is_same = np.zeros(len(seen), bool)
    for box, area in zip(boxes, areas, strict=True):
        shared = _shared(box, own_boxes)
        is_same |= shared > iou * (area + own_areas - shared)
    return [face for face, same in zip(seen, is_same, strict=True) if not same]


def _boxes(faces: Sequence[Face]) -> tuple[np.ndarray, np.ndarray]:
    """Return boxes, as xyxy, and their areas."""
    boxes = np.array([face.box.xyxy for face in faces], float).reshape(-1, 4)
    return boxes, (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _shared(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Return the area that a box shares with each of several others."""
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    np.maximum(sides, 0, out=sides)
    return sides[:, 0] * sides[:, 1]
