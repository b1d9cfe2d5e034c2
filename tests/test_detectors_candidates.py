"""Which candidates count as faces: searches over scales, with networks of known answers."""

import numpy as np
import pytest

from builder_tools.detectors import scales
from builder_tools.results import Box, Face


class _Answers:
    """A network that answers by the longer side of what it is shown."""

    def __init__(self, **answers):
        self._answers = {int(size[1:]): faces for size, faces in answers.items()}

    def find(self, image_rgb, min_score):
        faces = self._answers.get(max(image_rgb.shape[:2]), [])
        return [face for face in faces if face.score >= min_score]

    def find_each(self, images_rgb, min_score):
        return [self.find(image_rgb, min_score) for image_rgb in images_rgb]


def _seen(x, y, side, score):
    points = np.array([(x + u * side, y + v * side) for u, v in _POINTS])
    return Face(Box(x, y, x + side, y + side), score, points)


_POINTS = [(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)]
_EMPTY = np.zeros((480, 640, 3), np.uint8)


@pytest.mark.parametrize(
    ("side", "is_found"), [(100, True), (200, True), (256, True), (300, False)]
)
def test_the_fine_look_finds_faces_up_to_256_px(side, is_found):
    network = _Answers(_640=[_seen(150, 90, side, 0.89)], _320=[_seen(75, 45, side / 2, 0.5)])
    assert len(scales.search_scales(network, _EMPTY, 0.7)) == is_found


def test_what_is_seen_from_near_by_counts_not_the_candidate():
    """A candidate of 60 px between two faces; the face to its left is seen at 154 px."""
    face, between = _seen(200, 100, 60, 0.92), _seen(225, 100, 60, 0.4)
    # The window of 96 px begins at (207, 82) and is shown 154 px large.
    near = _seen((200 - 207) * 154 / 96, (100 - 82) * 154 / 96, 60 * 154 / 96, 0.9)
    (found,) = scales.search_scales(_Answers(_640=[face, between], _154=[near]), _EMPTY, 0.7)
    assert found.score == 0.92
    (found,) = scales.search_scales(_Answers(_640=[between], _154=[near]), _EMPTY, 0.7)
    assert found.score == 0.9 and found.box.centre[0] == pytest.approx(230, abs=0.5)
    assert scales.search_scales(_Answers(_640=[between]), _EMPTY, 0.7) == []


@pytest.mark.parametrize(
    ("from_near", "from_nearer", "is_found"),
    [(0.5, 0.85, True), (0.5, 0.75, False), (0.15, 0.85, False), (0.5, None, False)],
)
def test_a_face_unsure_from_near_by_is_looked_at_closely(from_near, from_nearer, is_found):
    near = _seen(77 - 48, 77 - 48, 96, from_near)  # amid the window, 154 px large
    nearer = [] if from_nearer is None else [_seen(76 - 68, 76 - 68, 137, from_nearer)]
    network = _Answers(_640=[_seen(400, 100, 60, 0.4)], _154=[near], _153=nearer)
    found = scales.search_scales(network, _EMPTY, 0.7)
    assert [face.score for face in found] == [from_nearer] * is_found
    if is_found:
        assert found[0].box.centre == pytest.approx((430, 132), abs=1)


_TWO = [(100, 100), (100, 300)]


