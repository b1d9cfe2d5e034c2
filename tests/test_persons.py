"""Who is on each image, and batches judged against the rest of their people."""

import csv
import json
import math
import time
import unicodedata

import numpy as np
import pandas as pd
import pytest
from fakes import FakeDetector, FakeModel, save_image
from rests import CALM, SAD

from builder_tools.cli import main
from builder_tools.decisions import apply_decision
from builder_tools.emotions import NINE_EMOTIONS, EmotionSet
from builder_tools.inference import BatchRow, Inference
from builder_tools.persons import Persons, persons_by_pattern, persons_of
from builder_tools.rest import GUESSED_SPREAD, RestingFace, relative_by_person, rests_by_person
from builder_tools.submission import make_submission, plan_submission
from builder_tools.submission.by_person import compared

IMAGES = ["ann/1.png", "ann/neutral.png", "bob-2.png"]


def test_persons_by_folder_and_by_pattern():
    assert persons_of(IMAGES, "folder").names == ("ann", "ann", "")
    assert persons_of(IMAGES, r"(\w+)[-/]").names == ("ann", "ann", "bob")
    assert persons_of(IMAGES, r"(\w+)[-/]").is_neutral is None
    assert persons_of(IMAGES, "folder", "neutral").is_neutral == (False, True, False)
    assert persons_by_pattern(["x.png"], "(zz)") == [""]


@pytest.mark.parametrize(
    ("head", "emotions"),
    [
        ("image_path,person", None),
        ("Person,File", None),
        ("file,person,emotion", (False, True, False)),
    ],
)
def test_persons_by_table(tmp_path, head, emotions):
    entry = {"person": "ann", "image_path": "", "file": "", "emotion": "Neutral"}
    lines = [head]
    for name in ("./ann/neutral.png", "nobody.png"):
        entry["image_path"] = entry["file"] = name
        lines.append(",".join(entry[column.lower()] for column in head.split(",")))
    (tmp_path / "who.csv").write_text("\ufeff" + "\n".join(lines) + "\n")
    found = persons_of(IMAGES, str(tmp_path / "who.csv"))
    assert (found.names, found.is_neutral) == (("", "ann", ""), emotions)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,age\na.png,3\n", "columns person and one of"),
        ("", "columns person and one of"),
        ("file,person\nann/1.png\n", "Received: none for any of 3 images"),
        ("file,person\nann/1.png,ann,x\n", "at most 2 cells.* line 2 of .*who.csv"),
        (f"file,person\na.png,{'a' * 200_000}\n", "Line 2 is none: field larger"),
        ("file,person\nz.png,ann\n", "Received: none for any of 3 images"),
    ],
)
def test_tables_that_are_none(tmp_path, text, words):
    (tmp_path / "who.csv").write_text(text)
    with pytest.raises(ValueError, match=words):
        persons_of(IMAGES, str(tmp_path / "who.csv"))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_tables_as_spreadsheets_write_them(tmp_path, encoding):
    text = "Image_Path;Person\r\nann\\1.png;Ann\r\nann/1.png;Ann\r\n;\r\n\r\n"
    (tmp_path / "who.csv").write_bytes(text.encode(encoding))
    assert persons_of(["ann/1.png", "b.png"], str(tmp_path / "who.csv")).names == ("Ann", "")


def test_empty_cells_at_the_end_of_a_row_may_be_missing(tmp_path):
    """As spreadsheets leave them out; such tables of labels were read, too."""
    (tmp_path / "who.csv").write_text("file,person,emotion\na.png,Ann\nb.png,Ann,neutral\nc.png\n")
    found = persons_of(["a.png", "b.png", "c.png"], str(tmp_path / "who.csv"))
    assert (found.names, found.is_neutral) == (("Ann", "Ann", ""), (False, True, False))


