"""Balancing class folders: what is written, what is left alone, what happens when it fails."""

import errno
import os
import tracemalloc

import cv2
import numpy as np
import pandas as pd
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
pytest.importorskip("imblearn")
pytest.importorskip("keras")

from builder_tools.balancing import FaceSMOTE, folders, making
from builder_tools.cli import main
from builder_tools.datasets.class_folders import list_class_folders
from builder_tools.media import read_image
from builder_tools.results import Box, Face

pytestmark = pytest.mark.slow


def darker(images, training=False):
    return images - 1.0


def write_faces(root, sizes, *, side=8, colour=True, suffix=".png"):
    """Writes noise as class folders; a class may be given as `train/sad`."""
    rng = np.random.default_rng(0)
    for name, count in sizes.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            shape = (side, side, 3) if colour else (side, side)
            image = rng.integers(0, 256, shape, dtype=np.uint8)
            cv2.imwrite(str(root / name / f"{number}{suffix}"), image)
    return root


def files(root):
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*.*")}


def smote(source, out, value=6, **options):
    return FaceSMOTE(source, out, value, **{"gen_model": darker, "train_part": 0.25, **options})


@pytest.fixture
def source(tmp_path):
    return write_faces(tmp_path / "faces", {"happy": 9, "sad": 4})


def test_a_folder_is_balanced_and_the_source_left_alone(source, tmp_path):
    before, out = files(source), tmp_path / "new" / "out"
    manifest = smote(source, out).run()
    assert files(source) == before
    found = files(out)
    assert found.pop("manifest.csv")
    assert set(found) == set(manifest["file"]) and len(found) == 12
    counts = manifest.groupby(["emotion", "origin"]).size().to_dict()
    assert counts == {
        ("happy", "original"): 6,
        ("sad", "augmented"): 1,
        ("sad", "interpolated"): 1,
        ("sad", "original"): 4,
    }
    for row in manifest[manifest["origin"] == "original"].itertuples():
        assert row.file == row.parent and found[row.file] == before[row.parent]
    assert sorted(os.listdir(out.parent)) == ["out"], "nothing is left of the temporary folder"


def test_made_images_are_what_the_manifest_says(source, tmp_path):
    smote(source, tmp_path / "out", 20).run()
    manifest = pd.read_csv(tmp_path / "out" / "manifest.csv", keep_default_na=False)
    parents = set()
    for row in manifest[manifest["origin"] != "original"].itertuples():
        made = read_image(tmp_path / "out" / row.file).astype(float)
        parent = read_image(source / row.parent).astype(float)
        stem = row.file.split("/")[1]
        if row.origin == "augmented":
            assert stem.startswith(f"aug_{row.parent.split('/')[1][:-4]}_")
            expected = np.maximum(parent - 1, 0)
        else:
            names = (row.parent.split("/")[1][:-4], row.neighbour.split("/")[1][:-4])
            assert stem.startswith("smote_{}_{}_".format(*names))
            other = read_image(source / row.neighbour).astype(float)
            expected = (1 - row.weight) * parent + row.weight * other
            parents |= {row.neighbour}
        parents |= {row.parent}
        np.testing.assert_allclose(made, expected, atol=0.51)
    assert len([name for name in parents if name.startswith("sad")]) == 3, "one is held out"


def test_folders_and_arrays_give_the_same(tmp_path):
    source = write_faces(tmp_path / "faces", {"happy": 9, "sad": 6}, colour=False)
    table = list_class_folders(source).table
    images = np.stack([read_image(path)[..., 0] for path in table["path"]])
    options = {"smote_value": 12, "random_state": 4, "space": "pca"}
    expected, labels = FaceSMOTE(**options).fit_resample(images, table["emotion"].to_numpy(str))
    manifest = FaceSMOTE(source, tmp_path / "out", **options).run()
    for emotion in ("happy", "sad"):
        own = manifest.loc[manifest["emotion"] == emotion, "file"]
        found = np.stack([read_image(tmp_path / "out" / file)[..., 0] for file in own])
        np.testing.assert_array_equal(found, expected[labels == emotion])


