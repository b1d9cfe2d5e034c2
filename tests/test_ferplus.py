"""FER+ read from every layout: the same faces whatever the packing, and errors that name a row."""

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
from toy_study import toy_faces, votes, write_kaggle, write_official, write_zip

from builder_tools.datasets.ferplus import (
    data_folder,
    ferplus_table,
    is_face,
    load_ferplus,
    nine_class_table,
    vote_distribution,
)
from builder_tools.datasets.fetch import FERPLUS_SHA256
from builder_tools.datasets.identity import data_sha256, names_also_in_train
from builder_tools.datasets.labels import agreement
from builder_tools.datasets.table import IMAGE_COLUMNS, ImageTable
from builder_tools.emotions import FERPLUS_VOTE_COLUMNS, NINE_EMOTIONS

FACES = toy_faces({"train": 1, "valid": 1, "test": 1})
SPACED = (" emotion", " pixels", " Usage")


@pytest.fixture
def official(tmp_path) -> Path:
    return write_official(tmp_path / "ferplus", FACES)


@pytest.fixture
def kaggle(tmp_path) -> Path:
    return write_kaggle(tmp_path / "kaggle", FACES)


def same(one: ImageTable, other: ImageTable) -> bool:
    return (
        np.array_equal(one.images, other.images)
        and one.table.equals(other.table)
        and data_sha256(one) == data_sha256(other)
    )


def distribution(**counts) -> dict[str, float]:
    shares = vote_distribution(np.array([votes(**counts)]))[0]
    return {name: round(float(s), 4) for name, s in zip(NINE_EMOTIONS, shares, strict=True) if s}


def test_the_official_folder_gives_images_splits_and_votes(official):
    found = load_ferplus(official)
    assert (found.images.shape, found.images.dtype) == ((27, 48, 48), np.uint8)
    np.testing.assert_array_equal(found.images, [face.image for face in FACES])
    assert found.votes.tolist() == [face.votes for face in FACES]
    assert found.table["name"].tolist() == [face.name for face in FACES]
    assert found.table["split"].tolist() == [face.split for face in FACES]
    assert list(found.table) == [*IMAGE_COLUMNS, *FERPLUS_VOTE_COLUMNS]


@pytest.mark.parametrize("inside", ["", "FERPlus-master/data/"])
def test_a_zip_gives_the_same_as_the_folder(tmp_path, official, inside):
    assert same(
        load_ferplus(write_zip(tmp_path / "f.zip", official, inside)), load_ferplus(official)
    )


@pytest.mark.parametrize(
    "options",
    [{}, {"pixels_file": "icml_face_data.csv", "columns": SPACED}],
    ids=["fer2013.csv", "icml_face_data.csv"],
)
def test_the_kaggle_form_gives_the_same_as_the_folder(tmp_path, official, options):
    found = load_ferplus(write_kaggle(tmp_path / "kaggle", FACES, **options))
    assert same(found, load_ferplus(official))


def test_the_kaggle_form_leaves_out_images_without_a_name(tmp_path, official):
    """FER+ removed some images of FER2013: their rows have votes but no name."""
    removed = dataclasses.replace(FACES[3], name="")
    found = load_ferplus(write_kaggle(tmp_path / "kaggle", [FACES[0], removed, *FACES[1:]]))
    assert same(found, load_ferplus(official))


def test_a_name_that_stands_twice_belongs_to_the_row_it_counts(tmp_path, official):
    """As four of fer2013new.csv do; there, too, the wrong row may come first or last."""
    early = dataclasses.replace(FACES[9], name=FACES[4].name)
    late = dataclasses.replace(FACES[9], name=FACES[2].name)
    rows = [early, *FACES[:8], *FACES[8:], late]
    found = load_ferplus(write_kaggle(tmp_path / "kaggle", rows))
    order = [face.name for face in FACES]
    assert sorted(found.table["name"]) == order
    np.testing.assert_array_equal(found.images[4], FACES[4].image)
    np.testing.assert_array_equal(found.images[2], FACES[2].image)


