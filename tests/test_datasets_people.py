"""Splits where it is known who is in the images: a person is on one side only."""

import logging

import numpy as np
import pandas as pd
import pytest
from made_folders import counts_of, write_folders

from builder_tools.cli import main
from builder_tools.datasets.label_tables import persons_beside
from builder_tools.datasets.labelled import load_labelled
from builder_tools.datasets.splits import with_splits
from builder_tools.datasets.table import ImageTable
from builder_tools.emotions import EmotionSet
from builder_tools.evaluation.protocols import own_labels

EMOTIONS = EmotionSet(("anger", "happy", "sad"))


def images(persons, labels) -> ImageTable:
    labels = np.asarray(labels)
    table = pd.DataFrame(
        {
            "name": [f"p{number:04d}.png" for number in range(len(labels))],
            "path": "",
            "index": np.arange(len(labels)),
            "label": labels,
            "emotion": np.array(EMOTIONS.names, object)[labels],
            "split": "",
            "person": list(persons),
        }
    )
    return ImageTable(table, EMOTIONS, np.zeros((len(labels), 4, 4), np.uint8))


def people(count: int, seed: int) -> ImageTable:
    """So many people with 1...12 images each of random classes, and as many images of nobody."""
    rng = np.random.default_rng(seed)
    persons = np.repeat([f"who{n}" for n in range(count)], rng.integers(1, 13, count)).tolist()
    persons += [""] * count
    return images(persons, rng.integers(0, 3, len(persons)))


def sides_of(table: ImageTable) -> pd.Series:
    named = table.table[table.table["person"] != ""]
    return named.groupby("person")["split"].nunique()


