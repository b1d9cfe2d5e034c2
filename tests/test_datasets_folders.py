"""Class folders and the Kaggle layout: what is read, what is written, and every wrong input."""

import logging
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from toy_study import toy_faces, write_official

from builder_tools.datasets import DATASETS
from builder_tools.datasets.class_folders import (
    list_class_folders,
    load_class_folders,
    write_class_folders,
)
from builder_tools.datasets.competition import competition_test, load_competition
from builder_tools.datasets.ferplus import ferplus_table
from builder_tools.datasets.measures import mean_images, measure_images
from builder_tools.datasets.table import ImageTable
from builder_tools.emotions import NINE_EMOTIONS, EmotionSet
from builder_tools.media import read_image, write_image


def made_image(number: int) -> np.ndarray:
    """An image unlike all others: coarse noise."""
    coarse = np.random.default_rng(number).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return cv2.resize(coarse, (40, 32), interpolation=cv2.INTER_CUBIC)


def write_folders(root: Path, counts: dict[str, int], suffix: str = ".png") -> Path:
    """Writes so many different images into each folder, named 1, 2, ..., 10, ..."""
    number = 0
    for folder, count in counts.items():
        (root / folder).mkdir(parents=True)
        for own in range(1, count + 1):
            number += 1
            write_image(root / folder / f"{own}{suffix}", made_image(number))
    return root


def counts_of(table: ImageTable) -> dict[str, dict[str, int]]:
    counts = pd.crosstab(table.table["split"], table.table["emotion"])
    return {split: row[row > 0].to_dict() for split, row in counts.iterrows()}


