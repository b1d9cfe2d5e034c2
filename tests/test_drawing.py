# ruff: noqa: RUF001 - Russian letters that look like Latin ones are meant.

from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
from fakes import a_face

from builder_tools.detectors.mediapipe import MediaPipeDetector
from builder_tools.drawing import BLACK, WHITE, DrawBox, ink_on, luminance
from builder_tools.drawing.card import Card
from builder_tools.drawing.letters import tag, text_width
from builder_tools.emotions import COLOURS_RGB, NINE_EMOTIONS
from builder_tools.results import Box, Face, FaceEmotion


def _has(image, colour):
    return bool((image == colour).all(axis=-1).any())


def test_the_given_image_stays_and_a_new_one_comes(astronaut):
    before = astronaut.copy()
    drawn = DrawBox(show_bars=True).draw(astronaut, [a_face((170, 70, 275, 180))], fps=29.97)
    assert (astronaut == before).all()
    assert drawn.shape == astronaut.shape and drawn.dtype == np.uint8
    assert not np.shares_memory(drawn, astronaut) and (drawn != before).any()


def test_without_faces_nothing_changes_but_the_object_is_new(astronaut):
    drawn = DrawBox().draw(astronaut, [])
    assert (drawn == astronaut).all() and drawn is not astronaut


@pytest.mark.parametrize("emotion", NINE_EMOTIONS)
def test_each_emotion_has_its_colour(emotion):
    image = np.full((300, 300, 3), 7, np.uint8)
    drawn = DrawBox().draw(image, [a_face((100, 100, 200, 200), emotion)])
    assert _has(drawn, COLOURS_RGB[emotion])
    for other in set(NINE_EMOTIONS) - {emotion}:
        assert not _has(drawn, COLOURS_RGB[other])


def test_the_box_lies_on_the_edge_of_the_face_and_leaves_its_inside():
    image = np.full((400, 400, 3), 7, np.uint8)
    draw = DrawBox(show_label=False, show_probability=False, line_width=3)
    drawn = draw.draw(image, [a_face((100, 120, 200, 260))])
    changed = np.argwhere((drawn != 7).any(axis=-1))
    assert changed.min(axis=0).tolist() == [120, 100]
    assert changed.max(axis=0).tolist() == [259, 199]
    assert (drawn[130:250, 110:190] == 7).all()
    column = drawn[190, 100:110]
    assert (column == COLOURS_RGB["happy"]).all(axis=-1).sum() == 3


def test_the_card_stands_under_the_box_and_its_words_can_be_left_out():
    image = np.full((400, 400, 3), 7, np.uint8)
    faces = [a_face((100, 100, 300, 300))]

    def drawn_below(**options):
        below = DrawBox(**options).draw(image, faces)[300:]
        return (below != 7).any(axis=-1).sum()

    both, name = drawn_below(), drawn_below(show_probability=False)
    percent = drawn_below(show_label=False)
    assert both > name > percent > 0
    assert drawn_below(show_label=False, show_probability=False) == 0


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
def test_cards_of_faces_at_the_edges_stay_whole(box):
    ground = np.full((400, 400, 3), 7, np.uint8)

    def text_pixels(box):
        drawn = DrawBox(line_width=1).draw(ground, [a_face(box)])
        x1, y1, x2, y2 = (min(max(value, 0), 400) for value in box)
        drawn[y1:y2, x1:x2] = 7  # what is left is the card: black letters on yellow
        return (drawn == BLACK).sum()

    assert text_pixels(box) == text_pixels((150, 150, 190, 190)) > 100


def test_a_face_outside_the_image_is_not_drawn(astronaut):
    drawn = DrawBox(show_bars=True).draw(astronaut, [a_face((600, 600, 700, 700))])
    assert (drawn == astronaut).all()


def test_bars_are_as_long_as_the_probabilities():
    image = np.full((600, 600, 3), 40, np.uint8)
    lengths = []
    for probability in (0.4, 0.8):
        drawn = DrawBox(show_label=False, show_probability=False, show_bars=True).draw(
            image, [a_face((50, 50, 250, 250), "surprise", probability)]
        )
        beside = (drawn[:, 255:] == COLOURS_RGB["surprise"]).all(axis=-1)
        lengths.append(beside.sum(axis=1).max())
    assert lengths[1] == pytest.approx(2 * lengths[0], abs=3)
    assert (drawn[:, 260:] != 40).any()


def test_bars_go_left_when_there_is_no_room_on_the_right():
    image = np.full((600, 600, 3), 40, np.uint8)
    drawn = DrawBox(show_bars=True).draw(image, [a_face((380, 100, 590, 300))])
    assert (drawn[200:260, 200:360] != 40).any()


