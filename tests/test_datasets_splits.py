"""Splits: shares of each class, groups on one side, given splits kept, seeded, order-free."""

import logging

import numpy as np
import pandas as pd
import pytest

from builder_tools.datasets.splits import sample_per_class, with_splits
from builder_tools.datasets.table import ImageTable
from builder_tools.emotions import EmotionSet

EMOTIONS = EmotionSet(("anger", "happy", "sad"))


def images(anger=40, happy=40, sad=20, split="") -> ImageTable:
    labels = np.repeat(range(3), (anger, happy, sad))
    table = pd.DataFrame(
        {
            "name": [f"p{number:03d}.png" for number in range(len(labels))],
            "path": "",
            "index": np.arange(len(labels)),
            "label": labels,
            "emotion": np.array(EMOTIONS.names, object)[labels],
            "split": split,
        }
    )
    return ImageTable(table, EMOTIONS, np.zeros((len(labels), 4, 4), np.uint8))


def counts(table: ImageTable) -> dict[str, list[int]]:
    return {
        side: np.bincount(table.split(side).labels, minlength=3).tolist()
        for side in ("train", "valid", "test")
    }


def test_each_side_gets_its_share_of_each_class():
    assert counts(with_splits(images())) == {
        "train": [28, 28, 14],
        "valid": [6, 6, 3],
        "test": [6, 6, 3],
    }


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ({"valid": 0.5, "test": 0.25}, [[10, 10, 5], [20, 20, 10], [10, 10, 5]]),
        ({"valid": 0.1, "test": 0}, [[36, 36, 18], [4, 4, 2], [0, 0, 0]]),
        ({"valid": 0, "test": 0}, [[40, 40, 20], [0, 0, 0], [0, 0, 0]]),
        # At least one of each class, however small its share.
        ({"valid": 0.01, "test": 0.01}, [[38, 38, 18], [1, 1, 1], [1, 1, 1]]),
    ],
)
def test_shares_can_be_chosen(shares, expected):
    assert list(counts(with_splits(images(), **shares)).values()) == expected


def test_the_seed_chooses_and_the_order_does_not_matter():
    table = images()
    shuffled = np.random.default_rng(3).permutation(len(table))
    other = ImageTable(table.table.iloc[shuffled].reset_index(drop=True), EMOTIONS, table.images)
    groups = np.arange(len(table)) // 2

    def sides(of, own_groups, seed=0):
        found = with_splits(of, seed=seed, groups=own_groups).table
        return dict(zip(found["name"], found["split"], strict=True))

    assert sides(table, groups) == sides(other, 7 - groups[shuffled])
    assert sides(table, groups) != sides(table, groups, seed=1)


def test_the_rest_of_the_table_is_untouched():
    table = images()
    found = with_splits(table)
    rest = [each.table.drop(columns="split") for each in (found, table)]
    pd.testing.assert_frame_equal(*rest)
    assert found.images is table.images and (table.table["split"] == "").all()


@pytest.mark.parametrize("seed", range(5))
def test_groups_stay_together_and_shares_hold(seed):
    """Thirty pairs, six triples and a dozen: more than half of the images have a twin."""
    table = images(120, 60, 30)
    rng = np.random.default_rng(seed)
    groups = np.arange(len(table))
    for size, times in ((2, 30), (3, 6), (12, 1)):
        for _ in range(times):
            members = rng.choice(len(table), size, replace=False)
            groups[members] = groups[members[0]]
    found = with_splits(table, groups=groups, seed=seed)
    sides = found.table["split"].groupby(groups).nunique()
    assert sides.max() == 1
    for side in ("valid", "test"):
        share = np.array(counts(found)[side]) / (120, 60, 30)
        np.testing.assert_allclose(share, 0.15, atol=0.05)


