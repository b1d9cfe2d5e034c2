"""Videos, part by part: which frames are searched, and what is found in those between."""

import pytest
from fakes import FakeModel, FollowsSquare, square_film

from builder_tools.inference import analysis
from builder_tools.inference.analysis import Analyser
from builder_tools.inference.parts import PART_S, parts_of
from builder_tools.inference.stream import StreamState
from builder_tools.inference.threads import DetectorPool
from builder_tools.media import Frame


def _find(frames, detector):
    return [faces for part in parts_of(frames) for _, faces in part.find(detector)]


def _analysed(frames, detector, **options):
    analyser = Analyser(FakeModel(), DetectorPool(detector, "mediapipe", {}), None)
    return analyser.every(iter(frames), StreamState(track=True, smooth_s=None), **options)


def test_videos_are_cut_into_parts_by_time_and_bytes():
    parts = list(parts_of(square_film(24)))
    assert [len(part.frames) for part in parts] == [20, 4]
    assert all(part.frames[-1].time_s - part.frames[0].time_s < PART_S for part in parts)
    assert [len(part.frames) for part in parts_of(square_film(8), most_bytes=130_000)] == [3, 3, 2]


def test_the_frames_between_two_searched_ones_are_followed():
    detector = FollowsSquare([], [])
    found = _find(square_film(24), detector)
    assert detector.searched == [0, 20, 23]
    assert detector.followed == [2, 4, 6, 8, 10, 12, 14, 16, 18, 22], "0.1 s apart"
    assert [faces[0].box.x1 for faces in found] == list(range(20, 44))


def test_what_moves_far_is_followed_in_each_frame():
    detector = FollowsSquare([], [])
    found = _find(square_film(8, step=8), detector)
    assert detector.searched == [0, 7] and sorted(set(detector.followed)) == [1, 2, 3, 4, 5, 6]
    assert [faces[0].box.x1 for faces in found] == list(range(20, 84, 8))


@pytest.mark.parametrize("seen", [range(3), range(3, 24), (2,), (0, 1, 2, 4, 5, 6), range(5, 8)])
def test_each_face_is_found_from_the_frame_it_comes_in_to_its_last(seen):
    """Also one that is away for a frame, or comes and goes between two searched ones, 0 and 20."""

    class LooksQuickly(FollowsSquare):
        def detect_large(self, image):
            return self._white(image)

    gone = [number for number in range(24) if number not in seen]
    found = _find(square_film(24, gone=gone), LooksQuickly([], []))
    if seen == (2,):
        assert not any(found), "seen in none of the frames that are looked at"
    else:
        assert [number for number, faces in enumerate(found) if faces] == list(seen)


def test_scenes_are_searched_for_themselves():
    detector = FollowsSquare([], [])
    frames = square_film(6, cut_at=4)
    assert [(len(part.frames), part.after is None) for part in parts_of(frames)] == [
        (4, True),
        (2, True),
    ]
    assert all(_find(frames, detector))
    assert detector.searched == [0, 3, 4, 5] and detector.followed == [2]


def test_a_face_that_goes_is_searched_for_by_halves():
    detector = FollowsSquare([], [])
    found = _find(square_film(45, step=0, gone=range(30, 45)), detector)
    assert [bool(faces) for faces in found] == [True] * 30 + [False] * 15
    assert sorted(detector.searched) == [0, 20, 25, 27, 28, 29, 30, 40, 44]


@pytest.mark.parametrize("seen", [range(5, 9), range(9, 16)])
def test_a_quick_look_every_third_of_a_second_shows_who_comes_and_goes(seen):
    class LooksQuickly(FollowsSquare):
        def detect_large(self, image):
            looked_at.append(int(image[0, 0, 2]))
            return self._white(image)

    looked_at = []
    gone = [number for number in range(21) if number not in seen]
    found = _find(square_film(21, gone=gone), LooksQuickly([], []))
    assert [number for number, faces in enumerate(found) if faces] == list(seen)
    assert looked_at[0] == 6 and len(looked_at) < 4


def test_detectors_that_cannot_follow_are_asked_about_every_frame_with_faces():
    class Searches(FollowsSquare):
        follow = None

    detector = Searches([], [])
    found = _find(square_film(6, gone=(5,)), detector)
    assert [len(faces) for faces in found] == [1, 1, 1, 1, 1, 0]
    assert sorted(detector.searched) == [0, 1, 2, 3, 4, 5]


def test_frames_before_a_broken_one_are_given():
    def broken():
        yield from square_film(2)
        raise OSError("broken off")

    given = []
    with pytest.raises(OSError, match="broken off"):
        for part in parts_of(broken()):
            given += part.frames
    assert len(given) == 2


def test_frames_before_a_broken_one_are_given_by_threads_too():
    """They are in work when it comes."""

    def broken():
        yield from square_film(20)
        raise OSError("broken off")

    given = []
    with pytest.raises(OSError, match="broken off"):
        for frame, _ in _analysed(broken(), FollowsSquare([], []), workers=4):
            given.append(frame.index)
    assert given == list(range(20))


def test_frames_in_work_are_bounded_though_parts_grow(monkeypatch):
    """The first scene has one frame; a second in which nothing changes has twenty."""
    frames, read, given, most = square_film(1, cut_at=0) + square_film(100, step=0), 0, 0, 0
    monkeypatch.setattr(analysis, "BYTES_AHEAD", 20 * frames[0].image.nbytes)

    def counted():
        nonlocal read
        for number, frame in enumerate(frames):
            read += 1
            yield Frame(number, number / 20, frame.image)

    for _ in _analysed(counted(), FollowsSquare([], []), workers=8):
        given += 1
        most = max(most, read - given)
    assert given == 101 and most <= 20 + 3 * 20, "in work, given, being read, and the next"


@pytest.mark.parametrize("workers", [1, 3])
def test_following_gives_the_same_on_any_number_of_threads(workers):
    detector = FollowsSquare([], [])
    given = list(_analysed(square_film(24), detector, workers=workers))
    assert [frame.index for frame, _ in given] == list(range(24))
    assert [faces[0].face.box.x1 for _, faces in given] == list(range(20, 44))
    assert sorted(detector.searched) == [0, 20, 23], "a frame that two parts share, once"
