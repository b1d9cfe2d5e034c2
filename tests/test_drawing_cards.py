"""Where the cards of faces stand: whole, beside each other, and in one place through a video."""

from itertools import pairwise

import numpy as np
import pytest
from fakes import a_face

from builder_tools.drawing import BLACK, DrawBox
from builder_tools.drawing.card import Card
from builder_tools.drawing.pen import Pen
from builder_tools.emotions import COLOURS_RGB
from builder_tools.results import Box


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
    assert len(seen) == len(boxes) and rows == {3}
    assert "There is too little room beside 20 faces: all but the 3 most" in caplog.text


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


def test_a_card_away_from_its_face_is_tied_to_it_by_a_line():
    """A small face that big ones shut in on all sides has its card elsewhere."""
    image = np.full((400, 400, 3), 90, np.uint8)
    around = [(60, 60, 180, 340), (220, 60, 340, 340), (180, 60, 220, 180), (180, 220, 220, 340)]
    faces = [a_face(box, "neutral") for box in around] + [a_face((180, 180, 220, 220), "sad")]
    drawn = DrawBox().draw(image, faces)
    blue = (drawn == COLOURS_RGB["sad"]).all(axis=-1)
    assert blue[:60].any() or blue[340:].any() or blue[:, :60].any() or blue[:, 340:].any()


def test_without_any_room_the_card_lies_on_the_upper_edge_of_its_own_face():
    image = np.full((48, 48, 3), 200, np.uint8)
    drawn = DrawBox(line_width=1).draw(image, [a_face((0, 0, 48, 48))])
    changed = (drawn[5:43, 5:43] != 200).any(axis=-1)
    assert changed[:8].any() and not changed[14:].any()


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


@pytest.mark.parametrize("options", [{"show_bars": True}, {"show_bars": True, "show_dial": True}])
def test_a_portrait_keeps_all_its_bars_in_smaller_letters(options, monkeypatch, caplog):
    """Half of the image is face; what is beside it is enough for letters that are easy to read."""
    cards = []
    draw = Card.draw
    monkeypatch.setattr(
        Card, "draw", lambda *args: (cards.append((args[0], args[3])), draw(*args))[1]
    )
    image = np.full((1120, 1200, 3), 90, np.uint8)
    DrawBox(**options).draw(image, [a_face((294, 264, 894, 864), va=(0.8, 0.5))])
    ((card, letter),) = cards
    assert [len(panel.rows) for panel in card.panels[:1]] == [9]
    assert letter >= Pen.for_image(image, None).smallest
    assert not caplog.text


def test_labels_in_a_small_photo_of_a_group_cover_no_face_and_no_other_label(monkeypatch):
    corners = [(37, 43, 52, 58), (69, 22, 84, 38), (120, 79, 135, 94)]
    corners += [(143, 75, 158, 90), (104, 33, 118, 47), (93, 10, 105, 22)]
    drawn = []
    draw = Card.draw
    monkeypatch.setattr(Card, "draw", lambda *args: (drawn.append(args[2]), draw(*args))[1])
    image = np.full((105, 200, 3), 90, np.uint8)
    DrawBox().draw(image, [a_face(box, "neutral", probability=0.4) for box in corners])
    covered = np.zeros((105, 200), int)
    for x1, y1, x2, y2 in corners + drawn:
        covered[y1:y2, x1:x2] += 1
    assert len(drawn) == 6 and covered.max() == 1


@pytest.mark.parametrize("count, said", [(1, "beside the face"), (3, "beside 3 faces")])
def test_what_is_left_out_is_said_in_a_sentence(count, said, caplog):
    boxes = [(x, 0, x + 60, 60) for x in range(0, 60 * count, 60)]
    image = np.full((80, 60 * count, 3), 90, np.uint8)
    DrawBox(show_bars=True).draw(image, [a_face(box) for box in boxes])
    assert said in caplog.text and "1 faces" not in caplog.text
