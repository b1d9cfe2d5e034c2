"""From a picture to its faces and what they show: detect, crop, classify."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from builder_tools.classifier import resize_faces
from builder_tools.detectors import FaceDetector
from builder_tools.inference.models import EmotionModel
from builder_tools.results import Box, Face, FaceEmotion, crop


def face_square(box: Box, detector: FaceDetector) -> Box:
    """Gives the square around a face as training faces are framed.

    Detectors draw their boxes differently (MediaPipe from brows to chin, SSD around the head);
    each says by `crop_scale` and `crop_shift_y` how its box becomes such a square.
    """
    moved = box.shift(0, detector.crop_shift_y * box.height)
    return moved.square().scale(detector.crop_scale)


def cut_faces(image_rgb: np.ndarray, faces: Sequence[Face], detector: FaceDetector) -> list:
    """Gives the square face pictures to classify, `(side, side, 3)` uint8 RGB each."""
    return [crop(image_rgb, face_square(face.box, detector)) for face in faces]


def classify(
    model: EmotionModel, pictures: Sequence[np.ndarray], img_size: int | None
) -> np.ndarray:
    """Gives `(n, num_classes)` probabilities; faces are first resized where a size is given.

    Raises:
        ValueError: If the model gives an array of another shape.
    """
    expected = (len(pictures), len(model.emotions))
    if not len(pictures):
        return np.zeros(expected, np.float32)
    if img_size is not None:
        pictures = resize_faces(pictures, img_size)
    found = np.asarray(model.predict(pictures))
    if found.shape != expected:
        raise ValueError(
            f"Expected {type(model).__name__}.predict to give an array of shape {expected} (faces, "
            f"emotions). Received: shape {found.shape}."
        )
    return found


def face_emotions(
    model: EmotionModel, faces: Sequence[Face], probabilities: np.ndarray
) -> tuple[FaceEmotion, ...]:
    """Puts faces, their probabilities and, where the model gives it, their place together."""
    names = tuple(model.emotions)
    return tuple(
        FaceEmotion(face, dict(zip(names, map(float, row), strict=True)), *place)
        for face, row, place in zip(
            faces, probabilities, _places(model, probabilities), strict=True
        )
    )


def _places(model: EmotionModel, probabilities: np.ndarray) -> list[tuple]:
    """Gives valence and arousal of each face, None where the model gives none."""
    if not hasattr(model, "valence_arousal"):
        return [(None, None)] * len(probabilities)
    found = model.valence_arousal(probabilities)
    return [(None, None) if np.isnan(row).any() else tuple(row.tolist()) for row in found]
