"""The one resizing: every way from an image to a square of another size gives the same pixels."""

import cv2
import numpy as np
import pandas as pd
import pytest

from builder_tools.balancing.folders import FaceCutter
from builder_tools.classical.face_features import grey_faces
from builder_tools.datasets.table import ImageTable
from builder_tools.emotions import EmotionSet
from builder_tools.inference.reader import shrink_face
from builder_tools.media import resize_faces, resize_square, resize_stack

SHAPES = [(6, 6), (3, 3), (4, 4), (9, 3), (3, 9), (2, 7)]


def image_of(shape: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)


def table_of(image: np.ndarray) -> ImageTable:
    row = {"name": "a", "path": "", "index": 0, "label": 0, "emotion": "happy", "split": "train"}
    return ImageTable(pd.DataFrame([row]), EmotionSet(("happy",)), image[None])


def test_shrinking_averages_and_growing_interpolates() -> None:
    stripes = np.tile(np.uint8([0, 200]), (4, 2))
    np.testing.assert_array_equal(resize_square(stripes, 2), np.full((2, 2), 100))
    ramp = np.uint8([[0, 100]])
    # Centres of the four new pixels lie at -1/4, 1/4, 3/4, 5/4 of the old ones, edges repeat.
    np.testing.assert_array_equal(resize_square(ramp, 4)[0], [0, 25, 75, 100])


def test_what_has_the_size_stays_itself() -> None:
    image = image_of((4, 4))
    assert resize_square(image, 4) is image
    assert resize_faces(image[None], 4).base is image


@pytest.mark.parametrize("shape", SHAPES)
def test_every_way_to_a_square_is_the_same(shape: tuple[int, int]) -> None:
    image = image_of(shape)
    expected = resize_square(image, 4)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    np.testing.assert_array_equal(resize_faces([image], 4)[0], expected)
    np.testing.assert_array_equal(resize_stack(image[None], 4)[0], expected)
    np.testing.assert_array_equal(table_of(image).resized(4)[:][0], expected)
    np.testing.assert_array_equal(FaceCutter(size_px=4).cut(image), expected)
    np.testing.assert_array_equal(shrink_face(image, 4), expected)
    np.testing.assert_array_equal(grey_faces(image[None], 4)[0], resize_square(grey, 4))


def test_grey_faces_get_three_channels_for_a_network() -> None:
    grey = image_of((6, 6))[..., 0]
    found = resize_faces(grey[None], 4)
    assert found.shape == (1, 4, 4, 3)
    np.testing.assert_array_equal(found[0, ..., 2], resize_square(grey, 4))


@pytest.mark.parametrize("size", [32, 64])
def test_cleaning_writes_faces_as_they_are_served(tmp_path, size: int) -> None:
    from fakes import FakeDetector

    from builder_tools.cleaning.config import CleaningConfig
    from builder_tools.cleaning.judging import look_at
    from builder_tools.detectors import face_square
    from builder_tools.media import write_image
    from builder_tools.media.budget import Budget
    from builder_tools.results import crop

    image = np.random.default_rng(1).integers(0, 256, (200, 200, 3), np.uint8)
    write_image(tmp_path / "a.png", image)
    detector = FakeDetector(1)
    config = CleaningConfig(size_px=size, min_face_px=8)
    _, cleaned = look_at(0, tmp_path / "a.png", detector, config, Budget(10**9))
    face = detector.detect(image)[0]
    served = resize_square(crop(image, face_square(face.box, detector)), size)
    np.testing.assert_array_equal(cleaned, served)
