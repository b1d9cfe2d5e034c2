"""Intervals of sets in which people appear several times are drawn over people, not faces."""

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_folders import write_folders

from builder_tools.cli import main
from builder_tools.datasets.labelled import list_labelled, load_labelled
from builder_tools.datasets.table import ImageTable
from builder_tools.emotions import NINE_EMOTIONS, EmotionSet
from builder_tools.evaluation import (
    evaluate,
    evaluate_valence_arousal,
    format_cross,
    format_cross_table,
    format_report,
    judge,
    judge_common,
    own_labels,
    paired_gains,
)
from builder_tools.release import judge_on
from builder_tools.release.affect import affect_lines, format_affect
from builder_tools.release.labelled_sets import LabelledSet

PAIR = EmotionSet(("happy", "sad"))


def answers(right: list[bool], labels: np.ndarray) -> np.ndarray:
    """Return probabilities of 0.9 for the true label where right, else for the other."""
    return np.where((labels == 0) == np.array(right), 0.9, 0.1)[:, None] * [1, -1] + [0, 1]


def test_two_people_of_whom_one_is_never_right_tell_nothing():
    labels = np.arange(40) % 2
    found = answers([True] * 20 + [False] * 20, labels)
    faces = evaluate(labels, found, PAIR)
    people = evaluate(labels, found, PAIR, groups=["ann"] * 20 + ["bob"] * 20)
    assert people.accuracy.value == faces.accuracy.value == 0.5
    assert (people.accuracy.low, people.accuracy.high) == (0, 1)
    assert faces.accuracy.low > 0.3 and faces.accuracy.high < 0.7
    recall = people.per_class_recall["sad"]
    assert (recall.value, recall.low, recall.high) == (0.5, 0, 1)
    assert (people.people, faces.people) == (2, None)
    assert people.to_dict()["people"] == 2 and "people" not in faces.to_dict()
    kept = ("accuracy", "macro_f1", "mean_recall", "per_class_recall", "ece", "confusion")
    assert [people.to_dict()[name] for name in kept] == [faces.to_dict()[name] for name in kept]


def test_ten_faces_of_each_person_that_are_alike_are_worth_one():
    rng = np.random.default_rng(0)
    labels, right = rng.integers(0, 2, 50), rng.random(50) < 0.7
    one = evaluate(labels, answers(right, labels), PAIR)
    labels, right = np.repeat(labels, 10), np.repeat(right, 10)
    ten = evaluate(labels, answers(right, labels), PAIR, groups=np.repeat(np.arange(50), 10))
    assert ten.accuracy.value == one.accuracy.value
    assert ten.accuracy.low == pytest.approx(one.accuracy.low, abs=0.03)
    assert ten.accuracy.high == pytest.approx(one.accuracy.high, abs=0.03)


def test_faces_of_nobody_known_are_people_of_their_own():
    labels = np.arange(60) % 2
    found = answers(labels == 0, labels)
    unknown = evaluate(labels, found, PAIR, groups=[""] * 60)
    faces = evaluate(labels, found, PAIR)
    assert unknown.people == 60
    assert unknown.accuracy.low == pytest.approx(faces.accuracy.low, abs=0.03)
    assert evaluate(labels, found, PAIR, groups=["", "", *["ann"] * 58]).people == 3


@pytest.mark.parametrize(
    "missing",
    [
        pd.Series(["ann", "ann", None, None, np.nan, np.nan]),
        pd.Series([7, 7, np.nan, np.nan, np.nan, np.nan]),
        pd.Series(["ann", "ann", pd.NA, pd.NA, pd.NA, pd.NA], dtype="string"),
        ["ann", "ann", None, float("nan"), "", None],
    ],
)
def test_missing_people_are_people_of_their_own(missing):
    """All faces whose person a table does not tell counted as one person's."""
    labels = np.arange(6) % 2
    assert evaluate(labels, answers(labels == 0, labels), PAIR, groups=missing).people == 5
    places = np.random.default_rng(0).uniform(-1, 1, (6, 2))
    alone = ["ann", "ann", "", "", "", ""]
    found, same = (evaluate_valence_arousal(places, -places, groups=g) for g in (missing, alone))
    assert found == same


