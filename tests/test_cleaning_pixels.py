"""What cleaning does with the pixels of one image."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from fakes import FakeDetector

from builder_tools.cleaning import align_face, cut_face, find_faces, sharpness
from builder_tools.cleaning.looking import roll_deg, with_nearer_eyes
from builder_tools.detectors import make_detector
from builder_tools.results import Box, Face

EYES_LEVEL = np.array([(40.0, 45.0), (60.0, 45.0)])
FACE_ROWS, FACE_COLUMNS = slice(40, 190), slice(150, 300)
"""Of the astronaut: a tight square around the face."""


@pytest.fixture(scope="module")
def mediapipe():
    with make_detector("mediapipe") as detector:
        yield detector


def _turned(image: np.ndarray, degrees: float) -> np.ndarray:
    """Turns an image clockwise around its middle."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), -degrees, 1)
    return cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)


def test_sharpness_of_one_bright_pixel_by_hand() -> None:
    face = np.zeros((64, 64, 3), np.uint8)
    face[20, 30] = 64
    # The Laplacian is -4 v there and v at its four neighbours: variance 20 v^2 / 64^2.
    assert sharpness(face) == pytest.approx(20 * 64**2 / 64**2)


def test_sharpness_of_a_blank_image_is_zero() -> None:
    assert sharpness(np.full((10, 30, 3), 99, np.uint8)) == 0


