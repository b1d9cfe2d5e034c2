"""From a face to its emotions: which model, which pixels, and what the model says of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from builder_tools.classifier import EmotionClassifier
from builder_tools.detectors import FaceDetector, face_frame, face_square
from builder_tools.detectors.turning import turned_back
from builder_tools.fields import checked_part, is_number, is_table, is_text
from builder_tools.media import resize_faces, resize_square
from builder_tools.results import (
    DOUBTFUL_BELOW,
    Face,
    FaceEmotion,
    FaceGeometry,
    Readings,
    crop,
)

if TYPE_CHECKING:
    from builder_tools.geometry import FaceLandmarker

Shape = tuple[FaceGeometry | None, str]
"""The geometry of a face, or None and the reason why there is none."""
NO_SHAPE: Shape = (None, "")
"""Used if no geometry was requested."""

ROUNDING = 1e-2
"""How far a probability may lie outside [0, 1], and a place outside [-1, 1], as happens with half
precision and 8-bit integers; the sum of a face's may lie as far above 1 for each of its classes."""
LARGEST_FACE_PX = 1024
"""Longest side of a face, or of an image without one, given to a model of unknown input size."""


class EmotionModel(Protocol):
    """Anything that predicts emotion probabilities for faces.

    Attributes:
        emotions: The classes, distinct names in the order of the probabilities.

    A model that also has `valence_arousal(probabilities) -> (n, 2)` places faces in the
    valence-arousal plane (NaN for none). If it has `predict_with_affect(faces) ->
    results.Readings`, that is called instead and returns probabilities and places at once.
    """

    @property
    def emotions(self) -> Collection[str]:
        """See above; an `EmotionSet`, or any names."""
        ...

    def predict(self, faces: Sequence[np.ndarray]) -> np.ndarray:
        """Return `(n, num_classes)` for `(H, W, 3)` uint8 RGB faces; rows sum to 1, or to less if
        none of the classes may apply."""
        ...


def chosen_model(given: EmotionModel | None, decision: str | None) -> EmotionModel:
    """Return the given model, or else the default one with the requested decision.

    Raises:
        ValueError: If a decision is requested along with a model, or the model's classes are not
            distinct names.
        TypeError: If the given object is not a model.
    """
    if given is None:
        return EmotionClassifier(decision=decision or "natural")
    checked_part("model_obj", given, ("emotions", "predict"), "EmotionClassifier({})")
    _check_emotions(given)
    if decision is not None:
        raise ValueError(
            f"Expected decision only for the default model. Received: decision={decision!r} and "
            "a model_obj. Give EmotionClassifier(..., decision=...) instead."
        )
    return given


def frequent_emotion(model: EmotionModel) -> str:
    """Return the training data's most frequent class according to the card, or the first class."""
    card = getattr(model, "card", None)
    counts = card.training.get("class_counts") if card else None
    known = {name: counts.get(name) for name in model.emotions} if is_table(counts) else {}
    known = {name: count for name, count in known.items() if is_number(count)}
    return max(known, key=known.get) if known else next(iter(model.emotions))


def cut_faces(image_rgb: np.ndarray, faces: Sequence[Face], detector: FaceDetector) -> list:
    """Return the square face images to classify, upright, `(side, side, 3)` uint8 RGB each."""
    return [
        turned_back(
            crop(image_rgb, face_square(face.box, detector, face.turned_deg)), face.turned_deg
        )
        for face in faces
    ]


def make_landmarker() -> FaceLandmarker:
    """Return an object that finds the geometry of faces; imported here, as few runs need it."""
    from builder_tools.geometry import FaceLandmarker

    return FaceLandmarker()


def face_shapes(
    landmarker: FaceLandmarker | None,
    image_rgb: np.ndarray,
    faces: Sequence[Face],
    detector: FaceDetector,
) -> list[Shape]:
    """Return the geometry of each face; `NO_SHAPE` for all if there is no landmarker."""
    if landmarker is None:
        return [NO_SHAPE] * len(faces)
    return [
        landmarker.look(
            image_rgb,
            face_frame(face.box, detector, face.turned_deg),
            roll_deg=face.turned_deg if face.roll_deg is None else face.roll_deg,
        )
        for face in faces
    ]


def shrink_face(face: np.ndarray, face_px: int | None) -> np.ndarray:
    """Return a face resized to what the model needs, so that no more has to be kept.

    Args:
        face: `(H, W, 3)` uint8 RGB.
        face_px: Side of the model's input; if None (unknown), only faces larger than
            `LARGEST_FACE_PX` are shrunk, to that size.
    """
    if face_px is not None:
        return resize_square(face, face_px)
    factor = LARGEST_FACE_PX / max(face.shape[:2])
    if factor >= 1:
        return face
    import cv2

    size = [max(round(side * factor), 1) for side in face.shape[1::-1]]
    return cv2.resize(face, size, interpolation=cv2.INTER_AREA)


