from dataclasses import replace

import numpy as np
import pytest

from builder_tools.drawing import BLACK, WHITE, DrawBox, ink_on, luminance
from builder_tools.emotions import COLOURS_RGB, NINE_EMOTIONS
from builder_tools.results import Box, Face, FaceEmotion


def _face(box, emotion="happy", probability=0.84, *, va=(None, None), track=None):
    rest = (1 - probability) / (len(NINE_EMOTIONS) - 1)
    probabilities = {name: probability if name == emotion else rest for name in NINE_EMOTIONS}
    return FaceEmotion(Face(Box(*box), 0.9, track=track), probabilities, *va)


def _has(image, colour):
    return bool((image == colour).all(axis=-1).any())


def test_the_given_image_stays_and_a_new_one_comes(astronaut):
    before = astronaut.copy()
    drawn = DrawBox(show_bars=True).draw(astronaut, [_face((170, 70, 275, 180))], fps=29.97)
    assert (astronaut == before).all()
    assert drawn.shape == astronaut.shape and drawn.dtype == np.uint8
    assert not np.shares_memory(drawn, astronaut) and (drawn != before).any()


def test_without_faces_nothing_changes_but_the_object_is_new(astronaut):
    drawn = DrawBox().draw(astronaut, [])
    assert (drawn == astronaut).all() and drawn is not astronaut


@pytest.mark.parametrize("emotion", NINE_EMOTIONS)
def test_each_emotion_has_its_colour(emotion):
    image = np.full((300, 300, 3), 7, np.uint8)
    drawn = DrawBox().draw(image, [_face((100, 100, 200, 200), emotion)])
    assert _has(drawn, COLOURS_RGB[emotion])
    for other in set(NINE_EMOTIONS) - {emotion}:
        assert not _has(drawn, COLOURS_RGB[other])


def test_the_box_lies_on_the_edge_of_the_face_and_leaves_its_inside():
    image = np.full((400, 400, 3), 7, np.uint8)
    draw = DrawBox(show_label=False, show_probability=False, line_width=3)
    drawn = draw.draw(image, [_face((100, 120, 200, 260))])
    changed = np.argwhere((drawn != 7).any(axis=-1))
    assert changed.min(axis=0).tolist() == [120, 100]
    assert changed.max(axis=0).tolist() == [259, 199]
    assert (drawn[130:250, 110:190] == 7).all()
    column = drawn[190, 100:110]
    assert (column == COLOURS_RGB["happy"]).all(axis=-1).sum() == 3


def test_the_tag_stands_over_the_box_and_both_words_can_be_left_out():
    image = np.full((400, 400, 3), 7, np.uint8)
    faces = [_face((100, 200, 300, 390))]

    def drawn_above(**options):
        above = DrawBox(**options).draw(image, faces)[:200]
        return (above != 7).any(axis=-1).sum()

    both, name = drawn_above(), drawn_above(show_probability=False)
    percent = drawn_above(show_label=False)
    assert both > name > percent > 0
    assert drawn_above(show_label=False, show_probability=False) == 0


@pytest.mark.parametrize(
    "box",
    [
        (0, 0, 40, 40),
        (360, 0, 400, 40),
        (-30, -30, 20, 20),
        (370, 370, 460, 460),
        (380, 380, 400, 400),
    ],
)
def test_tags_of_faces_at_the_edges_stay_whole(box):
    ground = np.full((400, 400, 3), 7, np.uint8)
    inner = DrawBox().draw(ground, [_face((150, 150, 200, 200))])
    edge = DrawBox().draw(ground, [_face(box)])
    letters = [(image == BLACK).all(axis=-1).sum() for image in (inner, edge)]
    assert _has(edge, COLOURS_RGB["happy"])
    # the text is black on yellow; nothing of it may be cut away (the frame's rim shrinks, though)
    text_only = DrawBox(line_width=1).draw(ground, [_face((150, 150, 151, 151))])
    assert letters[1] >= 0.95 * (text_only == BLACK).all(axis=-1).sum()


def test_a_face_outside_the_image_is_not_drawn(astronaut):
    drawn = DrawBox(show_bars=True).draw(astronaut, [_face((600, 600, 700, 700))])
    assert (drawn == astronaut).all()


def test_bars_are_as_long_as_the_probabilities():
    image = np.full((600, 600, 3), 40, np.uint8)
    lengths = []
    for probability in (0.4, 0.8):
        drawn = DrawBox(show_label=False, show_probability=False, show_bars=True).draw(
            image, [_face((50, 50, 250, 250), "surprise", probability)]
        )
        beside = (drawn[:, 255:] == COLOURS_RGB["surprise"]).all(axis=-1)
        lengths.append(beside.sum(axis=1).max())
    assert lengths[1] == pytest.approx(2 * lengths[0], abs=1)
    assert (drawn[:, 260:] != 40).any() and (drawn[:, 252:255] == 40).all()