@pytest.mark.parametrize("seed", range(5))
def test_a_person_is_on_one_side_and_shares_hold(seed):
    table = people(60, seed)
    twins = np.arange(len(table)) // 2  # across people, too
    for groups, atol in ((None, 0.03), (twins // 5, 0.2)):
        found = with_splits(table, seed=seed, groups=groups)
        assert sides_of(found).max() == 1
        shares = pd.crosstab(found.table["label"], found.table["split"], normalize="index")
        np.testing.assert_allclose(shares[["valid", "test"]], 0.15, atol=atol)
        again = with_splits(table, seed=seed, groups=groups)
        assert found.table["split"].tolist() == again.table["split"].tolist()


def test_near_duplicates_of_two_people_bring_both_to_one_side():
    table = images([f"who{n // 3}" for n in range(60)], np.arange(60) % 3)
    groups = np.arange(60)
    groups[59] = groups[0]
    for seed in range(5):
        found = with_splits(table, seed=seed, groups=groups).table
        assert found["split"].iat[0] == found["split"].iat[59]


def test_ten_people_of_all_classes_are_on_every_side():
    """Three images of each class: none fits a share of one image; one person for each side does."""
    table = images(np.repeat([f"who{n}" for n in range(10)], 9), np.arange(90) % 3)
    for seed in range(5):
        found = with_splits(table, valid=0.04, test=0.04, seed=seed).table
        assert found.groupby("split")["person"].nunique().to_dict() == {
            "train": 8,
            "valid": 1,
            "test": 1,
        }
    assert len({tuple(with_splits(table, seed=seed).table["split"]) for seed in range(5)}) > 1


def test_classes_of_too_few_people_stay_in_train_or_are_refused(caplog):
    persons, labels = np.repeat([f"who{n}" for n in range(10)], 9), np.arange(90) % 2
    labels[:5] = 2  # all of one person
    with caplog.at_level(logging.WARNING):
        found = with_splits(images(persons, labels)).table
    assert set(found["split"][:9]) == {"train"}
    assert "images of different people to split, all stay in train: sad (5)" in caplog.text
    with pytest.raises(ValueError, match="near-duplicates, and all images of one person, count"):
        with_splits(images(["ann"] * 45 + ["ben"] * 45, labels))


def test_without_people_nothing_changes():
    """The sides are those that were drawn before people counted."""
    rng = np.random.default_rng(7)
    labels, groups = rng.integers(0, 3, 40), rng.integers(0, 30, 40)
    nobody = images([""] * 40, labels)
    unknown = ImageTable(nobody.table.drop(columns="person"), EMOTIONS, nobody.images)
    for table in (nobody, unknown):
        drawn = with_splits(table, seed=3, groups=groups).table["split"]
        assert "".join(side[1] for side in drawn) == BEFORE


BEFORE = "rrrarrrereaeerrrrrrerrrrearaerarrrrarrra"


@pytest.mark.parametrize("unknown", [np.nan, None, ""])
def test_people_may_be_numbers_and_unknown_ones_missing_values(unknown):
    labels = np.arange(120) % 3
    assert images([0, *range(119)], labels).persons[:3].tolist() == ["0", "0", "1"]
    alone = with_splits(images([""] * 120, labels)).table["split"].tolist()
    assert with_splits(images([unknown] * 120, labels)).table["split"].tolist() == alone
    named = [number // 6 if number < 60 else unknown for number in range(120)]
    as_words = ["" if who == "" or who != who or who is None else f"{who}" for who in named]
    found, expected = with_splits(images(named, labels)), with_splits(images(as_words, labels))
    assert found.table["split"].tolist() == expected.table["split"].tolist()


@pytest.fixture
def faces(tmp_path):
    """Class folders beside a table that names the person of each image."""
    root = write_folders(tmp_path / "faces", {"happy": 24, "sad": 24})
    rows = [
        f"{kind}/{n}.png,{kind},{(n - 1) // 3}" for kind in ("happy", "sad") for n in range(1, 25)
    ]
    (root / "labels.csv").write_text("\n".join(["file,emotion,Subject", *rows]) + "\n")
    return root


def test_folders_and_tables_are_split_by_people(faces, tmp_path):
    for source in (faces, faces / "labels.csv"):
        found = load_labelled(source)
        assert sides_of(found).max() == 1 and sides_of(found).size == 8
        counts = counts_of(found)
        assert all(counts[side] == {"happy": 3, "sad": 3} for side in ("valid", "test"))


def test_people_beside_folders_are_found_by_the_names_of_their_images(tmp_path, caplog):
    """As in a table of labels; with paths from elsewhere, nobody would be known."""
    root = tmp_path / "faces"
    for kind in ("happy", "sad"):
        write_folders(root, {kind: 24})
        for path in (root / kind).iterdir():
            path.rename(path.with_name(f"{kind}_{path.name}"))
    names = [(f"{kind}_{n}.png", (n - 1) // 3) for kind in ("happy", "sad") for n in range(1, 25)]
    table = root / "people.csv"
    head = "file,person\n"
    table.write_text(head + "\n".join(f"raw\\{name},{who}" for name, who in names))
    assert persons_beside(root)["happy/happy_4.png"] == "1" and not caplog.text
    found = load_labelled(root)
    assert sides_of(found).max() == 1 and sides_of(found).size == 8
    table.write_text(head + "gone/1.png,ann\nhappy/happy_1.png,ben\n/elsewhere/2.png,ann\n")
    assert persons_beside(root) == {"happy/happy_1.png": "ben"}
    assert "2 of the 3 images in which it names people are not in the folder" in caplog.text
    table.write_text(head + "happy_1.png,ann\nhappy/happy_1.png,ben\n")
    with pytest.raises(ValueError, match="each of its own"):
        persons_beside(root)


def test_a_list_of_people_is_no_table_of_images(tmp_path, caplog):
    """It may lie beside one, and name two people alike."""
    root = tmp_path / "faces"
    write_folders(root, {"happy": 24, "sad": 24})
    (root / "subjects.csv").write_text("subject_id,Name,age\n1,A. B. Cook,30\n2,A. B. Cook,40\n")
    assert persons_beside(root) == {}
    (root / "people.csv").write_text("name,person\nhappy/1.png,ann\n")
    assert persons_beside(root) == {"happy/1.png": "ann"} and not caplog.text
    (root / "people.csv").write_text("image,person\n../faces/happy/1.png,ann\nhappy_2,ben\n")
    assert persons_beside(root) == {}
    assert "2 of the 2 images in which it names people are not in the folder" in caplog.text


def test_label_va_takes_the_same_train(faces, tmp_path):
    out = tmp_path / "labels.csv"
    command = ["label-va", str(faces), "--out", str(out), "--split", "train", "--method", "anchor"]
    assert main(command) == 0
    train = load_labelled(faces).split("train").table["name"]
    assert set(pd.read_csv(out)["name"]) == set(train)


def test_other_tables_beside_the_folders_do_not_matter(faces):
    """`label-va` may have written its own there, of the same images."""
    (faces / "places.csv").write_text("name,emotion,valence\nhappy/1.png,happy,0.8\n")
    assert persons_beside(faces)["happy/4.png"] == "1"
    (faces / "more.csv").write_text("name,emotion,person\nhappy/1.png,happy,ann\n")
    with pytest.raises(ValueError, match=r"one table in .* people.*labels.csv.*more.csv"):
        persons_beside(faces)
    (faces / "labels.csv").unlink()
    (faces / "more.csv").unlink()
    (faces / "places 2.csv").write_text("name,emotion,valence\nhappy/1.png,happy,0.8\n")
    assert persons_beside(faces) == {}


@pytest.mark.parametrize("unknown", [np.nan, None, pd.NA])
def test_unknown_people_are_not_one_person_where_a_model_is_judged(unknown):
    """All their images would be drawn together, as those of one face."""
    table = images(["ann", "ann", unknown, unknown], [0, 1, 2, 0])
    kept = own_labels(EMOTIONS).apply(table.table, np.eye(len(EMOTIONS))[[0, 1, 2, 0]], EMOTIONS)
    assert kept.groups.tolist() == ["ann", "ann", "", ""]
