"""Images made from others are never split from them, whatever became of their folder."""

import logging
import shutil

import pandas as pd
import pytest

pytest.importorskip("imblearn")

from made_folders import made_image, write_folders

from builder_tools.balancing import FaceSMOTE
from builder_tools.cleaning import CleaningConfig, clean_folder
from builder_tools.datasets.class_folders import write_class_folders
from builder_tools.datasets.labelled import list_labelled, load_labelled
from builder_tools.datasets.made_images import origins_of
from builder_tools.datasets.table import ResizedImages
from builder_tools.media import write_image
from builder_tools.results import Box, Face

REFUSED = r"Expected no images made from others .*Received: \d+ of \d+.*Split first"


class WholeFace:
    """Finds one face in every image."""

    crop_scale, crop_shift_y = 1.0, 0.0

    def detect(self, image_rgb):
        height, width = image_rgb.shape[:2]
        return [Face(Box(width / 4, height / 4, width * 3 / 4, height * 3 / 4), 0.9)]

    def close(self):
        pass


def balance(source, out):
    return FaceSMOTE(source, out, modify_coef=1.0, train_part=0.0).run()


def clean(source, out):
    config = CleaningConfig.already_cropped()
    clean_folder(source, out, detector=WholeFace(), config=config, workers=1, max_dropped=1)
    return out


@pytest.fixture(scope="module")
def balanced(tmp_path_factory):
    root = tmp_path_factory.mktemp("made")
    write_folders(root / "raw", {"anger": 5, "happy": 12})
    balance(root / "raw", root / "above" / "faces")
    return root / "above" / "faces"


def nothing(balanced, tmp_path):
    return balanced


def above(balanced, tmp_path):
    return balanced.parent


def zipped_with_a_top_folder(balanced, tmp_path):
    return shutil.make_archive(str(tmp_path / "packed"), "zip", balanced.parent)


def cleaned(balanced, tmp_path):
    return clean(balanced, tmp_path / "cleaned")


def cleaned_twice(balanced, tmp_path):
    return clean(clean(balanced, tmp_path / "cleaned"), tmp_path / "again")


def balanced_again(balanced, tmp_path):
    balance(balanced, tmp_path / "again")
    return tmp_path / "again"


def written_again(balanced, tmp_path):
    return write_class_folders(list_labelled(balanced), tmp_path / "written")


def linked_class_folders(balanced, tmp_path):
    for name in ("anger", "happy"):
        (tmp_path / name).symlink_to(balanced / name, target_is_directory=True)
    return tmp_path


def renamed_class_folder(balanced, tmp_path):
    shutil.copytree(balanced, tmp_path / "copy")
    (tmp_path / "copy" / "anger").rename(tmp_path / "copy" / "sad")
    return tmp_path / "copy"


def manifest_edited_in_a_spreadsheet(balanced, tmp_path):
    shutil.copytree(balanced, tmp_path / "copy")
    manifest = tmp_path / "copy" / "manifest.csv"
    manifest.write_text(manifest.read_text().replace(",", ";"), encoding="utf-16")
    return tmp_path / "copy"


@pytest.mark.parametrize(
    "way",
    [
        nothing, above, zipped_with_a_top_folder, cleaned, cleaned_twice, balanced_again,
        written_again, linked_class_folders, renamed_class_folder,
        manifest_edited_in_a_spreadsheet,
    ],
)  # fmt: skip
def test_made_images_are_not_split(way, balanced, tmp_path):
    with pytest.raises(ValueError, match=REFUSED):
        load_labelled(way(balanced, tmp_path))


def test_they_are_refused_before_images_are_read(balanced, monkeypatch):
    def read(images, rows):
        pytest.fail("images were read")

    monkeypatch.setattr(ResizedImages, "__getitem__", read)
    with pytest.raises(ValueError, match=REFUSED):
        load_labelled(balanced)