def test_bars_go_left_when_there_is_no_room_on_the_right():
    image = np.full((600, 600, 3), 40, np.uint8)
    drawn = DrawBox(show_bars=True).draw(image, [_face((380, 100, 590, 300))])
    assert (drawn[200:260, 200:360] != 40).any()


def test_bars_leave_a_face_free_that_fills_the_middle():
    image = np.full((400, 400, 3), 200, np.uint8)
    box = (100, 60, 300, 260)
    drawn = DrawBox(show_label=False, show_probability=False, show_bars=True).draw(
        image, [_face(box)]
    )
    inside = drawn[70:250, 110:290]
    assert (inside == 200).all()
    assert (drawn[280:] != 200).any()


def test_the_speed_is_written_in_the_corner():
    image = np.full((400, 600, 3), 90, np.uint8)
    slow, fast = (DrawBox().draw(image, [], fps=fps) for fps in (5.0, 29.97))
    changed = np.argwhere((fast != 90).any(axis=-1))
    assert changed.max(axis=0)[0] < 60 and changed.max(axis=0)[1] < 200
    assert (slow != fast).any()
    behind = DrawBox().draw(image, [], fps=29.97, dropped=12)
    assert np.argwhere((behind != fast).any(axis=-1)).max(axis=0)[0] < 60
    assert np.array_equal(DrawBox().draw(image, [], fps=29.97, dropped=0), fast)


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 60), (60, 1), (3, 7), (24, 24), (48, 48), (2160, 3840)]
)
@pytest.mark.parametrize("bars", [False, True])
def test_tiny_and_big_images_can_be_drawn_on(size, bars):
    height, width = size
    faces = [_face((0, 0, width, height), "fear"), _face((-9, -9, 2 * width, 0.5), "contempt")]
    drawn = DrawBox(show_bars=bars).draw(np.zeros((*size, 3), np.uint8), faces, fps=12.3)
    assert drawn.shape == (*size, 3) and drawn.any()


def test_letters_grow_with_the_image():
    heights = []
    for side in (400, 800):
        image = np.full((side, side, 3), 90, np.uint8)
        rows = (DrawBox().draw(image, [], fps=30) != 90).any(axis=(1, 2))
        heights.append(rows.sum())
    assert heights[1] == pytest.approx(2 * heights[0], rel=0.15)


def test_other_alphabets_do_not_break_the_label():
    image = np.full((300, 300, 3), 7, np.uint8)
    face = FaceEmotion(Face(Box(50, 100, 200, 250), 1.0), {"радость": 0.7, "café": 0.3})
    drawn = DrawBox(show_bars=True).draw(image, [face])
    assert (drawn != image).any()


def test_text_reads_on_every_colour():
    for colour in COLOURS_RGB.values():
        light, ink = luminance(colour), luminance(ink_on(colour))
        assert (max(light, ink) + 0.05) / (min(light, ink) + 0.05) >= 4.5
    assert ink_on(WHITE) == BLACK and ink_on(BLACK) == WHITE
    assert luminance((255, 255, 255)) == pytest.approx(1)
    assert luminance((255, 0, 0)) == pytest.approx(0.2126)


