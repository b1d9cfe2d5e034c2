"""Class folders that are read: layouts, names of classes, splits, and every wrong input."""

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_folders import counts_of, made_image, write_folders

from builder_tools.datasets.class_folders import list_class_folders, load_class_folders
from builder_tools.emotions import NINE_EMOTIONS, EmotionSet
from builder_tools.media import read_image, write_image


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
            "{split}_images/{name}",
            "{split} set/{split}/{name}",
            "data-{split}/{name}",
        ],
    )
    def test_levels_above_between_and_below_are_seen_through(self, tmp_path, layout):
        names = {"Training": "train", "PublicTest": "valid", "Private_Test": "test"}
        words = {"angry": "anger", "sadness": "sad"}
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

    @pytest.mark.parametrize("loop", ["sad/up", "train/sad/up", "sad/person 1/up"])
    def test_links_that_lead_back_up_are_not_followed(self, tmp_path, loop):
        """All images were read 40 times over, as of the class of the folder with the link."""
        with_link, *_ = Path(loop).parents
        other = with_link.as_posix().replace("sad", "fear")
        root = write_folders(tmp_path, {with_link.as_posix(): 3, other: 2})
        (root / loop).symlink_to(root, target_is_directory=True)
        assert list_class_folders(root).table["emotion"].value_counts().to_dict() == {
            "sad": 3,
            "fear": 2,
        }

    def test_images_in_no_class_folder_are_told(self, tmp_path, caplog):
        root = write_folders(tmp_path / "set", {"train/sad": 2, "test/sad": 1})
        (root / "train" / "alias").symlink_to("sad", target_is_directory=True)
        list_class_folders(root, classes={"alias": "sad"})
        assert "left out" not in caplog.text
        for stray in ("cover.png", "train/7.png"):
            write_image(root / stray, made_image(9))
        assert len(list_class_folders(root, classes={"alias": "sad"})) == 5
        assert "2 images are in no class folder and left out, such as 'cover.png'" in caplog.text

    def test_links_to_other_folders_are_followed(self, tmp_path):
        root = write_folders(tmp_path / "set", {"train/sad": 3, "train/fear": 2})
        write_folders(tmp_path / "elsewhere", {"sad": 1})
        (root / "test").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
        (root / "val").symlink_to("test", target_is_directory=True)
        splits = list_class_folders(root).table["split"].value_counts().to_dict()
        assert splits == {"train": 5, "valid": 1, "test": 1}


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
