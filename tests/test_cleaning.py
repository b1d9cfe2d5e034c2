"""Cleaning a folder of images, with a detector of known answers and with a real one."""

from __future__ import annotations

import csv
import itertools
import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from cleaning_folders import (
    PLAIN,
    class_folders,
    clean,
    files,
    folder_hash,
    made_image,
    mixed_folders,
    row_of,
)
from fakes import FakeDetector

from builder_tools.cleaning import CleaningConfig, clean_folder
from builder_tools.cleaning.config import POLICIES
from builder_tools.cleaning.manifest import COLUMNS
from builder_tools.media import read_image, write_image
from builder_tools.results import Box, Face


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    return mixed_folders(tmp_path / "raw")


def test_every_image_gets_a_status_and_a_row(mixed: Path, tmp_path: Path) -> None:
    before = folder_hash(mixed)
    report = clean(mixed, tmp_path / "out")
    assert report.counts == {
        "ok": 8,
        "unreadable": 2,
        "no_face": 1,
        "multi_face": 1,
        "too_small": 0,
        "blurred": 0,
        "duplicate": 1,
    }
    assert (report.num_kept, report.num_dropped) == (8, 5)
    assert list(report.manifest) == list(COLUMNS)
    assert folder_hash(mixed) == before
    kept = {f"{emotion}/{index}.png" for emotion in ("happy", "sad") for index in range(4)}
    assert set(files(report.out)) == {*kept, "manifest.csv", "cleaning.json"}


def test_rows_tell_what_was_found(mixed: Path, tmp_path: Path) -> None:
    report = clean(mixed, tmp_path / "out")
    good = row_of(report, "happy/0.png")
    assert (good.status, good.kept, good.reason, good.out_path) == ("ok", True, "", "happy/0.png")
    assert (good.x1, good.y1, good.x2, good.y2) == (8, 8, 24, 24)
    assert (good.num_faces, good.detection_score, good.face_px) == (1, 0.9, 16)
    two = row_of(report, "happy/two.png")
    assert (two.status, two.num_faces, two.out_path) == ("multi_face", 2, "")
    assert two.reason == "2 faces found"
    assert two.face_px == 20  # of the largest
    copy = row_of(report, "sad/9 copy.png")
    assert (copy.status, copy.duplicate_of) == ("duplicate", "sad/0.png")
    assert "empty file" in row_of(report, "sad/empty.jpg").error
    assert np.isnan(row_of(report, "sad/empty.jpg").sharpness)


