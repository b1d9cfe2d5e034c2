"""How a program uses the public names, for the type checker (`make lint`); nothing runs it."""

from collections.abc import Iterable, Sequence
from typing import assert_type

import numpy as np

import builder_tools
from builder_tools import DrawBox, EmotionClassifier, EmotionSet, Inference, RestingFace
from builder_tools.detectors import FaceDetector, MediaPipeDetector, make_detector
from builder_tools.inference import BatchRow, BatchTable, ResultStream
from builder_tools.results import Box, Face, FaceEmotion, FrameResult


class MyDetector:
    """A detector of a user's own, which inherits from nothing."""

    crop_scale = 1.0
    crop_shift_y = 0.0

    def detect(self, image_rgb: np.ndarray) -> list[Face]:
        """Return one face."""
        return [Face(Box(0.0, 0.0, 10.0, 10.0), 0.9)]

    def close(self) -> None:
        """Do nothing."""


class MyModel:
    """A model of a user's own; its classes may be any names in order."""

    emotions = ("calm", "tense")

    def predict(self, faces: Sequence[np.ndarray]) -> np.ndarray:
        """Return one row a face."""
        return np.full((len(faces), 2), 0.5)


class MyDrawer:
    """A drawer of a user's own."""

    def draw(
        self, image: np.ndarray, faces: Sequence[FaceEmotion], fps: float | None
    ) -> np.ndarray:
        """Return the image as it is."""
        return image


def use_own_parts() -> None:
    """Use what `docs/how_to/parts.md` names."""
    print(builder_tools.__all__, builder_tools.__version__)
    with Inference(MyModel(), MyDetector(), MyDrawer()) as inference:
        rows = inference.analyse_images(["photo.jpg"])
        assert_type(rows[0], BatchRow)
        assert_type(rows[:2], tuple[BatchRow, ...])


def use(image: np.ndarray, faces: Iterable[np.ndarray]) -> None:
    """Use what README names."""
    detector: FaceDetector = MyDetector()
    detector = MediaPipeDetector()
    detector = make_detector("yunet")
    classifier = EmotionClassifier("tiny")
    assert_type(classifier.predict(list(faces)), np.ndarray)
    emotions: EmotionSet = classifier.emotions
    rest: RestingFace = classifier.resting_face(list(faces))
    with Inference(classifier, detector, DrawBox(), show_state_mode="none") as inference:
        found = inference.analyse(image)
        assert_type(found, tuple[FaceEmotion, ...])
        assert_type(inference.analyse_image("photo.jpg"), FrameResult)
        assert_type(inference.analyse_images("photos"), BatchTable)
        assert_type(inference.analyse_video("film.mp4"), ResultStream)
        for seen in inference.analyse_camera(0):
            assert_type(seen, FrameResult)
    for face in found:
        assert_type(face.emotion, str)
        assert_type(face.probability, float)
        assert_type(face.doubtful, bool)
        assert_type(face.face.box.xyxy, tuple[float, float, float, float])
    result = FrameResult("photo.jpg", 0, 0.0, found)
    assert_type(result.faces, tuple[FaceEmotion, ...])
    print(emotions.names, rest)