def test_there_is_one_person_for_each_face():
    with pytest.raises(ValueError, match=r"group for each of 2 images.*Received: 3"):
        evaluate(np.array([0, 1]), np.eye(2), PAIR, groups=["a", "b", "c"])


def test_people_of_valence_and_arousal():
    rng = np.random.default_rng(0)
    reference = rng.uniform(-1, 1, (40, 2))
    predicted = reference + rng.normal(0, 0.5, (40, 2))
    twenty_times = np.tile(reference, (20, 1)), np.tile(predicted, (20, 1))
    one = evaluate_valence_arousal(reference, predicted).mean_ccc
    faces = evaluate_valence_arousal(*twenty_times).mean_ccc
    people = evaluate_valence_arousal(*twenty_times, groups=np.tile(np.arange(40), 20)).mean_ccc
    assert people.value == pytest.approx(one.value)
    assert people.high - people.low == pytest.approx(one.high - one.low, rel=0.2)
    assert people.high - people.low > 3 * (faces.high - faces.low)


def test_common_classes_and_texts_tell_the_people():
    words = ["Happy", "sad", "Ahegao", "sad"]
    found = np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.1, 0.9]])
    judged = judge_common("faces", words, found, PAIR, groups=["ann", "ann", "eve", "bob"])
    assert (judged.restricted.people, judged.free.people) == (2, 2)
    row = judged.to_dict()
    assert "over 3 faces of 2 people" in format_cross(row)
    assert "| 3 of 2 people |" in format_cross_table([row])
    alone = judge_common("faces", words, found, PAIR).to_dict()
    assert "people" not in format_cross(alone) + format_cross_table([alone])


@pytest.fixture(params=["table", "folders"])
def labelled(tmp_path, request):
    """Twelve images of three people, as class folders or not, and the same without people."""
    folders = ["happy", "sad"] if request.param == "folders" else ["images", "more"]
    write_folders(tmp_path / "with", dict.fromkeys(folders, 6))
    rows = [
        f"{folder}/{n}.png,{emotion},{'abc'[n % 3]}"
        for folder, emotion in zip(folders, ("happy", "sad"), strict=True)
        for n in range(1, 7)
    ]
    (tmp_path / "with" / "labels.csv").write_text("\n".join(["file,emotion,person", *rows]))
    shutil.copytree(tmp_path / "with", tmp_path / "without")
    rows = [row.rpartition(",")[0] + "," for row in rows]
    (tmp_path / "without" / "labels.csv").write_text("\n".join(["file,emotion,person", *rows]))
    return tmp_path


def test_evaluate_draws_the_people_of_a_table(labelled, capsys):
    pytest.importorskip("keras")
    command = ["evaluate", "--data", "folders", "--model", "fast", "--source"]
    assert main([*command, str(labelled / "with"), str(labelled / "without"), "--json"]) == 0
    people, faces = json.loads(capsys.readouterr().out)
    assert people.pop("people") == 3 and "people" not in faces
    points = [name for name in faces if name != "set" and not name.endswith("_95")]
    assert [people[name] for name in points] == [faces[name] for name in points]
    assert main([*command, str(labelled / "with")]) == 0
    assert "over 12 faces of 3 people" in capsys.readouterr().out


def test_people_of_class_folders_are_in_the_table_beside_them(tmp_path):
    root = write_folders(tmp_path / "set", {"happy": 12, "sad": 12})
    table = root / "labels.csv"
    table.write_text("Filename;emotion;Person\nhappy\\1.png;happy; ann\nelsewhere/2.png;sad;bob\n")
    for read in (list_labelled, load_labelled):
        people = read(root).table.set_index("name")["person"]
        assert people["happy/1.png"] == "ann" and set(people.drop("happy/1.png")) == {""}
    table.write_text("file,emotion,person\nelsewhere/2.png,sad,bob\n")
    assert "person" not in list_labelled(root).table
    table.write_text("file,emotion,person\nsad/1.png,sad,bob\nsad/1.png,sad,ann\n")
    with pytest.raises(ValueError, match=r"each image once .*row 3: 'sad/1\.png'"):
        list_labelled(root)


