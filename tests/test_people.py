"""Which tracks are people, who comes back as the same one, and where a film is cut."""

import numpy as np
import pandas as pd
import pytest

from builder_tools.cli import main
from builder_tools.media import VideoWriter
from builder_tools.results import Box, Face, FaceEmotion, FrameResult
from builder_tools.timeline.people import PersonRule, count_in_words, people_of
from builder_tools.timeline.reading import read_timeline
from builder_tools.timeline.summary import SummaryMaker, describe_video
from builder_tools.timeline.writer import TimelineWriter
from builder_tools.tracking import FaceTracker
from builder_tools.tracking.looks import likeness, looks_of
from builder_tools.tracking.shots import glance, is_cut

EMOTIONS = ("happy", "sad")
RED, BLUE, GREEN, SKIN = (180, 30, 30), (30, 30, 180), (30, 160, 40), (220, 180, 150)


def _room(seed=0):
    """Return a background with a pattern of its own."""
    coarse = np.random.default_rng(seed).integers(0, 255, (9, 16, 3), np.uint8)
    return coarse.repeat(40, axis=0).repeat(40, axis=1)


def _with(room, *people):
    """Put people into a room: x of the face's left edge, colour of clothes and hair."""
    image, faces = room.copy(), []
    for x, colour in people:
        image[80:340, x - 30 : x + 90] = colour
        image[100:160, x : x + 60] = SKIN
        faces.append(Face(Box(x, 100, x + 60, 160), 0.9))
    return image, faces


def _run(tracker, times_s, room, *people):
    """Return the tracks of the last of some images of the same people."""
    image, faces = _with(room, *people)
    for time_s in times_s:
        named = tracker.update(faces, time_s, image)
    return [face.track for face in named]


def test_who_comes_back_looking_the_same_is_the_same_person():
    tracker, room = FaceTracker(), _room()
    assert _run(tracker, [0, 0.1, 0.3], room, (100, RED), (450, BLUE)) == [1, 2]
    _run(tracker, np.arange(0.4, 4, 0.1), room, (450, BLUE))
    assert _run(tracker, [4.0, 4.1], room, (160, RED), (450, BLUE)) == [1, 2]
    tracker = FaceTracker()
    _run(tracker, [0, 0.1], room, (100, RED))
    _run(tracker, [2.0], room)
    image, faces = _with(room, (160, RED))
    tracker.update(faces, 4.0, image)
    (event,) = tracker.events
    assert (event.kind, event.track) == ("found", 1)
    assert "3.90 s" in event.reason and "looking the same" in event.reason


@pytest.mark.parametrize(
    ("x", "colour", "back_s"),
    [
        (160, GREEN, 4.0),  # somebody else
        (540, RED, 4.0),  # too far away
        (160, RED, 12.0),  # too long ago
    ],
)
def test_others_are_new_people(x, colour, back_s):
    tracker, room = FaceTracker(), _room()
    _run(tracker, [0, 0.1, 0.3], room, (100, RED))
    _run(tracker, np.arange(0.4, back_s, 0.2), room)
    assert _run(tracker, [back_s], room, (x, colour)) == [2]


def test_of_two_who_look_alike_none_is_known_again():
    tracker, room = FaceTracker(), _room()
    assert _run(tracker, [0, 0.1, 0.3], room, (100, RED), (300, RED)) == [1, 2]
    _run(tracker, np.arange(0.4, 4, 0.2), room)
    assert _run(tracker, [4.0], room, (200, RED)) == [3]
    tracker = FaceTracker()
    assert _run(tracker, [0, 0.1, 0.3], room, (100, RED), (420, RED)) == [1, 2]
    _run(tracker, np.arange(0.4, 4, 0.2), room, (420, RED))  # this one stays
    assert _run(tracker, [4.0], room, (220, RED), (420, RED)) == [3, 2]


def test_without_images_nobody_is_known_again():
    tracker = FaceTracker()
    _, faces = _with(_room(), (100, RED))
    tracker.update(faces, 0.0)
    tracker.update([], 2.0)
    assert [face.track for face in tracker.update(faces, 4.0)] == [2]


def test_a_cut_ends_all_tracks_and_the_same_shot_brings_them_back():
    tracker, hall, garden = FaceTracker(), _room(1), _room(2)
    assert _run(tracker, [0, 0.1, 0.3], hall, (100, RED), (400, BLUE)) == [1, 2]
    image, faces = _with(garden, (100, GREEN))
    tracker.update(faces, 0.4, image)
    assert [(event.kind, event.track) for event in tracker.events] == [
        ("lost", 1),
        ("lost", 2),
        ("new", 3),
    ]
    assert "the shot ended" in tracker.events[0].reason
    _run(tracker, np.arange(1, 20), garden, (100, GREEN))
    assert _run(tracker, [20.0, 20.1], hall, (110, RED), (400, BLUE)) == [1, 2]
    assert _run(tracker, [20.5, 20.6], garden, (100, GREEN)) == [3]


def test_what_is_no_cut():
    """Light, a step of the camera, somebody before it: the room is the same."""
    room = _room()
    before = glance(room)
    assert is_cut(before, glance(_room(7)))
    assert is_cut(before, glance(room[:90]))
    darker = (room * 0.4).astype(np.uint8)
    moved = np.roll(room, 10, axis=1)
    crowded, _ = _with(room, (60, RED), (300, BLUE))
    for after in (room, darker, moved, crowded):
        assert not is_cut(before, glance(after))


