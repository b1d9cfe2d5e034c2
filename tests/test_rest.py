"""A face against its own rest: by hand, as a file, and in streams."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from fakes import FakeDetector, FakeModel, made_image, save_image

from builder_tools import DrawBox, EmotionClassifier, Inference, RestingFace
from builder_tools.cli import main
from builder_tools.cli.over_time import rest_of
from builder_tools.emotions import NINE_EMOTIONS
from builder_tools.release import labelled_set
from builder_tools.rest import (
    BETWEEN_PEOPLE,
    POPULATION,
    SHARE,
    USUAL_SPREAD,
    USUAL_WEIGHT,
    kept_of,
    relative_by_person,
    trust_of,
)
from builder_tools.results import Box, Face, FaceEmotion
from builder_tools.timeline.reading import emotions_of, measure_column, read_timeline
from builder_tools.tracking import RestTracker
from builder_tools.tracking.resting import HIDDEN_SPREAD, IMAGE_S

TWO = ("neutral", "sad")
PEOPLE = {"neutral": math.log(0.9), "sad": math.log(0.1)}


def two(*rows, **options):
    return RestingFace.from_probabilities(list(rows), emotions=TWO, population=PEOPLE, **options)


def sure(neutral, sad, spread=USUAL_SPREAD):
    """A resting face believed wholly."""
    logs = (math.log(neutral), math.log(sad))
    return RestingFace(TWO, logs, tuple(PEOPLE.values()), frames=9, spread=spread)


def seen(track, *probabilities, names=NINE_EMOTIONS):
    face = Face(Box(0, 0, 10, 10), 1.0, track=track)
    return FaceEmotion(face, dict(zip(names, probabilities, strict=True)))


def nine(**most):
    """Probabilities of the nine emotions; what is left is shared alike."""
    left = (1 - sum(most.values())) / (len(NINE_EMOTIONS) - len(most))
    return [most.get(name, left) for name in NINE_EMOTIONS]


def after_seconds(rows, images):
    """The rest after a stream of rows that are all alike, worth so many images."""
    hidden = images * HIDDEN_SPREAD**2
    square = (USUAL_WEIGHT * USUAL_SPREAD**2 + hidden) / (USUAL_WEIGHT + images)
    one, spread = RestingFace.from_probabilities(rows), math.sqrt(square)
    return replace(one, spread=spread, trust=trust_of(spread, images))


CALM = nine(neutral=0.72, sad=0.25)
SAD = nine(neutral=0.45, sad=0.5)
HAPPY = nine(happy=0.9)


def test_the_mean_of_logarithms_their_spread_and_the_trust():
    rest = two([0.8, 0.2], [0.2, 0.8])
    assert rest.log_probabilities == pytest.approx([math.log(0.4)] * 2)  # sqrt(0.8 * 0.2)
    # Each of both rows is log 2 from the mean in both classes; a quarter of an image is usual.
    spread = math.sqrt((0.25 * 1.7**2 + 2 * math.log(2) ** 2) / 1.25)
    assert (USUAL_WEIGHT, USUAL_SPREAD, BETWEEN_PEOPLE) == (0.25, 1.7, 1.2)
    assert (rest.frames, rest.spread) == (2, pytest.approx(spread))
    assert rest.trust == pytest.approx(1.44 / (1.44 + spread**2 / 2))


def test_one_image_has_the_usual_spread_and_equal_ones_next_to_none():
    assert two([0.8, 0.2]).spread == pytest.approx(USUAL_SPREAD)
    alike = two(*[[0.8, 0.2]] * 9)
    assert alike.spread == pytest.approx(math.sqrt(0.25 * 1.7**2 / 8.25))
    assert alike.trust > two(*[[0.8, 0.2], [0.2, 0.8]] * 4).trust > two([0.8, 0.2]).trust


def test_relative_by_hand():
    """Log q = log p - (log rest - kept log population): q goes as p / rest * population ** kept."""
    assert kept_of(USUAL_SPREAD * math.sqrt(0.6)) == pytest.approx(0.6)
    rest = sure(0.5, 0.5, spread=USUAL_SPREAD * math.sqrt(0.6))
    found = rest.relative([[0.5, 0.5], [0.25, 0.75]], share=1)
    odds = 9**0.6  # of neutral, where a face looks as it does at rest
    assert found == pytest.approx(
        np.array([[odds / (1 + odds), 1 / (1 + odds)], [odds / (3 + odds), 3 / (3 + odds)]])
    )


def test_what_is_unlike_a_rest_that_is_known_well_is_no_rest():
    """The wider a rest is spread, the more of the population's stays."""
    row = [[0.8, 0.2]]
    close, wide, wider = (sure(0.95, 0.05, spread=s).relative(row)[0, 1] for s in (0.3, 1.2, 9.0))
    assert close > wide > wider
    assert kept_of(9.0) == 1