@pytest.mark.parametrize("nobody", [np.nan, None, pd.NA, ""])
@pytest.mark.parametrize("compared", [False, True])
def test_whoever_is_missing_in_a_table_of_pandas_is_somebody_else(nobody, compared):
    """Two neutral images of Ann, and ten of strangers: these are not compared with one another."""
    rows = {
        "name": [f"{row}.png" for row in range(12)],
        "path": "",
        "index": np.arange(12),
        "label": NINE_EMOTIONS.label("neutral"),
        "emotion": "neutral",
        "split": "test",
        "person": pd.Series(["ann", "ann", *[nobody] * 10], dtype=object),
    }
    faces = np.random.default_rng(0).integers(0, 256, (12, 48, 48)).astype(np.uint8)
    images = ImageTable(pd.DataFrame(rows), NINE_EMOTIONS, faces)
    told = replace(images, table=images.table.assign(person=["ann", "ann", *[""] * 10]))
    first, second = judge_on("fast", [LabelledSet("x", each, compared) for each in (images, told)])
    assert first.to_dict() == second.to_dict() and first.free.people == 11


def test_a_model_judged_on_its_own_kind_of_data_draws_people_too(labelled):
    images = list_labelled(labelled / "with")
    found = np.eye(len(images.emotions))[images.labels]
    judged = judge(own_labels(images.emotions), images.table, found, images.emotions)
    assert judged.official.people == 3
    assert "over 12 faces of 3 people" in format_report({"own-labels": judged.to_dict()})


NOBODY_ELSE = pytest.approx([math.nan] * 2, nan_ok=True)


def ends(figure) -> list[float]:
    return [figure.low, figure.high]


def test_one_person_says_nothing_of_others():
    labels = np.arange(30) % 2
    found = answers([True] * 20 + [False] * 10, labels)
    one = evaluate(labels, found, PAIR, groups=["ann"] * 30)
    assert one.accuracy.value == pytest.approx(2 / 3)
    for figure in (one.accuracy, one.macro_f1, one.mean_recall, *one.per_class_recall.values()):
        assert ends(figure) == NOBODY_ELSE
    places = np.random.default_rng(0).uniform(-1, 1, (30, 2))
    places -= places.mean(axis=0)  # CCC of 0.9 times the same: 2 * 0.9 / (1 + 0.81)
    agreement = evaluate_valence_arousal(places, 0.9 * places, groups=["ann"] * 30)
    assert ends(agreement.mean_ccc) == ends(agreement.valence.rmse) == NOBODY_ELSE
    assert affect_lines(agreement.to_dict())[0] == ("mean ccc", " 0.9945  [      -,       -]")


def test_a_class_of_one_person_has_no_interval():
    """Others have one: two people show happy, each of them in several images."""
    labels = np.array([0] * 12 + [1] * 6)
    found = answers([True, False] * 9, labels)
    people = ["ann"] * 6 + ["bob"] * 6 + ["ann"] * 6
    recall = evaluate(labels, found, PAIR, groups=people).per_class_recall
    assert recall["sad"].value == 0.5 and ends(recall["sad"]) == NOBODY_ELSE
    assert ends(recall["happy"]) == [0.5, 0.5]


def test_one_image_has_no_interval():
    one = evaluate(np.array([0]), np.array([[0.9, 0.1]]), PAIR)
    assert one.accuracy.value == 1 and ends(one.accuracy) == NOBODY_ELSE
    three = evaluate(np.array([0, 0, 1]), answers([True, False, True], np.array([0, 0, 1])), PAIR)
    assert ends(three.per_class_recall["sad"]) == NOBODY_ELSE
    assert ends(three.per_class_recall["happy"]) == [0, 1]
    assert ends(paired_gains([0], [0], [1], 2)["accuracy"]) == NOBODY_ELSE


def test_texts_of_one_person_have_no_interval():
    judged = judge_common("faces", ["happy", "sad"], np.eye(2), PAIR, groups=["ann"] * 2).to_dict()
    assert judged["accuracy_95"] == [None, None]
    told = format_cross(judged)
    assert "over 2 faces of one person: none" in told
    assert "accuracy                     1.0000  [      -,       -]" in told
    assert "| 2 of 1 people | 2 | - | 1.000 [-, -] |" in format_cross_table([judged])
    report = format_affect({"direct": {"own-labels": judged}})
    assert report.endswith("accuracy  1.0000  [      -,       -]")
