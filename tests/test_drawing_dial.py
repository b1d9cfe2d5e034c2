"""The dial of valence and arousal beside a face, and the trail of where it was."""

import numpy as np
import pytest
from fakes import a_face

from builder_tools.drawing import DrawBox
from builder_tools.emotions import COLOURS_RGB

GROUND = 200
ONLY_DIAL = {
    "show_label": False,
    "show_probability": False,
    "show_numbers": False,
    "show_dial": True,
}
DIAL_FACE = (100, 100, 300, 300)


def _dial(va, *, draw=None, track=None, box=DIAL_FACE):
    """Draw one face; return what is to the right of it."""
    draw = draw or DrawBox(**ONLY_DIAL)
    image = np.full((600, 600, 3), GROUND, np.uint8)
    return draw.draw(image, [a_face(box, va=va, track=track)])[:, 301:]


def _middle_of(image, colour):
    rows, columns = np.nonzero((image == colour).all(axis=-1))
    return np.array([columns.mean(), rows.mean()])


def test_the_dial_needs_valence_and_arousal():
    for missing in ((None, None), (0.5, None), (float("nan"), 0.2)):
        assert (_dial(missing) == GROUND).all()
    assert (_dial((0.5, 0.2)) != GROUND).any()
    off = DrawBox(show_label=False, show_probability=False)
    assert (_dial((0.5, 0.2), draw=off) == GROUND).all()


def test_valence_points_right_and_arousal_up():
    places = {va: _middle_of(_dial(va), COLOURS_RGB["happy"]) for va in
              ((0, 0), (0.6, 0), (-0.6, 0), (0, 0.6), (0, -0.6), (3, 0), (1, 0))}  # fmt: skip
    middle = places[0, 0]
    right, up = places[0.6, 0] - middle, places[0, 0.6] - middle
    assert right[0] > 10 and abs(right[1]) <= 0.5
    assert up[1] == pytest.approx(-right[0], abs=1) and abs(up[0]) <= 0.5
    assert places[-0.6, 0] - middle == pytest.approx(-right, abs=1)
    assert places[0, -0.6] - middle == pytest.approx(-up, abs=1)
    assert places[3, 0] == pytest.approx(places[1, 0])  # the disc's edge is the limit


def test_the_dial_lies_on_dark_beside_thea_face():
    drawn = _dial((-0.5, -0.5))
    changed = np.argwhere((drawn != GROUND).any(axis=-1))
    (top, left), (bottom, right) = changed.min(axis=0), changed.max(axis=0)
    assert left < 20 and right - left == pytest.approx(bottom - top, abs=2)
    assert (drawn[(top + bottom) // 2 - 8, (left + right) // 2 + 8] < 100).all()


def test_the_trail_follows_one_track_and_fades():
    draw = DrawBox(**ONLY_DIAL)
    way = [(-0.8, -0.4), (-0.4, -0.4), (0.0, -0.4), (0.4, -0.4)]
    for place in way:
        drawn = _dial(place, draw=draw, track=7)
    alone, other = _dial(way[-1]), _dial(way[-1], draw=draw, track=8)
    assert (alone == other).all()  # another track has no past yet, and a still image none
    trail = (drawn != alone).any(axis=-1)
    columns = np.nonzero(trail)[1]
    dots = [_middle_of(_dial(place), COLOURS_RGB["happy"]) for place in (way[0], way[-1])]
    assert columns.min() == pytest.approx(dots[0][0], abs=2)
    assert columns.max() < dots[1][0]
    row = round(dots[0][1])
    old, young = (drawn[row, round(c)].astype(int) for c in (dots[0][0] + 3, dots[1][0] - 12))
    assert young[0] > old[0] + 20  # happy is yellow: red tells how bright


def test_the_trail_is_bounded_and_can_be_forgotten():
    draw = DrawBox(**ONLY_DIAL, trail=2)
    for place in ((-0.8, -0.4), (0.0, -0.4), (0.4, -0.4)):
        drawn = _dial(place, draw=draw, track=1)
    two = DrawBox(**ONLY_DIAL)
    for place in ((0.0, -0.4), (0.4, -0.4)):
        expected = _dial(place, draw=two, track=1)
    assert (drawn == expected).all()
    draw.forget()
    assert (_dial((0.4, -0.4), draw=draw, track=1) == _dial((0.4, -0.4))).all()


def test_old_tracks_make_room_for_new_ones_and_absent_ones_start_anew():
    draw = DrawBox(**ONLY_DIAL)
    for track in range(100):
        _dial((0.1, 0.1), draw=draw, track=track)
    assert (_dial((0.5, 0.1), draw=draw, track=0) == _dial((0.5, 0.1))).all()
    assert (_dial((0.5, 0.1), draw=draw, track=99) != _dial((0.5, 0.1))).any()
    for _ in range(100):
        draw.draw(np.zeros((60, 60, 3), np.uint8), [])
    assert (_dial((-0.5, 0.1), draw=draw, track=99) == _dial((-0.5, 0.1))).all()


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (24, 24), (48, 400), (2160, 3840)])
def test_dials_on_tiny_and_big_images(size):
    height, width = size
    faces = [
        a_face((0, 0, width, height), va=(1, 1)),
        a_face((0, 0, 9, 9), va=(-1, 0), track=1),
    ]
    drawn = DrawBox(show_dial=True).draw(np.zeros((*size, 3), np.uint8), faces)
    assert drawn.shape == (*size, 3)


def test_a_wrong_trail_is_refused():
    with pytest.raises(ValueError, match="trail"):
        DrawBox(trail=0)