@pytest.mark.parametrize(
    ("score", "from_near", "side", "others", "is_found"),
    [
        (0.12, 0.82, 60, _TWO, True),
        (0.12, 0.78, 60, _TWO, False),  # not sure enough from near by
        (0.03, 0.82, 60, _TWO, True),
        (0.01, 0.9, 60, _TWO, False),  # too faint
        (0.12, 0.9, 14, _TWO, False),  # too small
        (0.12, 0.9, 140, _TWO, False),  # large faces are seen well
        (0.12, 0.9, 60, [(100, 100)], False),  # where there is but one other face
        (0.12, 0.9, 60, [(437, 100), (100, 100)], False),  # a part of a known one
    ],
)
def test_a_faint_small_face_beside_others_is_looked_at(score, from_near, side, others, is_found):
    faint = _seen(400, 100, side, score)
    known = [_seen(*place, 60, 0.9) for place in others]
    seen = _seen(64 - 40, 64 - 40, 80, from_near)  # amid the window, 128 px large
    found = scales.search_scales(_Answers(_640=[faint, *known], _128=[seen]), _EMPTY, 0.7)
    assert [face.score for face in found] == [0.9] * len(others) + [from_near] * is_found
    if is_found:
        assert found[-1].box.centre == pytest.approx((430, 132), abs=1)


@pytest.mark.parametrize(("from_near", "more"), [(0.9, 2), (0.82, 1)])
def test_of_faint_places_the_second_half_must_be_surer(from_near, more):
    """Beside two faces two of three places are looked at, the surest first."""
    faint = [
        _seen(*place, 60, 0.1 - place[1] / 1e4) for place in ((400, 300), (400, 100), (250, 200))
    ]
    known = [_seen(*place, 60, 0.9) for place in _TWO]
    seen = _seen(64 - 40, 64 - 40, 80, from_near)
    found = scales.search_scales(_Answers(_640=[*faint, *known], _128=[seen]), _EMPTY, 0.7)
    assert [face.score for face in found[2:]] == [from_near] * more
    assert found[2].box.centre == pytest.approx((430, 132), abs=1)


@pytest.mark.parametrize(
    ("score", "side", "other", "is_face"),
    [
        (0.4, 150, 0.6, True),  # 0.5 together: 0.2 under 0.7
        (0.2, 150, 0.8, True),
        (0.35, 150, 0.6, False),  # together too unsure
        (0.6, 150, 0.55, False),  # the other alone too unsure
        (0.6, 150, None, False),  # it sees none
        (0.4, 70, 0.9, False),  # 60 px large as short range frames it: not asked
    ],
)
def test_an_unsure_face_counts_where_another_network_sees_it_too(score, side, other, is_face):
    face, asked = _seen(200, 100, side, score), []

    def second(image_rgb, box):
        asked.append(box)
        return None if other is None else Face(box.shift(3, 0), other)

    network = _Answers(_640=[face], _154=[_seen(77 - side / 2, 77 - side / 2, side, score)])
    found = scales.search_scales(network, _EMPTY, 0.7, second)
    assert len(found) == is_face and len(asked) == (side >= 100)
    if is_face:
        assert found[0].score == max(other, 0.7)
        assert found[0].box.xyxy == asked[0].shift(3, 0).xyxy, "framed by the other network"


def test_a_sure_face_needs_no_second_network():
    network = _Answers(_640=[_seen(200, 100, 150, 0.9), _seen(215, 110, 150, 0.5)])
    (found,) = scales.search_scales(network, _EMPTY, 0.7, lambda image_rgb, box: 1 / 0)
    assert found.score == 0.9


@pytest.mark.parametrize("apart", [-6.0, -0.6, 0.0, 0.6, 6.0])
def test_a_face_on_the_middle_is_found_once_wherever_each_half_sees_it(apart):
    """No half's view is exact: each may see its middle on the other half's side."""
    image = np.zeros((1200, 1920, 3), np.uint8)
    image[:, 960:] = 1
    views = {0: 930 + apart / 2, 1: 930 - apart / 2 - (960 - scales.PAST_MIDDLE_PX)}

    class Halves:
        def find(self, part, min_score):
            is_half = part.shape[:2] == (1200, 960 + scales.PAST_MIDDLE_PX)
            number = int(part[0].mean() > 0.5)
            return [_seen(views[number], 300, 60, 0.89 + number / 100)] if is_half else []

    (found,) = scales.search_scales(Halves(), image, 0.7)
    assert found.box.centre[0] == pytest.approx(960, abs=4) and found.score == 0.9