def test_only_train_is_balanced(tmp_path):
    sizes = {"train/happy": 5, "train/sad": 3, "val/happy": 2, "val/sad": 1, "test/happy": 9}
    source = write_faces(tmp_path / "faces", sizes)
    manifest = smote(source, tmp_path / "out", None).run()
    counts = manifest.groupby(["split", "emotion"]).size().to_dict()
    assert counts == {
        ("train", "happy"): 5, ("train", "sad"): 5,
        ("valid", "happy"): 2, ("valid", "sad"): 1, ("test", "happy"): 9,
    }  # fmt: skip
    found = files(tmp_path / "out")
    assert all(found[name] == data for name, data in files(source).items())


@pytest.mark.parametrize("layout", ["{emotion}/{person}", "{person}/{emotion}"])
def test_images_stay_in_the_folder_of_their_person(layout, tmp_path):
    """All of a class were written to the folder of the first person in it."""
    counts = {("happy", "ann"): 3, ("happy", "bob"): 3, ("sad", "ann"): 1, ("sad", "eve"): 2}
    folders = {layout.format(emotion=one, person=who): n for (one, who), n in counts.items()}
    manifest = smote(write_faces(tmp_path / "in", folders), tmp_path / "out", train_part=0).run()
    assert len(manifest) == 12 and set(manifest["origin"]) >= {"interpolated", "augmented"}
    for row in manifest.itertuples():
        assert os.path.dirname(row.file) == os.path.dirname(row.parent)
        assert (tmp_path / "out" / row.file).is_file()


def test_any_class_names_will_do(tmp_path):
    source = write_faces(tmp_path / "faces", {"Ahegao": 3, "Angry": 2})
    assert len(smote(source, tmp_path / "out", 4, modify_coef=0).run()) == 8


class Corner:
    """A detector that finds one face in the upper left, unless the image is dark there."""

    crop_scale, crop_shift_y = 1.0, 0.0

    def detect(self, image_rgb):
        side = image_rgb.shape[0] // 2
        return [Face(Box(0, 0, side, side), 1.0)] if image_rgb[0, 0, 0] else []

    def close(self):
        pass


def test_faces_are_cut_out_and_resized(tmp_path):
    source = tmp_path / "faces"
    for name, corner in (("happy", 200), ("sad", 100), ("sad2", 0)):
        image = np.zeros((700, 700, 3), np.uint8)
        image[:350, :350] = corner
        (source / name[:5]).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(source / name[:5] / f"{name}.jpg"), image)
    (source / "sad2").rename(source / "old") if (source / "sad2").exists() else None
    out = tmp_path / "out"
    smote(source, out, 1, face_detector=Corner(), image_size=16).run()
    happy = read_image(out / "happy" / "happy.png")
    assert happy.shape == (16, 16, 3)
    np.testing.assert_allclose(happy, 200, atol=2)


def test_sizes_must_agree_or_be_made_to(tmp_path):
    source = write_faces(tmp_path / "faces", {"happy": 6, "sad": 2})
    cv2.imwrite(str(source / "sad" / "9.png"), np.full((10, 12, 3), 7, np.uint8))
    out = tmp_path / "out"
    with pytest.raises(ValueError, match=r"8x8 and .*9\.png with 12x10 px\. Try image_size"):
        smote(source, out, train_part=0).run()
    assert not out.exists()
    smote(source, out, image_size=9).run()
    assert {read_image(path).shape for path in out.rglob("*.png")} == {(9, 9, 3)}


def test_grey_faces_stay_grey(tmp_path):
    """The noise of the default model's erasing would be coloured."""
    source = write_faces(tmp_path / "faces", {"happy": 4}, colour=False, side=16)
    FaceSMOTE(source, tmp_path / "out", 30, modify_coef=0.3, train_part=0).run()
    for path in (tmp_path / "out").rglob("*.png"):
        image = read_image(path)
        assert (image == image[..., :1]).all()


def test_names_that_are_taken_get_a_number_and_long_ones_are_cut(tmp_path):
    source = write_faces(tmp_path / "faces", {"sad": 2})
    long = "x" * 240
    (source / "sad" / "0.png").rename(source / "sad" / f"{long}.png")
    for name in ("1.jpg", "A.jpg", "a.bmp"):
        cv2.imwrite(str(source / "sad" / name), np.full((8, 8, 3), 9, np.uint8))
    manifest = smote(source, tmp_path / "out", 8, image_size=8, train_part=0).run()
    assert manifest["file"].str.casefold().is_unique and len(files(tmp_path / "out")) == 9
    assert {"sad/1.png", "sad/1_2.png", f"sad/{long}.png"} <= set(manifest["file"])
    assert manifest["file"].str.len().max() <= 255