def test_the_table_for_nine_classes_leaves_out_what_is_no_face(tmp_path):
    counted = [votes(NF=8, neutral=2), votes(happiness=9), votes(neutral=5, fear=5)]
    changed = [dataclasses.replace(f, votes=v) for f, v in zip(FACES[:3], counted, strict=True)]
    table = ferplus_table(write_official(tmp_path, [*changed, *FACES[3:]]))
    assert len(table) == 26
    first = table.table.iloc[:2]
    assert first["name"].tolist() == [FACES[1].name, FACES[2].name]
    assert first["emotion"].tolist() == ["happy", "uncertain"]
    assert first["label"].tolist() == [NINE_EMOTIONS.label(e) for e in ("happy", "uncertain")]
    assert table.votes.tolist() == [*counted[1:], *(face.votes for face in FACES[3:])]
    np.testing.assert_array_equal(table.image(0)[..., 0], FACES[1].image)
    assert table.table["split"].tolist() == [face.split for face in FACES[1:]]


@pytest.mark.parametrize(
    ("counts", "share"),
    [
        ({"happiness": 10}, 1.0),
        ({"happiness": 6, "sadness": 3, "fear": 1}, 6 / 9),
        ({"neutral": 5, "sadness": 5}, 0.5),
        ({"anger": 1, "fear": 1}, 0.0),
    ],
)
def test_agreement_is_the_share_of_the_winner(counts, share):
    assert agreement(np.array([votes(**counts)])).tolist() == [share]


def test_the_hash_tells_images_votes_and_splits_apart(tmp_path):
    hashes = set()
    for number, change in enumerate(
        ({}, {"image": FACES[0].image[::-1]}, {"votes": FACES[1].votes}, {"split": "valid"})
    ):
        faces = [dataclasses.replace(FACES[0], **change), *FACES[1:]]
        hashes.add(data_sha256(load_ferplus(write_official(tmp_path / str(number), faces))))
    assert len(hashes) == 4


def test_rows_and_splits_keep_images_beside_their_votes(official):
    faces = load_ferplus(official)
    valid = faces.split("valid")
    assert set(valid.table["split"]) == {"valid"}
    expected = [face for face in FACES if face.split == "valid"]
    np.testing.assert_array_equal(valid.images, [face.image for face in expected])
    assert valid.votes.tolist() == [face.votes for face in expected]
    assert valid.table.index.tolist() == list(range(len(valid))) == list(range(9))
    with pytest.raises(ValueError, match="split='dev'"):
        faces.split("dev")


def test_images_that_also_stand_in_train_are_found(tmp_path):
    by_split = {s: [f for f in FACES if f.split == s] for s in ("train", "valid", "test")}
    train, valid, test = by_split.values()
    twin = dataclasses.replace(test[4], image=train[2].image)
    among_tests = dataclasses.replace(test[5], image=valid[0].image)
    faces = load_ferplus(write_official(tmp_path, [*train, *valid, *test[:4], twin, among_tests]))
    assert names_also_in_train(nine_class_table(faces)) == {twin.name}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x,(0 0 48 48),5,1,0,0,0,0,0,0,0", r"label\.csv, row 2\)\. Received"),
        ("x,(0 0 48 48),5,1,0,0,0,0,0,0,0,0,0", r"label\.csv, row 2\)\. Received"),
        ("x,(0 0 48 48),5,many,0,0,0,0,0,0,0,0", r"label\.csv, row 2.*'many'"),
        ("x,(0 0 48 48),5,-1,0,0,0,0,0,0,0,0", r"label\.csv, row 2.*'-1'"),
        ("x,(0 0 48 48),5,0.5,0,0,0,0,0,0,0,0", r"label\.csv, row 2.*'0\.5'"),
        ("x", r"label\.csv, row 2\)\. Received"),
    ],
)
def test_a_bad_row_of_votes_is_named(official, text, message):
    labels = official / "FER2013Valid/label.csv"
    first = labels.read_text().splitlines()[0]
    labels.write_text(f"{first}\n{text}\n")
    with pytest.raises(ValueError, match=f"ten vote counts.*FER2013Valid/{message}"):
        load_ferplus(official)


