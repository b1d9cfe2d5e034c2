"""Stand-ins with known answers for the model and the detector, and images they can read."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from builder_tools.emotions import NINE_EMOTIONS, EmotionSet
from builder_tools.geometry import BLENDSHAPES
from builder_tools.media import Frame, write_image
from builder_tools.results import Box, Face, FaceEmotion, FaceGeometry, HeadPose
from builder_tools.submission import log_path

FACE_PX = 16


class FakeModel:
    """Three classes; bright faces are happy, middling ones neutral, dark ones sad.

    `calls` keeps the faces of every call. `before` is called with the number of faces seen so
    far and may raise.
    """

    def __init__(self, before: Callable[[int], None] = lambda seen: None) -> None:
        self.emotions = EmotionSet(("happy", "neutral", "sad"))
        self.calls: list[list[np.ndarray]] = []
        self._before = before

    @property
    def seen(self) -> int:
        return sum(len(faces) for faces in self.calls)

    def predict(self, faces: Sequence[np.ndarray]) -> np.ndarray:
        self._before(self.seen)
        self.calls.append(list(faces))
        return np.array([self._row(float(face.mean())) for face in faces], np.float32)

    @staticmethod
    def _row(mean: float) -> list[float]:
        label = 0 if mean > 170 else 1 if mean > 85 else 2
        sure = 0.5 + mean / 1000
        return [sure if index == label else (1 - sure) / 2 for index in range(3)]


class FakeDetector:
    """Finds as many faces as the value of the image's first pixel says, in a row.

    Or always `num_faces`, where that is given. The first face is 16x16 px, the second 20x20, the
    third 24x24...; the scores fall.
    """

    crop_scale, crop_shift_y = 1.0, 0.0

    def __init__(self, num_faces: int | None = None) -> None:
        self.num_faces = num_faces
        self.closed = 0

    def detect(self, image_rgb: np.ndarray) -> list[Face]:
        count = int(image_rgb[0, 0, 0]) if self.num_faces is None else self.num_faces
        sides = [FACE_PX + 4 * index for index in range(count)]
        lefts = [8 + sum(sides[:index]) for index in range(len(sides))]
        faces = [
            Face(Box(left, 8, left + side, 8 + side), 0.9 - 0.1 * index)
            for index, (left, side) in enumerate(zip(lefts, sides, strict=True))
        ]
        return faces[::-1]

    def close(self) -> None:
        self.closed += 1


@dataclass
class FollowsSquare:
    """Find the white square of a `square_film`; remember which images were searched, followed."""

    searched: list[int]
    followed: list[int]
    crop_scale = 1.0
    crop_shift_y = 0.0

    def detect(self, image: np.ndarray) -> list[Face]:
        self.searched.append(int(image[0, 0, 2]))
        return self._white(image)

    def follow(self, image: np.ndarray, faces: list[Face]) -> list[Face]:
        self.followed.append(int(image[0, 0, 2]))
        return self._white(image) if faces else []

    def close(self) -> None:
        pass

    def _white(self, image: np.ndarray) -> list[Face]:
        ys, xs = np.nonzero(image[..., 0] > 200)
        if not len(xs):
            return []
        return [Face(Box(xs.min(), ys.min(), xs.max() + 1, ys.max() + 1), 0.9)]


def square_film(
    count: int,
    *,
    fps: float = 20,
    step: int = 1,
    gone: Container[int] = (),
    cut_at: int | None = None,
) -> list[Frame]:
    """Return images of a white square that moves to the right; it is absent from those `gone`."""
    frames = []
    for number in range(count):
        image = np.zeros((90, 160, 3), np.uint8)
        if cut_at is not None and number >= cut_at:
            image[..., 1] = 200
        if number not in gone:
            left = 20 + step * number
            image[20:50, left : left + 30] = 255
        image[0, 0, 2] = number
        frames.append(Frame(number, number / fps, image))
    return frames


class Busy:
    """Note which works go on at the same time.

    Attributes:
        together: The names of those that were going on whenever one began.
    """

    def __init__(self) -> None:
        self.together: list[set[str]] = []
        self._going_on: list[str] = []

    def work(self, name: str, rest_s: float = 0.05) -> Callable[[Any], Any]:
        """Return a work that rests and gives back what it was given."""

        def rest(item: Any = None) -> Any:
            self._going_on.append(name)
            self.together.append(set(self._going_on))
            time.sleep(rest_s)
            self._going_on.remove(name)
            return item

        return rest


def made_geometry(
    yaw: float = 0.0, pitch: float = -6.0, roll: float = 0.0, **blendshapes: float
) -> FaceGeometry:
    """Makes up a face's geometry: landmark n lies at n, 2n, 0; all blendshapes not named are 0."""
    landmarks = np.arange(478, dtype=np.float32)[:, None] * (1, 2, 0)
    shapes = {name: blendshapes.get(name, 0.0) for name in BLENDSHAPES}
    return FaceGeometry(landmarks, shapes, HeadPose(yaw, pitch, roll), 0.9)


class FakeLandmarker:
    """Sees a face turned by as many degrees as its middle pixel is bright; none in black ones."""

    def __init__(self) -> None:
        self.closed = 0
        self.looks: list[tuple[Box, float]] = []

    def look(self, image_rgb: np.ndarray, square: Box, *, roll_deg: float = 0.0):
        self.looks.append((square, roll_deg))
        x, y = (int(value) for value in square.centre)
        value = int(image_rgb[y, x, 0])
        if value == 0:
            return None, "the landmarker sees no face (presence 0.00)"
        return made_geometry(yaw=float(value)), ""

    def close(self) -> None:
        self.closed += 1


def made_image(num_faces: int, *values: int, size: tuple[int, int] = (96, 64)) -> np.ndarray:
    """Paints an image for `FakeDetector`, each face filled with a value: `(64, 96, 3)` uint8."""
    image = np.full((size[1], size[0], 3), 40, np.uint8)
    image[0, 0] = num_faces
    left = 8
    for index, value in enumerate(values):
        side = FACE_PX + 4 * index
        image[8 : 8 + side, left : left + side] = value
        left += side
    return image


def save_image(path: Path, num_faces: int, *values: int) -> Path:
    return write_image(path, made_image(num_faces, *values))


def files_of(csv_path):
    """The bytes of a submission and of its log."""
    return csv_path.read_bytes(), log_path(csv_path).read_bytes()


def a_face(box, emotion="happy", probability=0.84, *, va=(None, None), track=None):
    """A face and its emotion, the others alike."""
    rest = (1 - probability) / (len(NINE_EMOTIONS) - 1)
    probabilities = {name: probability if name == emotion else rest for name in NINE_EMOTIONS}
    return FaceEmotion(Face(Box(*box), 0.9, track=track), probabilities, *va)
