"""A face against its own rest, as it is learned in streams."""

import math
from functools import partial

import numpy as np
import pytest
from fakes import FakeDetector, FakeModel, made_image
from rests import CALM, HAPPY, SAD, after_seconds, nine, seen, sure

from builder_tools import DrawBox, Inference, RestingFace
from builder_tools.decisions import apply_decision
from builder_tools.emotions import NINE_EMOTIONS
from builder_tools.tracking import RestTracker
from builder_tools.tracking.resting import FIRST_LOOK, IMAGE_S


def test_auto_learns_slowly_and_lifts_a_stern_rest():
    tracker = RestTracker("auto")
    (first,) = tracker.update([seen(1, *CALM)], 0.0)
    expected = after_seconds([CALM], FIRST_LOOK).relative([CALM])[0]
    assert list(first.relative_probabilities.values()) == pytest.approx(expected)
    for step in range(1, 601):
        tracker.update([seen(1, *CALM)], step / 10)
    (later,) = tracker.compare([seen(1, *SAD)])
    assert (later.emotion, later.relative_emotion) == ("sad", "neutral")
    expected = after_seconds([CALM], FIRST_LOOK + 60 / IMAGE_S).relative([SAD])[0]
    assert list(later.relative_probabilities.values()) == pytest.approx(expected)


def test_rests_are_learned_without_the_biases_of_the_decision():
    biases = {name: number / 4 for number, name in enumerate(NINE_EMOTIONS)}
    less = {name: -bias for name, bias in biases.items()}
    plain, balanced = RestTracker("auto"), RestTracker("auto", natural=partial(undo, less))
    for step in range(50):
        plain.learn([seen(1, *CALM)], step / 10)
        (shown,) = apply_decision([CALM], NINE_EMOTIONS, biases)
        balanced.learn([seen(1, *shown)], step / 10)
    learned = plain.resting_face().log_probabilities
    assert balanced.resting_face().log_probabilities == pytest.approx(learned)


def undo(less, shown):
    return apply_decision(shown, NINE_EMOTIONS, less)


def test_a_long_laugh_is_no_rest():
    tracker = RestTracker("auto")
    for step in range(100):
        tracker.update([seen(1, *CALM)], step / 10)
    (before,) = tracker.update([seen(1, *HAPPY)], 10.0)
    for step in range(6000):
        (after,) = tracker.update([seen(1, *HAPPY)], 10.1 + step / 10)
    assert after.relative_probabilities == before.relative_probabilities


def test_who_never_looks_neutral_and_never_much_else_looks_so_at_rest():
    """Two passers-by of a film who squint and look down were called sad for all of it."""
    stern = nine(sad=0.65, uncertain=0.2, neutral=0.12)
    tracker = RestTracker("auto")
    for step in range(40):
        tracker.learn([seen(1, *stern)], step / 10)
    (told,) = tracker.compare([seen(1, *stern)])
    assert (told.emotion, told.relative_emotion) == ("sad", "neutral")
    others = RestTracker("auto")
    early = [others.update([seen(1, *stern)], step / 10)[0] for step in range(20)]
    assert {face.relative_emotion for face in early[15:]} == {"neutral"}  # on the way: after 1.5 s
    tears = nine(sad=0.95, uncertain=0.03)
    assert tracker.compare([seen(1, *tears)])[0].relative_emotion == "sad"


@pytest.mark.parametrize(
    "shown",
    [
        {"sad": 0.95, "neutral": 0.04},  # surely not neutral
        {"happy": 0.3, "neutral": 0.3, "sad": 0.3},  # too much of what no rest looks like
        {"surprise": 0.5, "neutral": 0.5},
        {"fear": 0.2, "sad": 0.4, "neutral": 0.3},
    ],
)
def test_what_is_no_rest(shown):
    tracker = RestTracker("auto")
    for step in range(100):
        (after,) = tracker.update([seen(1, *nine(**shown))], step / 10)
    assert after.relative_probabilities == after.probabilities


def test_people_have_rests_of_their_own_and_strangers_none():
    tracker = RestTracker("auto")
    for step in range(300):
        tracker.update([seen(1, *CALM), seen(2, *HAPPY), seen(None, *CALM)], step / 10)
    known, happy, nameless = tracker.compare([seen(1, *SAD), seen(2, *SAD), seen(None, *SAD)])
    assert known.relative_emotion == "neutral"
    assert happy.relative_probabilities == happy.probabilities
    assert nameless.relative_probabilities == nameless.probabilities