def test_every_class_is_everywhere_even_if_it_is_all_twins():
    """Three groups of five in a class of fifteen: none fits a share of two."""
    table = images(40, 40, 15)
    groups = np.concatenate([np.arange(80), 80 + np.arange(15) // 5])
    found = counts(with_splits(table, groups=groups))
    assert [side[2] for side in found.values()] == [5, 5, 5]


@pytest.mark.parametrize("seed", range(5))
def test_twins_of_two_classes_leave_train_with_every_class(seed):
    """Sad has one image, a twin of an angry one; anger and happy share their other groups."""
    groups = np.array([0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4])
    labels = np.array([0, 2, 0, 0, 1, 0, 1, 1, 0, 0, 1, 1])
    table = images(12, 0, 0)
    names = np.array(EMOTIONS.names, object)[labels]
    table = ImageTable(table.table.assign(label=labels, emotion=names), EMOTIONS, table.images)
    found = with_splits(table, groups=groups, seed=seed)
    assert counts(found)["train"][2] == 1 and min(counts(found)["train"]) > 0
    assert min(counts(found)["valid"][:2]) > 0 and min(counts(found)["test"][:2]) > 0
    assert found.table.groupby(groups)["split"].nunique().max() == 1


def test_given_splits_are_kept_and_what_is_missing_comes_out_of_train():
    table = images(split=["test" if number % 4 == 0 else "train" for number in range(100)])
    found = with_splits(table, valid=0.2, test=0.5)
    given = (table.table["split"] == "test").to_numpy()
    assert ((found.table["split"] == "test") == given).all()
    assert counts(found)["valid"] == [6, 6, 3]  # a fifth of the 30, 30, 15 that are train's
    whole = with_splits(found, seed=5)
    pd.testing.assert_frame_equal(whole.table, found.table)


def test_a_class_too_small_to_split_stays_in_train_and_is_named(caplog):
    with caplog.at_level(logging.WARNING):
        found = counts(with_splits(images(sad=1)))
    assert [side[2] for side in found.values()] == [1, 0, 0]
    assert [side[0] for side in found.values()] == [28, 6, 6]
    assert "all stay in train: sad (1)" in caplog.text
    twins = np.concatenate([np.arange(80), np.full(20, 80)])
    found = counts(with_splits(images(), groups=twins))
    assert [side[2] for side in found.values()] == [20, 0, 0]
    assert counts(with_splits(images(sad=2), test=0))["valid"] == [6, 6, 1]
    assert counts(with_splits(images(sad=0)))["test"] == [6, 6, 0], "an absent class is no error"


def test_classes_that_are_all_too_small_are_named():
    with pytest.raises(ValueError, match=r"at least 3 different.*\{'anger': 2, 'sad': 1\}.*train/"):
        with_splits(images(anger=2, happy=0, sad=1))


@pytest.mark.parametrize("shares", [{"valid": -0.1}, {"valid": 0.5, "test": 0.5}, {"test": 1}])
def test_impossible_shares_are_refused(shares):
    with pytest.raises(ValueError, match=r"leave something for train\. Received: valid="):
        with_splits(images(), **shares)


def test_a_table_without_train_is_refused():
    with pytest.raises(ValueError, match="only valid and test"):
        with_splits(images(split="test"))


def test_groups_of_another_length_are_refused():
    with pytest.raises(ValueError, match=r"one group an image, \(100,\)\. Got: \(3,\)"):
        with_splits(images(), groups=np.arange(3))


def test_a_sample_has_at_most_so_many_of_each_class_and_split():
    found = sample_per_class(with_splits(images()), 4)
    assert counts(found) == {"train": [4, 4, 4], "valid": [4, 4, 3], "test": [4, 4, 3]}
    names = found.table["name"].tolist()
    assert names == sorted(names)
    assert names == sample_per_class(with_splits(images()), 4).table["name"].tolist()
    assert names != sample_per_class(with_splits(images()), 4, seed=1).table["name"].tolist()
    with pytest.raises(ValueError, match="Received: 0"):
        sample_per_class(images(), 0)
