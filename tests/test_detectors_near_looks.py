"""Looks from near by, bent and in the mirror: which faces need them, and what they decide."""

from __future__ import annotations

import numpy as np
import pytest

from builder_tools.detectors import near_looks, scales
from builder_tools.results import Box, Face

_EMPTY = np.zeros((480, 640, 3), np.uint8)


def _face(x, y, side, score):
    points = [(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)]
    placed = np.array([(x + u * side, y + v * side) for u, v in points])
    return Face(Box(x, y, x + side, y + side), score, placed)


class _Network:
    """Sees faces in whole images, and one amid its window from near by, in the mirror."""

    def __init__(self, faces, mirrored, off=0):
        self._faces, self._mirrored, self._off, self.looks = faces, mirrored, off, 0

    def find(self, image_rgb, min_score):
        if max(image_rgb.shape[:2]) == 640:
            return self._faces
        if max(image_rgb.shape[:2]) != 205:  # 1.6 times 128
            return []
        self.looks += 1
        seen = [_face(102 - 64 + self._off, 102 - 64, 128, score) for score in self._mirrored]
        return [face for face in seen if face.score >= min_score]

    def find_each(self, images_rgb, min_score):
        return [[] for _ in images_rgb]


@pytest.mark.parametrize(
    ("score", "side", "mirrored", "others", "is_found", "looks"),
    [
        (0.8, 60, [0.65], 0, True, 1),
        (0.8, 60, [0.55], 0, False, 1),
        (0.8, 60, [], 0, False, 1),
        (0.8, 60, [], 2, False, 1),
        (0.8, 60, [], 3, True, 0),  # among four faces
        (0.86, 60, [], 0, True, 0),  # sure
    ],
)
def test_an_unsure_face_where_there_are_few_must_be_one_in_the_mirror(
    score, side, mirrored, others, is_found, looks
):
    known = [_face(20 + 100 * n, 300, 60, 0.9) for n in range(others)]
    network = _Network([*known, _face(400, 100, side, score)], mirrored)
    found = scales.search_scales(network, _EMPTY, 0.7)
    assert [face.score for face in found] == [0.9] * others + [score] * is_found
    assert network.looks == looks


def test_what_fills_half_of_the_image_needs_no_mirror():
    whole = _Network([], [])
    face = _face(40, 20, 330, 0.8)
    assert scales._looked_at_mirrored(whole, _EMPTY, [face], 0.7) == [face]
    assert whole.looks == 0


def test_a_lower_threshold_holds_in_the_mirror_too():
    network = _Network([_face(400, 100, 60, 0.5)], [0.45])
    (kept,) = scales._looked_at_mirrored(network, _EMPTY, [_face(400, 100, 60, 0.5)], 0.4)
    assert kept.score == 0.5


def test_what_the_mirror_shows_lies_where_the_face_does():
    """Off by 100 px of 205 to the right in the mirror: to the left of the face in the image."""
    face = _face(400, 100, 60, 0.8)
    assert near_looks.mirrored_score(_Network([], [0.9]), _EMPTY, face) == 0.9
    assert near_looks.mirrored_score(_Network([], [0.9], off=100), _EMPTY, face) == 0.0
    assert near_looks.mirrored_score(_Network([], [0.9], off=-40), _EMPTY, face) == 0.9


class _Bent:
    """Sees an unsure face, which from near by is surer the more its bend is taken back.

    Its eyes are a light and a dark square, by which it tells how a view is turned.
    """

    def find_each(self, images_rgb, min_score):
        return [self._seen(image) for image in images_rgb]

    def _seen(self, image):
        eyes = [np.argwhere(image[..., 0] == colour)[:, ::-1].mean(0) for colour in (250, 10)]
        slope = np.degrees(np.arctan2(*(eyes[1] - eyes[0])[::-1]))
        middle, side = np.mean(eyes, axis=0), 0.6 * image.shape[1]
        score = 0.9 if abs(slope) < 5 else 0.5
        return [
            Face(
                Box(*(middle - side / 2), *(middle + side / 2)),
                score,
                np.vstack([*eyes, middle, middle, middle]),
            )
        ]


@pytest.mark.parametrize("bend_deg", [-20, 20])
def test_a_bent_face_is_found_where_it_lies(bend_deg):
    image = np.full((480, 640, 3), 128, np.uint8)
    away = 14 * np.array([np.cos(np.radians(bend_deg)), np.sin(np.radians(bend_deg))])
    eyes = np.array([-away, away]) + np.array([300, 200])
    for colour, (x, y) in zip((250, 10), eyes, strict=True):
        image[round(y) - 4 : round(y) + 5, round(x) - 4 : round(x) + 5] = colour
    candidate = _face(270, 170, 60, 0.4)
    *unsure, sure = near_looks.seen_from_near(_Bent(), image, [candidate], 96, 0.65)
    assert [face.score for face in unsure] == [0.5] and sure.score == 0.9
    assert sure.box.centre == pytest.approx((300, 200), abs=1)
    assert sure.keypoints[:2] == pytest.approx(eyes, abs=1)


def test_what_no_bend_makes_sure_is_not_given_again():
    image = np.full((480, 640, 3), 128, np.uint8)
    image[170:180, 296:304], image[220:230, 296:304] = 250, 10  # bent by 90 degrees
    found = near_looks.seen_from_near(_Bent(), image, [_face(270, 170, 60, 0.4)], 96, 0.65)
    assert [face.score for face in found] == [0.5]