def test_wrong_images_and_widths_are_refused(astronaut):
    for wrong in (astronaut[..., 0], astronaut / 255, np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(ValueError, match="uint8 RGB"):
            DrawBox().draw(wrong, [])
    with pytest.raises(ValueError, match="line_width"):
        DrawBox(line_width=0)


GROUND = 200
DIAL_FACE = (100, 100, 300, 300)


def _dial(va, *, draw=None, track=None, box=DIAL_FACE):
    """Draws one face; gives what changed to the right of it: rows, columns, colours."""
    draw = draw or DrawBox(show_label=False, show_probability=False)
    image = np.full((600, 600, 3), GROUND, np.uint8)
    return draw.draw(image, [_face(box, va=va, track=track)])[:, 301:]


def _middle_of(image, colour):
    rows, columns = np.nonzero((image == colour).all(axis=-1))
    return np.array([columns.mean(), rows.mean()])


def test_the_dial_needs_valence_and_arousal():
    for missing in ((None, None), (0.5, None), (float("nan"), 0.2)):
        assert (_dial(missing) == GROUND).all()
    assert (_dial((0.5, 0.2)) != GROUND).any()
    off = DrawBox(show_dial=False, show_label=False, show_probability=False)
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


def test_the_dial_is_a_dark_disc_beside_the_face_at_its_foot():
    drawn = _dial((-0.5, -0.5))
    changed = np.argwhere((drawn != GROUND).any(axis=-1))
    (top, left), (bottom, right) = changed.min(axis=0), changed.max(axis=0)
    assert bottom < 300 and left < 20 and right - left == pytest.approx(bottom - top, abs=2)
    corner = drawn[top : top + 5, left : left + 5]
    assert (corner == GROUND).all()  # the box's corners are not the disc's
    middle = drawn[(top + bottom) // 2 - 8, (left + right) // 2 + 8]
    assert (middle < 100).all()


def test_the_trail_follows_one_track_and_fades():
    draw = DrawBox(show_label=False, show_probability=False)
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
    draw = DrawBox(show_label=False, show_probability=False, trail=2)
    for place in ((-0.8, -0.4), (0.0, -0.4), (0.4, -0.4)):
        drawn = _dial(place, draw=draw, track=1)
    two = DrawBox(show_label=False, show_probability=False)
    for place in ((0.0, -0.4), (0.4, -0.4)):
        expected = _dial(place, draw=two, track=1)
    assert (drawn == expected).all()
    draw.forget()
    assert (_dial((0.4, -0.4), draw=draw, track=1) == _dial((0.4, -0.4))).all()


def test_old_tracks_make_room_for_new_ones_and_absent_ones_start_anew():
    draw = DrawBox(show_label=False, show_probability=False)
    for track in range(100):
        _dial((0.1, 0.1), draw=draw, track=track)
    assert (_dial((0.5, 0.1), draw=draw, track=0) == _dial((0.5, 0.1))).all()
    assert (_dial((0.5, 0.1), draw=draw, track=99) != _dial((0.5, 0.1))).any()
    for _ in range(100):
        draw.draw(np.zeros((60, 60, 3), np.uint8), [])
    assert (_dial((-0.5, 0.1), draw=draw, track=99) == _dial((-0.5, 0.1))).all()


def test_the_dial_covers_no_face_and_no_bars():
    image = np.full((600, 600, 3), GROUND, np.uint8)
    boxes = [(100, 100, 300, 300), (310, 100, 500, 300)]
    faces = [_face(box, va=(0.5, 0.5)) for box in boxes]
    plain = dict(show_label=False, show_probability=False, show_bars=True)
    bars = DrawBox(**plain, show_dial=False).draw(image, faces)
    both = DrawBox(**plain).draw(image, faces)
    changed = (bars != both).any(axis=-1)
    assert changed.any() and (bars[changed] == GROUND).all()
    for x1, y1, x2, y2 in boxes:
        assert not changed[y1:y2, x1:x2].any()


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (24, 24), (48, 400), (2160, 3840)])
def test_dials_on_tiny_and_big_images(size):
    height, width = size
    faces = [_face((0, 0, width, height), va=(1, 1)), _face((0, 0, 9, 9), va=(-1, 0), track=1)]
    drawn = DrawBox().draw(np.zeros((*size, 3), np.uint8), faces)
    assert drawn.shape == (*size, 3)


def test_a_wrong_trail_is_refused():
    with pytest.raises(ValueError, match="trail"):
        DrawBox(trail=0)


def test_a_doubtful_emotion_is_drawn_with_a_question_mark(monkeypatch):
    drawn = []
    monkeypatch.setattr("builder_tools.drawing.draw_tag", lambda c, text, *rest: drawn.append(text))
    image = np.full((300, 300, 3), 7, np.uint8)
    DrawBox().draw(image, [_face((100, 100, 200, 200), "sad", 0.49)])
    DrawBox().draw(image, [_face((100, 100, 200, 200), "sad", 0.5)])
    assert drawn == ["sad? 49%", "sad 50%"]


def test_what_a_face_shows_from_its_rest_stands_at_its_foot(monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "builder_tools.drawing.draw_tag",
        lambda canvas, text, corner, *more: drawn.append((text, corner)),
    )
    image = np.full((300, 300, 3), 7, np.uint8)
    plain = _face((100, 100, 200, 200), "sad", 0.9)
    face = replace(plain, relative_probabilities={"sad": 0.2, "neutral": 0.8})
    DrawBox().draw(image, [face])
    DrawBox(show_relative=False).draw(image, [face])
    DrawBox().draw(image, [plain])
    texts = [text for text, _ in drawn]
    assert texts == ["sad 90%", "from rest: neutral 80%", "sad 90%", "sad 90%"]
    assert drawn[1][1] == (100, 200)
    DrawBox().draw(image, [replace(face, face=Face(Box(100, 100, 200, 300), 1.0))])
    assert 200 < drawn[-1][1][1] < 300  # inside the image