class TestReading:
    def test_class_folders_are_split(self, tmp_path):
        table = load_class_folders(write_folders(tmp_path, {"sad": 20, "happy": 12}))
        assert table.emotions == NINE_EMOTIONS
        assert counts_of(table) == {
            "train": {"happy": 8, "sad": 14},
            "valid": {"happy": 2, "sad": 3},
            "test": {"happy": 2, "sad": 3},
        }
        names = table.table["name"].tolist()
        assert names == [f"happy/{n}.png" for n in range(1, 13)] + [
            f"sad/{n}.png" for n in range(1, 21)
        ]
        last = table.table.iloc[-1]
        assert (last["emotion"], last["label"], last["index"]) == ("sad", 6, -1)
        assert Path(last["path"]) == tmp_path / "sad/20.png"
        np.testing.assert_array_equal(table.image(31), made_image(20))
        assert table.votes is None

    def test_the_seed_chooses_the_splits(self, tmp_path):
        root = write_folders(tmp_path, {"sad": 20, "happy": 12})
        splits = [load_class_folders(root, seed=seed).table["split"].tolist() for seed in (0, 0, 1)]
        assert splits[0] == splits[1] != splits[2]

    @pytest.mark.parametrize("valid", ["val", "valid", "validation", "Val"])
    def test_split_folders_are_kept(self, tmp_path, valid):
        folders = ("Train", valid, "test")
        parts = {f"{folder}/{name}": 2 for folder in folders for name in ("sad", "fear")}
        table = load_class_folders(write_folders(tmp_path, parts))
        assert counts_of(table) == {s: {"fear": 2, "sad": 2} for s in ("test", "train", "valid")}
        assert table.table["name"].iloc[0] == "Train/fear/1.png"
        assert table.table["split"].tolist() == ["train"] * 4 + ["valid"] * 4 + ["test"] * 4

    def test_a_missing_split_comes_out_of_train(self, tmp_path):
        parts = {"train/sad": 10, "train/fear": 10, "test/sad": 1, "test/fear": 3}
        table = load_class_folders(write_folders(tmp_path, parts))
        assert counts_of(table) == {
            "train": {"fear": 8, "sad": 8},
            "valid": {"fear": 2, "sad": 2},
            "test": {"fear": 3, "sad": 1},
        }

    def test_near_duplicates_stay_on_one_side(self, tmp_path):
        root = write_folders(tmp_path, {"sad": 12, "happy": 12})
        for number in range(1, 7):
            image = read_image(root / f"sad/{number}.png")
            write_image(
                root / f"happy/again{number}.jpg", cv2.convertScaleAbs(image, alpha=0.9, beta=9)
            )
        for seed in range(4):
            side = load_class_folders(root, seed=seed).table.set_index("name")["split"]
            pairs = [(f"sad/{n}.png", f"happy/again{n}.jpg") for n in range(1, 7)]
            assert [(side[one], side[two]) for one, two in pairs if side[one] != side[two]] == []

    def test_other_names_are_a_set_of_their_own_sorted(self, tmp_path):
        root = write_folders(tmp_path, {"Happy": 3, "Ahegao": 3, "sad": 3})
        assert load_class_folders(root).emotions.names == ("Ahegao", "Happy", "sad")
        given = EmotionSet(("sad", "Happy", "Ahegao", "Angry"))
        table = load_class_folders(root, emotions=given)
        assert table.emotions == given
        assert table.labels.tolist() == [2] * 3 + [1] * 3 + [0] * 3

    @pytest.mark.parametrize(
        "folders",
        [
            ("angry", "Happiness", "SURPRISED"),
            ("злость", "радость", "удивление"),
            ("0_anger", "3-happy", "5 surprise faces"),
            ("AN", "HA", "SU"),
        ],
    )
    def test_classes_by_synonym_case_and_language(self, tmp_path, folders, caplog):
        with caplog.at_level(logging.INFO):
            table = load_class_folders(write_folders(tmp_path, dict.fromkeys(folders, 4)))
        assert table.emotions == NINE_EMOTIONS
        assert set(table.table["emotion"]) == {"anger", "happy", "surprise"}
        assert f"{folders[0]} = anger" in caplog.text

    def test_what_a_word_means_can_be_said(self, tmp_path):
        root = write_folders(tmp_path, {"angry": 4, "Glee": 4, "Blah": 4})
        classes = {"glee": "happy", "BLAH": ""}
        table = load_class_folders(root, classes=classes)
        assert table.emotions == NINE_EMOTIONS
        assert table.table["emotion"].value_counts().to_dict() == {"anger": 4, "happy": 4}
        kept = load_class_folders(root, classes={"angry": "Wrath"})
        assert kept.emotions.names == ("Blah", "Glee", "Wrath")

    @pytest.mark.parametrize(
        "layout",
        [
            "archive/images/{split}/{name}",
            "{split}/{name}/person 3",
            "data/{name}/{split}",
            "{split} set/faces/{name}/session/1",
        ],
    )
    def test_levels_above_between_and_below_are_seen_through(self, tmp_path, layout):
        names = {"Training": "train", "PublicTest": "valid", "Private_Test": "test"}
        words = {"angry": "anger", "sadness": "sad"}
        layout = layout.replace(" set", "")
        folders = {layout.format(split=s, name=n): 2 for s in names for n in words}
        table = load_class_folders(write_folders(tmp_path, folders))
        assert counts_of(table) == {s: {"anger": 2, "sad": 2} for s in names.values()}

    def test_a_person_a_folder_below_the_class_or_above_it(self, tmp_path):
        folders = {f"{n}/{who}": 2 for n in ("happy", "sad") for who in ("anna", "boris")}
        below = list_class_folders(write_folders(tmp_path / "below", folders))
        folders = {f"{who}/{n}": 2 for n in ("happy", "sad") for who in ("anna", "boris")}
        above = list_class_folders(write_folders(tmp_path / "above", folders))
        for table in (below, above):
            assert table.table["emotion"].value_counts().to_dict() == {"happy": 4, "sad": 4}

    def test_a_class_with_a_single_image_stays_in_train(self, tmp_path, caplog):
        table = load_class_folders(write_folders(tmp_path, {"sad": 8, "fear": 8, "disgust": 1}))
        assert counts_of(table)["train"]["disgust"] == 1
        assert "disgust (1)" in caplog.text

    def test_shares_are_chosen(self, tmp_path):
        root = write_folders(tmp_path, {"sad": 20, "fear": 20})
        table = load_class_folders(root, valid=0.2, test=0)
        assert table.table["split"].value_counts().to_dict() == {"train": 32, "valid": 8}

    def test_tables_and_notes_beside_the_folders_are_left_alone(self, tmp_path):
        root = write_folders(tmp_path, dict.fromkeys(("Ahegao", "Angry", "Happy"), 4))
        (root / "data.csv").write_text(",path,label\n0,Surprise/0.jpg,Surprise\n")
        table = load_class_folders(root)
        assert table.emotions.names == ("Ahegao", "Angry", "Happy")
        assert len(table) == 12

    def test_every_kind_of_image_and_nothing_else(self, tmp_path):
        root = tmp_path / "set"
        for suffix in (".jpg", ".jpeg", ".png", ".bmp", ".webp"):
            write_image(root / f"sad/{suffix[1:]}{suffix}", made_image(len(suffix)))
        cv2.imwrite(str(root / "sad/scan.tiff"), made_image(9))
        (root / "sad/jpg.jpg").rename(root / "sad/camera.JPG")
        (root / "sad/notes.txt").write_text("left alone")
        (root / "sad/.hidden.png").write_bytes(b"")
        (root / ".cache").mkdir()
        (root / "licence.txt").write_text("left alone")
        table = list_class_folders(root)
        assert len(table) == 6 and set(table.table["split"]) == {""}

    def test_damaged_images_are_listed_and_split(self, tmp_path):
        root = write_folders(tmp_path, {"sad": 6})
        (root / "sad/7.png").write_bytes(b"damaged")
        table = load_class_folders(root)
        assert len(table) == 7 and "" not in set(table.table["split"])
        with pytest.raises(ValueError, match=r"7\.png"):
            table.image(6)


