"""Near-duplicates: copies of a photograph are found, whatever was done to them; others are not."""

import csv
import logging
import zipfile

import cv2
import numpy as np
import pandas as pd
import pytest
from made_faces import with_other_mouth

from builder_tools.datasets.duplicates import (
    duplicate_groups,
    duplicate_pairs,
    duplicates_across_classes,
    duplicates_across_splits,
)
from builder_tools.datasets.ferplus import ferplus_table
from builder_tools.datasets.table import ImageTable, table_of_files
from builder_tools.emotions import NINE_EMOTIONS
from builder_tools.media import write_image


def in_memory(images, emotions=None, splits="train") -> ImageTable:
    emotions = emotions or ["happy"] * len(images)
    table = pd.DataFrame(
        {
            "name": [f"{number}.png" for number in range(len(images))],
            "path": "",
            "index": np.arange(len(images)),
            "label": [NINE_EMOTIONS.label(name) for name in emotions],
            "emotion": emotions,
            "split": splits,
        }
    )
    return ImageTable(table, NINE_EMOTIONS, np.stack(images))


def recompressed(image):
    coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 30])[1]
    return cv2.imdecode(coded, cv2.IMREAD_COLOR)


CHANGES = {
    "brighter": lambda image: cv2.convertScaleAbs(image, alpha=0.8, beta=40),
    "small and large again": lambda image: cv2.resize(cv2.resize(image, (40, 40)), (160, 160)),
    "recompressed": recompressed,
    "cut closer": lambda image: cv2.resize(image[3:157, 3:157], (160, 160)),
    "shifted": lambda image: np.roll(image, 2, axis=1),
    "grey": lambda image: cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB),
}


@pytest.fixture(scope="module")
def face(astronaut):
    return cv2.resize(astronaut[0:200, 125:325], (160, 160), interpolation=cv2.INTER_AREA)


@pytest.fixture(scope="module")
def others(astronaut):
    """Other cuts of the photograph: suit, flag, shuttle."""
    places = [(180, 100), (0, 320), (300, 300), (330, 20)]
    return [
        cv2.resize(astronaut[top : top + 170, left : left + 170], (160, 160))
        for top, left in places
    ]


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_changed_copy_is_found_among_others(face, others, change):
    groups = duplicate_groups(in_memory([others[0], face, others[1], change(face), *others[2:]]))
    assert groups.tolist() == [0, 1, 2, 1, 3, 4]


@pytest.mark.parametrize("side", [96, 160, 320])
def test_expressions_before_a_fixed_camera_are_no_copies(face, side):
    """Four mouths in one image: everything else is equal, so the whole correlates above 0.99."""
    portrait = cv2.resize(face, (side, side))
    shots = [with_other_mouth(portrait, shift * side / 160) for shift in (-12, -6, 0, 10)]
    small = [cv2.resize(shot, (48, 48), interpolation=cv2.INTER_AREA).ravel() for shot in shots]
    assert np.corrcoef(small).min() > 0.99
    copies = [change(shots[3]) for change in CHANGES.values() if side == 160]
    groups = duplicate_groups(in_memory([*shots, *copies]))
    assert groups.tolist() == [0, 1, 2, 3, *[3] * len(copies)]


@pytest.mark.slow
def test_posed_portraits_before_one_background_are_no_copies(data_dir, tmp_path):
    packed = data_dir / "posed_dev.zip"
    if not packed.is_file():
        pytest.skip(f"shared data absent: no {packed.name} in {data_dir}")
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(tmp_path)
    paths = sorted(tmp_path.glob("*/*.tiff"))
    table = table_of_files([p.name for p in paths], paths, ["happy"] * len(paths), NINE_EMOTIONS)
    assert len(paths) == 213
    assert len(set(duplicate_groups(table))) >= 212


def test_pairs_say_how_alike_they_are(face, others):
    pairs = duplicate_pairs(in_memory([face, others[0], face, recompressed(face), face]))
    assert pairs[["first", "second"]].to_numpy().tolist() == [[0, 2], [0, 3], [0, 4]]
    assert pairs["distance_bits"].tolist()[::2] == [0, 0]
    assert pairs["correlation"].tolist()[::2] == [1, 1] and 0.92 <= pairs["correlation"][1] < 1
    assert pairs["difference"].tolist()[::2] == [0, 0] and 0 < pairs["difference"][1] <= 0.06


