"""What a single image shows, and what is wrong with it."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from builder_tools.cleaning.config import STATUSES, CleaningConfig
from builder_tools.cleaning.looking import (
    align_face,
    cut_face,
    find_faces,
    roll_deg,
    sharpness,
    with_nearer_eyes,
)
from builder_tools.datasets.duplicates import MINIATURE_PX
from builder_tools.detectors import DETECTOR_ERRORS, DETECTOR_FAILED, FaceDetector
from builder_tools.media import IMAGE_ERRORS, open_image, resize_square
from builder_tools.media.budget import Budget
from builder_tools.media.images import can_be_read
from builder_tools.results import Face

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Look:
    """What a single image shows; one line of the journal.

    Args:
        number: Number of the image, from 0.
        error: Why it could not be examined, or "".
        num_faces: Number of faces found.
        score: The detector's score of the largest face.
        box: x1, y1, x2, y2 of the largest face, in pixels of the image.
        face_px: Longer side of that box.
        sharpness: Sharpness of that face, or of the whole image if there is none.
        roll_deg: The angle by which that face was rotated upright, or None if it was not.
        miniature: The whole image in grey at 48x48 px, base64, used to find duplicates.
        size_px: Width and height of the image.
        note: What is to be said of its pixels, as that it is cut short; mostly "".
    """

    number: int
    error: str = ""
    num_faces: int = 0
    score: float | None = None
    box: tuple[float, float, float, float] | None = None
    face_px: float | None = None
    sharpness: float | None = None
    roll_deg: float | None = None
    miniature: str = ""
    size_px: tuple[int, int] | None = None
    note: str = ""

    @classmethod
    def of_line(cls, value: Mapping[str, Any]) -> Look:
        """Return the look of a line of the journal."""
        return cls(**{**value, "box": value["box"] and tuple(value["box"])})

    def still_holds(self, number: int, path: Path) -> bool:
        """Return whether it is of that image, which cannot be read by now if it could not then."""
        was_read = not self.error or self.error.startswith(DETECTOR_FAILED)
        return self.number == number and (was_read or not can_be_read(path))

    @property
    def pixels(self) -> np.ndarray:
        """The miniature, `(48, 48)` uint8."""
        flat = np.frombuffer(base64.b64decode(self.miniature), np.uint8)
        return flat.reshape(MINIATURE_PX, MINIATURE_PX)


@dataclass(frozen=True)
class Fault:
    """Something wrong with an image.

    Args:
        status: One of `STATUSES`.
        reason: The reason in words.
        drops: Whether the image is dropped for it.
        repeats: Index of the image that it repeats, or None.
    """

    status: str
    reason: str
    drops: bool
    repeats: int | None = None


def look_at(
    number: int, path: Path, detector: FaceDetector, config: CleaningConfig, budget: Budget
) -> tuple[Look, np.ndarray | None]:
    """Examine an image; return what it shows and the image to write, or None to write nothing.

    A bad image raises nothing but gives a `Look` with an error. The image is decoded once there is
    room in the budget.
    """
    with ExitStack() as held:
        try:
            opened = open_image(path)
            held.enter_context(budget.lend(opened.needed_bytes))
            image, note = opened.decode()
        except IMAGE_ERRORS as error:
            return Look(number, error=_in_one_line(error)), None
        try:
            faces = find_faces(detector, image, surround=config.surround)
        except DETECTOR_ERRORS as error:
            return Look(number, error=f"{DETECTOR_FAILED}: {_in_one_line(error)}"), None
        if note:
            _logger.warning("%s: %s.", path, note)
        cut, roll = _cut(image, faces[0], detector, config) if faces else (image, None)
        look = _describe(number, faces, sharpness(cut), roll)
        # Shrink the decoded image now, so that finding duplicates need not read the file again.
        small = cv2.cvtColor(resize_square(image, MINIATURE_PX), cv2.COLOR_RGB2GRAY)
        miniature = base64.b64encode(small).decode("ascii")
        look = replace(look, miniature=miniature, size_px=image.shape[1::-1], note=note)
        if any(fault.drops for fault in faults(look, config)):
            return look, None
        kept = cut if config.crop == "face" else image
        return look, kept if config.size_px is None else resize_square(kept, config.size_px)


def faults(look: Look, config: CleaningConfig) -> list[Fault]:
    """Return the faults of an image on its own, worst first; `[]` if there are none."""
    if look.error:
        return [Fault("unreadable", "it cannot be read", drops=True)]
    found = []
    if look.num_faces == 0:
        what = "" if config.no_face == "drop" else "; the whole image is kept"
        found.append(Fault("no_face", f"no face found{what}", config.no_face == "drop"))
    if look.num_faces > 1:
        drops = config.multi_face == "drop"
        what = "" if drops else "; the largest counts"
        found.append(Fault("multi_face", f"{look.num_faces} faces found{what}", drops))
    if look.face_px is not None and look.face_px < config.min_face_px:
        reason = f"the face is {look.face_px:g} px large, under {config.min_face_px:g}"
        found.append(Fault("too_small", reason, config.too_small == "drop"))
    limit = config.min_sharpness
    if limit is not None and look.sharpness is not None and look.sharpness < limit:
        reason = f"its sharpness is {look.sharpness:.1f}, under {limit:g}"
        found.append(Fault("blurred", reason, config.blurred == "drop"))
    return found


def verdict(found: Iterable[Fault]) -> Fault:
    """Return the decisive fault: the first one that drops the image, or else the first.

    Its reason names all faults. Without any fault, the status is "ok".
    """
    found = sorted(found, key=lambda fault: (not fault.drops, STATUSES.index(fault.status)))
    if not found:
        return Fault("ok", "", drops=False)
    reason = "; ".join(fault.reason for fault in found)
    repeated = [fault.repeats for fault in found if fault.repeats is not None]
    return Fault(found[0].status, reason, found[0].drops, repeated[0] if repeated else None)


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _cut(
    image: np.ndarray, face: Face, detector: FaceDetector, config: CleaningConfig
) -> tuple[np.ndarray, float | None]:
    frame = {
        "margin": detector.crop_scale if config.margin is None else config.margin,
        "shift_y": detector.crop_shift_y if config.shift_y is None else config.shift_y,
    }
    if config.align_eyes:
        face = with_nearer_eyes(detector, image, face)
        return align_face(image, face, **frame), roll_deg(face)
    return cut_face(image, face, **frame), None


def _describe(number: int, faces: list[Face], sharp: float, roll: float | None) -> Look:
    """Return a look, rounded as in the manifest so that limits apply to the values shown."""
    if not faces:
        return Look(number, sharpness=round(sharp, 2))
    box = faces[0].box
    return Look(
        number,
        num_faces=len(faces),
        score=round(float(faces[0].score), 4),
        box=tuple(round(float(value), 1) for value in box.xyxy),
        face_px=round(float(max(box.width, box.height)), 1),
        sharpness=round(sharp, 2),
        roll_deg=None if roll is None else round(roll, 1),
    )
