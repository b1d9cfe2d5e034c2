"""Splits: seeded, stratified by class, near-duplicates and people on one side.

scikit-learn's `StratifiedGroupKFold` was considered and rejected: its sides are multiples of 1/k,
so 70/15/15 needs twenty folds, and a class with fewer images than folds may be missing from a side
altogether. The rule here gives each side its exact share of each class as far as groups allow, and
every side every class. People bring many images of all classes along, so where they are known,
whole groups are then moved as long as that brings the shares nearer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from builder_tools.datasets.duplicates import groups_of_pairs
from builder_tools.datasets.made_images import check_none_made
from builder_tools.datasets.sampling import draw_by_class
from builder_tools.datasets.table import SPLITS, ImageTable
from builder_tools.fields import check_seed, check_whole

logger = logging.getLogger(__name__)

TAKEN_SIDES = SPLITS[1:]
"""Sides that are taken out of train if they are missing."""

_MISSING, _LEAST_GAIN = 100.0, 1e-9


def with_splits(
    table: ImageTable,
    *,
    valid: float = 0.15,
    test: float = 0.15,
    seed: int = 0,
    groups: np.ndarray | Callable[[ImageTable], np.ndarray] | None = None,
) -> ImageTable:
    """Fill the column `split`.

    Sides that the table has are kept. A missing side is taken out of train (and out of images
    without a split, which otherwise become train). Images are sorted by name first, so the result
    does not depend on their order. Groups of several images are placed first, by a seeded draw
    weighted by how much each side still needs; single images then fill up each side's share of
    each class exactly. If the table says who is in the images (`person`), all images of a person
    are a group, too; shares are then as near as whole groups allow.

    Args:
        table: Images; those with a split keep it, except that train may be divided.
        valid: Share of the divided images for valid, in [0, 1); 0 leaves that side empty.
        test: Likewise for test.
        seed: Seed for deciding which images go where.
        groups: `(n,)` ints, equal for near-duplicates, which then stay together; or a function
            that finds them (`duplicates.duplicate_groups`), called only if images are divided. By
            default, every image is on its own.

    Raises:
        ValueError: If the shares are impossible, no image is left for train, images to be divided
            were made from others by balancing (`made_images`), or every class has fewer different
            images (or people) than there are sides to fill. If only some do, their images stay in
            train, along with all others of the same people, and a warning names them.
    """
    if min(valid, test) < 0 or valid + test >= 1:
        raise ValueError(
            "Expected shares >= 0 that leave something for train. "
            f"Received: valid={valid}, test={test}."
        )
    check_seed(seed=seed)
    given = table.table["split"].to_numpy(object).copy()
    pool = (given == "") | (given == "train")
    given[pool] = "train"
    shares = {"valid": valid, "test": test}
    wanted = {side: shares[side] for side in TAKEN_SIDES if shares[side] and side not in given}
    if not pool.any():
        raise ValueError("Expected images for train. Received: only valid and test images.")
    if wanted:
        part = table.rows(pool)
        check_none_made(part.table["name"].tolist(), part.table["path"].tolist())
        groups = groups(table) if callable(groups) else groups
        groups = np.arange(len(table)) if groups is None else np.asarray(groups)
        if groups.shape != (len(table),):
            raise ValueError(f"Expected one group an image, ({len(table)},). Got: {groups.shape}.")
        persons = table.persons
        are_people = persons is not None and any(persons[pool])
        if persons is not None and are_people:
            groups = _with_people(groups, persons)
        order = np.argsort(part.table["name"].to_numpy(object), kind="stable")
        firsts, members = np.unique(groups[pool][order], return_index=True, return_inverse=True)[1:]
        rank_of_group = np.argsort(np.argsort(firsts))  # groups in order of their first image
        plan = _Plan(part, part.labels[order], rank_of_group[members], wanted, are_people)
        plan.check_classes()
        sides = plan.draw(np.random.default_rng(seed))
        given[np.flatnonzero(pool)[order]] = np.array(["train", *wanted], object)[sides]
    return ImageTable(table.table.assign(split=given), table.emotions, table.images)


def sample_per_class(table: ImageTable, per_class: int, *, seed: int = 0) -> ImageTable:
    """Return at most `per_class` images of each class in each split, in the table's order.

    Args:
        table: Images.
        per_class: At least 1.
        seed: Seed for choosing them; the order of the table does not matter.

    Raises:
        ValueError: If `per_class` is below 1.
    """
    check_whole(1, per_class=per_class)
    check_seed(seed=seed)
    ordered = table.table.reset_index(drop=True).sort_values(["split", "label", "name"])
    kinds = ordered.groupby(["split", "label"]).ngroup().to_numpy()
    counts = np.full(kinds.max(initial=-1) + 1, per_class)
    mask = np.zeros(len(table), bool)
    mask[ordered.index[draw_by_class(kinds, counts, np.random.default_rng(seed))]] = True
    return table.rows(mask)


def _with_people(groups: np.ndarray, persons: np.ndarray) -> np.ndarray:
    """Return groups that also hold all images of a person ("" where unknown), directly or not."""
    named = np.flatnonzero(persons != "")
    rows = np.concatenate([np.arange(len(groups)), named])
    known = pd.factorize(persons[named])[0] + len(groups)
    keys = np.concatenate([pd.factorize(groups)[0], known])
    firsts = pd.Series(rows).groupby(keys).transform("first").to_numpy()
    return groups_of_pairs(pd.DataFrame({"first": firsts, "second": rows}), len(groups))


@dataclass(frozen=True)
class _Plan:
    """The images to divide, in order of name: labels, groups 0...g-1, shares of the sides."""

    table: ImageTable
    labels: np.ndarray
    groups: np.ndarray
    shares: dict[str, float]
    are_people: bool

    @property
    def few(self) -> np.ndarray:
        """Which classes have too few different images to be on every side, `(k,)` bool."""
        pairs = np.unique(np.stack([self.labels, self.groups]), axis=1)
        count = np.bincount(pairs[0], minlength=len(self.table.emotions))
        return (count > 0) & (count <= len(self.shares))

    def check_classes(self) -> None:
        """Log which classes stay in train; refuse a table with only such classes."""
        count = np.bincount(self.labels, minlength=len(self.table.emotions))
        few = {self.table.emotions[label]: int(count[label]) for label in self.few.nonzero()[0]}
        people = ", and all images of one person," if self.are_people else ""
        if few and len(few) == np.count_nonzero(count):
            raise ValueError(
                f"Expected at least {len(self.shares) + 1} different images of a class "
                f"(near-duplicates{people} count once), to split them into train, "
                f"{', '.join(self.shares)}. Received: {few}. Add images, or give the "
                "splits as folders train/, val/ and test/."
            )
        if few:
            logger.warning(
                "too few different images%s to split, all stay in train: %s",
                " of different people" if self.are_people else "",
                ", ".join(f"{name} ({number})" for name, number in few.items()),
            )

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Return the side of each image: 0 train, then the sides of `shares`."""
        count = np.bincount(self.labels, minlength=len(self.table.emotions))
        split = np.where(self.few, 0, count)
        taken = [np.maximum(np.rint(share * split), split > 0) for share in self.shares.values()]
        # How many images each side still needs of each class, `(sides, classes)`.
        lacking = np.stack([count - np.sum(taken, axis=0), *taken]).astype(np.int64)
        wanted, sides = lacking.copy(), np.zeros(len(self.labels), np.int64)
        sizes = np.bincount(self.groups)
        single = sizes[self.groups] == 1
        members = np.split(np.argsort(self.groups, kind="stable"), np.cumsum(sizes)[:-1])
        for group in rng.permutation(np.flatnonzero(sizes > 1)):
            # A side with room for the group, weighted by how much it needs; train if none has.
            rows = members[group]
            count = np.bincount(self.labels[rows], minlength=lacking.shape[1])
            room = (lacking >= count).all(axis=1)
            weight = np.where(room, np.maximum(lacking[:, count > 0], 0).sum(axis=1), 0)
            if weight.any():
                sides[rows] = rng.choice(len(weight), p=weight / weight.sum())
            np.subtract.at(lacking, (sides[rows], self.labels[rows]), 1)
        for label in range(len(self.table.emotions)):
            rows = rng.permutation(np.flatnonzero(single & (self.labels == label)))
            ends = np.cumsum(np.maximum(lacking[1:, label], 0))
            for side, part in enumerate(np.split(rows, ends)[:-1], start=1):
                sides[part] = side
        if self.are_people:
            return self._nearer_to(wanted, sides)
        return self._every_class_everywhere(sides)

    def _nearer_to(self, wanted: np.ndarray, sides: np.ndarray) -> np.ndarray:
        """Move whole groups while that brings the sides nearer to what is wanted of each class.

        Args:
            wanted: Images of each class on each side, `(sides, classes)`.
            sides: Side of each image.
        """
        own = np.zeros((self.groups.max() + 1, wanted.shape[1]))
        np.add.at(own, (self.groups, self.labels), 1)
        places = sides[np.unique(self.groups, return_index=True)[1]]
        movable = (own[:, self.few] == 0).all(axis=1)
        rows = np.arange(len(own))

        def distance(side: np.ndarray | int, counts: np.ndarray) -> np.ndarray:
            missing = (counts == 0) & (wanted[side] > 0)  # far worse than any share
            shares = (counts - wanted[side]) / np.maximum(wanted.sum(axis=0), 1)
            return (shares**2 + _MISSING * missing).sum(axis=-1)

        while True:
            have = np.stack([own[places == side].sum(axis=0) for side in range(len(wanted))])
            left = distance(places, have[places] - own) - distance(places, have[places])
            change = np.stack(
                [
                    left + distance(side, have[side] + own) - distance(side, have[side])
                    for side in range(len(wanted))
                ],
                axis=1,
            )
            change[rows, places] = 0
            change[~movable] = 0
            group, side = np.unravel_index(change.argmin(), change.shape)
            if change[group, side] > -_LEAST_GAIN:
                return places[self.groups]
            places[group] = side

    def _every_class_everywhere(self, sides: np.ndarray) -> np.ndarray:
        """Move the smallest group of a class to a side without that class, if one can be spared.

        Sides are filled in order, as train has to show every class.
        """
        for side in range(len(self.shares) + 1):
            for label in np.setdiff1d(
                self.labels[~self.few[self.labels]], self.labels[sides == side]
            ):
                group = self._group_to_spare(sides, label, to=side)
                if group is not None:
                    sides[self.groups == group] = side
        return sides

    def _group_to_spare(self, sides: np.ndarray, label: int, *, to: int) -> int | None:
        """Return the smallest group of the class that another side can do without."""
        own = np.flatnonzero(self.labels == label)
        for side in np.argsort(-np.bincount(sides[own]), kind="stable"):
            here = sides == side
            groups = np.unique(self.groups[own[sides[own] == side]])
            sizes = np.bincount(self.groups)[groups]
            for group in groups[np.argsort(sizes, kind="stable")]:
                taken = np.unique(self.labels[self.groups == group])
                left = self.labels[here & (self.groups != group)]
                asked = taken if side < to else [label]  # later sides get theirs back
                if not self.few[taken].any() and np.isin(asked, left).all():
                    return int(group)
        return None