def test_a_stern_face_is_no_longer_sad_at_rest_and_still_can_be():
    stern = sure(0.3, 0.7)
    at_rest, grieving = stern.relative([[0.3, 0.7], [0.001, 0.999]]).argmax(axis=1)
    assert (TWO[at_rest], TWO[grieving]) == ("neutral", "sad")


def test_share_says_how_much_and_trust_weakens_it():
    rest, rows = two([0.3, 0.7]), np.array([[0.3, 0.7]])
    assert np.array_equal(rest.relative(rows, share=0), rows)
    assert rest.relative(rows) == pytest.approx(rest.relative(rows, share=SHARE))
    assert rest.relative(rows, share=0.5) == pytest.approx(
        sure(0.3, 0.7).relative(rows, share=0.5 * rest.trust)
    )
    assert rest.relative(np.zeros((0, 2))).shape == (0, 2)


def test_zeros_are_lifted_to_the_floor():
    found = two([1.0, 0.0]).relative([[1.0, 0.0], [0.0, 1.0]])
    assert np.isfinite(found).all() and found.sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (np.zeros((0, 2)), "at least one image"),
        ([[math.nan, 0.5]], "Received: nan"),
        ([[1.5, -0.5]], "0...1"),
        ([[0.5, 0.2]], "sum to 1"),
        ([[0.2, 0.3, 0.5]], r"shape \(n, 2\)"),
        ([0.5, 0.5], r"shape \(n, 2\)"),
    ],
)
def test_rows_that_are_none(rows, words):
    with pytest.raises(ValueError, match=words):
        RestingFace.from_probabilities(rows, emotions=TWO, population=PEOPLE)


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan, "all"])
def test_shares_that_are_none(share):
    with pytest.raises(ValueError, match="share"):
        two([0.5, 0.5]).relative([[0.5, 0.5]], share)


def test_classes_of_other_words_and_unknown_ones():
    rest = RestingFace.from_probabilities([[0.5, 0.5]], emotions=["Sadness", "Neutral"])
    assert rest.population == (POPULATION["sad"], POPULATION["neutral"])
    with pytest.raises(ValueError, match="Ahegao"):
        RestingFace.from_probabilities([[0.5, 0.5]], emotions=["Ahegao", "Neutral"])


