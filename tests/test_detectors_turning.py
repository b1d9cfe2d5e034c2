"""Turned images without a real detector: which turns are searched, and boxes turned by hand."""

from dataclasses import replace

import numpy as np
import pytest

from builder_tools.detectors.turning import (
    as_turned,
    check_rotation,
    detect_at_any_turn,
    turned_back,
)
from builder_tools.results import Box, Face


@pytest.mark.parametrize(
    ("quick", "searched"), [([], 1), (None, 4), ([Face(Box(0, 0, 9, 9), 0.9)], 4)]
)
def test_an_unsure_face_is_searched_at_turns_that_a_quick_look_likes(quick, searched):
    """[]: the look shows nothing; None: the detector has no such look."""
    seen = []

    class Unsure:
        sure_score = 0.88

        def detect(self, image_rgb):
            seen.append(image_rgb.shape)
            return [Face(Box(2, 2, 20, 20), 0.75)]

        def detect_large(self, image_rgb):
            return quick

    (face,) = detect_at_any_turn(Unsure(), np.zeros((60, 80, 3), np.uint8))
    assert len(seen) == searched and face.turned_deg == 0


def test_turning_a_face_there_by_hand():
    """A copy of a 100x40 image, turned back by 90 degrees, is 40 wide and 100 high."""
    face = Face(Box(5, 20, 15, 50), 0.9, np.array([[7.0, 30.0], [13.0, 31.0]]))
    lying = as_turned(face, 90, (40, 100))
    assert lying.box == Box(50, 5, 80, 15) and lying.turned_deg == 90
    assert lying.keypoints.tolist() == [[70, 7], [69, 13]]
    assert lying.roll_deg == pytest.approx(99.46, abs=0.01)
    over = as_turned(face, 180, (40, 100))
    assert over.box == Box(85, -10, 95, 20)
    image = np.arange(100 * 40 * 3, dtype=np.uint32).reshape(40, 100, 3)
    assert turned_back(image, 90).shape == (100, 40, 3)
    assert (turned_back(image, 90)[30, 7] == image[7, 100 - 30 - 1]).all()


@pytest.mark.parametrize("wrong", ["left", 45, -90, None, "360"])
def test_other_rotations_are_refused(wrong):
    with pytest.raises(ValueError, match=r"auto.*270.*Received"):
        check_rotation(wrong)


def test_a_face_keeps_its_turn_when_it_is_moved():
    face = Face(Box(0, 0, 10, 10), 1.0, turned_deg=180)
    assert replace(face, track=3).turned_deg == 180
    assert face.size_px == 10 and face.roll_deg is None