@pytest.mark.parametrize(("in_table", "in_folder"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_letters_may_be_composed_otherwise_in_the_table(tmp_path, in_table, in_folder):
    """As macOS composes names: nobody was known in such an image."""
    name = "\u0439/\u0451.png"
    text = f"file,person\n{unicodedata.normalize(in_table, name)},Ann\n"
    (tmp_path / "who.csv").write_text(text, encoding="utf-8")
    images = [unicodedata.normalize(in_folder, name), "b.png"]
    assert persons_of(images, str(tmp_path / "who.csv")).names == ("Ann", "")


def test_an_image_of_two_persons_is_refused(tmp_path):
    (tmp_path / "who.csv").write_text("file,person\na.png,Ann\nb.png,Ann\na.png,Bob\n")
    words = "one row for each image.* line 4: 'a.png' again"
    with pytest.raises(ValueError, match=words):
        persons_of(["a.png", "b.png"], str(tmp_path / "who.csv"))


def test_no_table_and_patterns_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="Check the spelling"):
        persons_of(IMAGES, str(tmp_path / "who.csv"))
    for how, words in (
        ("", "group"),
        ("(", "regular expression"),
        ("zz", "group in brackets"),
        ("(zz)", "none"),
    ):
        with pytest.raises(ValueError, match=words):
            persons_of(IMAGES, how)
    with pytest.raises(ValueError, match="regular expression"):
        persons_of(IMAGES, "folder", "[")
    with pytest.raises(ValueError, match=r"neutral images by 'calm'.*none of 3 images"):
        persons_of(IMAGES, "folder", "calm")


def test_images_that_look_neutral_are_rest_where_nobody_says_so():
    rows = np.array([CALM, CALM, SAD, CALM])
    rests = rests_by_person(rows, NINE_EMOTIONS, ["ann", "ann", "ann", "bob"])
    hidden = {"hidden_spread": GUESSED_SPREAD}
    assert rests[0] == rests[1] == RestingFace.from_probabilities([CALM], **hidden)
    assert rests[2] == RestingFace.from_probabilities([CALM, CALM], **hidden)
    assert rests[3] is None
    told = rests_by_person(rows, NINE_EMOTIONS, ["a"] * 4, np.array([False, False, True, False]))
    assert [rest and rest.frames for rest in told] == [1, 1, None, 1]
    with pytest.raises(ValueError, match="class neutral"):
        rests_by_person(np.array([[0.5, 0.5]]), ("happy", "sad"), ["ann"])


@pytest.mark.parametrize("missing", [None, math.nan, np.float32("nan"), pd.NA, pd.NaT, ""])
def test_images_of_unknown_people_are_not_of_one_person(missing):
    rows = np.array([CALM, CALM, SAD, CALM])
    rests = rests_by_person(rows, NINE_EMOTIONS, pd.Series([0, missing, missing, 0], dtype=object))
    assert [rest and rest.frames for rest in rests] == [1, None, None, 1]
    named = rests_by_person(rows, NINE_EMOTIONS, (str(number) for number in (0, 1, 2, 0)))
    assert rests == named


@pytest.mark.parametrize(
    ("persons", "told", "words"),
    [
        (["ann"], None, r"\[2, 1, 2\]"),
        (["ann", "ann", "ann"], None, r"\[2, 3, 2\]"),
        (["ann", "ann"], [True], r"\[2, 2, 1\]"),
        (["ann", "ann"], [True, math.nan], "is_neutral to be True or False. Received: nan"),
        (["ann", "ann"], [True, pd.NA], "is_neutral to be True or False. Received: <NA>"),
    ],
)
def test_what_is_told_of_other_images_than_those_given_is_refused(persons, told, words):
    with pytest.raises(ValueError, match=words):
        relative_by_person(np.array([CALM, SAD]), NINE_EMOTIONS, persons, told)


def by_plain_loop(rows, persons, calm, hidden):
    """Return what `rests_by_person` should: every rest made anew from its own images."""
    rests = []
    for number, person in enumerate(persons):
        others = [n for n in np.flatnonzero(calm) if persons[n] == person and n != number]
        rests.append(
            RestingFace.from_probabilities(rows[others], hidden_spread=hidden)
            if others and person
            else None
        )
    return rests


def made_rows(kind, count=90):
    """Return probabilities: of all kinds of faces, all alike, or all alike but one."""
    if kind == "mixed":
        rows = np.random.default_rng(3).dirichlet([0.2] * 9, count)
        rows[::3] = np.random.default_rng(4).dirichlet([1] * 5 + [80] + [1] * 3, count)[::3]
        return rows
    neutral, happy = (np.eye(9)[NINE.index(name)] for name in ("neutral", "happy"))
    rows = np.tile(neutral, (count, 1))
    rows[0] = 0.7 * neutral + 0.3 * happy if kind == "one differs" else neutral
    return rows


@pytest.mark.parametrize("kind", ["mixed", "alike", "one differs"])
@pytest.mark.parametrize("is_told", [True, False])
def test_each_rest_is_that_of_the_other_images_alone(kind, is_told):
    rows, persons = made_rows(kind), [*(["ann", "bob", ""] * 28), *["cleo"] * 5, "dan"]
    told = np.arange(len(rows)) % 7 < 3 if is_told else None
    calm = rows[:, NINE.index("neutral")] >= 0.7 if told is None else told
    expected = by_plain_loop(rows, persons, calm, 0.0 if is_told else GUESSED_SPREAD)
    found = rests_by_person(rows, NINE_EMOTIONS, persons, told)
    assert [one and one.frames for one in found] == [one and one.frames for one in expected]
    for one, other in zip(found, expected, strict=True):
        if one is not None:
            assert one.log_probabilities == pytest.approx(other.log_probabilities, abs=1e-9)
            assert (one.spread, one.trust) == pytest.approx((other.spread, other.trust), abs=1e-9)
            assert one.population == other.population


def test_four_times_the_images_of_a_person_take_about_four_times_as_long():
    def spent_s(count):
        rows, spent = made_rows("alike", count), []
        for _ in range(3):
            start = time.process_time()
            rests_by_person(rows, NINE_EMOTIONS, ["ann"] * count)
            spent.append(time.process_time() - start)
        return min(spent)

    assert spent_s(4000) < 8 * spent_s(1000)


def row(name, probabilities, others=()):
    """A row whose face that counts stands before others."""
    faces = [{"emotion": "x", "probabilities": {}} for _ in (0, *others)]
    best = max(probabilities)
    emotion = NINE_EMOTIONS.names[probabilities.index(best)]
    return BatchRow(name, "ok", emotion, best, 1, "", tuple(faces), 0, tuple(probabilities))


def test_rows_get_the_second_answer_for_the_face_that_counts():
    rows = [row("ann/1", SAD, others=(1,)), row("ann/neutral", SAD), row("ann/neutral2", SAD)]
    rows.append(BatchRow("ann/wall", "no_face", "happy", 0.4, 0, ""))
    found = compared(rows, persons_of([r.image_path for r in rows], "folder", "neutral"), NINE)
    assert [one.emotion for one in found] == ["sad", "sad", "sad", "happy"]
    assert [one.relative_emotion for one in found] == ["neutral"] * 3 + [None]
    first, second = found[0].faces
    expected = RestingFace.from_probabilities([SAD, SAD]).relative([SAD])[0]
    assert list(first["relative_probabilities"].values()) == pytest.approx(expected, abs=1e-4)
    assert "relative_emotion" not in second
    assert found[0].relative_probability == pytest.approx(expected.max())
    assert {one.person for one in found} == {"ann"}


def test_a_balanced_answer_is_the_natural_comparison_with_its_biases():
    """As `evaluate` judges it; the comparison took most of the biases away again."""
    biases = {name: number / 4 for number, name in enumerate(NINE)}
    natural = np.array([SAD, CALM, CALM])
    persons = persons_of(["ann/1", "ann/neutral", "ann/neutral2"], "folder", "neutral")
    told = np.array(persons.is_neutral)
    expected = apply_decision(relative_by_person(natural, NINE, persons.names, told), NINE, biases)
    rows = [row("ann/x", list(one)) for one in apply_decision(natural, NINE, biases)]
    less = {name: -bias for name, bias in biases.items()}
    found = compared(rows, persons, NINE, lambda shown: apply_decision(shown, NINE, less))
    for one, wanted in zip(found, expected, strict=True):
        given = one.faces[0]["relative_probabilities"]
        assert list(given.values()) == pytest.approx(wanted, abs=1e-4)


def test_nobody_is_compared_where_no_face_was_found():
    rows = [BatchRow("ann/wall", "no_face", "happy", 0.4, 0, "")]
    (found,) = compared(rows, persons_of(["ann/wall"], "folder"), NINE)
    assert (found.person, found.relative_emotion) == ("ann", None)


NINE = NINE_EMOTIONS.names


@pytest.fixture
def people(tmp_path, astronaut):
    from builder_tools.media import write_image

    for number, name in enumerate(("ann/1.png", "ann/2.png", "bob/1.png")):
        (tmp_path / "people" / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(tmp_path / "people" / name, astronaut[: 400 - 10 * number])
    save_image(tmp_path / "people" / "wall.png", 1, 100)
    return tmp_path / "people"


def test_a_batch_tells_both_answers(people, tmp_path, capsys):
    out, faces = tmp_path / "out.csv", tmp_path / "faces.csv"
    command = ["img-batch", str(people), "--csv", str(out), "--faces-csv", str(faces)]
    assert main([*command, "--person", "folder", "--neutral", "ann"]) == 0
    with open(tmp_path / "out.log.csv", newline="") as file:
        log = list(csv.DictReader(file))
    told = {line["image_path"]: (line["person"], line["relative_emotion"] != "") for line in log}
    # bob has no neutral image, the wall no face
    expected = {"ann/1.png": ("ann", True), "ann/2.png": ("ann", True), "bob/1.png": ("bob", False)}
    assert told == expected | {"wall.png": ("", False)}
    with open(faces, newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["image_path"] for line in lines] == list(expected)
    assert lines[0]["relative_emotion"] in NINE
    assert sum(float(lines[0][f"relative_p_{name}"]) for name in NINE) == pytest.approx(1, abs=0.01)
    assert lines[2]["relative_p_happy"] == "" and lines[2]["person"] == "bob"
    assert out.read_text().splitlines()[0] == "image_path,emotion"
    assert main([*command, "--person", ""]) == 2
    assert main([*command, "--neutral", "ann"]) == 2
    assert "Expected --person with --neutral" in capsys.readouterr().err


@pytest.mark.parametrize("how", ["folder", r"(\w+)/", "files.csv", "ids.csv"])
def test_people_are_those_of_the_images_of_a_sample(people, tmp_path, how):
    """Ids without folders or suffixes named nobody."""
    (people / "bob" / "1.png").rename(people / "bob" / "3.png")
    sample = tmp_path / "sample.csv"
    sample.write_text("image_path,emotion\n3,sad\n2,sad\nwall,sad\n")
    for table, names in (("files.csv", ("bob/3.png", "ann/2.png")), ("ids.csv", ("3", "2"))):
        rows = zip(names, ("bob", "ann"), strict=True)
        lines = ["image_path,person", *(",".join(row) for row in rows)]
        (tmp_path / table).write_text("\n".join(lines))
    command = ["img-batch", str(people), "--csv", str(tmp_path / "out.csv")]
    person = str(tmp_path / how) if how.endswith(".csv") else how
    assert main([*command, "--sample", str(sample), "--person", person]) == 0
    with open(tmp_path / "out.log.csv", newline="") as file:
        log = [(line["image_path"], line["person"]) for line in csv.DictReader(file)]
    assert log == [("3", "bob"), ("2", "ann"), ("wall", "")]


@pytest.mark.parametrize("option", ["--csv", "--faces-csv"])
def test_a_table_of_persons_is_not_replaced_by_results(people, tmp_path, option, capsys):
    table = tmp_path / "who.csv"
    table.write_text(text := "image_path,person\nann/1.png,ann\nann/2.png,ann\n")
    outputs = {"--csv": str(tmp_path / "out.csv"), option: str(table)}
    words = [word for pair in outputs.items() for word in pair]
    assert main(["img-batch", str(people), "--person", str(table), *words]) == 2
    assert f"Received for {option}: {table}" in capsys.readouterr().err
    assert table.read_text() == text


def test_an_interrupted_batch_keeps_what_rests_need(people, tmp_path, monkeypatch):
    command = ["img-batch", str(people), "--csv", str(tmp_path / "out.csv"), "--person", "folder"]
    command += ["--neutral", "ann"]
    assert main(command) == 0
    whole = (tmp_path / "out.log.csv").read_text()
    with monkeypatch.context() as patch:
        patch.setattr("builder_tools.submission.compared", _broken)
        assert main(command) == 2
    kept = (tmp_path / "out.partial.jsonl").read_text().splitlines()
    rows = [json.loads(line)["row"] for line in kept[1:]]
    assert sorted(len(each["probabilities"]) for each in rows) == [0, 9, 9, 9]
    assert main(command) == 0
    assert (tmp_path / "out.log.csv").read_text() == whole


def _broken(*_):
    raise RuntimeError("off")


@pytest.mark.parametrize(
    ("emotions", "is_neutral", "words"),
    [
        (("happy", "Ahegao", "neutral"), None, "for a resting face.*Received: .*Ahegao"),
        (("happy", "Ahegao", "neutral"), (True, True), "for a resting face.*Received: .*Ahegao"),
        (("happy", "anger", "sad"), None, "a class neutral"),
    ],
)
def test_classes_without_a_rest_are_refused_before_the_first_image(
    emotions, is_neutral, words, tmp_path
):
    """They were refused after the last one, and the answers to all images were not written."""
    for number in (1, 2):
        save_image(tmp_path / "in" / f"{number}.png", 1, 200)
    model, job = FakeModel(), plan_submission(tmp_path / "in")
    model.emotions = EmotionSet(emotions)
    inference = Inference(model, FakeDetector(), show_state_mode="none", every_face=True)
    persons = Persons(("ann", "ann"), is_neutral)
    with pytest.raises(ValueError, match=words):
        list(make_submission(inference, job, tmp_path / "out.csv", persons=persons))
    assert model.calls == [] and [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_batch_says_how_many_faces_are_not_compared(people, tmp_path, caplog):
    command = ["img-batch", str(people), "--csv", str(tmp_path / "out.csv")]
    assert main([*command, "--person", "(bob|wall)/?", "--neutral", "ann"]) == 0
    said = "Not compared with a rest: 2 images of no known person, 1 whose person has no other"
    assert said in caplog.text
    caplog.clear()
    assert main([*command, "--person", "(ann)/", "--neutral", "ann"]) == 0
    assert "Not compared with a rest: 1 image of no known person\n" in caplog.text