def test_a_file_and_back(tmp_path):
    rest = two([0.3, 0.7], model="fast 0123")
    assert RestingFace.load(rest.save(tmp_path / "me.json")) == rest


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"frames": 0}, "frames"),
        ({"log_probabilities": [math.nan, -1]}, "log_probabilities"),
        ({"log_probabilities": [-1]}, "one number for each"),
        ({"emotions": ["sad", "sad"]}, "distinct"),
        ({"trust": 2}, "trust"),
        ({"spread": -1}, "spread"),
        ({"spread": math.nan}, "spread"),
        ({"age": 3}, "age"),
    ],
)
def test_files_that_are_none(tmp_path, change, words):
    path = two([0.3, 0.7]).save(tmp_path / "me.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=words):
        RestingFace.load(path)


@pytest.mark.parametrize("text", ["", "[]", "3", "\x00", "[" * 100_000])
def test_files_of_something_else(tmp_path, text):
    path = tmp_path / "me.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"me\.json"):
        RestingFace.load(path)


def test_no_text_at_all_and_no_file(tmp_path):
    path = tmp_path / "me.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"me\.json"):
        RestingFace.load(path)
    with pytest.raises(FileNotFoundError, match="Check the spelling"):
        RestingFace.load(tmp_path / "you.json")


def test_another_model_and_another_order():
    rest = two([0.3, 0.7], model="fast 0123")
    rest.check_model(TWO, "fast 0123")
    with pytest.raises(ValueError, match="in this order"):
        rest.check_model(("sad", "neutral"), "fast 0123")
    with pytest.raises(ValueError, match="made with fast 0123"):
        rest.check_model(TWO, "fast 4567")


def test_the_classifier_compares(astronaut):
    classifier = EmotionClassifier()
    faces = [astronaut[:256, 128:384], astronaut[:200, 128:328]]
    rest = classifier.resting_face(faces[:1])
    plain = classifier.predict(faces)
    assert (rest.frames, rest.model) == (1, classifier.identity)
    assert classifier.predict(faces, rest=rest) == pytest.approx(rest.relative(plain), abs=1e-5)
    other = RestingFace.from_probabilities(plain, model="tiny 0123")
    with pytest.raises(ValueError, match="made with tiny 0123"):
        classifier.predict(faces, rest=other)


def test_auto_learns_slowly_and_lifts_a_stern_rest():
    tracker = RestTracker("auto")
    first = tracker.update([seen(1, *CALM)], 0.0)[0]
    assert first.relative_probabilities == first.probabilities  # nothing is known yet
    for step in range(1, 601):
        tracker.update([seen(1, *CALM)], step / 10)
    (later,) = tracker.update([seen(1, *SAD)], 60.1)
    assert (later.emotion, later.relative_emotion) == ("sad", "neutral")
    expected = after_seconds([CALM], 60 / IMAGE_S).relative([SAD])[0]
    assert list(later.relative_probabilities.values()) == pytest.approx(expected)


def test_a_long_laugh_is_no_rest():
    tracker = RestTracker("auto")
    for step in range(100):
        tracker.update([seen(1, *CALM)], step / 10)
    (before,) = tracker.update([seen(1, *HAPPY)], 10.0)
    for step in range(6000):
        (after,) = tracker.update([seen(1, *HAPPY)], 10.1 + step / 10)
    assert after.relative_probabilities == before.relative_probabilities


def test_people_have_rests_of_their_own_and_strangers_none():
    tracker = RestTracker("auto")
    for step in range(300):
        tracker.update([seen(1, *CALM), seen(2, *HAPPY), seen(None, *CALM)], step / 10)
    known, happy, nameless = tracker.update([seen(1, *SAD), seen(2, *SAD), seen(None, *SAD)], 30.0)
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
    expected = after_seconds([SAD], 1).relative([SAD])[0]  # three seconds: one image
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


@pytest.mark.parametrize("rest", ["off", 0, -1.0, math.nan, math.inf, None])
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
    assert on_the_way.relative_probabilities == on_the_way.probabilities
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


def test_the_key_c_asks_everybody_to_look_neutral(face_video, monkeypatch, caplog):
    class Keys:
        """A window in which somebody presses c once."""

        def __init__(self, title):
            self.pressed = ["c"]

        def show(self, image_rgb, *, wait_ms=1):
            return self.pressed.pop() if self.pressed else None

        def close(self):
            pass

    monkeypatch.setattr("builder_tools.inference.sinks.Window", Keys)
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
        Inference(FakeModel(), FakeDetector(1), show_state_mode="none", rest="auto", track=False)


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


def test_each_image_is_left_out_of_its_own_rest():
    rows = [[0.3, 0.7], [0.4, 0.6], [0.2, 0.8], [0.9, 0.1], [0.3, 0.7]]
    persons, calm = ["a", "a", "a", "b", ""], np.array([True, True, False, True, True])
    found = relative_by_person(np.array(rows), TWO, persons, calm)

    def beside(*others):
        return RestingFace.from_probabilities(others, emotions=TWO)

    assert found[0] == pytest.approx(beside(rows[1]).relative(rows[:1])[0])
    assert found[1] == pytest.approx(beside(rows[0]).relative(rows[1:2])[0])
    assert found[2] == pytest.approx(beside(rows[0], rows[1]).relative(rows[2:3])[0])
    assert found[3:].tolist() == rows[3:]  # no other neutral image; nobody known


@pytest.fixture
def people(tmp_path):
    """A table of labels with two people, and images that are named after them."""
    (tmp_path / "faces").mkdir()
    lines = ["file,emotion,who"]
    for number, (who, emotion) in enumerate([("ann", "neutral"), ("ann", "sad"), ("bob", "happy")]):
        save_image(tmp_path / "faces" / f"{who}-{number}.png", 1, 100)
        lines.append(f"faces/{who}-{number}.png,{emotion},{who}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


@pytest.mark.parametrize("person", ["who", r"(\w+)-\d"])
def test_persons_by_column_and_by_pattern(people, person, capsys):
    found = labelled_set(people / "labels.csv", person=person)
    assert found.images.table["person"].tolist() == ["ann", "ann", "bob"]
    command = ["evaluate", "--data", "folders", "--source", str(people / "labels.csv")]
    assert main([*command, "--person", person]) == 0
    assert "3 images of 3 classes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("person", "words"), [("age", "age"), ("(zz)", "none"), ("(", "expression"), ("(?:a)", "group")]
)
def test_persons_that_are_none(people, person, words):
    with pytest.raises(ValueError, match=words):
        labelled_set(people / "labels.csv", person=person)


def test_the_option(tmp_path):
    path = two([0.3, 0.7]).save(tmp_path / "me.json")
    assert rest_of("off") is None
    assert [rest_of("auto"), rest_of("3s"), rest_of("0.5s")] == ["auto", 3.0, 0.5]
    assert rest_of(str(path)) == two([0.3, 0.7])
    with pytest.raises(FileNotFoundError, match="--rest off, auto, seconds"):
        rest_of("3 s")


def test_a_timeline_keeps_both_and_curves_read_the_first(face_video, tmp_path, capsys):
    """`highlights` takes a viewer's usual face away itself: one baseline, never two."""
    out = tmp_path / "film.csv"
    options = ["--rest", "auto", "--timeline", str(out), "--max-frames", "5"]
    assert main(["video", str(face_video.path), *options]) == 0
    table = read_timeline(out)
    relative = [column for column in table if column.startswith("relative_p_")]
    assert [column.removeprefix("relative_p_") for column in relative] == list(NINE_EMOTIONS)
    table = table.dropna(subset="track")
    assert table[relative].sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-3)
    assert set(table["relative_emotion"]) <= set(NINE_EMOTIONS)
    assert emotions_of(table).names == NINE_EMOTIONS.names
    assert measure_column(table, "sad") == "p_sad"


def test_bad_rest_files_end_in_a_sentence(face_video, tmp_path, capsys):
    path = two([0.3, 0.7]).save(tmp_path / "me.json")
    assert main(["video", str(face_video.path), "--rest", str(path)]) == 2
    assert "in this order" in capsys.readouterr().err
    assert main(["video", str(face_video.path), "--rest", str(tmp_path / "no.json")]) == 2
    assert "Expected --rest" in capsys.readouterr().err
