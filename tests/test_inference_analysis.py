"""Frames that are not searched: faces move evenly between those that are."""

import threading
from dataclasses import dataclass

import numpy as np
import pytest
from fakes import FakeModel, FollowsSquare, square_film

from builder_tools.inference import Inference, parts
from builder_tools.inference.analysis import Analyser, ReadAhead, groups_of
from builder_tools.inference.motion import faces_between
from builder_tools.inference.search import Glance
from builder_tools.inference.stream import StreamState
from builder_tools.inference.threads import DetectorPool
from builder_tools.media import Frame
from builder_tools.results import Box, Face


def face(x, track, side=40, score=0.9, keypoints=None):
    return Face(Box(x, 10, x + side, 10 + side), score, keypoints, track)


class CountingDetector:
    """One face that moves 4 px a frame; the frame's number is its first pixel."""

    crop_scale, crop_shift_y = 1.0, 0.0

    def __init__(self, vanishes_at=10**6):
        self.searched, self.vanishes_at = [], vanishes_at

    def detect(self, image_rgb):
        number = int(image_rgb[0, 0, 0])
        self.searched.append(number)
        return [face(4 * number, None)] if number < self.vanishes_at else []

    def close(self):
        pass


def film(count):
    for number in range(count):
        image = np.full((100, 300, 3), 200, np.uint8)
        image[0, 0] = number
        yield Frame(number, number / 25, image)


@dataclass(frozen=True)
class Seen:
    frame: int
    faces: tuple


def run(frames, detector, **options):
    analyser = Analyser(FakeModel(), DetectorPool(detector, "haar", {}), None)
    state = StreamState(track=True, smooth_s=None)
    analysed = analyser.every(frames, state, workers=2, **options)
    return [Seen(frame.index, faces) for frame, faces in analysed]


def test_groups_are_whole_but_the_last_and_fit_into_memory(monkeypatch):
    def sizes(count, size):
        return [len(group) for group in groups_of(film(count), size)]

    assert sizes(7, 3) == [3, 3, 1] and sizes(0, 3) == []
    monkeypatch.setattr("builder_tools.inference.parts.MOST_GROUP_BYTES", 4 * 90_000)
    assert sizes(10, 1000) == [4, 4, 2] and sizes(3, 1) == [1, 1, 1]


def test_a_person_moves_evenly_and_others_keep_to_their_half():
    before = [face(0, 1, keypoints=np.zeros((2, 2))), face(200, 2)]
    after = [face(40, 1, side=80, score=0.5, keypoints=np.full((2, 2), 8.0)), face(100, 3)]
    early, late = (faces_between(before, after, share) for share in (0.25, 0.75))
    assert [one.track for one in early] == [1, 2] and [one.track for one in late] == [1, 3]
    assert early[0].box.xyxy == (10, 10, 60, 60)
    assert early[0].score == pytest.approx(0.8)
    np.testing.assert_allclose(early[0].keypoints, 2.0)


def test_of_key_points_those_of_both_frames_move():
    """Small images have two searches; that of near faces gives ears as well."""
    before = [face(0, 1, keypoints=np.zeros((6, 2)))]
    (between,) = faces_between(before, [face(4, 1, keypoints=np.ones((4, 2)))], 0.5)
    np.testing.assert_allclose(between.keypoints, np.full((4, 2), 0.5))


def test_every_frame_has_its_face_where_it_is_and_few_are_searched():
    detector = CountingDetector()
    results = run(film(11), detector, detect_every=4)
    assert sorted(detector.searched) == [0, 4, 8], "by two threads, in any order"
    assert [result.frame for result in results] == list(range(11))
    for result in results[:9]:
        (found,) = result.faces
        assert found.face.box.x1 == pytest.approx(4 * result.frame) and found.face.track == 1
    # Nothing is known after the last search: the face waits there.
    assert [result.faces[0].face.box.x1 for result in results[9:]] == [32, 32]


def test_frames_looked_at_are_followed_where_the_detector_can():
    detector = FollowsSquare([], [])
    results = run(iter(square_film(25)), detector, detect_every=3)
    assert sorted(detector.searched) == [0, 21, 24], "by two threads, in any order"
    assert sorted(detector.followed) == [3, 6, 9, 12, 15, 18]
    assert [one.faces[0].face.box.x1 for one in results] == pytest.approx(list(range(20, 45)))


def test_a_face_that_vanishes_is_shown_for_half_of_the_way():
    results = run(film(9), CountingDetector(vanishes_at=5), detect_every=4)
    assert [len(result.faces) for result in results] == [1, 1, 1, 1, 1, 1, 0, 0, 0]