@pytest.mark.parametrize("options", [{}, {"show_bars": True}, {"show_dial": True}])
@pytest.mark.parametrize("seed", range(12))
def test_cards_cover_no_face_and_no_other_card_and_stay_inside(seed, options, monkeypatch):
    rng = np.random.default_rng(seed)
    faces = []
    while len(faces) < 2 + seed:
        side = int(rng.integers(24, 160))
        x, y = int(rng.integers(0, 1280 - side)), int(rng.integers(0, 720 - side))
        box = Box(x, y, x + side, y + side)
        if not any(box.iou(face.face.box) for face in faces):
            faces.append(a_face(box.xyxy, probability=rng.uniform(0.3, 1), va=(0.2, 0.3)))
    cards = []
    draw = Card.draw
    monkeypatch.setattr(
        Card, "draw", lambda *args: (cards.append((args[0], args[2])), draw(*args))[1]
    )
    image = np.full((720, 1280, 3), 90, np.uint8)
    DrawBox(**options).draw(image, faces)
    assert len(cards) == len(faces)
    boxes = [Box(*corners) for _, corners in cards]
    for index, box in enumerate(boxes):
        assert box == box.clip(1280, 720)
        others = boxes[:index] + [face.face.box for face in faces]
        assert not any(box.iou(other) for other in others)
    panels = {bool(card.panels) for card, _ in cards}
    assert len(panels) == 1  # all have bars, or none


def test_bars_become_the_most_probable_three_of_all_faces_where_room_is_short(monkeypatch, caplog):
    boxes = [(x, y, x + 60, y + 60) for y in range(0, 480, 120) for x in range(0, 640, 130)]
    seen = []
    draw = Card.draw
    monkeypatch.setattr(Card, "draw", lambda *args: (seen.append(args[0]), draw(*args))[1])
    image = np.full((480, 640, 3), 90, np.uint8)
    DrawBox(show_bars=True).draw(image, [a_face(box, "sad") for box in boxes])
    rows = {len(panel.rows) if (panel := next(iter(card.panels), None)) else 0 for card in seen}
    assert len(seen) == len(boxes) and rows in ({3}, {0})
    assert "left out" in caplog.text


def test_a_gallery_of_many_faces_has_all_its_labels(monkeypatch):
    cards = []
    draw = Card.draw
    monkeypatch.setattr(Card, "draw", lambda *args: (cards.append(args[2]), draw(*args))[1])
    boxes = [(x, y, x + 36, y + 36) for y in range(8, 1050, 67) for x in range(8, 1850, 120)]
    image = np.full((1080, 1920, 3), 90, np.uint8)
    DrawBox().draw(image, [a_face(box) for box in boxes])
    assert len(boxes) == len(cards) == 256
    covered = np.zeros((1080, 1920), int)
    for x1, y1, x2, y2 in boxes + cards:
        covered[y1:y2, x1:x2] += 1
    assert covered.max() == 1


def test_long_names_are_cut_not_left_out(monkeypatch):
    written = _written(monkeypatch)
    image = np.full((300, 300, 3), 7, np.uint8)
    face = FaceEmotion(Face(Box(50, 100, 200, 250), 1.0), {"a" * 300: 0.7, "b\nc": 0.3})
    drawn = DrawBox(show_bars=True).draw(image, [face])
    assert written == ["a" * 31 + "\u2026 70%"]
    assert (drawn != image).any()


def test_a_card_away_from_its_face_is_tied_to_it_by_a_line():
    """A small face that big ones shut in on all sides has its card elsewhere."""
    image = np.full((400, 400, 3), 90, np.uint8)
    around = [(60, 60, 180, 340), (220, 60, 340, 340), (180, 60, 220, 180), (180, 220, 220, 340)]
    faces = [a_face(box, "neutral") for box in around] + [a_face((180, 180, 220, 220), "sad")]
    drawn = DrawBox().draw(image, faces)
    blue = (drawn == COLOURS_RGB["sad"]).all(axis=-1)
    assert blue[:60].any() or blue[340:].any() or blue[:, :60].any() or blue[:, 340:].any()


def test_without_any_room_the_card_lies_on_the_upper_edge_of_its_owna_face():
    image = np.full((48, 48, 3), 200, np.uint8)
    drawn = DrawBox(line_width=1).draw(image, [a_face((0, 0, 48, 48))])
    changed = (drawn[5:43, 5:43] != 200).any(axis=-1)
    assert changed[:8].any() and not changed[14:].any()


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


def test_a_doubtful_face_has_a_broken_box_and_a_dark_card():
    image = np.full((400, 400, 3), 90, np.uint8)
    box = (100, 100, 300, 300)
    sure, doubtful = (
        (DrawBox().draw(image, [a_face(box, "sad", p)]) == COLOURS_RGB["sad"]).all(axis=-1)
        for p in (0.9, 0.4)
    )
    top = [drawn[100:106, 100:300].any(axis=0) for drawn in (sure, doubtful)]
    assert top[0].mean() > 0.9 and 0.3 < top[1].mean() < 0.8
    assert sure[301:].sum() > 3 * doubtful[301:].sum() > 0