@pytest.mark.parametrize(
    ("sizes", "options", "error", "message"),
    [
        ({"happy": 3, "sad": 0}, {}, ValueError, "none in .*sad"),
        ({"happy": 3, "sad": 1}, {}, ValueError, "at least 2 images of class 'sad'"),
        ({}, {}, ValueError, "Expected class folders"),
        ({"happy": 3}, {"smote_value": 0}, ValueError, "smote_value=0"),
        ({"happy": 3}, {"image_size": 0}, ValueError, r"image_size in 1\.\.\.4096"),
        ({"happy": 3}, {"modify_coef": 2}, ValueError, r"modify_coef in \[0, 1\]"),
        ({"happy": 3}, {"kind": "adasyn"}, ValueError, "kind='regular'"),
        ({"happy": 3}, {"path_save_imgs": None}, ValueError, "path_save_imgs=None"),
        ({"happy": 3}, {"path_folder_train_data": "nowhere"}, FileNotFoundError, "nowhere"),
    ],
)
def test_wrong_input_ends_in_a_clear_error(sizes, options, error, message, tmp_path):
    (tmp_path / "faces").mkdir()
    write_faces(tmp_path / "faces", sizes)
    with pytest.raises(error, match=message):
        smote(tmp_path / "faces", tmp_path / "out").set_params(**options).run()
    assert os.listdir(tmp_path) == ["faces"]


def test_a_damaged_image_is_named(source, tmp_path):
    (source / "sad" / "3.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"sad/3\.png"):
        smote(source, tmp_path / "out").run()
    assert os.listdir(tmp_path) == ["faces"]


def test_nothing_is_written_over_or_into_the_source(source, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="not empty"):
        smote(source, out).run()
    assert os.listdir(out) == ["mine.txt"]
    with pytest.raises(ValueError, match="outside"):
        smote(source, source / "out").run()
    with pytest.raises(OSError, match=r"mine\.txt"):
        smote(source, out / "mine.txt" / "below").run()
    assert (out / "mine.txt").read_text() == "mine"


def test_a_full_disk_leaves_nothing(source, tmp_path, monkeypatch):
    write, written = folders.write_image, []

    def fill_up(path, image):
        if len(written) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(path)
        return write(path, image)

    monkeypatch.setattr(folders, "write_image", fill_up)
    with pytest.raises(OSError, match=r"Cannot write .*No space left on device.*Nothing was left"):
        smote(source, tmp_path / "out", 30).run()
    assert os.listdir(tmp_path) == ["faces"]


def test_memory_grows_with_the_parents_not_with_the_result(tmp_path, monkeypatch):
    """Of two parents 12 and 36 images are made, four at a time."""
    monkeypatch.setattr(making, "CHUNK_VALUES", 4 * 64 * 64 * 3)
    source = write_faces(tmp_path / "faces", {"sad": 2}, side=64)
    smote(source, tmp_path / "warm", 3, train_part=0).run()
    peaks = []
    for count in (14, 38):
        tracemalloc.start()
        smote(source, tmp_path / str(count), count, train_part=0, modify_coef=1).run()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0], peaks


def test_the_verb(source, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["balance", str(source), "--out", str(out), "--value", "7", "--modify-coef", "1"]
    assert main([*arguments, "--neighbours", "2", "--space", "pca", "--seed", "3"]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[0].split() == ["origin", "interpolated", "original", "all"]
    assert printed.out.splitlines()[-1].split() == ["sad", "3", "4", "7"]
    assert "14 images" in printed.err
    assert main([*arguments]) == 2
    assert "not empty" in capsys.readouterr().err


@pytest.mark.parametrize("there", [True, False])
def test_a_link_leads_to_the_folder_that_is_written(source, tmp_path, there):
    """As an empty folder on another disk does, or one that is to be made."""
    if there:
        (tmp_path / "large").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "large", target_is_directory=True)
    smote(source, tmp_path / "out").run()
    assert (tmp_path / "out").is_symlink() and len(files(tmp_path / "large")) == 13
