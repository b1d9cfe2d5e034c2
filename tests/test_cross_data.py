"""A model on data sets of other words and classes: judged on what both know."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from builder_tools import EmotionClassifier
from builder_tools.cards import ModelCard, find_model, write_card
from builder_tools.cli import main
from builder_tools.emotions import EmotionSet
from builder_tools.evaluation import format_cross, format_cross_table, judge_common
from builder_tools.media import write_image
from builder_tools.release import judge_on, labelled_set

MODEL = EmotionSet(("anger", "happy", "neutral"))
WORDS = ["Angry", "Angry", "HAPPY", "радость", "Ahegao"]
PROBABILITIES = np.array(
    [
        [0.6, 0.1, 0.3],  # right
        [0.3, 0.1, 0.6],  # neutral, which the set has not: right among the common ones
        [0.2, 0.7, 0.1],  # right
        [0.5, 0.2, 0.3],  # wrong either way
        [0.9, 0.1, 0.0],  # a class that the model does not know
    ]
)


def test_common_classes_by_synonyms_worked_by_hand():
    found = np.array([True, True, False, True, False])
    judged = judge_common("faces", WORDS, PROBABILITIES, MODEL, found=found)
    assert judged.restricted.emotions.names == ("anger", "happy")
    assert judged.left_out == {"Ahegao": 1}
    assert judged.free.accuracy.value == 0.5
    assert judged.restricted.accuracy.value == 0.75
    assert judged.restricted.confusion.tolist() == [[2, 0], [1, 1]]
    recall = judged.restricted.per_class_recall
    assert (recall["anger"].value, recall["happy"].value) == (1.0, 0.5)
    assert judged.restricted.macro_f1.value == pytest.approx((0.8 + 2 / 3) / 2)
    assert judged.found == 0.75
    low, high = judged.restricted.accuracy.low, judged.restricted.accuracy.high
    assert low <= 0.75 <= high and low < high


def test_the_models_own_words_count_too():
    theirs = EmotionSet(("Angry", "Happiness", "Neutral"))
    judged = judge_common("faces", WORDS, PROBABILITIES, theirs)
    assert judged.restricted.emotions.names == ("Angry", "Happiness")
    assert judged.restricted.accuracy.value == 0.75 and judged.found is None


def test_a_class_of_the_same_name_comes_before_one_of_the_same_meaning():
    """A model may tell joy from happiness; a word of its own then means that class."""
    theirs = EmotionSet(("happy", "joy", "sad"))
    judged = judge_common("faces", ["happy", "joy", "Ahegao"], np.eye(3), theirs)
    assert judged.free.support == {"happy": 1, "joy": 1, "sad": 0}
    assert judged.free.accuracy.value == 1 and judged.left_out == {"Ahegao": 1}
    judged = judge_common("faces", ["Happiness"], np.eye(3)[:1], theirs)
    assert judged.free.accuracy.value == 1, "the first, as everywhere"


def test_one_common_class_is_told_to_prove_nothing():
    judged = judge_common("faces", ["happy", "Ahegao"], PROBABILITIES[:2], MODEL).to_dict()
    assert judged["accuracy_free"] == 0 and judged["accuracy"] == 1
    assert "only one common class, so it is always found" in format_cross(judged)
    two = judge_common("faces", WORDS, PROBABILITIES, MODEL).to_dict()
    assert "only one" not in format_cross(two)


def test_no_common_class_is_a_sentence():
    with pytest.raises(ValueError, match=r"class of cats that the model knows \(anger, .*Received: "
                       r"Ahegao, purr\. .*--classes"):  # fmt: skip
        judge_common("cats", ["purr", "Ahegao"], np.ones((2, 3)), MODEL)


def test_lists_and_numbers_are_taken_and_other_counts_refused():
    lists = judge_common("faces", WORDS, PROBABILITIES.tolist(), MODEL, found=[True] * len(WORDS))
    arrays = judge_common("faces", np.array(WORDS), PROBABILITIES, MODEL, found=np.ones(5, bool))
    assert lists.to_dict() == arrays.to_dict() and lists.found == 1
    with pytest.raises(ValueError, match=r"knows .*Received: 1, 2"):
        judge_common("faces", [1, 2], PROBABILITIES[:2], MODEL)
    with pytest.raises(ValueError, match="Expected probabilities of 3 classes for each of"):
        judge_common("faces", WORDS, PROBABILITIES[1:], MODEL)
    with pytest.raises(ValueError, match="a group for each"):
        judge_common("faces", WORDS, PROBABILITIES, MODEL, groups=["ann"])


def test_texts_hold_the_figures():
    row = judge_common("faces", WORDS, PROBABILITIES, MODEL).to_dict()
    text = format_cross(row)
    assert "left out, unknown to the model: Ahegao (1)" in text
    assert "accuracy, any class          0.5000" in text and "faces found" not in text
    table = format_cross_table([row | {"model": "mine"}] * 2).splitlines()
    assert len(table) == 4 and table[2].startswith("| faces | mine | 4 | 2 | - | 0.500 [")
    assert "anger 1.00, happy 0.50" in table[2]


@pytest.fixture
def faces(tmp_path: Path, astronaut) -> Path:
    """Six images of one smiling face, three of which are said to be angry."""
    head = astronaut[0:240, 100:340]
    for number in range(3):
        write_image(tmp_path / "faces" / "Happiness" / f"{number}.png", head[number:])
        write_image(tmp_path / "faces" / "angry" / f"{number}.png", head[:, number:])
    return tmp_path / "faces"


def evaluate(*words: object) -> int:
    words = ["evaluate", "--data", "folders", "--model", "fast", *words]
    return main([str(word) for word in words])


def test_two_sets_of_one_name_are_told_apart(faces, tmp_path, capsys):
    twin = tmp_path / "others" / "faces"
    shutil.copytree(faces, twin)
    assert evaluate("--source", faces, twin, "--json") == 0
    names = [row["set"] for row in json.loads(capsys.readouterr().out)]
    assert names == [f"{tmp_path.name}/faces", "others/faces"]


def test_evaluate_on_any_labelled_folders(faces, tmp_path, capsys):
    pytest.importorskip("keras")
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", faces)
    assert evaluate("--source", faces, packed, "--detect", "--json") == 0
    first, second = json.loads(capsys.readouterr().out)
    assert (first["set"], second["set"]) == ("faces", "packed.zip")
    assert first["classes"] == ["anger", "happy"] and first["n"] == 6
    assert first["found"] == 1 and first["accuracy"] == 0.5
    assert first["confusion"] == [[0, 3], [0, 3]] == second["confusion"]
    assert evaluate("--source", faces, packed) == 0
    said = capsys.readouterr().out
    assert said.count("| fast | 6 | 2 |") == 2 and "recall by emotion" in said


def test_a_detector_that_would_find_nothing_is_refused(faces, capsys):
    assert evaluate("--source", faces, "--detector", "yunet") == 2
    assert "Expected --detect with --detector yunet" in capsys.readouterr().err


def test_evaluate_takes_overridden_words_and_decisions(faces, capsys):
    pytest.importorskip("keras")
    assert evaluate("--source", faces, "--classes", "angry=happy", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["accuracy"] == 1
    assert evaluate("--source", faces, "--decision", "balanced") == 0


@pytest.mark.parametrize("detector", [None, "mediapipe"])
@pytest.mark.parametrize("decision", ["natural", "balanced"])
def test_the_decision_is_made_once_however_the_model_was_opened(faces, decision, detector):
    pytest.importorskip("keras")
    one, other = (
        judge_on(
            EmotionClassifier("fast", decision=opened),
            [labelled_set(faces)],
            detector=detector,
            decision=decision,
        )[0]
        for opened in ("natural", "balanced")
    )
    assert other.to_dict() == one.to_dict() and other.free.ece == one.free.ece


def test_images_that_cannot_be_read_are_left_out_and_told(faces, tmp_path, capsys):
    shutil.copytree(faces, tmp_path / "set")
    (tmp_path / "set/angry/broken.png").write_bytes(b"no image")
    (tmp_path / "set/angry/empty.png").touch()
    capsys.readouterr()
    assert evaluate("--source", faces, "--json") == 0
    (whole,) = json.loads(capsys.readouterr().out)
    assert evaluate("--source", faces, tmp_path / "set", "--json") == 1
    said = capsys.readouterr()
    _, other = json.loads(said.out)
    assert sorted(other.pop("unreadable")) == ["angry/broken.png", "angry/empty.png"]
    assert {**other, "set": "faces"} == {**whole, "set": "faces"}
    assert said.err.count("unreadable: angry/") == 2


def test_evaluate_refuses_in_a_sentence(faces, tmp_path, capsys):
    pytest.importorskip("keras")
    shutil.copytree(faces / "angry", tmp_path / "cats" / "purr")
    for words, sentence in (
        (("--source", tmp_path / "cats"), "Expected a class of cats that the model knows"),
        (("--source", tmp_path / "absent"), "Nothing is there"),
        ((), "Expected labelled folders"),
        (("--source", faces, "--shares", "80/20"), "Expected no --shares here"),
        (("--source", faces, "--shares", "8:2"), "Expected --shares as 80/20"),
        (("--source", faces, "--shares", "nan/nan"), "Expected --shares as 80/20"),
        (("--source", faces, "--shares", "inf/1"), "Expected --shares as 80/20"),
        (("--source", faces, "--classes", "angry"), "Expected NAME=CLASS"),
    ):
        assert evaluate(*words) == 2
        said = capsys.readouterr()
        assert sentence in said.err and not said.out
    assert main(["evaluate", "--data", "ferplus", "--source", str(faces), str(faces)]) == 2
    assert "Expected one source" in capsys.readouterr().err


def test_evaluate_takes_the_test_split_of_a_set_that_has_one(faces, tmp_path, capsys):
    pytest.importorskip("keras")
    shutil.copytree(faces, tmp_path / "set" / "train")
    shutil.copytree(faces / "angry", tmp_path / "set" / "test" / "happy")
    assert evaluate("--source", tmp_path / "set", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["n"] == 3
    assert evaluate("--source", tmp_path / "set", "--split", "all", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["n"] == 9


def test_a_model_of_labelled_folders_may_have_learnt_what_it_is_judged_on(faces, tmp_path, caplog):
    model = shutil.copytree(find_model("tiny"), tmp_path / "mine")
    write_card(model, replace(ModelCard.read(model), training={"data": "folders"}))
    shutil.copytree(faces, tmp_path / "split" / "test")
    for source, told in ((faces, True), (tmp_path / "split", False)):
        caplog.clear()
        judge_on(model, [labelled_set(source)])
        assert (f"learnt from images of {source.name}" in caplog.text) == told
    caplog.clear()
    judge_on("tiny", [labelled_set(faces)])
    assert "flatter" not in caplog.text
