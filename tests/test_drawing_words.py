"""What is written on images: names, numbers, percentages and the speed, in any language."""
# ruff: noqa: RUF001 - Russian letters that look like Latin ones are meant.

from dataclasses import replace

import numpy as np
import pytest
from fakes import a_face

from builder_tools.drawing import BLACK, WHITE, DrawBox, ink_on, luminance
from builder_tools.drawing.card import Card
from builder_tools.drawing.letters import tag, text_width
from builder_tools.emotions import COLOURS_RGB
from builder_tools.results import Box, Face, FaceEmotion


def test_long_names_are_cut_not_left_out(monkeypatch):
    written = _written(monkeypatch)
    image = np.full((300, 300, 3), 7, np.uint8)
    face = FaceEmotion(Face(Box(50, 100, 200, 250), 1.0), {"a" * 300: 0.7, "b\nc": 0.3})
    drawn = DrawBox(show_bars=True).draw(image, [face])
    assert written == ["a" * 31 + "\u2026 70%"]
    assert (drawn != image).any()


def test_numbers_are_tracks_or_the_place_in_a_still_image(monkeypatch):
    written = _written(monkeypatch)
    image = np.full((600, 600, 3), 7, np.uint8)
    near, far = a_face((50, 50, 200, 200)), a_face((400, 300, 450, 350), "sad")
    DrawBox().draw(image, [near])
    DrawBox().draw(image, [far, near])
    DrawBox(show_numbers=False).draw(image, [far, near])
    tracked = [replace(far, face=replace(far.face, track=7)), near]
    DrawBox().draw(image, tracked)
    assert written == [
        "happy 84%",
        *("#2 happy 84%", "#1 sad 84%"),
        *("happy 84%", "sad 84%"),
        *("happy 84%", "#7 sad 84%"),
    ]


def test_words_are_drawn_in_a_language(monkeypatch):
    written = _written(monkeypatch)
    image = np.full((600, 600, 3), 7, np.uint8)
    face = replace(a_face((50, 50, 200, 200)), relative_probabilities={"sad": 0.2, "neutral": 0.8})
    DrawBox(language="ru").draw(image, [face], fps=30, dropped=2)
    assert written == ["30.0 к/с, пропущено 2", "радость 84%", "от покоя: нейтрально 80%"]
    with pytest.raises(ValueError, match="language"):
        DrawBox(language="xx")


def test_cyrillic_letters_are_not_boxes():
    shapes = {text_width(letter, 20) for letter in "жщйilW"}
    assert len(shapes) > 3
    a, b = (tag(text, 20, 60, 40, 5, WHITE, BLACK) for text in ("щ", "ж"))
    assert (a != b).any() and (a == BLACK).any()


def test_the_speed_stands_in_a_corner_without_a_face():
    image = np.full((400, 600, 3), 90, np.uint8)
    plain = DrawBox(show_label=False, show_probability=False)
    faces = [a_face((0, 0, 100, 100))]
    changed = np.argwhere((plain.draw(image, faces, fps=30) != plain.draw(image, faces)).any(-1))
    assert changed.min(axis=0)[1] > 400 and changed.max(axis=0)[0] < 60


def test_the_speed_is_written_in_the_corner():
    image = np.full((400, 600, 3), 90, np.uint8)
    slow, fast = (DrawBox().draw(image, [], fps=fps) for fps in (5.0, 29.97))
    changed = np.argwhere((fast != 90).any(axis=-1))
    assert changed.max(axis=0)[0] < 60 and changed.max(axis=0)[1] < 200
    assert (slow != fast).any()
    behind = DrawBox().draw(image, [], fps=29.97, dropped=12)
    assert np.argwhere((behind != fast).any(axis=-1)).max(axis=0)[0] < 60
    assert np.array_equal(DrawBox().draw(image, [], fps=29.97, dropped=0), fast)


def test_letters_grow_with_the_image():
    heights = []
    for side in (1000, 2000):
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


def _written(monkeypatch):
    """Return the list that the drawn texts go to."""
    written = []
    draw = Card.draw

    def noted(card, *place):
        written.extend(line.text for line in card.lines)
        draw(card, *place)

    monkeypatch.setattr(Card, "draw", noted)
    return written


def test_a_doubtful_emotion_is_drawn_with_a_question_mark(monkeypatch):
    written = _written(monkeypatch)
    image = np.full((300, 300, 3), 7, np.uint8)
    DrawBox().draw(image, [a_face((100, 100, 200, 200), "sad", 0.49)])
    DrawBox().draw(image, [a_face((100, 100, 200, 200), "sad", 0.5)])
    assert written == ["sad? 49%", "sad 50%"]


def test_what_a_face_shows_from_its_rest_is_a_second_line(monkeypatch):
    written = _written(monkeypatch)
    image = np.full((300, 300, 3), 7, np.uint8)
    plain = a_face((100, 100, 200, 200), "sad", 0.9)
    face = replace(plain, relative_probabilities={"sad": 0.2, "neutral": 0.8})
    DrawBox().draw(image, [face])
    DrawBox(show_relative=False).draw(image, [face])
    DrawBox().draw(image, [plain])
    assert written == ["sad 90%", "from rest: neutral 80%", "sad 90%", "sad 90%"]