def test_groups_reach_over_an_image_between(face):
    """A fade: neighbours are alike, its ends are not."""
    end = face[::-1]
    fade = [np.rint((1 - t) * face + t * end).astype(np.uint8) for t in np.linspace(0, 1, 13)]
    table = in_memory(fade)
    options = {"max_distance_bits": 30, "min_correlation": 0.95, "max_difference": 9}
    pairs = set(map(tuple, duplicate_pairs(table, **options)[["first", "second"]].to_numpy()))
    assert (0, 12) not in pairs
    assert len(set(duplicate_groups(table, **options))) < 13 - len(fade) // 2


def test_thresholds_can_be_chosen(face):
    table = in_memory([face, recompressed(face), face[::-1]])
    assert duplicate_groups(table, min_correlation=0.9999).tolist() == [0, 1, 2]
    assert duplicate_groups(table, max_difference=0.001).tolist() == [0, 1, 2]
    anything = {"max_distance_bits": 63, "min_correlation": -1, "max_difference": 99}
    assert len(duplicate_pairs(table, **anything)) == 3


def test_blank_images_are_twins_and_disturb_nobody(face):
    blank = [np.full_like(face, grey) for grey in (0, 128, 255)]
    assert duplicate_groups(in_memory([blank[0], face, *blank[1:]])).tolist() == [0, 1, 0, 0]


def test_files_that_cannot_be_read_stand_alone(tmp_path, face, caplog):
    paths = [tmp_path / name for name in ("a.png", "b.png", "c.jpg", "d.jpg")]
    write_image(paths[0], face)
    paths[1].write_bytes(b"no image")
    write_image(paths[2], face)
    table = table_of_files([p.name for p in paths], paths, ["happy"] * 4, NINE_EMOTIONS)
    with caplog.at_level(logging.WARNING):
        assert duplicate_groups(table).tolist() == [0, 1, 0, 2]
    assert "2 images cannot be read" in caplog.text


@pytest.mark.parametrize("number", [0, 1])
def test_tables_of_none_or_one(face, number):
    table = in_memory([face, face]).rows(np.arange(2) < number)
    assert duplicate_groups(table).tolist() == list(range(number))
    assert duplicate_pairs(table).empty


def test_groups_over_classes_and_splits_are_listed():
    images = list(np.zeros((5, 8, 8), np.uint8))
    emotions = ["happy", "sad", "sad", "fear", "happy"]
    table = in_memory(images, emotions, ["train", "train", "test", "test", "valid"])
    groups = np.array([0, 1, 1, 2, 0])
    across = duplicates_across_splits(table, groups)
    assert across.to_dict("list") == {
        "group": [0, 1],
        "images": [2, 2],
        "emotions": ["happy|happy", "sad|sad"],
        "splits": ["train|valid", "train|test"],
        "names": ["0.png|4.png", "1.png|2.png"],
    }
    assert duplicates_across_classes(table, groups).empty
    conflict = duplicates_across_classes(table, np.array([0, 0, 1, 2, 3]))
    assert conflict[["emotions", "names"]].to_numpy().tolist() == [["happy|sad", "0.png|1.png"]]


@pytest.mark.slow
def test_every_known_twin_of_the_real_data_is_found(data_dir):
    listed = data_dir / "ferplus_cross_split_duplicates.csv"
    if not listed.is_file():
        pytest.skip(f"shared data absent: no {listed.name} in {data_dir}")
    faces = ferplus_table(data_dir / "ferplus.zip")
    group_of = dict(zip(faces.table["name"], duplicate_groups(faces), strict=True))
    with listed.open(newline="") as file:
        twins = [
            (row["image"], twin)
            for row in csv.DictReader(file)
            for twin in row["train_twins"].split("|")
        ]
    assert len({name for name, _ in twins}) == 288 + 279
    assert [pair for pair in twins if group_of[pair[0]] != group_of[pair[1]]] == []
    assert max(np.bincount(list(group_of.values()))) < 40, "groups do not run into one another"