def test_no_face_lasts_beyond_a_cut_or_comes_before_it():
    """Shots of 6 and 7 frames: the first frame of the second is looked at, too."""

    class Shots(CountingDetector):
        def detect(self, image_rgb):
            found = super().detect(image_rgb)
            second = image_rgb[50, 50, 0] == 20
            return [face(200, None)] if second else found[: not second]

    def two_shots():
        for frame in film(13):
            frame.image[1:] = 200 if frame.index < 6 else 20
            yield frame

    detector = Shots()
    results = run(two_shots(), detector, detect_every=5)
    assert sorted(detector.searched) == [0, 5, 6, 11], "by two threads, in any order"
    tracks = [[one.face.track for one in result.faces] for result in results]
    assert tracks == [[1]] * 6 + [[2]] * 7
    assert [result.faces[0].face.box.x1 for result in results[6:]] == [200] * 7
    detector = CountingDetector(vanishes_at=3)
    results = run((f for f in two_shots() if f.index != 5), detector, detect_every=5)
    assert sorted(detector.searched) == [0, 6, 11], "by two threads, in any order"
    assert [len(result.faces) for result in results] == [1] * 5 + [0] * 7


def test_every_frame_searched_is_as_before():
    detector = CountingDetector()
    results = run(film(5), detector)
    assert sorted(detector.searched) == [0, 1, 2, 3, 4], "by two threads, in any order"
    assert [seen.frame for seen in results] == [0, 1, 2, 3, 4]


def test_one_thread_asks_the_model_whose_failure_comes_after_the_frames_before():
    threads, given = set(), []

    def breaks(seen):
        threads.add(threading.get_ident())
        if seen >= 9:
            raise RuntimeError("broken")

    analyser = Analyser(FakeModel(breaks), DetectorPool(CountingDetector(), "haar", {}), None)
    with pytest.raises(RuntimeError, match="broken"):
        for frame, _ in analyser.every(film(20), StreamState(track=True, smooth_s=None), workers=2):
            given.append(frame.index)
    assert given == list(range(len(given))) and len(given) >= 7, "two threads search ahead"
    assert len(threads) == 1


def test_on_a_real_film_faces_stay_where_they_are(face_video):
    def faces(every):
        with Inference(
            FakeModel(), show_state_mode="none", inference_mode="video", detect_every=every
        ) as inference:
            return [[one.face for one in r.faces] for r in inference.run(face_video.path)]

    each, third = faces(1), faces(3)
    both = [(a[0], b[0]) for a, b in zip(each, third, strict=True) if a and b]
    assert len(both) > 0.95 * len(each)
    assert sum(map(bool, third)) >= sum(map(bool, each)), "a face missed in between is bridged"
    assert min(a.box.iou(b.box) for a, b in both) > 0.7
    assert {b.track for _, b in both} == {1}


@pytest.mark.parametrize("options", [{"detect_every": 0}, {"detect_every": 2, "track": False}])
def test_wrong_options_are_refused(options):
    with pytest.raises(ValueError, match="detect_every"):
        Inference(FakeModel(), CountingDetector(), show_state_mode="none", **options)


def test_frames_read_ahead_keep_their_order_and_what_breaks_them_off_its_turn():
    def broken():
        yield from square_film(3)
        raise OSError("broken off")

    frames = square_film(3)
    ahead = ReadAhead(broken(), 2 * frames[0].image.nbytes)
    assert next(ahead).index == 0
    for _ in range(2):
        ahead.read_one()
    rest = []
    with pytest.raises(OSError, match="broken off"):
        for frame in ahead:
            rest.append(frame.index)
            ahead.read_one()
    assert rest == [1, 2]
    read = iter(square_film(3))
    full = ReadAhead(read, 1)
    for _ in range(3):
        full.read_one()
    assert next(read).index == 1, "no more wait than may"
    full.read_one()
    assert [frame.index for frame in full] == [0, 2]


@pytest.mark.parametrize(
    ("workers", "duration_s", "more"), [(1, 6.0, 0), (2, 6.0, 4), (2, None, 0)]
)
def test_videos_are_read_on_while_results_are_given(workers, duration_s, more):
    """Where threads wait for them, and no pipe that may come slowly."""

    class Film:
        def __init__(self):
            self.read, self.duration_s = 0, duration_s

        def __iter__(self):
            for frame in square_film(120):
                self.read += 1
                yield frame

    film, detector = Film(), FollowsSquare([], [])
    analyser = Analyser(FakeModel(), DetectorPool(detector, "mediapipe", {}), None)
    state = StreamState(track=True, smooth_s=None)
    given = analyser.every(film, state, workers=workers)
    next(given)
    before = film.read
    for _ in range(4):
        next(given)
    assert film.read - before == more


@pytest.mark.parametrize(("size", "looks"), [(1, 0), (2, 12), (5, 12)])
def test_each_frame_is_glanced_at_once_to_find_cuts(size, looks, monkeypatch):
    """It was resized for the comparison with the frame before, and again for the one after."""
    seen = []
    monkeypatch.setattr(parts, "Glance", lambda image: seen.append(1) or Glance(image))
    frames = [Frame(n, n / 25, np.zeros((9, 9, 3), np.uint8)) for n in range(12)]
    assert sum(map(len, groups_of(frames, size))) == 12
    assert len(seen) == looks
