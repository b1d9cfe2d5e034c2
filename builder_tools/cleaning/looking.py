"""What is done with the pixels of one image: find faces, judge sharpness, cut, turn upright."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np

from builder_tools.detectors import FaceDetector
from builder_tools.media import resize_square
from builder_tools.results import Box, Face, crop

SMALL_IMAGE_PX = 128
"""Images up to this side are enlarged before a detector looks: they are crops of faces."""
ENLARGED_PX = 192
SURROUND = 0.5
"""Width of the border over the longer side of the image. It has the image's mean colour: so
most true faces are found, and of plain colours the fewest false ones (`reports/cleaning.md`)."""
SECOND_LOOK_UP_TO_PX = 640
"""Larger images without a face are not looked at again: faces there do not fill the frame."""
SECOND_LOOK_SCORE = 0.7
"""A second look sees more faces where there are none, but is not sure of them."""

SHARPNESS_SIDE_PX = 64
EYES_AROUND = 2.5
"""Side of the square in which eyes are looked for again over the longer side of the box."""
EYES_PX = 512
SAME_FACE_IOU = 0.3
MAX_ROLL_DEG = 45.0
MIN_EYE_DISTANCE = 0.15
"""Eyes nearer together than this share of the box are of a profile, or wrong."""


def find_faces(
    detector: FaceDetector, image_rgb: np.ndarray, *, surround: bool = True
) -> list[Face]:
    """Return the faces in an image, in pixels of the image, also where a face fills it.

    Detectors are made for faces with something around them; of FER2013's 48x48 face images the
    default one misses an eighth, dlib all. So images up to 128 px are looked at enlarged to 192
    px amid a plain border of half a side, and images up to 640 px in which nothing was found are
    looked at again amid such a border, where only faces scored 0.7 and more count
    (`reports/cleaning.md` has the shares).

    Args:
        detector: Any face detector.
        image_rgb: `(H, W, 3)` uint8 RGB.
        surround: False asks the detector once, for the image as it is.

    Returns:
        Faces, largest first; boxes clipped to the image.
    """
    longer_px = max(image_rgb.shape[:2])
    if surround and longer_px <= SMALL_IMAGE_PX:
        return _find_amid_border(detector, image_rgb, ENLARGED_PX / longer_px)
    faces = detector.detect(image_rgb)
    if faces or not surround or longer_px > SECOND_LOOK_UP_TO_PX:
        return faces
    seen = _find_amid_border(detector, image_rgb, 1.0)
    return [face for face in seen if face.score >= SECOND_LOOK_SCORE]


def sharpness(face_rgb: np.ndarray) -> float:
    """Return the variance of the Laplacian of the grey face at 64x64 px: the higher, the sharper.

    The fixed size makes faces of all sizes comparable. It also grows with contrast and noise, so
    choose a limit by looking at the images under it. (Pech-Pacheco et al., 2000, "Diatom
    autofocusing in brightfield microscopy".)

    Args:
        face_rgb: `(H, W, 3)` uint8 RGB.
    """
    grey = cv2.cvtColor(resize_square(face_rgb, SHARPNESS_SIDE_PX), cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())


def cut_face(image_rgb: np.ndarray, face: Face, *, margin: float, shift_y: float) -> np.ndarray:
    """Cut the square around a face; parts outside the image repeat its edge.

    Args:
        image_rgb: `(H, W, 3)` uint8 RGB.
        face: The face.
        margin: Side of the square over the longer side of the face's box.
        shift_y: How far the square's centre moves, as a share of the box's height; negative is up.

    Returns:
        `(side, side, 3)` uint8 RGB.
    """
    return crop(image_rgb, face.box.framed(margin, shift_y))


def align_face(image_rgb: np.ndarray, face: Face, *, margin: float, shift_y: float) -> np.ndarray:
    """Cut the square around a face as `cut_face`, turned so that the line of the eyes is level.

    The square has the same side; it is turned around the centre of the box, and shifted along
    the face's own axis. Without usable eyes (`roll_deg` gives None) it is `cut_face`.
    """
    roll = roll_deg(face)
    if roll is None:
        return cut_face(image_rgb, face, margin=margin, shift_y=shift_y)
    side = max(round(max(face.box.width, face.box.height) * margin), 1)
    cosine, sine = math.cos(math.radians(roll)), math.sin(math.radians(roll))
    turn = np.array([[cosine, -sine], [sine, cosine]])
    centre = np.array(face.box.centre) + turn @ (0.0, shift_y * face.box.height)
    # A pixel's middle is at +0.5: from there to the middle of the square, turned, and back.
    start = centre - 0.5 + turn @ np.full(2, 0.5 - side / 2)
    return cv2.warpAffine(
        image_rgb,
        np.column_stack([turn, start]),
        (side, side),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )


def with_nearer_eyes(detector: FaceDetector, image_rgb: np.ndarray, face: Face) -> Face:
    """Return the face with key points found from near by, where the detector gives key points.

    Seen in a whole photo, a leaning face's eyes are often given too level; in the square around
    the face, 512 px large, they are less so (`reports/cleaning.md` has the degrees).
    """
    if face.keypoints is None:
        return face
    window = face.box.square().scale(EYES_AROUND)
    factor = EYES_PX / window.width
    near = resize_square(crop(image_rgb, window), EYES_PX)
    corner = np.array([round(window.x1), round(window.y1)])
    moved = face.box.shift(-float(corner[0]), -float(corner[1]))
    own = Box(*(value * factor for value in moved.xyxy))
    look = getattr(detector, "detect_near", detector.detect)
    found = max(look(near), key=lambda one: one.box.iou(own), default=None)
    if found is None or found.keypoints is None or found.box.iou(own) < SAME_FACE_IOU:
        return face
    return replace(face, keypoints=found.keypoints / factor + corner)


def roll_deg(face: Face) -> float | None:
    """Return how far the line of the eyes leans, in degrees, clockwise in the image positive.

    None where the detector gives no eyes, where they are too near together to tell (a profile),
    or where the line leans more than 45 degrees (which then is more often an error than a face).
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
    for face in detector.detect(scene):
        # Back from the enlarged, bordered image to pixels of the image.
        box = Box(*((value - border) / factor for value in face.box.xyxy)).clip(width, height)
        keypoints = None if face.keypoints is None else (face.keypoints - border) / factor
        if box.area > 0:
            kept.append(replace(face, box=box, keypoints=keypoints))
    return sorted(kept, key=lambda face: face.box.area, reverse=True)
