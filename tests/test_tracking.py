"""Identities over time, against assignments and scripts whose truth is known."""

import math

import numpy as np
import pytest
from made_videos import Scene, astronaut_cast, noisy_faces, scenes

from builder_tools.detectors import make_detector
from builder_tools.results import Box, Face, FaceEmotion, FrameResult
from builder_tools.tracking import (
    EmotionSmoother,
    FaceTracker,
    RestTracker,
    label_changes_per_minute,
    score_tracks,
)
from builder_tools.tracking.assignment import assign


def face(x, y=100.0, side=50.0, score=0.9):
    return Face(Box(x, y, x + side, y + side), score)


def tracks(tracker, faces, time_s):
    return [found.track for found in tracker.update(faces, time_s)]


@pytest.fixture(scope="module")
def heads(astronaut):
    return astronaut_cast(astronaut)


@pytest.mark.parametrize(
    ("cost", "expected"),
    [
        ([[1, 2], [1, 3]], [(0, 1), (1, 0)]),  # the greedy pair (0, 0) would cost 4 in all
        ([[4, 1, 3], [2, 0, 5], [3, 2, 2]], [(0, 1), (1, 0), (2, 2)]),
        ([[1, math.inf], [math.inf, math.inf]], [(0, 0)]),
        ([[1, math.inf], [1, 50]], [(0, 0), (1, 1)]),  # as many pairs as possible
        ([[5, 1, 7]], [(0, 1)]),
        ([[5], [1], [7]], [(1, 0)]),
        (np.zeros((0, 3)), []),
    ],
)
def test_assignment_by_hand(cost, expected):
    assert assign(np.array(cost, float)) == expected


def test_assignment_agrees_with_scipy():
    solve = pytest.importorskip("scipy.optimize").linear_sum_assignment
    rng = np.random.default_rng(0)
    for _ in range(300):
        cost = rng.integers(0, 9, rng.integers(1, 8, 2)).astype(float)
        pairs, best = assign(cost), solve(cost)
        assert len(pairs) == min(cost.shape)
        assert sum(cost[pair] for pair in pairs) == cost[best].sum()


@pytest.mark.parametrize("cost", [np.zeros(3), [[1.0, -1.0]], [[math.nan]]])
def test_costs_that_are_none(cost):
    with pytest.raises(ValueError, match="matrix of costs"):
        assign(np.asarray(cost))


def test_faces_keep_their_order_and_identity():
    tracker = FaceTracker()
    assert tracks(tracker, [face(0), face(300)], 0.0) == [1, 2]
    assert tracks(tracker, [face(305), face(4)], 0.04) == [2, 1]
    assert [event.kind for event in tracker.events] == []


@pytest.mark.parametrize("fps", [5, 25, 60])
@pytest.mark.parametrize(("gap_s", "expected"), [(1.0, 1), (2.0, 2)])
def test_gaps_are_bridged_by_time_not_by_frames(fps, gap_s, expected):
    tracker = FaceTracker(max_gap_s=1.5)
    for index in range(2 * fps):
        assert tracks(tracker, [face(100)], index / fps) == [1]
    back_s = (2 * fps - 1) / fps + gap_s
    for index in range(2 * fps, round(back_s * fps)):
        assert tracks(tracker, [], index / fps) == []
    assert tracks(tracker, [face(100)], back_s) == [expected]
    assert tracker.events[-1].kind == ("found" if expected == 1 else "new")


def test_new_lost_and_found_are_explained():
    tracker = FaceTracker(max_gap_s=1.0)
    tracker.update([face(0)], 0.0)
    (event,) = tracker.events
    assert (event.kind, event.track, event.time_s) == ("new", 1, 0.0) and event.reason
    tracker.update([face(0)], 0.8)
    assert [(e.kind, e.track) for e in tracker.events] == [("found", 1)]
    assert "0.80 s" in tracker.events[0].reason
    tracker.update([], 2.0)
    assert [(e.kind, e.track) for e in tracker.events] == [("lost", 1)]
    assert tracker.tracks == ()


def test_identities_are_never_used_again():
    tracker = FaceTracker(max_gap_s=0.1)
    assert [tracks(tracker, [face(0)], 10.0 * index) for index in range(4)] == [[1], [2], [3], [4]]