def test_the_first_seconds_are_rest_whatever_they_show():
    tracker = RestTracker(3.0)
    for step in range(31):
        (early,) = tracker.update([seen(1, *SAD)], step / 10)
    assert early.relative_probabilities == early.probabilities
    (later,) = tracker.update([seen(1, *SAD)], 3.1)
    assert (later.emotion, later.relative_emotion) == ("sad", "neutral")
    expected = after_seconds([SAD], FIRST_LOOK + 3 / IMAGE_S).relative([SAD])[0]
    assert list(later.relative_probabilities.values()) == pytest.approx(expected)


def test_everybody_looks_neutral_on_request():
    tracker = RestTracker("auto")
    for step in range(300):
        tracker.update([seen(1, *CALM)], step / 10)
    tracker.look_neutral()
    for step in range(31):
        (asked,) = tracker.update([seen(1, *HAPPY)], 30 + step / 10)
    assert asked.relative_probabilities == asked.probabilities
    (later,) = tracker.update([seen(1, *HAPPY)], 33.1)
    assert later.relative_probabilities["happy"] < later.probabilities["happy"]


@pytest.mark.parametrize("rest", ["off", 0, -1.0, math.nan, math.inf, None, True])
def test_rests_that_are_none(rest):
    with pytest.raises(ValueError, match="Expected rest"):
        RestTracker(rest)


def test_auto_needs_a_class_neutral():
    with pytest.raises(ValueError, match="class neutral"):
        RestTracker("auto").update([seen(1, 0.5, 0.5, names=("happy", "sad"))], 0.0)


def test_json_has_both_answers_only_where_asked():
    plain = seen(1, *SAD)
    assert not [key for key in plain.to_dict() if key.startswith("relative")]
    (both,) = RestTracker(RestingFace.from_probabilities([SAD, SAD])).update([plain], 0.0)
    told = both.to_dict()
    assert (told["emotion"], told["relative_emotion"]) == ("sad", "neutral")
    assert told["relative_probability"] == max(told["relative_probabilities"].values())
    assert list(told["relative_probabilities"]) == list(NINE_EMOTIONS)


def test_streams_give_both_and_keep_what_they_gave(face_video):
    def results(**options):
        model, detector = FakeModel(), FakeDetector(1)
        with Inference(
            model, detector, show_state_mode="none", inference_mode="video", smooth_s=0.3, **options
        ) as inference:
            return [face for result in inference.run(face_video.path) for face in result.faces]

    plain, both = results(), results(rest="auto")
    assert [face.probabilities for face in plain] == [face.probabilities for face in both]
    assert all(face.relative_probabilities is None for face in plain)
    assert all(sum(face.relative_probabilities.values()) == pytest.approx(1) for face in both)


class CalmThenSad:
    """A model that calls so many faces calm, and all that come after sad."""

    emotions = NINE_EMOTIONS

    def __init__(self, calm):
        self.calm = calm

    def predict(self, faces):
        rows = [CALM if self.calm - number > 0 else SAD for number in range(len(faces))]
        self.calm -= len(faces)
        return np.array(rows, np.float32)


def watched(video, model, **options):
    settings = {"show_state_mode": "none", "inference_mode": "video", "rest": "auto"} | options
    with Inference(model, FakeDetector(1), **settings) as inference:
        return list(inference.run(video.path))


def test_a_film_is_compared_with_the_rest_that_all_of_it_tells(face_video):
    whole = watched(face_video, CalmThenSad(10_000))
    drawn = watched(face_video, CalmThenSad(10_000), draw_box_obj=DrawBox())
    first, last = whole[0].faces[0], whole[-1].faces[0]
    assert first.relative_probabilities == pytest.approx(last.relative_probabilities)
    assert first.relative_probabilities["sad"] < first.probabilities["sad"]
    on_the_way = drawn[0].faces[0]  # who sees the images on the way knows only the past
    assert (
        first.relative_probabilities["sad"]
        < on_the_way.relative_probabilities["sad"]
        < on_the_way.probabilities["sad"]
    )
    assert drawn[0].image is not None and whole[0].image is None
    assert [result.time_s for result in whole] == [result.time_s for result in drawn]


