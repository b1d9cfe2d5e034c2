"""The combinations of features and models in the table, in the order in which they are run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from builder_tools.classical.features import check_features
from builder_tools.classical.models import MODELS
from builder_tools.classical.sampling import NO_SAMPLER, SAMPLERS

FEW_NUMBERS = ("landmarks", "keypoints", "blendshapes", "eigenfaces", "network")
"""Features with so few numbers that most models are quick on them."""

MANY_NUMBERS = ("hog", "lbp", "gabor", "hog+landmarks")
QUICK_MODELS = ("logistic", "rbf_svm", "neighbours", "discriminant")
"""Models that are quick even on many numbers; on the 2,124 of LBP, boosting takes four minutes and
a forest eight."""

SLOWER = (("hog", "forest"), ("hog", "boosting"), ("gabor", "boosting"),
          ("hog+landmarks", "boosting"))  # fmt: skip
"""Models that take a minute on many numbers, with the features they are fitted to regardless."""

SKIPPED = (("landmarks", "fourier_svm"), ("keypoints", "fourier_svm"), ("keypoints", "rbf_svm"),
           ("blendshapes", "fourier_svm"), ("eigenfaces", "fourier_svm"))  # fmt: skip
"""Left out: they take two minutes each and achieve little; the table should end within the hour."""

FRACTIONS = (0.01, 0.05, 0.25)
CURVE_FEATURES = ("hog", "landmarks", "hog+landmarks", "network")
CURVE_MODELS = ("logistic", "rbf_svm")
SAMPLED = ("hog+landmarks", "logistic")
SLOW_FEATURES, SLOW_FRACTION = "dlib_embedding", 0.05


@dataclass(frozen=True)
class Entry:
    """One row of the table.

    Args:
        features: Names in `FEATURES`, joined by `+`.
        model: Name in `MODELS`.
        sampler: Name in `SAMPLERS`.
        fraction: Fraction of the training faces, in (0, 1].

    Raises:
        ValueError: If a name is in no registry or the fraction is out of range.
    """

    features: str
    model: str
    sampler: str = NO_SAMPLER
    fraction: float = 1.0

    def __post_init__(self) -> None:
        check_features(self.features)
        for name, known in (("model", MODELS), ("sampler", SAMPLERS)):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"Expected one of {sorted(known)}. Received: {name}={getattr(self, name)!r}."
                )
        if not 0 < self.fraction <= 1:
            raise ValueError(f"Expected a fraction in (0, 1]. Received: {self.fraction!r}.")

    @property
    def key(self) -> str:
        """Name of the row in the table and of its folder."""
        parts = [self.features, self.model]
        parts += [self.sampler] if self.sampler != NO_SAMPLER else []
        parts += [f"{self.fraction:g}"] if self.fraction != 1 else []
        return "-".join(parts)


def whole_plan() -> list[Entry]:
    """Return the rows of the study: all faces, then learning curves, then balancing."""
    pairs = [pair for pair in product(FEW_NUMBERS, MODELS) if pair not in SKIPPED]
    entries = [Entry(*pair) for pair in pairs]
    entries += [Entry(*pair) for pair in product(MANY_NUMBERS, QUICK_MODELS)]
    entries += [Entry(*pair) for pair in SLOWER]
    entries += [
        Entry(features, model, fraction=fraction)
        for features, model, fraction in product(CURVE_FEATURES, CURVE_MODELS, FRACTIONS)
    ]
    entries += [Entry(*SAMPLED, sampler) for sampler in SAMPLERS if sampler != NO_SAMPLER]
    entries.append(Entry(SLOW_FEATURES, "logistic", fraction=SLOW_FRACTION))
    return entries


def chosen_plan(
    features: Sequence[str] = (),
    models: Sequence[str] = (),
    samplers: Sequence[str] = (),
    fractions: Sequence[float] = (),
) -> list[Entry]:
    """Return every combination of the choices; the whole plan if there are none.

    Defaults for what is not chosen: all features of the study, its quick models, no sampler, all
    training faces. A fraction alone gives the rows of the whole plan on that part of the faces.
    """
    if not (features or models or samplers):
        whole = whole_plan()
        if not fractions:
            return whole
        thinned = {
            Entry(each.features, each.model, each.sampler, fraction): None
            for each, fraction in product(whole, fractions)
        }
        return list(thinned)
    combinations = product(
        features or (*FEW_NUMBERS, *MANY_NUMBERS),
        models or QUICK_MODELS,
        samplers or (NO_SAMPLER,),
        fractions or (1.0,),
    )
    return [Entry(*combination) for combination in combinations]