@pytest.fixture
def balanced_train(tmp_path):
    """A set with splits of its own, balanced: only train holds made images."""
    sizes = {"train/anger": 4, "train/happy": 8, "val/anger": 3, "val/happy": 3}
    write_folders(tmp_path / "raw", sizes | {"test/anger": 3, "test/happy": 3})
    balance(tmp_path / "raw", tmp_path / "balanced")
    return tmp_path / "balanced"


def test_no_part_of_train_is_split_by_a_manifest_or_alone(balanced_train):
    manifest = balanced_train / "manifest.csv"
    rows = pd.read_csv(manifest, keep_default_na=False)
    only_train = balanced_train / "train.csv"
    rows[rows["split"] == "train"].to_csv(only_train, index=False)
    for source in (only_train, balanced_train / "train"):
        with pytest.raises(ValueError, match=REFUSED):
            load_labelled(source)


def test_splits_that_are_there_are_read(balanced_train):
    whole = load_labelled(balanced_train).table
    assert whole["split"].value_counts().to_dict() == {"train": 16, "valid": 6, "test": 6}
    assert len(load_labelled(balanced_train / "manifest.csv")) == 28
    shutil.rmtree(balanced_train / "test")
    assert len(load_labelled(balanced_train, test=0)) == 22
    with pytest.raises(ValueError, match=REFUSED):
        load_labelled(balanced_train)


def test_originals_alone_and_images_of_other_folders_are_split(balanced_train, tmp_path, caplog):
    caplog.set_level(logging.ERROR)
    assert set(load_labelled(balanced_train / "val").table["split"]) == {"train", "valid", "test"}
    (tmp_path / "raw" / "manifest.csv").write_text("origin\nwhoever\n")
    for number in range(3):
        write_image(tmp_path / "other" / "happy" / f"{number}.png", made_image(900 + number))
    (tmp_path / "other" / "manifest.csv").write_text("file,origin\nhappy/0.png,original\n")
    assert len(load_labelled(tmp_path / "other")) == 3
    assert len(load_labelled(tmp_path / "raw" / "train")) == 12


def test_a_second_balancing_tells_what_the_first_made(balanced, tmp_path):
    first = pd.read_csv(balanced / "manifest.csv", keep_default_na=False)
    second = balance(balanced, tmp_path / "again")
    facts = ["file", "origin", "parent", "neighbour", "weight"]
    made = first["origin"] == "interpolated"
    assert made.sum() == 7
    again = second.loc[second["origin"] != "original", facts]
    assert sorted(again.to_numpy().tolist()) == sorted(first.loc[made, facts].to_numpy().tolist())


def test_cleaning_and_writing_tell_what_was_made_of_what(balanced, tmp_path):
    first = pd.read_csv(balanced / "manifest.csv", keep_default_na=False, dtype=str)
    told = first.set_index("file")[["origin", "parent", "neighbour", "weight"]]
    cleaned = pd.read_csv(
        clean(balanced, tmp_path / "cleaned") / "manifest.csv", keep_default_na=False, dtype=str
    )
    assert cleaned.set_index("image_path")[list(told)].sort_index().equals(told.sort_index())
    out = write_class_folders(list_labelled(balanced), tmp_path / "written")
    written = pd.read_csv(out / "manifest.csv", keep_default_na=False, dtype=str)
    assert written.set_index("source")[list(told)].sort_index().equals(told.sort_index())
    assert "origin" not in clean_folder(
        balanced.parent.parent / "raw", tmp_path / "plain", detector=WholeFace(), workers=1,
        config=CleaningConfig.already_cropped(),
    ).manifest  # fmt: skip


def test_images_in_memory_and_elsewhere_have_no_origin(balanced, tmp_path, monkeypatch):
    monkeypatch.chdir(balanced)
    assert origins_of(["", str(tmp_path / "a.png")])["origin"].tolist() == ["", ""]
    found = origins_of(["happy/1.png", f"{balanced}/../faces/happy/1.png", "happy/new.png"])
    assert found["origin"].tolist() == ["original", "original", "unknown"]
