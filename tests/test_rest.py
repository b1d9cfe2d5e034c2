"""A face against its own rest: by hand, and as a file."""

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
from rests import PEOPLE, TWO, sure, two

from builder_tools import EmotionClassifier, RestingFace
from builder_tools.cards import ModelCard, find_model, write_card
from builder_tools.rest import (
    BETWEEN_PEOPLE,
    POPULATION,
    SHARE,
    USUAL_SPREAD,
    USUAL_WEIGHT,
    kept_of,
    relative_by_person,
)


def test_the_mean_of_logarithms_their_spread_and_the_trust():
    rest = two([0.8, 0.2], [0.2, 0.8])
    assert rest.log_probabilities == pytest.approx([math.log(0.4)] * 2)  # sqrt(0.8 * 0.2)
    # Each of both rows is log 2 from the mean in both classes; a quarter of an image is usual.
    spread = math.sqrt((0.25 * 1.7**2 + 2 * math.log(2) ** 2) / 1.25)
    assert (USUAL_WEIGHT, USUAL_SPREAD, BETWEEN_PEOPLE) == (0.25, 1.7, 1.2)
    assert (rest.frames, rest.spread) == (2, pytest.approx(spread))
    assert rest.trust == pytest.approx(1.44 / (1.44 + spread**2 / 2))


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    """Of a missing folder, a temporary file was named."""
    with pytest.raises(FileNotFoundError, match=r"'.*gone/me\.json'"):
        two([0.8, 0.2]).save(tmp_path / "gone" / "me.json")
    with pytest.raises(IsADirectoryError, match=rf"directory: '{tmp_path}'$"):
        two([0.8, 0.2]).save(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match=r"'.*file/me\.json'"):
        two([0.8, 0.2]).save(tmp_path / "file" / "me.json")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


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


def test_a_probability_rounded_to_just_above_one_is_one():
    rest = RestingFace.from_probabilities([[1.00005, 0.0]], emotions=TWO, population=PEOPLE)
    assert rest.log_probabilities[0] == 0


def test_a_stern_face_is_no_longer_sad_at_rest_and_still_can_be():
    stern = sure(0.3, 0.7)
    at_rest, grieving = stern.relative([[0.3, 0.7], [0.001, 0.999]]).argmax(axis=1)
    assert (TWO[at_rest], TWO[grieving]) == ("neutral", "sad")


def test_share_says_how_much_and_trust_weakens_it():
    rest, rows = two([0.3, 0.7]), np.array([[0.3, 0.7]])
    assert np.array_equal(rest.relative(rows, share=0), rows)
    assert rest.relative(rows) == pytest.approx(rest.relative(rows, share=SHARE))
    assert rest.relative(rows, share=np.float32(0.5)) == pytest.approx(
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


def test_a_temperature_that_was_fitted_anew_is_another_model(tmp_path, astronaut):
    """Its probabilities are others, and so would be the rest."""
    folder = shutil.copytree(find_model(None), tmp_path / "fast")
    faces = [astronaut[:256, 128:384]]
    rest = EmotionClassifier(folder).resting_face(faces)
    card = ModelCard.read(folder)
    write_card(folder, replace(card, temperature=2 * card.temperature))
    hotter = EmotionClassifier(folder)
    with pytest.raises(ValueError, match="temperature"):
        hotter.predict(faces, rest=rest)
    weights, _, _ = rest.model.partition(",")  # as earlier versions name the model
    hotter.predict(faces, rest=replace(rest, model=weights))


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


def test_a_rest_is_that_of_the_natural_decision(astronaut):
    faces = [astronaut[:256, 128:384], astronaut[:200, 128:328]]
    natural, balanced = EmotionClassifier(), EmotionClassifier(decision="balanced")
    expected, found = (each.resting_face(faces) for each in (natural, balanced))
    assert found.log_probabilities == pytest.approx(expected.log_probabilities, abs=1e-3)
    assert found.spread == pytest.approx(expected.spread, abs=1e-3)
    undone = balanced.natural(balanced.predict(faces))
    assert undone == pytest.approx(natural.predict(faces), abs=1e-6)
    assert (natural.natural(undone) == undone).all()


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