def read_faces(model: EmotionModel, images: Sequence[np.ndarray], img_size: int | None) -> Readings:
    """Return probabilities `(n, num_classes)` and places `(n, 2)`, NaN if the model gives none.

    The network runs once per face. Faces are resized first if a size is given.

    Raises:
        ValueError: If the model returns an array of the wrong shape, or not probabilities, or
            places beyond the plane.
        TypeError: If its `predict_with_affect` returns no `Readings`.
    """
    expected = (len(images), len(model.emotions))
    if not len(images):
        return Readings(np.zeros(expected, np.float32), np.zeros((0, 2)))
    if img_size is not None:
        images = resize_faces(images, img_size)
    if hasattr(model, "predict_with_affect"):
        method, found = "predict_with_affect", model.predict_with_affect(images)
        if not isinstance(found, Readings):
            raise TypeError(
                f"Expected {type(model).__name__}.{method} to give results.Readings. "
                f"Received: {type(found).__name__}."
            )
        probabilities = _checked_rows(model, method, found.probabilities, expected)
        return Readings(probabilities, _checked_places(model, method, found.places, len(images)))
    probabilities = _checked_rows(model, "predict", model.predict(images), expected)
    places: object = np.full((len(images), 2), np.nan)
    if hasattr(model, "valence_arousal"):
        places = model.valence_arousal(probabilities)
    return Readings(probabilities, _checked_places(model, "valence_arousal", places, len(images)))


def face_emotions(
    model: EmotionModel,
    faces: Sequence[Face],
    readings: Readings,
    shapes: Sequence[Shape] | None = None,
) -> tuple[FaceEmotion, ...]:
    """Combine faces with their probabilities, their shapes and, where known, their places."""
    names, threshold = tuple(model.emotions), doubtful_below(model)
    shapes = [NO_SHAPE] * len(faces) if shapes is None else shapes
    rows = zip(faces, readings.probabilities, readings.places, shapes, strict=True)
    return tuple(
        FaceEmotion(
            face,
            dict(zip(names, map(float, row), strict=True)),
            *((None, None) if np.isnan(place).any() else place.tolist()),
            threshold,
            geometry=geometry,
            no_geometry=reason,
        )
        for face, row, place, (geometry, reason) in rows
    )


def doubtful_below(model: EmotionModel) -> float:
    """Return the probability below which an emotion is doubtful: from the card, or else 0.5."""
    threshold = getattr(getattr(model, "card", None), "abstain_below", None)
    return DOUBTFUL_BELOW if threshold is None else threshold


def _check_emotions(model: EmotionModel) -> None:
    emotions: object = model.emotions
    is_list = isinstance(emotions, Collection) and not isinstance(emotions, str | set | frozenset)
    names = list(emotions) if is_list else []
    if not names or not all(map(is_text, names)) or len(set(names)) < len(names):
        raise ValueError(
            f"Expected {type(model).__name__}.emotions to be one or more distinct names, in the "
            f"order of the probabilities. Received: {names if is_list else emotions!r}."
        )


def _checked_rows(model: EmotionModel, method: str, rows: object, expected: tuple) -> np.ndarray:
    """Return probabilities, with rounding beyond 0...1 removed."""
    found, whose = np.asarray(rows), f"Expected {type(model).__name__}.{method} to give"
    if found.shape != expected:
        raise ValueError(
            f"{whose} an array of shape {expected} (faces, emotions). Received: "
            f"shape {found.shape}."
        )
    if not np.isfinite(found).all():
        raise ValueError(f"{whose} numbers. Received: NaN or infinity.")
    if found.min() < -ROUNDING or found.max() > 1 + ROUNDING:
        raise ValueError(
            f"{whose} probabilities, 0...1. Received: {found.min():g}...{found.max():g}. "
            "Try a softmax over each row."
        )
    most = found.sum(axis=1, dtype=np.float64).max()
    if most > 1 + ROUNDING * len(found[0]):  # less is allowed: the rest may be that of no class
        raise ValueError(
            f"{whose} probabilities that sum to 1 for each face. Received: a sum of {most:g}. "
            "Try a softmax over each row."
        )
    return np.clip(found, 0, 1)


def _checked_places(model: EmotionModel, method: str, places: object, count: int) -> np.ndarray:
    """Return valence and arousal, `(n, 2)`, NaN where unknown."""
    found, whose = np.asarray(places), f"Expected {type(model).__name__}.{method} to give"
    if found.shape != (count, 2):
        raise ValueError(
            f"{whose} valence and arousal of shape {(count, 2)}. Received: shape {found.shape}."
        )
    if (np.abs(found) > 1 + ROUNDING).any():
        raise ValueError(
            f"{whose} valence and arousal in -1...1. Received: "
            f"{np.nanmin(found):g}...{np.nanmax(found):g}."
        )
    return np.clip(found, -1, 1)