def test_a_film_that_breaks_off_still_gives_what_it_gave(face_video):
    class Breaks(CalmThenSad):
        def predict(self, faces):
            if self.calm <= 0:
                raise OSError("the disk is gone")
            return super().predict(faces)

    given = []
    settings = {"show_state_mode": "none", "inference_mode": "video", "rest": "auto"}
    with Inference(Breaks(10), FakeDetector(1), **settings) as inference:
        stream = inference.run(face_video.path)
        with pytest.raises(OSError, match="the disk is gone"):
            given.extend(stream)
    assert len(given) == 10
    assert all(face.relative_probabilities for result in given for face in result.faces)


def test_a_stream_tells_the_rest_it_learned(face_video):
    with Inference(
        CalmThenSad(10_000),
        FakeDetector(1),
        show_state_mode="none",
        inference_mode="video",
        rest="auto",
    ) as inference:
        stream = inference.run(face_video.path)
        with pytest.raises(ValueError, match="Look neutral for some seconds"):
            stream.rests.resting_face()
        stream.drain()
    rest = stream.rests.resting_face("fast 0123")
    assert rest.log_probabilities == pytest.approx(np.log(np.float32(CALM)), rel=1e-4)
    assert (rest.model, rest.emotions) == ("fast 0123", NINE_EMOTIONS.names)
    assert rest.frames > 10


@pytest.mark.parametrize("rest", ["auto", 3.0])
def test_the_rest_seen_longest_is_told_also_long_after(rest):
    """Whoever had left a minute before the end was lost, or somebody passing took their place."""
    tracker = RestTracker(rest)
    for step in range(60):
        tracker.learn([seen(1, *CALM)], step / 10)
    known = tracker.resting_face()
    for second in range(6, 100):
        tracker.learn([], float(second))
    assert tracker.resting_face() == known
    for step in range(20):
        tracker.learn([seen(2, *nine(neutral=0.9))], 100 + step / 10)
    assert tracker.resting_face() == known
    tracker.learn([], 200.0)
    assert tracker.resting_face() == known
    tracker.look_neutral()
    tracker.learn([], 201.0)
    with pytest.raises(ValueError, match="Expected a face at rest"):
        tracker.resting_face()


def test_the_rest_seen_longest_is_told_though_it_fades():
    """Beyond the memory of two minutes, whoever came first was told."""
    tracker = RestTracker("auto")
    for step in range(1500):
        tracker.learn([seen(1, *CALM)], step / 10)
    for step in range(3000):
        tracker.learn([seen(2, *nine(neutral=0.9))], 150 + step / 10)
    told = tracker.resting_face().log_probabilities
    assert told == pytest.approx(np.log(nine(neutral=0.9)), rel=1e-6)


def test_the_key_c_asks_everybody_to_look_neutral(face_video, monkeypatch, caplog):
    class Keys:
        """A window in which somebody presses c once."""

        def __init__(self, title):
            self.pressed = ["c"]

        def show(self, image_rgb, *, wait_ms=1):
            return self.pressed.pop() if self.pressed else None

        def close(self):
            pass

    monkeypatch.setattr("builder_tools.media.window.Window", Keys)
    for rest, said in (("auto", 1), (None, 0)):
        caplog.clear()
        with Inference(
            FakeModel(), FakeDetector(1), inference_mode="video", rest=rest
        ) as inference:
            inference.run(face_video.path, max_frames=3).drain()
        assert caplog.text.count("Look neutral for three seconds") == said


def test_a_stream_refuses_the_rest_of_another_model():
    with pytest.raises(ValueError, match="in this order"):
        Inference(FakeModel(), FakeDetector(1), show_state_mode="none", rest=sure(0.5, 0.5))
    with pytest.raises(ValueError, match="track=True with rest"):
        Inference(FakeModel(), FakeDetector(1), inference_mode="video", rest="auto", track=False)


def test_images_of_one_person_are_compared_and_a_rest_to_learn_needs_a_stream():
    model = FakeModel()
    stern = RestingFace.from_probabilities(
        np.full((2, len(model.emotions)), 1 / len(model.emotions)), emotions=model.emotions
    )
    with Inference(model, FakeDetector(1), show_state_mode="none", rest=stern) as inference:
        (shown,) = inference.run(made_image(1)).faces
        (analysed,) = inference.analyse(made_image(1))
    expected = stern.relative([list(shown.probabilities.values())])[0]
    for face in (shown, analysed):
        assert list(face.relative_probabilities.values()) == pytest.approx(expected)
    for mode, rest in (("img", "auto"), ("img", 3.0), ("img_batch", "auto"), ("img_batch", stern)):
        with pytest.raises(ValueError, match=f"inference_mode='{mode}'"):
            Inference(model, FakeDetector(1), inference_mode=mode, rest=rest)
