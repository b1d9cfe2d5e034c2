"""What balancing will do with each class.

A plan says which originals stay, which may be parents, and how many images are made and how. Apart
from the settings, it depends only on the seed and the class's own originals, not on other classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from builder_tools.fields import check_range, check_seed


@dataclass(frozen=True)
class ClassPlan:
    """What is done with one class.

    Args:
        label: The class.
        kept: Rows of the originals that stay, in input order.
        parents: Rows of the originals that images may be made from.
        num_interpolated: Number of images to make between a parent and one of its neighbours.
        num_augmented: Number of images to make with the augmentation model.
    """

    label: object
    kept: np.ndarray
    parents: np.ndarray
    num_interpolated: int
    num_augmented: int


@dataclass(frozen=True)
class Shares:
    """How missing images are made.

    Args:
        train_part: Share of each class's originals, in [0, 1], that is never a parent.
        modify_coef: Share of the missing images, in [0, 1], that is interpolated.

    Raises:
        ValueError: If a share is outside [0, 1].
    """

    train_part: float
    modify_coef: float

    def __post_init__(self) -> None:
        check_range(0, 1, train_part=self.train_part, modify_coef=self.modify_coef)


def plan_classes(
    labels: np.ndarray, count: int | None, shares: Shares, seed: int
) -> Iterator[ClassPlan]:
    """Yield the plan of every class, in sorted order of the labels.

    Args:
        labels: `(n,)`, n >= 1.
        count: Final number of images per class; None for the size of the largest class.
        shares: How missing images are made.
        seed: Seed for choosing which originals are kept, removed and held out.

    Raises:
        ValueError: If count < 1, or a class has too few originals for its plan.
    """
    check_seed(random_state=seed)
    names, sizes = np.unique(labels, return_counts=True)
    count = int(sizes.max()) if count is None else expect_count(count)
    for label in names:
        rows = np.flatnonzero(labels == label)
        label = label.item() if hasattr(label, "item") else label
        if count >= len(rows):
            yield plan_made(label, rows, count - len(rows), shares, seed)
        else:
            kept = np.random.default_rng(seed).permutation(rows)[:count]
            yield ClassPlan(label, np.sort(kept), rows[:0], 0, 0)


def expect_count(count: int) -> int:
    """Return the requested number of images per class after checking it.

    Raises:
        ValueError: If it is below 1 or not a whole number.
    """
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1:
        raise ValueError(
            f"Expected smote_value as a whole number >= 1, or None for the size of the largest "
            f"class. Received: smote_value={count!r}."
        )
    return int(count)


def plan_made(
    label: object, rows: np.ndarray, missing: int, shares: Shares, seed: int
) -> ClassPlan:
    """Return the plan of a class that keeps all its originals.

    Args:
        label: The class.
        rows: Rows of its originals.
        missing: Number of images to make.
        shares: How they are made.
        seed: Seed for choosing which originals are held out.

    Raises:
        ValueError: If too few originals are left to make them from.
    """
    if not missing:
        return ClassPlan(label, rows, rows[:0], 0, 0)
    shuffled = np.random.default_rng(seed).permutation(rows)
    parents = np.sort(shuffled[round(float(shares.train_part) * len(rows)) :])
    interpolated = round(float(shares.modify_coef) * missing)
    needed = 2 if interpolated else 1
    if len(parents) < needed:
        raise ValueError(
            f"Expected at least {needed} image{'s' * (needed > 1)} of class {label!r} to "
            f"make {interpolated} by interpolation and {missing - interpolated} by "
            f"augmentation. Received: {len(parents)} of its {len(rows)} (train_part "
            "holds the others out). Try a lower train_part, modify_coef=0 (one image is enough "
            "to augment), or more images of the class."
        )
    return ClassPlan(label, rows, parents, interpolated, missing - interpolated)