def test_poor_boxes_continue_a_track_but_begin_none():
    tracker = FaceTracker(start_score=0.5)
    assert tracks(tracker, [face(0), face(300, score=0.3)], 0.0) == [1, None]
    assert tracks(tracker, [face(2, score=0.2)], 0.04) == [1]
    assert tracks(tracker, [], 0.6) == []
    assert tracks(tracker, [face(4, score=0.2)], 0.64) == [None]  # seen too long ago
    assert tracks(tracker, [face(4, score=0.9)], 0.68) == [1]


def test_a_good_box_goes_before_a_poor_one():
    tracker = FaceTracker()
    tracker.update([face(100)], 0.0)
    assert tracks(tracker, [face(100, score=0.3), face(112, score=0.9)], 0.04) == [None, 1]


def test_a_face_of_another_size_is_somebody_else():
    tracker = FaceTracker()
    tracker.update([face(100, side=40)], 0.0)
    assert tracks(tracker, [face(60, 60, side=120)], 0.04) == [2]


@pytest.mark.parametrize("options", [{"max_gap_s": -1}, {"start_score": 2}])
def test_settings_out_of_range(options):
    with pytest.raises(ValueError, match="Expected max_gap_s"):
        FaceTracker(**options)


def _tracked(found, times_s):
    tracker = FaceTracker()
    return [tracker.update(faces, time_s) for faces, time_s in zip(found, times_s, strict=True)]


def _judge(scene: Scene, found):
    truth = [scene.truth(time_s) for time_s in scene.times_s]
    return score_tracks(truth, _tracked(found, scene.times_s))


@pytest.mark.parametrize("fps", [10, 25])
@pytest.mark.parametrize(
    "name", ["two cross", "four cross in pairs", "one leaves and returns", "fast and blurred"]
)
def test_identities_survive_crossings_and_absences(heads, name, fps):
    scene = scenes(heads, fps=fps)[name]
    rng = np.random.default_rng(1)
    found = [
        noisy_faces(scene.truth(time_s), rng, missed=0.1, jitter=0.03) for time_s in scene.times_s
    ]
    scores = _judge(scene, found)
    assert scores.switches == 0 and scores.false_alarms == 0
    assert scores.idf1 > 0.9


def test_real_faces_found_by_the_detector_cross_in_a_real_video(heads):
    scene = scenes(heads, fps=12.5)["two cross"]
    with make_detector("mediapipe") as detector:
        found = [detector.detect(scene.paint(time_s)) for time_s in scene.times_s]
    scores = _judge(scene, found)
    # A face that is still half hidden may be found a moment before it counts as seen.
    assert scores.switches == 0 and scores.false_alarms <= 2
    assert scores.mota > 0.9 and scores.idf1 > 0.9


def test_the_same_faces_get_the_same_identities(heads):
    scene = scenes(heads)["one walks past two"]
    rng = np.random.default_rng(3)
    found = [noisy_faces(scene.truth(t), rng, missed=0.3, jitter=0.05) for t in scene.times_s]
    assert _tracked(found, scene.times_s) == _tracked(found, scene.times_s)


def test_scores_by_hand():
    a, b = Box(0, 0, 10, 10), Box(100, 0, 110, 10)
    truth = [{"a": a, "b": b}, {"a": a, "b": b}, {"a": a}, {"a": a}]
    found = [
        [Face(a, 1, track=1), Face(b, 1, track=2)],
        [Face(b, 1, track=2)],  # a missed
        [Face(a, 1, track=3)],  # a again under another name: a switch and a fragmentation
        [Face(a, 1, track=3), Face(Box(50, 50, 60, 60), 1, track=4)],  # nobody is there
    ]
    scores = score_tracks(truth, found)
    assert (scores.num_truths, scores.misses, scores.false_alarms) == (6, 1, 1)
    assert (scores.switches, scores.fragmentations) == (1, 1)
    assert scores.mota == pytest.approx(1 - 3 / 6)
    assert scores.identity_matches == 4  # a is 3 (twice), b is 2 (twice)
    assert scores.idf1 == pytest.approx(2 * 4 / (6 + 6))
    with pytest.raises(ValueError, match="as many frames"):
        score_tracks(truth, found[:2])