WRONG_FOLDERS = {
    "no class folders": ({}, r"class folders \(root/<emotion>.*There are none"),
    "no class folders in train": ({"train": 0}, "There are none"),
    "an empty class": ({"sad": 4, "fear": 0}, r"none in .*fear\. Add some or remove"),
    "one image a class": (
        {"sad": 1, "fear": 2},
        r"at least 3 different.*\{'fear': 2, 'sad': 1\}",
    ),
    "train is missing": ({"test/sad": 3, "val/sad": 3}, r"folder train .*\['test', 'val'\]"),
    "two of a split": (
        {"train/sad": 3, "val/sad": 3, "valid/sad": 3},
        r"each split once .*\['train', 'val', 'valid'\]",
    ),
    "classes beside splits": (
        {"train/sad": 3, "happy": 3},
        r"Received both: \['happy'\] beside \['train'\]",
    ),
    "a class that train lacks": (
        {"train/Sad": 3, "test/Sad": 3, "test/Ahegao": 3},
        r"classes that are in train \(\['Sad'\]\).*\['Ahegao'\]",
    ),
}


@pytest.mark.parametrize(("counts", "message"), WRONG_FOLDERS.values(), ids=WRONG_FOLDERS)
def test_wrong_folders_are_explained(tmp_path, counts, message):
    with pytest.raises(ValueError, match=message):
        load_class_folders(write_folders(tmp_path, counts))


def test_labels_outside_the_set_are_named(tmp_path):
    root = write_folders(tmp_path, {"sad": 3, "jaw": 3})
    with pytest.raises(ValueError, match=r"one of \['happy', 'sad'\].*Received: \['jaw'\]"):
        load_class_folders(root, emotions=("happy", "sad"))


def test_no_folder_or_a_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="Nothing is there"):
        load_class_folders(tmp_path / "absent")
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotADirectoryError, match="Received a file"):
        load_class_folders(tmp_path / "file")