def test_a_missing_label_file_is_named(tmp_path, official):
    (official / "FER2013Test/label.csv").unlink()
    for source in (official, write_zip(tmp_path / "f.zip", official)):
        with pytest.raises(FileNotFoundError, match=rf"FER2013Test/label\.csv in .*{source.name}"):
            load_ferplus(source)


def test_a_missing_image_is_named_with_its_row(tmp_path, official):
    """Blank lines count: the row is where an editor shows it."""
    name = FACES[1].name
    (official / "FER2013Train" / name).unlink()
    labels = official / "FER2013Train/label.csv"
    labels.write_text("\n" + labels.read_text())
    for source in (official, write_zip(tmp_path / "f.zip", official)):
        message = rf"FER2013Train/{name} in .*{source.name} \(row 3 of FER2013Train/label\.csv\)"
        with pytest.raises(FileNotFoundError, match=message):
            load_ferplus(source)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (cv2.imencode(".png", np.zeros((40, 48), np.uint8))[1].tobytes(), "48x40"),
        (b"no image", "an unreadable file"),
        (b"", "an unreadable file"),
    ],
)
def test_a_bad_image_is_named_with_its_row(official, content, message):
    name = FACES[2].name
    (official / "FER2013Train" / name).write_bytes(content)
    expected = rf"FER2013Train/{name} in .*row 3 of FER2013Train/label\.csv.*Received: {message}"
    with pytest.raises(ValueError, match=expected):
        load_ferplus(official)


def test_a_damaged_zip_is_named(tmp_path, official):
    packed = write_zip(tmp_path / "f.zip", official)
    data = packed.read_bytes()
    place = data.index(b"\x89PNG")
    packed.write_bytes(data[:place] + b"\x00" * 50 + data[place + 50 :])
    with pytest.raises(ValueError, match=r"FER2013.*\.png in .*f\.zip.*damaged"):
        load_ferplus(packed)


def test_a_layout_without_faces_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"at least one face in .*empty"):
        load_ferplus(write_official(tmp_path / "empty", []))


def test_something_else_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("no faces")
    for source in (tmp_path / "notes.txt", tmp_path / "absent"):
        with pytest.raises(FileNotFoundError, match=rf"{source.name}.*data/README\.md"):
            load_ferplus(source)


def edited(file: Path, row: int, old: str, new: str) -> None:
    lines = file.read_text().splitlines()
    assert old in lines[row - 1]
    lines[row - 1] = lines[row - 1].replace(old, new, 1)
    file.write_text("\n".join(lines) + "\n")


def test_kaggle_files_of_different_length_are_refused(kaggle):
    labels = kaggle / "fer2013new.csv"
    labels.write_text("\n".join(labels.read_text().splitlines()[:-1]))
    with pytest.raises(ValueError, match=r"fer2013\.csv as in fer2013new\.csv.*27 and 26"):
        load_ferplus(kaggle)


def test_an_unknown_usage_is_named_with_its_row(kaggle):
    edited(kaggle / "fer2013.csv", 4, "Training", "Dev")
    with pytest.raises(ValueError, match=r"Usage.*fer2013\.csv, row 4\)\. Received: 'Dev'"):
        load_ferplus(kaggle)


@pytest.mark.parametrize("bad", ["many", "", "-3", "2.5"])
def test_a_bad_kaggle_vote_is_named_with_its_row(kaggle, bad):
    edited(kaggle / "fer2013new.csv", 5, ",8,", f",{bad},")
    with pytest.raises(ValueError, match=r"ten vote counts \(.*fer2013new\.csv, row 5\)"):
        load_ferplus(kaggle)


@pytest.mark.parametrize("bad", ["256", "-1", "x", ""])
def test_bad_pixels_are_named_with_their_row(kaggle, bad):
    first = str(FACES[6].image[0, 0])
    edited(kaggle / "fer2013.csv", 8, f"0,{first} ", f"0,{bad} ")
    with pytest.raises(ValueError, match=r"2304 grey values.*fer2013\.csv, row 8\)"):
        load_ferplus(kaggle)


