"""What is drawn on images: boxes and bars in the colours of emotions, and faces that are hidden."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from fakes import a_face

from builder_tools.detectors.mediapipe import MediaPipeDetector
from builder_tools.drawing import DrawBox
from builder_tools.drawing.memory import Memory
from builder_tools.emotions import COLOURS_RGB, NINE_EMOTIONS, EmotionSet
from builder_tools.results import Box


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


def test_the_largest_face_of_a_crowd_stays_hidden_when_it_is_not_found():
    image = np.random.default_rng(0).integers(0, 255, (600, 1300, 3), np.uint8)
    small = [(230 + n % 30 * 35, n // 30 * 60) for n in range(69)]
    crowd = [a_face((0, 0, 200, 200), track=1)]
    crowd += [a_face((x, y, x + 30, y + 30), track=n) for n, (x, y) in enumerate(small, start=2)]
    drawer = DrawBox(blur_faces=True, show_label=False, show_probability=False)
    drawer.draw(image, crowd)
    others = [crowd[1:], *[[]] * 15]
    hidden = [(drawer.draw(image, faces)[20:180, 20:180] != image[20:180, 20:180]).mean() > 0.9
              for faces in others]  # fmt: skip
    assert hidden == [True] * 15 + [False]


def test_a_long_film_of_ever_new_people_is_not_remembered_for_ever():
    memory = Memory()
    for track in range(4000):
        if track % 4 == 0:
            memory.tick()
        memory.see(track, Box(8, 8, 40, 40), 20)
    assert sorted(memory.people) == list(range(4000 - 64, 4000))


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


def test_wrong_images_and_widths_are_refused(astronaut):
    for wrong in (astronaut[..., 0], astronaut / 255, np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(ValueError, match="uint8 RGB"):
            DrawBox().draw(wrong, [])
    with pytest.raises(ValueError, match="line_width"):
        DrawBox(line_width=0)


def test_a_models_own_classes_are_drawn_in_colours_of_their_own():
    own = dict.fromkeys(["boredom", "confusion", "engagement", "frustration"], 0.02)
    blank = np.full((300, 300, 3), 200, np.uint8)
    colours = {name: EmotionSet(tuple(own)).colour_rgb(name) for name in own}
    assert len(set(colours.values())) == len(own)
    for emotion in own:
        face = replace(a_face((90, 90, 200, 200)), probabilities=own | {emotion: 0.94})
        drawn = DrawBox().draw(blank, [face])
        assert [_has(drawn, colours[name]) for name in own] == [name == emotion for name in own]