class TestWriting:
    @pytest.fixture
    def faces(self, tmp_path):
        return ferplus_table(write_official(tmp_path / "ferplus", toy_faces()))

    def test_what_is_written_reads_back(self, tmp_path, faces):
        root = write_class_folders(faces, tmp_path / "out/faces")
        assert sorted(path.name for path in root.iterdir()) == [
            "manifest.csv",
            "test",
            "train",
            "val",
        ]
        manifest = pd.read_csv(root / "manifest.csv", keep_default_na=False)
        assert list(manifest) == ["file", "split", "emotion", "source"]
        assert sorted(manifest["source"]) == sorted(faces.table["name"])
        assert all((root / file).is_file() for file in manifest["file"])
        again = load_class_folders(root)
        assert counts_of(again) == counts_of(faces) and again.emotions == faces.emotions
        name = faces.table["name"].iloc[0]
        written = again.table["path"].str.endswith(name)
        row = int(np.flatnonzero(written)[0])
        np.testing.assert_array_equal(again.image(row), faces.image(0))
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["faces"]

    def test_a_subset_is_seeded(self, tmp_path, faces):
        def names(folder, seed):
            root = write_class_folders(faces, tmp_path / folder, per_class=2, seed=seed)
            return {path.relative_to(root).as_posix() for path in root.rglob("*.png")}

        first = names("a", 0)
        assert len(first) == 2 * 9 * 3
        assert first == names("b", 0) != names("c", 1)

    def test_without_splits_there_are_only_classes(self, tmp_path):
        root = write_folders(tmp_path / "in", {"sad": 3, "happy": 2}, ".jpg")
        write_image(root / "sad/1.bmp", made_image(99))
        out = write_class_folders(list_class_folders(root), tmp_path / "out")
        written = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.png"))
        assert written == [
            *("happy/1.png", "happy/2.png"),
            *("sad/1.png", "sad/1_2.png", "sad/2.png", "sad/3.png"),
        ]

    def test_a_folder_that_is_not_empty_is_refused(self, tmp_path, faces):
        (tmp_path / "out").mkdir()
        (tmp_path / "out/mine.txt").write_text("keep")
        with pytest.raises(FileExistsError, match="not empty"):
            write_class_folders(faces, tmp_path / "out")
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]

    def test_nothing_is_left_when_a_image_is_damaged(self, tmp_path):
        root = write_folders(tmp_path / "in", {"sad": 3})
        (root / "sad/2.png").write_bytes(b"damaged")
        with pytest.raises(ValueError, match=r"2\.png"):
            write_class_folders(list_class_folders(root), tmp_path / "out")
        assert [path.name for path in tmp_path.iterdir()] == ["in"]

    def test_nothing_is_left_when_the_disk_is_full(self, tmp_path, faces, monkeypatch):
        written = []

        def full_after_five(path, image):
            if len(written) == 5:
                raise OSError(28, "No space left on device")
            written.append(write_image(path, image))

        monkeypatch.setattr("builder_tools.datasets.class_folders.write_image", full_after_five)
        with pytest.raises(OSError, match="No space left"):
            write_class_folders(faces, tmp_path / "out")
        assert len(written) == 5 and [path.name for path in tmp_path.iterdir()] == ["ferplus"]

    def test_partly_split_or_empty_tables_are_refused(self, tmp_path, faces):
        faces.table.loc[0, "split"] = ""
        with pytest.raises(ValueError, match="all have a split, or none"):
            write_class_folders(faces, tmp_path / "out")
        with pytest.raises(ValueError, match="0 images"):
            write_class_folders(faces.rows(np.zeros(len(faces), bool)), tmp_path / "out")


@pytest.fixture
def competition(tmp_path) -> Path:
    """The Kaggle layout: seven images of each of three classes, five to be classified."""
    root = tmp_path / "competition"
    lines = [",image_path,emotion"]
    for folder in ("anger", "happy", "uncertain"):
        for number in range(7):
            write_image(root / f"train/{folder}/{number}.jpg", made_image(len(lines)))
            lines.append(f"{len(lines) - 1},./train/{folder}/{number}.jpg,{folder}")
    (root / "train.csv").write_text("\n".join(lines) + "\n")
    for number in (0, 1, 2, 10, 11):
        write_image(root / f"test_kaggle/{number}.jpg", made_image(100 + number))
    return root