@pytest.mark.parametrize(("file", "column"), [("fer2013.csv", "pixels"), ("fer2013new.csv", "NF")])
def test_a_missing_kaggle_column_is_named(kaggle, file, column):
    edited(kaggle / file, 1, column, "other")
    with pytest.raises(ValueError, match=column):
        load_ferplus(kaggle)


def test_votes_without_pixels_are_refused(kaggle):
    (kaggle / "fer2013.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"icml_face_data\.csv"):
        load_ferplus(kaggle)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"happiness": 10}, {"happy": 1.0}),
        ({"happiness": 6, "sadness": 4}, {"happy": 0.6, "sad": 0.4}),
        # Single votes are dropped: 6 + 3 remain.
        ({"anger": 6, "fear": 3, "disgust": 1}, {"anger": 0.6667, "fear": 0.3333}),
        # Votes for "not a face" are left out: 6 + 2 remain.
        ({"surprise": 6, "fear": 2, "NF": 2}, {"surprise": 0.75, "fear": 0.25}),
        # No majority: half of the mass moves to uncertain.
        ({"neutral": 5, "sadness": 5}, {"neutral": 0.25, "sad": 0.25, "uncertain": 0.5}),
        (
            {"neutral": 4, "sadness": 4, "unknown": 2},
            {"neutral": 0.2, "sad": 0.2, "uncertain": 0.6},
        ),
        ({"unknown": 8, "contempt": 2}, {"contempt": 0.2, "uncertain": 0.8}),
        # Nothing remains: wholly uncertain.
        ({"anger": 1, "happiness": 1}, {"uncertain": 1.0}),
        ({"NF": 10}, {"uncertain": 1.0}),
        ({}, {"uncertain": 1.0}),
    ],
)
def test_vote_distribution_worked_by_hand(counts, expected):
    assert distribution(**counts) == expected


def test_the_share_that_moves_to_uncertain_can_be_chosen():
    divided = np.array([votes(neutral=5, sadness=5), votes(neutral=9)])
    found = vote_distribution(divided, no_majority_uncertain=0.2)
    assert (found.dtype, found.shape) == (np.float32, (2, 9))
    uncertain, neutral = NINE_EMOTIONS.label("uncertain"), NINE_EMOTIONS.label("neutral")
    np.testing.assert_allclose(found[:, uncertain], [0.2, 0.0])
    np.testing.assert_allclose(found[:, neutral], [0.4, 1.0])


@pytest.mark.parametrize(
    ("counts", "face"),
    [
        ({"NF": 6, "neutral": 4}, False),
        ({"NF": 5, "neutral": 5}, True),
        ({"NF": 4, "neutral": 3, "fear": 1, "anger": 1, "sadness": 1}, False),
        ({"NF": 1}, True),
        ({}, True),
        ({"happiness": 10}, True),
    ],
)
def test_is_face(counts, face):
    assert is_face(np.array([votes(**counts)])).tolist() == [face]


def test_the_data_folder_can_be_named(monkeypatch, tmp_path, official):
    monkeypatch.setenv("BUILDER_TOOLS_DATA", str(tmp_path))
    assert data_folder() == tmp_path
    assert same(load_ferplus(), load_ferplus(official))
    write_zip(tmp_path / "ferplus.zip", write_official(tmp_path / "other", FACES[:9]))
    assert len(load_ferplus()) == 9, "the zip comes first"


@pytest.mark.slow
def test_the_real_data(data_dir):
    if not (data_dir / "ferplus.zip").is_file():
        pytest.skip(f"shared data absent: no ferplus.zip in {data_dir}")
    faces = load_ferplus(data_dir / "ferplus.zip")
    assert faces.table["split"].value_counts().to_dict() == {
        "train": 28558,
        "valid": 3579,
        "test": 3573,
    }
    assert faces.images.shape == (35710, 48, 48)
    assert (~is_face(faces.votes)).sum() == 2
    shares = vote_distribution(faces.votes)
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
    seen = names_also_in_train(nine_class_table(faces))
    assert sum(faces.split("test").table["name"].isin(seen)) == 288
    assert sum(faces.split("valid").table["name"].isin(seen)) == 279
    assert "label.csv" in FERPLUS_SHA256[data_sha256(faces)]