def test_looks_by_hand():
    image, (face,) = _with(_room(), (100, RED))
    looks = looks_of(image, face.box)
    assert looks.sum(axis=1) == pytest.approx([1, 1], abs=1e-5)
    assert likeness([looks], looks) == pytest.approx(1, abs=1e-5)
    _, clothes = looks_of(np.full((400, 400, 3), RED, np.uint8), Box(100, 100, 160, 160))
    assert clothes.max() == pytest.approx(1) and clothes.argmax() == (2 * 4 + 0) * 4 + 0
    below = looks_of(image, Box(100, 300, 160, 359))
    assert not below[1].any()  # the clothes are outside the image
    assert likeness([], looks) == 0 == likeness([np.zeros_like(looks)], looks)


def _result(index, *tracks):
    """Return a frame at ten a second; tracks as (track, score)."""
    faces = tuple(
        FaceEmotion(Face(Box(0, 0, 40, 40), score, track=track), {"happy": 0.8, "sad": 0.2})
        for track, score in tracks
    )
    return FrameResult("film", index, index / 10, faces)


def _film():
    """Person 1 all the time; 2 is weak, 3 short, 4 is there for 0.5 s, 5 in every fourth frame."""
    for index in range(31):
        tracks = [(1, 0.9), (2, 0.6)]
        tracks += [(3, 0.9)] if 10 <= index < 14 else []
        tracks += [(4, 0.9)] if 20 <= index < 25 else []
        tracks += [(5, 0.9)] if index % 8 == 0 else []
        yield _result(index, *tracks)


def test_short_and_weak_tracks_are_no_people_neither_in_streams_nor_in_tables(tmp_path):
    maker = SummaryMaker(EMOTIONS)
    with TimelineWriter(tmp_path / "t.csv", EMOTIONS) as writer:
        for result in _film():
            maker.add(result)
            writer.write(result)
    assert [person.track for person in maker.people()] == [1, 4] and maker.left_out == 3
    assert describe_video(maker).startswith("2 people (3 short or weak tracks left out); faces in")
    assert maker.whole().seen_s == pytest.approx(3.0 + 0.4)
    table = read_timeline(tmp_path / "t.csv")
    assert people_of(table, PersonRule()) == ([1, 4], 3)
    assert people_of(table, PersonRule(0.3, 0.0)) == ([1, 2, 4, 3, 5][:5], 0)
    lenient = SummaryMaker(EMOTIONS, PersonRule(0.3, 0.0))
    for result in _film():
        lenient.add(result)
    assert sorted(person.track for person in lenient.people()) == [1, 2, 3, 4, 5]


def test_nobody_is_counted_too():
    maker = SummaryMaker(EMOTIONS)
    for index in range(20):
        maker.add(_result(index, *([(1, 0.6)] if index < 9 else [])))
    assert maker.people() == [] and maker.whole() is None
    line = describe_video(maker)
    assert line == "0 people (1 short or weak track left out); faces in 45% of frames"
    assert count_in_words(1, 0) == "1 person" and count_in_words(0, 2).startswith("0 people (2 ")
    assert people_of(
        pd.DataFrame(columns=["time_s", "track", "detection_score"]), PersonRule()
    ) == (
        [],
        0,
    )


def test_of_a_short_film_half_is_enough():
    maker = SummaryMaker(EMOTIONS)
    for index in range(3):
        maker.add(_result(index, (1, 0.9)))
    assert len(maker.people()) == 1


def test_rules_follow_the_detector_and_their_ranges():
    assert PersonRule.for_detector("mediapipe") == PersonRule()
    assert PersonRule.for_detector("dlib").least_score == 0
    assert PersonRule.for_detector("dlib", 2.0, 0.4) == PersonRule(2.0, 0.4)
    for wrong in ({"least_s": -1}, {"least_s": float("nan")}, {"least_score": 1.1}):
        with pytest.raises(ValueError, match="least_s"):
            PersonRule(**wrong)


def test_the_verb_says_how_many_people_there_are(astronaut, tmp_path, capsys):
    film, table = tmp_path / "film.mp4", str(tmp_path / "t.csv")
    blank = np.full_like(astronaut, 90)
    with VideoWriter(film, 10, (512, 512)) as writer:
        for number in range(20):
            writer.write(astronaut if number < 4 else blank, number / 10)
    assert main(["video", str(film), "--timeline", table]) == 0
    assert "0 people (1 short or weak track left out)" in capsys.readouterr().out
    assert main(["video", str(film), "--timeline", table, "--person-s", "0.2"]) == 0
    assert "1 person; faces in 20% of frames" in capsys.readouterr().out
    assert main(["video", str(film), "--timeline", table, "--person-score", "1"]) == 0
    assert "0 people (1 short" in capsys.readouterr().out
    assert main(["video", str(film), "--timeline", table, "--person-score", "2"]) == 2
    assert "least_score" in capsys.readouterr().err
    for option in ("--person-s", "--person-score"):  # they had no effect, and no word was said
        assert main(["video", str(film), "--model", "nowhere", option, "0.5"]) == 2
        assert f"Expected --timeline OUT.csv with {option}" in capsys.readouterr().err