class TestCompetition:
    def test_the_layout_is_read_and_split(self, competition):
        table = load_competition(competition)
        assert table.emotions == NINE_EMOTIONS and table.votes is None
        assert counts_of(table) == {
            "train": {"anger": 5, "happy": 5, "uncertain": 5},
            "valid": {"anger": 1, "happy": 1, "uncertain": 1},
            "test": {"anger": 1, "happy": 1, "uncertain": 1},
        }
        assert table.table["name"].iloc[0] == "train/anger/0.jpg"
        assert table.image(20).shape == (32, 40, 3)
        assert DATASETS["competition"](competition).table.equals(table.table)

    def test_the_test_images_come_in_the_order_of_the_sample(self, competition):
        names = [path.name for path in competition_test(competition)]
        assert names == ["0.jpg", "1.jpg", "2.jpg", "10.jpg", "11.jpg"]
        sample = competition / "sample_submission.csv"
        sample.write_text("image_path,emotion\n11.jpg,anger\n0.jpg,anger\n2.jpg,anger\n")
        found = competition_test(competition)
        assert [path.name for path in found] == ["11.jpg", "0.jpg", "2.jpg"]
        assert found[0] == competition / "test_kaggle/11.jpg"
        sample.write_text("image_path,emotion\n0.jpg,anger\n7.jpg,anger\n")
        with pytest.raises(FileNotFoundError, match=r"sample_submission\.csv.*row 3: '7\.jpg"):
            competition_test(competition)
        sample.write_text("image_path,emotion\n0.jpg,anger\n0.jpg,anger\n")
        with pytest.raises(ValueError, match=r"once.*row 3"):
            competition_test(competition)

    @pytest.mark.parametrize(
        ("old", "new", "error", "message"),
        [
            ("anger/3.jpg,anger", "anger/3.jpg,angry", ValueError, r"row 5: .*angry"),
            ("anger/3.jpg,anger", "anger/3.jpg,", ValueError, r"emotion of .*row 5"),
            ("anger/3.jpg", "anger/333.jpg", FileNotFoundError, r"is there.*row 5: .*333"),
            ("anger/3.jpg", "anger/2.jpg", ValueError, r"once.*row 5"),
            ("./train/anger/3.jpg", "../secret.jpg", ValueError, r"below it.*row 5"),
            ("./train/anger/3.jpg", "", ValueError, r"below it.*row 5"),
            ("3,./train/anger/3.jpg,anger\n", "\n", ValueError, r"row 5"),
            ("image_path", "path", ValueError, r"columns \['image_path', 'emotion'\] in .*train"),
            (",image_path,emotion", "image_path,emotion,n", ValueError, r"unnamed index"),
        ],
    )
    def test_a_wrong_row_is_named(self, competition, old, new, error, message):
        file = competition / "train.csv"
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new, 1))
        with pytest.raises(error, match=message):
            load_competition(competition)

    def test_many_wrong_rows_are_counted(self, competition):
        for path in (competition / "train/happy").iterdir():
            path.unlink()
        with pytest.raises(FileNotFoundError, match=r"row 9: .*row 13: .*; and 2 more\."):
            load_competition(competition)

    def test_missing_parts_are_named(self, competition):
        (competition / "train.csv").unlink()
        with pytest.raises(FileNotFoundError, match=r"Expected train\.csv .*data/README\.md"):
            load_competition(competition)
        (competition / "train.csv").write_text("")
        with pytest.raises(ValueError, match=r"train\.csv"):
            load_competition(competition)
        with pytest.raises(FileNotFoundError, match="absent"):
            competition_test(competition / "absent")


class TestRegistry:
    def test_a_folder_must_be_named(self):
        for name in ("folders", "competition"):
            with pytest.raises(ValueError, match=rf"data set '{name}' .*--source"):
                DATASETS[name](None)

    def test_every_loader_fills_the_splits(self, tmp_path, competition):
        sources = {
            "ferplus": write_official(tmp_path / "f", toy_faces()),
            "folders": write_folders(tmp_path / "c", {"sad": 5, "fear": 5}),
            "competition": competition,
        }
        assert set(sources) == set(DATASETS)
        for name, load in DATASETS.items():
            table = load(sources[name])
            assert set(table.table["split"]) == {"train", "valid", "test"}
            assert table.table["name"].is_unique
            expected = [table.emotions.names[label] for label in table.labels]
            assert table.table["emotion"].tolist() == expected
            assert table.resized(16)[:2].shape == (2, 16, 16, 3)


def test_measures_worked_by_hand(tmp_path):
    halves = np.zeros((10, 20, 3), np.uint8)
    halves[:, 10:] = 200
    write_image(tmp_path / "sad/1.png", halves)
    write_image(tmp_path / "fear/1.png", np.full((8, 4, 3), 50, np.uint8))
    write_image(tmp_path / "fear/2.png", np.full((8, 8, 3), 53, np.uint8))
    table = list_class_folders(tmp_path)
    measured = measure_images(table)
    assert measured.drop(columns="split").to_numpy().tolist() == [
        ["fear", 4, 8, 50, 0, 0],
        ["fear", 8, 8, 53, 0, 0],
        ["sad", 20, 10, 100, 100, 4000],  # 2 of 20 columns with a Laplacian of 200
    ]
    means = mean_images(table, 6)
    assert list(means) == ["fear", "sad"]
    assert means["fear"].shape == (6, 6, 3) and set(means["fear"].ravel()) == {52}