def test_manifest_on_disk_is_the_report(mixed: Path, tmp_path: Path) -> None:
    report = clean(mixed, tmp_path / "out")
    with open(report.out / "manifest.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["image_path"] for row in rows] == report.manifest["image_path"].tolist()
    assert rows[0]["kept"] == "True"
    record = json.loads((report.out / "cleaning.json").read_text())
    assert record["kept"] == 8 and record["config"]["multi_face"] == "drop"


def test_crop_is_the_square_of_the_detector(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "raw")
    report = clean(root, tmp_path / "out", replace(PLAIN, margin=1.5, shift_y=-0.25))
    raw = read_image(root / "happy" / "1.png")
    # Box 8...24: side 24, centre 16 moved up by 4.
    np.testing.assert_array_equal(read_image(report.out / "happy" / "1.png"), raw[0:24, 4:28])


def test_written_size_and_format(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "raw")
    report = clean(root, tmp_path / "out", replace(PLAIN, size_px=48, format="jpg"))
    assert report.manifest["out_path"].iloc[0] == "happy/0.jpg"
    assert read_image(report.out / "happy" / "0.jpg").shape == (48, 48, 3)


@pytest.mark.parametrize(
    ("change", "name", "kept", "shape"),
    [
        ({"no_face": "keep"}, "happy/none.png", True, (64, 64, 3)),
        ({"multi_face": "largest"}, "happy/two.png", True, (20, 20, 3)),
        ({"min_face_px": 17}, "happy/0.png", False, None),
        ({"min_face_px": 16}, "happy/0.png", True, (16, 16, 3)),
        ({"min_face_px": 17, "too_small": "keep"}, "happy/0.png", True, (16, 16, 3)),
        ({"min_sharpness": 1e6}, "happy/0.png", False, None),
        ({"min_sharpness": 1e6, "blurred": "keep"}, "happy/0.png", True, (16, 16, 3)),
        ({"duplicates": "keep"}, "sad/9 copy.png", True, (16, 16, 3)),
    ],
)
def test_policies(change: dict, name: str, kept: bool, shape, mixed: Path, tmp_path: Path) -> None:
    report = clean(mixed, tmp_path / "out", replace(PLAIN, **change))
    row = row_of(report, name)
    assert row.kept == kept
    if kept:
        assert read_image(report.out / row.out_path).shape == shape


def test_what_is_kept_in_spite_of_a_fault_keeps_its_status(mixed: Path, tmp_path: Path) -> None:
    config = replace(PLAIN, no_face="keep", multi_face="largest", duplicates="keep")
    report = clean(mixed, tmp_path / "out", config)
    assert report.counts["no_face"] == report.counts["multi_face"] == 1
    assert report.counts["duplicate"] == 1
    assert report.num_dropped == 2  # the unreadable ones


def test_reason_names_every_fault_and_the_dropping_one_decides(mixed: Path, tmp_path: Path) -> None:
    report = clean(mixed, tmp_path / "out", replace(PLAIN, multi_face="largest", min_face_px=30))
    row = row_of(report, "happy/two.png")
    assert row.status == "too_small"
    assert row.reason == "the face is 20 px large, under 30; 2 faces found; the largest counts"


def _splits(root: Path) -> Path:
    """One photo in train and test, one in train and val, one under two emotions in train."""
    for index, split in enumerate(("train", "val", "test")):
        for label, emotion in enumerate(("happy", "sad")):
            for number in range(2):
                image = made_image(1, 100 * index + 10 * label + number)
                write_image(root / split / emotion / f"{number}.png", image)
    shutil.copy(root / "test/happy/0.png", root / "train/happy/leak.png")
    shutil.copy(root / "test/sad/0.png", root / "test/sad/again.png")
    shutil.copy(root / "val/happy/0.png", root / "train/happy/leak2.png")
    shutil.copy(root / "train/happy/0.png", root / "train/sad/conflict.png")
    shutil.copy(root / "test/happy/1.png", root / "test/sad/conflict.png")
    return root


def test_duplicates_across_splits_and_emotions(tmp_path: Path) -> None:
    report = clean(_splits(tmp_path / "raw"), tmp_path / "out")
    flagged = report.with_status("duplicate").set_index("image_path")
    assert flagged["kept"].to_dict() == {
        "train/happy/leak.png": False,
        "train/happy/leak2.png": False,
        "train/happy/0.png": True,
        "train/sad/conflict.png": True,
        "test/sad/again.png": True,
        "test/happy/1.png": True,
        "test/sad/conflict.png": True,
    }
    leak, conflict = flagged.loc["train/happy/leak.png"], flagged.loc["train/happy/0.png"]
    assert leak.reason == "the same photo stands in test: test/happy/0.png"
    assert conflict.reason == "the same photo is sad in train/sad/conflict.png"
    assert report.num_dropped == 2
    assert (report.out / "val" / "happy" / "0.png").is_file()


def test_duplicates_are_kept_where_asked(tmp_path: Path) -> None:
    config = replace(PLAIN, leaks="keep", conflicts="keep", duplicates="keep")
    report = clean(_splits(tmp_path / "raw"), tmp_path / "out", config)
    assert (report.counts["duplicate"], report.num_dropped) == (7, 0)


def test_second_copy_stays_where_the_first_is_dropped_for_a_fault(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "raw")
    worse = read_image(root / "sad" / "3.png")
    worse[0, 0] = 2  # two faces for the detector, the same photo for the eye
    write_image(root / "sad" / "0.png", worse)
    report = clean(root, tmp_path / "out")
    assert row_of(report, "sad/0.png").status == "multi_face"
    assert row_of(report, "sad/3.png").status == "ok"


def test_flat_folder(tmp_path: Path) -> None:
    for index in range(3):
        write_image(tmp_path / "raw" / f"{index}.png", made_image(1, index))
    report = clean(tmp_path / "raw", tmp_path / "out")
    assert report.manifest["out_path"].tolist() == ["0.png", "1.png", "2.png"]
    assert (report.manifest["emotion"] == "").all()


def test_competition_becomes_class_folders(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "raw" / "train").parent
    lines = [",image_path,emotion"]
    for number, path in enumerate(sorted((root / "train").rglob("*.png"))):
        lines.append(f"{number},./{path.relative_to(root).as_posix()},{path.parent.name}")
    (root / "train.csv").write_text("\n".join(lines) + "\n")
    report = clean(root, tmp_path / "out")
    assert report.num_kept == 8
    assert set(report.manifest["emotion"]) == {"happy", "sad"}
    assert sorted(files(report.out))[:2] == ["cleaning.json", "happy/0.png"]
    assert report.manifest["image_path"].iloc[0] == "train/happy/0.png"


def test_names_that_become_equal_get_a_number(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "raw")
    write_image(root / "happy" / "0.bmp", made_image(1, 900))
    write_image(root / "happy" / "größe 1.PNG", made_image(1, 901))
    report = clean(root, tmp_path / "out")
    names = set(report.manifest["out_path"])
    assert {"happy/0.png", "happy/0_2.png", "happy/größe 1.png"} <= names
    assert len(names) == len(report.manifest) == report.num_kept


def test_already_cropped_images_are_copied_byte_for_byte(mixed: Path, tmp_path: Path) -> None:
    config = CleaningConfig.already_cropped(surround=False)
    report = clean(mixed, tmp_path / "out", config)
    assert (report.num_kept, report.counts["no_face"], report.counts["multi_face"]) == (10, 1, 1)
    for name in report.manifest["out_path"][report.manifest["kept"]]:
        assert (report.out / name).read_bytes() == (mixed / name).read_bytes()


def test_two_workers_write_the_same(mixed: Path, tmp_path: Path) -> None:
    one = clean(mixed, tmp_path / "one")
    two = clean(mixed, tmp_path / "two", workers=2)
    assert files(one.out) == files(two.out)


class _BreaksOn(FakeDetector):
    """Raises an error at one image."""

    def __init__(self, call: int, error: BaseException) -> None:
        super().__init__()
        self._call, self._error, self._calls = call, error, itertools.count(1)

    def detect(self, image_rgb: np.ndarray) -> list[Face]:
        if next(self._calls) == self._call:
            raise self._error
        return super().detect(image_rgb)


def test_the_row_of_an_image_that_is_cut_short_says_so(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "raw")
    image = root / "happy" / "2.png"
    image.write_bytes(image.read_bytes()[:-60])
    row = row_of(clean(root, tmp_path / "out"), "happy/2.png")
    assert (row.status, row.kept) == ("ok", True)
    assert row.reason.startswith("it is cut short or damaged; about ")


def test_image_at_which_the_detector_fails_stops_nothing(tmp_path: Path, caplog) -> None:
    root, detector = class_folders(tmp_path / "raw"), _BreaksOn(3, RuntimeError("no memory"))
    report = clean(root, tmp_path / "out", detector=detector)
    assert report.num_kept == 7
    row = row_of(report, "happy/2.png")
    assert (row.status, row.error) == ("unreadable", "the detector failed: no memory")
    clean(root, tmp_path / "out", detector=detector)
    assert "by now" not in caplog.text, "it could be read all along"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        *(({name: "maybe"}, f"Expected {name} to be one of") for name in POLICIES),
        ({"crop": "some"}, "Expected crop"),
        ({"format": "gif"}, "Expected format"),
        ({"min_face_px": -1}, "min_face_px >= 0"),
        ({"min_sharpness": -0.1}, "min_sharpness >= 0"),
        ({"margin": 0.1}, r"margin in \[0.5, 4\]"),
        ({"shift_y": 2}, "shift_y in"),
        ({"size_px": 0}, "size_px in"),
        ({"size_px": float("nan")}, "size_px of CleaningConfig to be a whole number"),
        ({"crop": "whole", "align_eyes": True}, "align_eyes"),
    ],
)
def test_wrong_settings(change: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        CleaningConfig(**change)


def test_wrong_places_and_nothing_written(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "raw")
    (tmp_path / "file").write_text("a file")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    (tmp_path / "nothing").mkdir()
    before = files(tmp_path)
    wrong = [
        (root, root, {}, ValueError, "apart from the source"),
        (root, root / "out", {}, ValueError, "apart from the source"),
        (root, tmp_path / "file", {}, NotADirectoryError, "Received a file"),
        (root, tmp_path / "mine", {}, FileExistsError, "thesis.txt"),
        (tmp_path / "absent", tmp_path / "out", {}, FileNotFoundError, "absent"),
        (tmp_path / "nothing", tmp_path / "out", {}, (ValueError, OSError), "nothing"),
        (root, tmp_path / "out", {"detector": "eagle"}, ValueError, "'eagle'"),
        (root, tmp_path / "out", {"workers": 0}, ValueError, "workers >= 1"),
    ]
    for source, out, more, error, words in wrong:
        with pytest.raises(error, match=words):
            clean(source, out, **more)
    assert files(tmp_path) == before
    assert not (tmp_path / "out").exists()


def test_images_beside_class_folders_are_refused(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "raw")
    write_image(root / "stray.png", made_image(1, 5))
    with pytest.raises(ValueError, match=r"stray\.png"):
        clean(root, tmp_path / "out")


@pytest.mark.parametrize("deep", ["train/happy", "2024/summer/july"])
def test_images_in_deeper_folders_are_not_left_out(deep: str, tmp_path: Path) -> None:
    """One image beside the folders, and no other was cleaned, without a word."""
    write_image(tmp_path / "raw" / "cover.png", made_image(1, 1))
    write_image(tmp_path / "raw" / deep / "0.png", made_image(1, 2))
    with pytest.raises(ValueError, match=rf"both: 1 such as cover\.png, and 1 such as {deep}/0"):
        clean(tmp_path / "raw", tmp_path / "out")


def test_links_that_lead_back_to_a_flat_folder_are_not_others(tmp_path: Path) -> None:
    write_image(tmp_path / "raw" / "0.png", made_image(1, 1))
    (tmp_path / "raw" / "again").symlink_to(".", target_is_directory=True)
    assert len(clean(tmp_path / "raw", tmp_path / "out").manifest) == 1


def test_real_detector_on_real_images(tmp_path: Path, astronaut: np.ndarray) -> None:
    root = tmp_path / "raw"
    write_image(root / "happy" / "portrait.jpg", astronaut)
    write_image(root / "happy" / "pair.jpg", np.hstack([astronaut, astronaut[:, ::-1]]))
    write_image(root / "happy" / "ground.jpg", astronaut[300:, :200])
    blurred = cv2.GaussianBlur(astronaut[::-1][::-1, ::-1], (0, 0), 3)
    write_image(root / "happy" / "blurred.jpg", blurred)
    write_image(root / "sad" / "far.jpg", cv2.resize(astronaut[:, ::-1], (140, 140)))
    config = CleaningConfig(size_px=64, min_face_px=40, min_sharpness=100, align_eyes=True)
    report = clean_folder(root, tmp_path / "out", config=config, workers=2, max_dropped=1)
    found = report.manifest.set_index("image_path")["status"].to_dict()
    assert found == {
        "happy/blurred.jpg": "blurred",
        "happy/ground.jpg": "no_face",
        "happy/pair.jpg": "multi_face",
        "happy/portrait.jpg": "ok",
        "sad/far.jpg": "too_small",
    }
    assert files(report.out).keys() == {"manifest.csv", "cleaning.json", "happy/portrait.png"}
    portrait = row_of(report, "happy/portrait.jpg")
    assert Box(170, 60, 270, 170).iou(Box(*portrait[["x1", "y1", "x2", "y2"]])) > 0.5
    assert abs(portrait.roll_deg) < 15


def test_photos_are_cleaned(media_dir: Path, tmp_path: Path) -> None:
    for kind in ("single", "noface", "group"):
        folder = tmp_path / "raw" / kind
        folder.mkdir(parents=True)
        for photo in sorted((media_dir / "photos" / kind).glob("*.jpg"))[:4]:
            shutil.copy(photo, folder)
    config = CleaningConfig(duplicates="keep", conflicts="keep")
    raw, out = tmp_path / "raw", tmp_path / "out"
    manifest = clean_folder(raw, out, config=config, max_dropped=1).manifest
    shares = pd.crosstab(manifest["emotion"], manifest["status"], normalize="index")
    assert shares.loc["noface", "no_face"] == 1
    assert shares.loc["group", "multi_face"] >= 0.75
