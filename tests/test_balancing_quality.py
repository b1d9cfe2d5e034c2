"""Figures about made images, worked by hand on flat ones."""

import numpy as np
import pytest

pytest.importorskip("imblearn")

from builder_tools.balancing import FaceSMOTE
from builder_tools.balancing.quality import judge_made

pytestmark = pytest.mark.slow


def flat(*values):
    return np.stack([np.full((8, 8), value, np.uint8) for value in values])


def test_distances_to_real_images_worked_by_hand():
    """Augmentation adds 3: 10 becomes 13, 3 from its parent and 7 from the stranger 20."""
    images, labels = flat(10, 20, 50, 100, 101, 102, 103), np.array([0, 0, 0, 1, 1, 1, 1])
    smote = FaceSMOTE(
        smote_value=6, modify_coef=0, train_part=0, gen_model=lambda x, training: x + 3
    )
    made, _ = smote.fit_resample(images, labels)
    table = judge_made(images, labels, made, smote.provenance_)
    figures = {
        (row.origin, int(made[row.row, 0, 0])): (row.nearest_real, row.nearest_stranger)
        for row in table.query("label == 0").itertuples()
    }
    assert figures == {
        ("original", 10): (10, 10), ("original", 20): (10, 10), ("original", 50): (30, 30),
        ("augmented", 13): (3, 7), ("augmented", 23): (3, 13), ("augmented", 53): (3, 33),
    }  # fmt: skip
    assert not table["is_copy"][table["label"] == 0].any()
    assert (table["sharpness"] == 0).all(), "flat images have no edges"


def test_a_mix_of_twins_is_a_copy():
    images, labels = flat(10, 10, 90, 91, 92, 93), np.array([0, 0, 1, 1, 1, 1])
    smote = FaceSMOTE(modify_coef=1, train_part=0)
    made, _ = smote.fit_resample(images, labels)
    table = judge_made(images, labels, made, smote.provenance_)
    assert set(table["label"]) == {0}, "nothing was made of class 1"
    assert table["is_copy"].all() and (table["nearest_real"] == 0).all()
    assert np.isinf(table.loc[table["origin"] == "interpolated", "nearest_stranger"]).all()


def test_a_mix_is_blurrier_than_its_parents(astronaut):
    heads = [astronaut[top : top + 64, left : left + 64, 1] for top, left in ((60, 180), (90, 200))]
    images = np.stack([*heads, *[heads[0]] * 6])
    labels = np.array([0, 0, *[1] * 6])
    smote = FaceSMOTE(modify_coef=1, train_part=0)
    made, _ = smote.fit_resample(images, labels)
    table = judge_made(images, labels, made, smote.provenance_)
    sharp = table.groupby("origin")["sharpness"].mean()
    assert 0 < sharp["interpolated"] < sharp["original"]
