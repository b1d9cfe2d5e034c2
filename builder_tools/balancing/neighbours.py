"""Neighbours: spaces to search in, and pairs drawn like SMOTE draws them.

The rules are imbalanced-learn's (`SMOTE`, `BorderlineSMOTE` of kind borderline-1, `ADASYN`),
reproduced draw by draw where possible; the tests compare image by image. They are implemented here
because a synthetic image must know its parents, and because neighbours may be searched in a
different space than the one in which images are mixed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from builder_tools.fields import check_positive

logger = logging.getLogger(__name__)

SPACES = ("pixel", "pca", "embedding")
KINDS = ("regular", "borderline", "adasyn")
PCA_COMPONENTS = 64
DANGER_NEIGHBOURS = 10
"""Number of neighbours, of any class, that decide whether a face is at the border of its class."""


@dataclass(frozen=True)
class Search:
    """How neighbours are searched and pairs drawn.

    Args:
        space: `pixel` (Euclidean distance between images), `pca` (between their first 64
            principal components) or `embedding` (between the features from `embed`).
        kind: `regular` (every parent equally likely), `borderline` (only parents of whose
            neighbours at least half, but not all, are of other classes) or `adasyn` (parents in
            proportion to the share of other classes among their neighbours).
        k_neighbors: Number of same-class neighbours to choose from, at least 1.
        embed: Function from faces, as given, to features `(n, d)`.

    Raises:
        ValueError: If a name is unknown, k_neighbors < 1, or `embed` is missing.
    """

    space: str
    kind: str
    k_neighbors: int
    embed: Callable[[np.ndarray], np.ndarray] | None = None

    def __post_init__(self) -> None:
        for name, known in (("space", SPACES), ("kind", KINDS)):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"Expected {name} of {list(known)}. Received: {getattr(self, name)!r}."
                )
        if self.k_neighbors is None:
            raise ValueError("Expected k_neighbors >= 1, a whole number. Received: None.")
        check_positive(k_neighbors=self.k_neighbors)
        if self.space == "embedding" and self.embed is None:
            raise ValueError(
                "Expected embed, a function from faces to features (n, d), for "
                "space='embedding'. Received: embed=None."
            )


@dataclass(frozen=True)
class Pairs:
    """Parents and neighbours (positions among the candidates) and the neighbours' weights."""

    parents: np.ndarray
    neighbours: np.ndarray
    weights: np.ndarray


def features_of(images: np.ndarray, search: Search, seed: int) -> np.ndarray:
    """Return the coordinates of images in the space of the search, `(n, d)` float32.

    Raises:
        ValueError: If `embed` does not return one row of finite numbers per image.
    """
    if search.space == "embedding":
        features = np.asarray(search.embed(images), np.float32)
        if features.ndim != 2 or len(features) != len(images) or not np.isfinite(features).all():
            raise ValueError(
                f"Expected embed to give finite features ({len(images)}, d). Received: "
                f"shape={features.shape}."
            )
        return features
    pixels = images.reshape(len(images), -1).astype(np.float32)
    if search.space == "pixel":
        return pixels
    from sklearn.decomposition import PCA

    components = min(PCA_COMPONENTS, *pixels.shape)
    return PCA(components, svd_solver="randomized", random_state=seed).fit_transform(pixels)


def draw_pairs(
    features: np.ndarray,
    count: int,
    search: Search,
    seed: int,
    *,
    label: object = None,
    chances: np.ndarray | None = None,
) -> Pairs:
    """Draw parents among the candidates of one class, and one of the neighbours of each.

    Args:
        features: `(n, d)` of the candidates, n >= 2.
        count: Number of pairs to draw.
        search: Gives `k_neighbors` and `kind`; k is reduced, with a warning, in smaller classes.
        seed: Seed of the draws.
        label: Name of the class in the warning.
        chances: `(n,)` from `border_chances`, for the kinds that need them.
    """
    k = min(search.k_neighbors, len(features) - 1)
    if k < search.k_neighbors:
        logger.warning(
            "class %r: %d images to choose from, so k_neighbors is %d instead of %d",
            label, len(features), k, search.k_neighbors,
        )  # fmt: skip
    nearest = nearest_others(features, k)
    draws = np.random.RandomState(seed)
    candidates = np.arange(len(features))
    if search.kind == "adasyn":
        # In proportion to the chances, by largest remainders, so that the total is exact.
        exact = chances / chances.sum() * count
        shares = np.floor(exact).astype(int)
        order = np.argsort(shares - exact, kind="stable")
        shares[order[: count - shares.sum()]] += 1
        parents = np.repeat(candidates, shares)
        columns = draws.choice(k, size=count)
        return Pairs(parents, nearest[parents, columns], draws.uniform(size=count))
    if search.kind == "borderline":
        candidates = np.flatnonzero(chances)
    drawn = draws.randint(0, len(candidates) * k, size=count)
    weights, parents = draws.uniform(size=count), candidates[drawn // k]
    return Pairs(parents, nearest[parents, drawn % k], weights)


def nearest_others(features: np.ndarray, k: int) -> np.ndarray:
    """Return each row's k nearest other rows, nearest first: `(n, k)` positions.

    A row is never its own neighbour, even if another row is identical to it.
    """
    from sklearn.neighbors import NearestNeighbors

    return NearestNeighbors(n_neighbors=k).fit(features).kneighbors(return_distance=False)


def border_chances(
    features: np.ndarray, labels: np.ndarray, rows: np.ndarray, search: Search
) -> np.ndarray:
    """Return the chance of each of several rows of one class to be a parent, `(len(rows),)`.

    If no row is at the border, all are equally likely, and a warning is logged.

    Args:
        features: `(n, d)` of all images.
        labels: `(n,)`.
        rows: The candidates.
        search: Its kind decides: `borderline` gives 0 or 1, `adasyn` the share of other classes.
    """
    from sklearn.neighbors import NearestNeighbors

    wanted = DANGER_NEIGHBOURS if search.kind == "borderline" else search.k_neighbors
    k = min(wanted, len(features) - 1)
    index = NearestNeighbors(n_neighbors=k + 1).fit(features)
    nearest = index.kneighbors(features[rows], return_distance=False)
    # Leave out each row itself, or the farthest neighbour if duplicates pushed it off the list.
    own = nearest == rows[:, None]
    own[~own.any(axis=1), -1] = True
    others = nearest[~own].reshape(len(rows), k)
    strangers = (labels[others] != labels[rows[0]]).sum(axis=1)
    if search.kind == "borderline":
        chances = ((strangers >= k / 2) & (strangers < k)).astype(np.float64)
    else:
        chances = strangers / k
    if chances.any():
        return chances
    logger.warning("class %r: none stands at the border, all are parents", labels[rows[0]])
    return np.ones(len(rows))
