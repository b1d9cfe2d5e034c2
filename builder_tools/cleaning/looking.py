"""Operations on the pixels of one image: find faces, measure sharpness, crop, rotate upright."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import cv2
import numpy as np

from builder_tools.detectors import FaceDetector
from builder_tools.detectors.base import faces_found
from builder_tools.media import resize_square
from builder_tools.results import Box, Face, crop

SMALL_IMAGE_PX = 128
"""Images up to this side are enlarged before detection, as they are crops of faces."""
ENLARGED_PX = 192
SURROUND = 0.5
"""Width of the border relative to the longer side of the image. It has the image's mean colour: of
plain colours, this finds most true faces and fewest false ones (`reports/cleaning.md`)."""
SECOND_LOOK_UP_TO_PX = 640
"""Larger images without a face get no second look, as faces there do not fill the frame."""
SECOND_LOOK_SCORE = 0.7
"""Least score in a second look, which finds more false faces, but with low scores."""

SHARPNESS_SIDE_PX = 64
EYES_AROUND = 2.5
"""Side of the square searched again for eyes, relative to the longer side of the box."""
EYES_PX = 512
SAME_FACE_IOU = 0.3
MAX_ROLL_DEG = 45.0
MIN_EYE_DISTANCE = 0.15
"""Eyes closer together than this share of the box belong to a profile, or are wrong."""


def find_faces(
    detector: FaceDetector, image_rgb: np.ndarray, *, surround: bool = True
) -> list[Face]:
    """Return the faces in an image, in its pixels, even if a face fills the image.

    Detectors are designed for faces with some surroundings; of FER2013's 48x48 face images, the
    default one misses an eighth and dlib all. So images up to 128 px are enlarged to 192 px and
    shown to the detector inside a plain border of half a side. Images up to 640 px in which nothing
    was found are shown again inside such a border, where only faces with a score of at least 0.7
    count (see `reports/cleaning.md` for the shares).

    Args:
        detector: Any face detector.
        image_rgb: `(H, W, 3)` uint8 RGB.
        surround: False calls the detector only once, on the unchanged image.

    Returns:
        Faces, largest first; boxes clipped to the image.
    """
    longer_px = max(image_rgb.shape[:2])
    if surround and longer_px <= SMALL_IMAGE_PX:
        return _find_amid_border(detector, image_rgb, ENLARGED_PX / longer_px)
    faces = list(faces_found(detector, image_rgb))
    if faces or not surround or longer_px > SECOND_LOOK_UP_TO_PX:
        return faces
    seen = _find_amid_border(detector, image_rgb, 1.0)
    return [face for face in seen if face.score >= SECOND_LOOK_SCORE]


def sharpness(face_rgb: np.ndarray) -> float:
    """Return the variance of the Laplacian of the grey face at 64x64 px; higher is sharper.

    The fixed size makes faces of all sizes comparable. The value also grows with contrast and
    noise, so choose a limit by looking at the images below it (Pech-Pacheco et al., 2000, "Diatom
    autofocusing in brightfield microscopy").

    Args:
        face_rgb: `(H, W, 3)` uint8 RGB.
    """
    grey = cv2.cvtColor(resize_square(face_rgb, SHARPNESS_SIDE_PX), cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())


def cut_face(image_rgb: np.ndarray, face: Face, *, margin: float, shift_y: float) -> np.ndarray:
    """Crop the square around a face; parts outside the image repeat its edge.

    Args:
        image_rgb: `(H, W, 3)` uint8 RGB.
        face: The face.
        margin: Side of the square relative to the longer side of the face's box.
        shift_y: Shift of the square's centre, as a share of the box's height; negative is up.

    Returns:
        `(side, side, 3)` uint8 RGB.
    """
    return crop(image_rgb, face.box.framed(margin, shift_y))


def align_face(image_rgb: np.ndarray, face: Face, *, margin: float, shift_y: float) -> np.ndarray:
    """Crop the square around a face like `cut_face`, rotated so that the line of the eyes is level.

    The square has the same side; it is rotated around the centre of the box, and shifted along
    the face's own axis. Without usable eyes (`roll_deg` returns None), this is `cut_face`.
    """
    roll = roll_deg(face)
    if roll is None:
        return cut_face(image_rgb, face, margin=margin, shift_y=shift_y)
    side = max(round(max(face.box.width, face.box.height) * margin), 1)
    cosine, sine = math.cos(math.radians(roll)), math.sin(math.radians(roll))
    turn = np.array([[cosine, -sine], [sine, cosine]])
    centre = np.array(face.box.centre) + turn @ (0.0, shift_y * face.box.height)
    # Pixel centres are at +0.5: go from there to the centre of the square, rotate, and go back.
    start = centre - 0.5 + turn @ np.full(2, 0.5 - side / 2)
    return cv2.warpAffine(
        image_rgb,
        np.column_stack([turn, start]),
        (side, side),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )


def with_nearer_eyes(detector: FaceDetector, image_rgb: np.ndarray, face: Face) -> Face:
    """Return the face with key points found in a close-up, if the detector returns key points.

    In a whole photo, the eyes of a tilted face are often detected as too level; in a square of
    512 px around the face, they are less so (see `reports/cleaning.md` for the degrees).
    """
    if face.keypoints is None:
        return face
    window = face.box.square().scale(EYES_AROUND)
    factor = EYES_PX / window.width
    near = resize_square(crop(image_rgb, window), EYES_PX)
    corner = np.array([round(window.x1), round(window.y1)])
    moved = face.box.shift(-float(corner[0]), -float(corner[1]))
    own = Box(*(value * factor for value in moved.xyxy))
    look = getattr(detector, "detect_near", partial(faces_found, detector))
    found = max(look(near), key=lambda one: one.box.iou(own), default=None)
    if found is None or found.keypoints is None or found.box.iou(own) < SAME_FACE_IOU:
        return face
    return replace(face, keypoints=found.keypoints / factor + corner)


def roll_deg(face: Face) -> float | None:
    """Return the tilt of the line of the eyes in degrees; clockwise in the image is positive.

    None if the detector returns no eyes, if they are too close together to tell (a profile), or if
    the line is tilted by more than 45 degrees (which is more often an error than a face).
    """
    if face.keypoints is None or len(face.keypoints) < 2:
        return None
    dx, dy = (float(value) for value in face.keypoints[1] - face.keypoints[0])
    if math.hypot(dx, dy) < MIN_EYE_DISTANCE * max(face.box.width, face.box.height):
        return None
    roll = math.degrees(math.atan2(dy, dx))
    return roll if abs(roll) <= MAX_ROLL_DEG else None


def _find_amid_border(detector: FaceDetector, image_rgb: np.ndarray, factor: float) -> list[Face]:
    height, width = image_rgb.shape[:2]
    size = (max(round(width * factor), 1), max(round(height * factor), 1))
    large = cv2.resize(image_rgb, size, interpolation=cv2.INTER_CUBIC) if factor > 1 else image_rgb
    border = round(max(size) * SURROUND)
    colour = tuple(cv2.mean(large)[:3])
    scene = cv2.copyMakeBorder(large, *[border] * 4, cv2.BORDER_CONSTANT, value=colour)
    kept = []
    for face in faces_found(detector, scene):
        # Map back from the enlarged, bordered image to pixels of the original.
        box = Box(*((value - border) / factor for value in face.box.xyxy)).clip(width, height)
        keypoints = None if face.keypoints is None else (face.keypoints - border) / factor
        if box.area > 0:
            kept.append(replace(face, box=box, keypoints=keypoints))
    return sorted(kept, key=lambda face: face.box.area, reverse=True)