def shown(track, happy, valence=None):
    rest = 1 - happy
    return FaceEmotion(
        Face(Box(0, 0, 9, 9), 0.9, track=track), {"happy": happy, "sad": rest}, valence, valence
    )


@pytest.mark.parametrize(
    ("follower", "found"),
    [
        (FaceTracker(), face(0)),
        (EmotionSmoother(0.3), shown(1, 0.1)),
        (RestTracker(3.0), shown(1, 0.1)),
    ],
)
def test_time_may_stand_but_not_go_back(follower, found):
    """A smoother gave probabilities of 22 and -21 for a time one second back."""
    (first,) = follower.update([found], 1.0)
    assert list(follower.update([found], 1.0)) == [first]
    with pytest.raises(ValueError, match=r"Expected a time >= 1.0"):
        follower.update([found], 0.9)
    with pytest.raises(ValueError, match=r"Expected a time >= 1.0"):
        follower.update([], 0.9)


@pytest.mark.parametrize("time_s", [math.nan, math.inf])
@pytest.mark.parametrize("follower", [FaceTracker, lambda: EmotionSmoother(0.3)])
def test_the_first_time_is_a_number_too(follower, time_s):
    """All times after it were refused instead."""
    with pytest.raises(ValueError, match=rf"Expected a time in seconds\. Received: {time_s} s"):
        follower().update([], time_s)


@pytest.mark.parametrize("steps", [[1.0], [0.25] * 4, [0.1, 0.6, 0.05, 0.25]])
def test_smoothing_depends_on_time_not_on_steps(steps):
    smoother = EmotionSmoother(0.5)
    smoother.update([shown(1, 0.0, -1.0)], 0.0)
    time_s = 0.0
    for step in steps:
        time_s += step
        (found,) = smoother.update([shown(1, 1.0, 1.0)], time_s)
    assert found.probabilities["happy"] == pytest.approx(1 - math.exp(-2))  # 1 s over 0.5 s
    assert found.valence == found.arousal == pytest.approx(1 - 2 * math.exp(-2))
    assert sum(found.probabilities.values()) == pytest.approx(1)


def test_the_label_holds_on_until_another_is_clearly_ahead():
    smoother = EmotionSmoother(1e-3, margin=0.2)
    values = [0.9, 0.45, 0.41, 0.39, 0.55, 0.61]
    labels = [smoother.update([shown(1, v)], float(i))[0].emotion for i, v in enumerate(values)]
    assert labels == ["happy", "happy", "happy", "sad", "sad", "happy"]


def test_people_are_smoothed_apart_and_the_nameless_not_at_all():
    smoother = EmotionSmoother(1.0)
    smoother.update([shown(1, 1.0), shown(2, 0.0)], 0.0)
    one, two, nameless = smoother.update([shown(2, 1.0), shown(1, 1.0), shown(None, 0.3)], 0.5)
    assert one.probabilities["happy"] == pytest.approx(1 - math.exp(-0.5))
    assert two.probabilities["happy"] == 1.0 and nameless.probabilities["happy"] == 0.3


def test_people_long_gone_are_forgotten():
    smoother = EmotionSmoother(0.1)
    smoother.update([shown(1, 0.0)], 0.0)
    (found,) = smoother.update([shown(1, 1.0)], 2.5)
    assert found.probabilities["happy"] == 1.0
    for track in range(3000):
        smoother.update([shown(track, 0.5)], 10.0 + track)
    assert len(smoother._states) <= 3


@pytest.mark.parametrize(("tau", "margin"), [(0, 0.1), (-1, 0.1), (math.nan, 0.1), (1, 1.0)])
def test_smoothing_out_of_range(tau, margin):
    with pytest.raises(ValueError, match="Expected time_constant_s"):
        EmotionSmoother(tau, margin=margin)


def test_flicker_by_hand():
    values = [0.9, 0.1, 0.9, 0.9]
    results = [FrameResult("v", i, 0.5 * i, (shown(1, v),)) for i, v in enumerate(values)]
    assert label_changes_per_minute(results) == pytest.approx(2 / 1.5 * 60)
    assert math.isnan(label_changes_per_minute(results[:1]))
