"""Ready-made ways to balance, by name, for comparison in experiments."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from builder_tools.balancing.making import COPIED, ORIGINAL, concatenate_parts, part_of
from builder_tools.balancing.plan import Shares, plan_classes
from builder_tools.balancing.smote import FaceSMOTE, expect_faces

Balanced = tuple[np.ndarray, np.ndarray, pd.DataFrame]


def keep_all(images: np.ndarray, labels: np.ndarray, *, count: int, seed: int) -> Balanced:
    """Return everything unchanged."""
    images, labels = expect_faces(images, labels)
    return images, labels, concatenate_parts([part_of(labels, ORIGINAL, np.arange(len(labels)))])


def oversample_randomly(
    images: np.ndarray, labels: np.ndarray, *, count: int, seed: int
) -> Balanced:
    """Repeat randomly drawn originals (imbalanced-learn's `RandomOverSampler`).

    Repeated images have the origin `copied`. Classes above `count` are undersampled.
    """
    from imblearn.over_sampling import RandomOverSampler

    images, labels = expect_faces(images, labels)
    plans = list(plan_classes(labels, count, Shares(0.0, 0.0), seed))
    kept = np.sort(np.concatenate([plan.kept for plan in plans]))
    copies = np.empty(0, np.int64)
    if len(plans) > 1:
        sampler = RandomOverSampler(
            sampling_strategy={plan.label: count for plan in plans}, random_state=seed
        )
        sampler.fit_resample(kept[:, None], labels[kept])
        copies = kept[sampler.sample_indices_[len(kept) :]]
    parts = [part_of(labels[kept], ORIGINAL, kept), part_of(labels[copies], COPIED, copies)]
    provenance = concatenate_parts(parts)
    rows = provenance["parent"].to_numpy()
    return images[rows], labels[rows], provenance


def _balancer(**options: object) -> Callable[..., Balanced]:
    def balance(images, labels, *, count: int, seed: int, embed: Callable | None = None):
        smote = FaceSMOTE(
            smote_value=count, random_state=seed, train_part=0.0, embed=embed, **options
        )
        images, labels = smote.fit_resample(images, labels)
        return images, labels, smote.provenance_

    return balance


BALANCERS: dict[str, Callable[..., Balanced]] = {
    "none": keep_all,
    "random_oversampling": oversample_randomly,
    "pixel_smote": _balancer(modify_coef=1.0, space="pixel"),
    "embedding_smote": _balancer(modify_coef=1.0, space="embedding"),
    "augmentation_smote": _balancer(modify_coef=0.0),
}
"""Name -> function from images, labels, `count` (images per class) and `seed` to images, labels
and provenance. `embedding_smote` also needs `embed`."""
