"""Folds of training images never divide a made image from what it was made of, nor a person."""

import os

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("imblearn")

from made_folders import write_folders
from sklearn.model_selection import StratifiedKFold

from builder_tools.balancing import FaceSMOTE
from builder_tools.classical.models import stratified_folds
from builder_tools.datasets.class_folders import write_class_folders
from builder_tools.datasets.labelled import list_labelled, load_labelled
from builder_tools.datasets.made_images import kin_of
from builder_tools.emotions import NINE_EMOTIONS
from builder_tools.media import write_image
from studies.classical.faces import StudyFaces
from studies.classical.hybrids import run_hybrid
from studies.classical.plan import Entry
from studies.classical.rows import run_entry

RAW = {"train/anger": 6, "train/happy": 18, "val/anger": 6, "val/happy": 6}


@pytest.fixture(scope="module")
def balanced(tmp_path_factory):
    root = tmp_path_factory.mktemp("kin")
    write_folders(root / "raw", RAW | {"test/anger": 3, "test/happy": 3})
    FaceSMOTE(root / "raw", root / "balanced", modify_coef=1.0, train_part=0.5).run()
    return root / "balanced"


def made_rows(folder) -> tuple[list[str], np.ndarray, list[set[int]]]:
    """The files of train, their labels, and the rows that each was made of, from the manifest."""
    rows = pd.read_csv(folder / "manifest.csv", keep_default_na=False)
    rows = rows[rows["split"] == "train"].reset_index(drop=True)
    by_name = {row.parent: row.Index for row in rows.itertuples() if row.origin == "original"}
    made_of = [
        {by_name[name] for name in (row.parent, row.neighbour) if name} - {row.Index}
        for row in rows.itertuples()
    ]
    paths = [os.path.join(folder, file) for file in rows["file"]]
    return paths, pd.factorize(rows["emotion"])[0], made_of


@pytest.mark.parametrize("seed", [0, 1])
def test_nothing_is_learnt_from_that_was_made_of_what_is_held_out(balanced, seed):
    paths, labels, made_of = made_rows(balanced)
    assert sum(map(bool, made_of)) == 12 and max(map(len, made_of)) == 2
    folds = stratified_folds(labels, 3, kin=kin_of(paths), seed=seed)
    assert sorted(np.concatenate([own for _, own in folds])) == list(range(len(paths)))
    for rest, own in folds:
        assert not set(rest) & set(own)
        assert not [row for row in rest if made_of[row] & set(own)]
        main = {row for row in own if not made_of[row]}
        assert {row for row in range(len(paths)) if made_of[row] and made_of[row] <= main} <= {*own}
        assert set(labels[rest]) == {0, 1}
        assert {np.count_nonzero(made_of[row] == set() and labels[row] == 0) for row in own}


def test_originals_alone_have_the_folds_they_had(balanced):
    table = list_labelled(balanced.parent / "raw").split("train")
    assert kin_of(table.table["path"]) is kin_of(["", ""]) is None
    folds = stratified_folds(table.labels, 3, seed=5)
    assert isinstance(folds, StratifiedKFold) and (folds.n_splits, folds.random_state) == (3, 5)


def written(folder, out):
    return write_class_folders(list_labelled(folder), out)


def again(folder, out):
    FaceSMOTE(folder, out, smote_value=24, modify_coef=1.0, train_part=0.5).run()
    return out


def resized_and_again(folder, out):
    FaceSMOTE(folder.parent / "raw", out / "1", image_size=32, modify_coef=1.0).run()
    return again(out / "1", out / "2")


@pytest.mark.parametrize("way", [written, again, resized_and_again])
def test_every_image_comes_from_originals_however_often_it_was_written(balanced, way, tmp_path):
    folder = way(balanced, tmp_path / "out")
    table = list_labelled(folder).split("train").table
    kin = kin_of(table["path"])
    originals = sum(count for name, count in RAW.items() if name.startswith("train"))
    assert len(table) > originals == len(np.unique(kin))


def test_people_are_not_divided():
    kin = kin_of([""] * 6, ["ann", "", "ben", "ann", "", "ben"])
    assert kin.tolist() == [[0], [1], [2], [0], [3], [2]]
    labels, persons = np.tile([0, 1], 12), [str(row // 4) for row in range(24)]
    for rest, own in stratified_folds(labels, 3, kin=kin_of([""] * 24, persons)):
        assert not {persons[row] for row in rest} & {persons[row] for row in own}
    with pytest.raises(ValueError, match="two or more faces of every class of different people"):
        stratified_folds(labels, 3, kin=kin_of([""] * 24, ["ann"] * 24))


def test_a_class_of_few_people_is_learnt_in_every_fold():
    rng = np.random.default_rng(0)
    tried = 0
    for _ in range(150):
        has = rng.random((rng.integers(4, 12), 5)) < [1, 1, 1, 1, 0.2]
        person, y = np.repeat(np.argwhere(has), rng.integers(1, 6, has.sum()), axis=0).T
        if has[:, 4].sum() < 2:
            continue
        folds = stratified_folds(y, 5, kin=person[:, None])
        assert all(set(y[learnt]) == set(range(5)) for learnt, _ in folds)
        tried += 1
    assert tried > 20


def test_a_class_whose_images_were_all_made_of_each_other_is_refused():
    y = np.repeat([0, 1], [20, 6])
    kin = np.stack([np.arange(26), np.arange(26)], axis=1)
    kin[20:] = [[20, 21], [21, 20]] * 3
    with pytest.raises(ValueError, match=r"not made from each other\. Received: .* class 1\."):
        stratified_folds(y, 3, kin=kin)


def test_images_of_unknown_origin_are_refused(balanced, tmp_path):
    folder = written(balanced, tmp_path / "out")
    place = write_image(folder / "train" / "happy" / "new.png", np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(ValueError, match=r"1 of 1 that it does not tell of, such as .*new\.png"):
        kin_of([place])


@pytest.mark.slow  # four models and two searches
def test_no_row_of_the_table_divides_them(tmp_path, monkeypatch):
    """Search, calibration and stacks on train: none draws folds as if images were on their own."""
    sizes = {f"train/{name}": 4 for name in NINE_EMOTIONS} | {"train/happy": 8}
    sizes |= {f"{side}/{name}": 3 for side in ("val", "test") for name in NINE_EMOTIONS}
    write_folders(tmp_path / "raw", sizes)
    FaceSMOTE(tmp_path / "raw", tmp_path / "balanced", modify_coef=1.0, train_part=0.5).run()
    study = StudyFaces(load_labelled(tmp_path / "balanced"), tmp_path / "out", n_jobs=1)
    split = StratifiedKFold.split

    def of_valid(self, X, y=None, groups=None):
        assert len(X) <= len(study.labels("valid")), "folds of train, as if nothing was made"
        return split(self, X, y, groups)

    monkeypatch.setattr(StratifiedKFold, "split", of_valid)
    entries = [Entry("hog", "linear_svm"), Entry("eigenfaces", "logistic")]
    rows = [run_entry(entry, study) for entry in entries]
    keys = [entry.key for entry in entries]
    assert run_hybrid("stack_oof-2", "stack_oof", keys, study, rows)["train_faces"] == 72
    assert run_hybrid("stack-deep+1", "stack", keys[:1], study, rows)["train_faces"] == 72