def test_sharpness_falls_with_blur_and_depends_little_on_size(astronaut: np.ndarray) -> None:
    face = astronaut[FACE_ROWS, FACE_COLUMNS]
    small = cv2.resize(face, (100, 100), interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(face, (0, 0), 4)
    assert sharpness(small) == pytest.approx(sharpness(face), rel=0.35)
    assert sharpness(blurred) < sharpness(face) / 10


def test_cut_face_by_hand() -> None:
    image = np.arange(100 * 100 * 3, dtype=np.uint32).astype(np.uint8).reshape(100, 100, 3)
    face = Face(Box(40, 40, 60, 60), 0.9)
    # Side 20 x 1.5 = 30; centre 50, 50 moved up by 0.1 x 20 = 2.
    found = cut_face(image, face, margin=1.5, shift_y=-0.1)
    np.testing.assert_array_equal(found, image[33:63, 35:65])


@pytest.mark.parametrize(
    ("eyes", "expected"),
    [
        (EYES_LEVEL, 0.0),
        (np.array([(40.0, 40.0), (60.0, 60.0)]), 45.0),
        (np.array([(40.0, 50.0), (60.0, 40.0)]), -26.565),
        (np.array([(40.0, 40.0), (50.0, 60.0)]), None),  # 63 degrees
        (np.array([(50.0, 45.0), (52.0, 45.0)]), None),  # 2 px of 40: a profile
        (np.array([(60.0, 45.0), (40.0, 45.0)]), None),  # upside down, or wrong
        (np.array([(40.0, 45.0)]), None),
        (None, None),
    ],
)
def test_roll_by_hand(eyes: np.ndarray | None, expected: float | None) -> None:
    found = roll_deg(Face(Box(30, 30, 70, 70), 0.9, eyes))
    assert found == (None if expected is None else pytest.approx(expected, abs=1e-3))


def test_level_face_is_cut_as_without_turning() -> None:
    image = np.random.default_rng(0).integers(0, 255, (100, 100, 3), np.uint8)
    face = Face(Box(30, 30, 70, 70), 0.9, EYES_LEVEL)
    frame = {"margin": 1.25, "shift_y": -0.05}
    np.testing.assert_array_equal(align_face(image, face, **frame), cut_face(image, face, **frame))


def test_face_without_eyes_is_cut_as_without_turning() -> None:
    image = np.random.default_rng(0).integers(0, 255, (100, 100, 3), np.uint8)
    face = Face(Box(30, 30, 70, 70), 0.9)
    frame = {"margin": 1.0, "shift_y": 0.0}
    np.testing.assert_array_equal(align_face(image, face, **frame), cut_face(image, face, **frame))


def test_turned_square_shifts_along_the_axis_of_the_face() -> None:
    """A dot up along the axis of a face that leans by 45 degrees comes to the middle column."""
    image = np.zeros((200, 200, 3), np.uint8)
    up = 30 / np.sqrt(2)  # 30 px from the centre, to where the forehead is: right and up
    image[round(100 - up), round(100 + up)] = 255
    eyes = np.array([(90.0, 90.0), (110.0, 110.0)])
    face = Face(Box(60, 60, 140, 140), 0.9, eyes)
    turned = align_face(image, face, margin=1.0, shift_y=-0.25)  # up by 20 of the 30 px
    row, column = np.unravel_index(turned[..., 0].argmax(), turned.shape[:2])
    assert turned.shape == (80, 80, 3)
    assert (row, column) == (pytest.approx(30, abs=1), pytest.approx(40, abs=1))


@pytest.mark.parametrize("degrees", [-30, -15, 15, 30])
def test_real_face_is_turned_upright(astronaut: np.ndarray, mediapipe, degrees: float) -> None:
    leaning = _turned(astronaut, degrees)
    own_roll = _near_roll(mediapipe, astronaut)  # she leans a little, too
    (face,) = mediapipe.detect(leaning)
    near = with_nearer_eyes(mediapipe, leaning, face)
    upright = align_face(leaning, near, margin=2.0, shift_y=0.0)
    assert near.box == face.box
    assert roll_deg(near) == pytest.approx(own_roll + degrees, abs=4)
    assert abs(_near_roll(mediapipe, upright)) < 4


def _near_roll(detector, image: np.ndarray) -> float:
    return roll_deg(with_nearer_eyes(detector, image, detector.detect(image)[0]))


def test_eyes_are_not_looked_for_again_where_there_are_none(astronaut: np.ndarray) -> None:
    face = Face(Box(170, 60, 270, 170), 0.9)
    detector = _MiddleDetector()
    assert with_nearer_eyes(detector, astronaut, face) is face
    assert detector.shown == []


class _MiddleDetector:
    """Sees a face in the middle half of whatever it is shown, with its eyes."""

    crop_scale, crop_shift_y = 1.0, 0.0

    def __init__(self) -> None:
        self.shown: list[tuple[int, ...]] = []

    def detect(self, image_rgb: np.ndarray) -> list[Face]:
        self.shown.append(image_rgb.shape)
        height, width = image_rgb.shape[:2]
        box = Box(width / 4, height / 4, width * 3 / 4, height * 3 / 4)
        return [Face(box, 0.8, np.array([(width / 2, height / 2)]))]

    def close(self) -> None:
        pass


def test_small_image_is_shown_large_amid_a_border() -> None:
    detector = _MiddleDetector()
    (face,) = find_faces(detector, np.zeros((48, 48, 3), np.uint8))
    assert detector.shown == [(384, 384, 3)]  # 192 px and a border of 96 px
    assert face.box == Box(0, 0, 48, 48)
    np.testing.assert_allclose(face.keypoints, [(24, 24)])


def test_small_image_that_is_not_square() -> None:
    detector = _MiddleDetector()
    (face,) = find_faces(detector, np.zeros((24, 48, 3), np.uint8))
    assert detector.shown == [(288, 384, 3)]  # 96 x 192 px, the border is of the longer side
    np.testing.assert_allclose(face.keypoints, [(24, 12)])
    assert face.box == Box(0, 0, 48, 24)  # clipped: the detector's half reached over


def test_image_is_shown_as_it_is_where_asked() -> None:
    detector = _MiddleDetector()
    find_faces(detector, np.zeros((48, 48, 3), np.uint8), surround=False)
    assert detector.shown == [(48, 48, 3)]


@pytest.mark.parametrize(("side", "looks"), [(300, 2), (900, 1)])
def test_image_without_a_face_is_looked_at_again_if_not_large(side: int, looks: int) -> None:
    detector = _MiddleDetector()
    detector.detect = lambda image: detector.shown.append(image.shape) or []
    assert find_faces(detector, np.zeros((side, side, 3), np.uint8)) == []
    assert len(detector.shown) == looks


@pytest.mark.parametrize("name", ["mediapipe", "yunet", "dlib"])
def test_face_that_fills_a_small_image_is_found(
    name: str, astronaut: np.ndarray, needs_detector
) -> None:
    needs_detector(name)
    tight = cv2.resize(astronaut[FACE_ROWS, FACE_COLUMNS], (48, 48), interpolation=cv2.INTER_AREA)
    with make_detector(name) as detector:
        (face,) = find_faces(detector, tight)
    assert 24 < max(face.box.width, face.box.height) <= 48


@pytest.mark.parametrize("side", [60, 300])
def test_faces_of_any_detector_are_clipped_and_largest_first(side):
    """Whatever the detector gives, also inside a border; beyond the edge, nothing was cut out."""
    detector = FakeDetector()
    boxes = [(0, 0, 8, 8), (-20, -20, 200, 200), (9000, 9000, 9100, 9100)]
    detector.detect = lambda image: [Face(Box(*xyxy), 0.9) for xyxy in boxes]
    faces = find_faces(detector, np.zeros((side, side, 3), np.uint8), surround=False)
    assert [face.box.xyxy for face in faces] == [(0, 0, *[min(side, 200)] * 2), (0, 0, 8, 8)]
