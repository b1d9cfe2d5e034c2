"""From an image to its faces and what they show: detect, crop, classify."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from builder_tools.classifier import resize_faces
from builder_tools.detectors import FaceDetector
from builder_tools.inference.models import EmotionModel
from builder_tools.results import DOUBTFUL_BELOW, Box, Face, FaceEmotion, Readings, crop

LARGEST_FACE_PX = 1024
"""Longer side of a face, or of an image without one, that a model of unknown input is given."""


def face_square(box: Box, detector: FaceDetector) -> Box:
    """Return the square around a face as training faces are framed.

    Detectors draw their boxes differently (MediaPipe from brows to chin, SSD around the head);
    each says by `crop_scale` and `crop_shift_y` how its box becomes such a square.
    """
    moved = box.shift(0, detector.crop_shift_y * box.height)
    return moved.square().scale(detector.crop_scale)


def cut_faces(image_rgb: np.ndarray, faces: Sequence[Face], detector: FaceDetector) -> list:
    """Return the square face images to classify, `(side, side, 3)` uint8 RGB each."""
    return [crop(image_rgb, face_square(face.box, detector)) for face in faces]


def shrink_face(face: np.ndarray, face_px: int | None) -> np.ndarray:
    """Return a face of the size that the model needs: no more of it has to be kept.

    Args:
        face: `(H, W, 3)` uint8 RGB.
        face_px: The model's side; None where it is not known: then only what is larger than
            `LARGEST_FACE_PX` is shrunk to that.
    """
    if face_px is not None:
        return resize_faces([face], face_px)[0]
    factor = LARGEST_FACE_PX / max(face.shape[:2])
    if factor >= 1:
        return face
    import cv2

    size = [max(round(side * factor), 1) for side in face.shape[1::-1]]
    return cv2.resize(face, size, interpolation=cv2.INTER_AREA)


def read_faces(model: EmotionModel, images: Sequence[np.ndarray], img_size: int | None) -> Readings:
    """Return probabilities `(n, num_classes)` and places `(n, 2)`, NaN where the model gives none.

    The network runs once a face. Faces are first resized where a size is given.

    Raises:
        ValueError: If the model gives an array of another shape, or what is no number.
    """
    expected = (len(images), len(model.emotions))
    if not len(images):
        return Readings(np.zeros(expected, np.float32), np.zeros((0, 2)))
    if img_size is not None:
        images = resize_faces(images, img_size)
    if hasattr(model, "read"):
        found = model.read(images)
        _check_shape(model, "read", found.probabilities, expected)
        return found
    probabilities = np.asarray(model.predict(images))
    _check_shape(model, "predict", probabilities, expected)
    return Readings(probabilities, _places(model, probabilities))


def face_emotions(
    model: EmotionModel, faces: Sequence[Face], readings: Readings
) -> tuple[FaceEmotion, ...]:
    """Put faces, their probabilities and, where it is known, their place together."""
    names, threshold = tuple(model.emotions), doubtful_below(model)
    return tuple(
        FaceEmotion(face, dict(zip(names, map(float, row), strict=True)), *_known(place), threshold)
        for face, row, place in zip(faces, readings.probabilities, readings.places, strict=True)
    )


def doubtful_below(model: EmotionModel) -> float:
    """Return the probability under which an emotion is doubtful: by the model's card, else 0.5."""
    threshold = getattr(getattr(model, "card", None), "abstain_below", None)
    return DOUBTFUL_BELOW if threshold is None else threshold


def _check_shape(model: EmotionModel, method: str, found: np.ndarray, expected: tuple) -> None:
    if found.shape != expected:
        raise ValueError(
            f"Expected {type(model).__name__}.{method} to give an array of shape {expected} "
            f"(faces, emotions). Received: shape {found.shape}."
        )
    if not np.isfinite(found).all():
        raise ValueError(
            f"Expected {type(model).__name__}.{method} to give numbers. Received: NaN or infinity."
        )


def _places(model: EmotionModel, probabilities: np.ndarray) -> np.ndarray:
    """Return the places that probabilities mean to a model, NaN where to it they mean none."""
    if not hasattr(model, "valence_arousal"):
        return np.full((len(probabilities), 2), np.nan)
    return model.valence_arousal(probabilities)


def _known(place: np.ndarray) -> tuple[float | None, float | None]:
    return (None, None) if np.isnan(place).any() else tuple(place.tolist())