def test_cards_of_a_video_stand_still(monkeypatch):
    """A face that passes another keeps its card's place as long as it is free."""
    image = np.full((400, 800, 3), 90, np.uint8)
    places = []
    draw = Card.draw
    monkeypatch.setattr(
        Card, "draw", lambda *args: (places.append((args[0], args[2])), draw(*args))[1]
    )
    drawer = DrawBox()
    offsets = []
    for step in range(40):
        x = 100 + 10 * step
        faces = [
            a_face((x, 100, x + 80, 180), track=1),
            a_face((400, 190, 480, 270), track=2),
        ]
        places.clear()
        drawer.draw(image, faces)
        card = next(corners for card, corners in places if "#1" in card.lines[0].text)
        offsets.append((card[0] - x, card[1] - 100))
    moves = sum(first != second for first, second in pairwise(offsets))
    assert moves <= 2


def test_bars_that_had_no_room_come_back_when_there_is_room_again():
    image = np.full((400, 800, 3), 90, np.uint8)
    drawer, near, far = DrawBox(show_bars=True), (10, 10, 790, 390), (300, 100, 400, 200)
    wanted = DrawBox(show_bars=True).draw(image, [a_face(far, track=1)])
    for _ in range(40):
        drawer.draw(image, [a_face(near, track=1)])
    for _ in range(40):
        drawn = drawer.draw(image, [a_face(far, track=1)])
    assert (drawn == wanted).all()


def test_blurred_faces_are_not_found_and_the_rest_is_drawn(astronaut):
    plain = DrawBox(blur_faces=True, show_label=False, show_probability=False, line_width=1)
    with MediaPipeDetector() as detector:
        faces = [a_face(face.box.xyxy) for face in detector.detect(astronaut)]
        assert faces
        hidden = plain.draw(astronaut, faces)
        found = detector.detect(hidden)
        assert not any(one.box.iou(faces[0].face.box) > 0.3 for one in found)
    assert _has(DrawBox(blur_faces=True).draw(astronaut, faces), COLOURS_RGB["happy"])
    x1, y1, x2, y2 = (int(value) for value in faces[0].face.box.scale(1.4).clip(512, 512).xyxy)
    changed = (hidden != astronaut).any(axis=-1)
    changed[y1 : y2 + 1, x1 : x2 + 1] = False
    assert not changed.any()


def test_a_blurred_face_keeps_nothing_but_a_few_patches():
    """Two faces with the same mean colour of every patch look the same afterwards."""
    fine = np.random.default_rng(0).integers(0, 255, (140, 140, 3), np.uint8)
    coarse = cv2.resize(fine, (5, 5), interpolation=cv2.INTER_AREA).repeat(28, 0).repeat(28, 1)
    drawer = DrawBox(blur_faces=True)
    results = [drawer.draw(image, [a_face((20, 20, 120, 120))]) for image in (fine, coarse)]
    assert np.abs(results[0].astype(int) - results[1]).max() <= 2


def test_a_tracked_face_stays_hidden_for_a_moment_when_it_is_not_found():
    image = np.random.default_rng(0).integers(0, 255, (300, 300, 3), np.uint8)
    drawer = DrawBox(blur_faces=True)
    drawer.draw(image, [a_face((100, 100, 200, 200), track=1)])
    hidden = [(drawer.draw(image, [])[110:190, 110:190] != image[110:190, 110:190]).any()
              for _ in range(20)]  # fmt: skip
    assert hidden == [True] * 15 + [False] * 5
    drawer.draw(image, [a_face((100, 100, 200, 200), track=1)])
    drawer.forget()
    assert (drawer.draw(image, []) == image).all()
    drawer.draw(image, [a_face((100, 100, 200, 200))])  # the next still image is another one
    assert (drawer.draw(image, []) == image).all()


def test_the_speed_stands_in_a_corner_without_aa_face():
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


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 60), (60, 1), (3, 7), (24, 24), (48, 48), (2160, 3840)]
)
@pytest.mark.parametrize("bars", [False, True])
def test_tiny_and_big_images_can_be_drawn_on(size, bars):
    height, width = size
    faces = [
        a_face((0, 0, width, height), "fear"),
        a_face((-9, -9, 2 * width, 0.5), "contempt"),
    ]
    drawn = DrawBox(show_bars=bars).draw(np.zeros((*size, 3), np.uint8), faces, fps=12.3)
    assert drawn.shape == (*size, 3) and drawn.any()


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


def test_wrong_images_and_widths_are_refused(astronaut):
    for wrong in (astronaut[..., 0], astronaut / 255, np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(ValueError, match="uint8 RGB"):
            DrawBox().draw(wrong, [])
    with pytest.raises(ValueError, match="line_width"):
        DrawBox(line_width=0)


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
