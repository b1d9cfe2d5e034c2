"""`FaceSampler`: the same balancing for rows of numbers, for use in imbalanced-learn pipelines."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from imblearn.over_sampling.base import BaseOverSampler
from sklearn.utils import check_random_state

from builder_tools.balancing.making import (
    INTERPOLATED,
    ORIGINAL,
    augment,
    concatenate_parts,
    default_model,
    interpolate,
    made_parts,
    part_of,
)
from builder_tools.balancing.neighbours import Search, features_of
from builder_tools.balancing.plan import Shares, plan_made

HIGHEST_SEED = 2**31 - 1


class FaceSampler(BaseOverSampler):
    """An imbalanced-learn sampler that over-samples flattened faces.

    With the defaults, it draws the same as imbalanced-learn's `SMOTE`. On integer rows (uint8
    pixels), it interpolates in floating point, rounds and clips to the type's range, where `SMOTE`
    wraps around. Classes are never undersampled, as over-samplers only add rows.

    Args:
        sampling_strategy: As in imbalanced-learn: which classes get how many rows.
        image_shape: Shape of a row as an image, `(H, W)` or `(H, W, 3)`; needed if images are
            augmented (`modify_coef` < 1) or embedded as images.
        train_part: As in `FaceSMOTE`, 0 by default.
        modify_coef: As in `FaceSMOTE`, 1 by default: interpolation only.
        gen_model: As in `FaceSMOTE`.
        k_neighbors: As in `FaceSMOTE`.
        space: As in `FaceSMOTE`.
        embed: As in `FaceSMOTE`; gets images of `image_shape` if it is given, else rows.
        kind: As in `FaceSMOTE`.
        random_state: Whole number, `numpy.random.RandomState`, or None for new draws each time.

    Attributes:
        sampling_strategy_: Number of rows to make, by class.
        provenance_: As in `FaceSMOTE`.
    """

    def __init__(
        self,
        *,
        sampling_strategy="auto",
        image_shape: tuple[int, ...] | None = None,
        train_part: float = 0.0,
        modify_coef: float = 1.0,
        gen_model: Callable | None = None,
        k_neighbors: int = 5,
        space: str = "pixel",
        embed: Callable[[np.ndarray], np.ndarray] | None = None,
        kind: str = "regular",
        random_state: int | None = None,
    ) -> None:
        super().__init__(sampling_strategy=sampling_strategy)
        self.image_shape = image_shape
        self.train_part = train_part
        self.modify_coef = modify_coef
        self.gen_model = gen_model
        self.k_neighbors = k_neighbors
        self.space = space
        self.embed = embed
        self.kind = kind
        self.random_state = random_state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = False
        return tags

    def _check_X_y(self, X, y, accept_sparse=None):
        return super()._check_X_y(X, y, accept_sparse=False)

    def _fit_resample(self, X, y):
        faces = X
        if self.image_shape is not None:
            if np.prod(self.image_shape) != X.shape[1]:
                raise ValueError(
                    f"Expected rows of {np.prod(self.image_shape)} numbers for "
                    f"image_shape={self.image_shape}. Received: rows of {X.shape[1]}."
                )
            faces = X.reshape(len(X), *self.image_shape)
        shares = Shares(self.train_part, self.modify_coef)
        search = Search(self.space, self.kind, self.k_neighbors, self.embed)
        seed = self.random_state
        if not isinstance(seed, int | np.integer):
            seed = check_random_state(seed).randint(HIGHEST_SEED)
        seed = int(seed)
        common = None if self.kind == "regular" else features_of(faces, search, seed)
        parts = [part_of(y, ORIGINAL, np.arange(len(y)))]
        for label, missing in self.sampling_strategy_.items():
            plan = plan_made(label, np.flatnonzero(y == label), missing, shares, seed)
            parts += made_parts(faces, y, plan, search, seed, common=common)
        self.provenance_ = concatenate_parts(parts)
        rows = self.provenance_["parent"].to_numpy()
        return self._rows(X, faces, seed), y[rows]

    def _rows(self, X: np.ndarray, faces: np.ndarray, seed: int) -> np.ndarray:
        table = self.provenance_
        found = X[table["parent"].to_numpy()]
        mixed = table[table["origin"] == INTERPOLATED]
        found[mixed["row"]] = interpolate(
            X[mixed["parent"]], X[mixed["neighbour"]], mixed["weight"].to_numpy()
        )
        made = table[~table["origin"].isin((ORIGINAL, INTERPOLATED))]
        for _, part in made.groupby("label", sort=False):
            model = self.gen_model or default_model(seed)
            images = augment(faces[part["parent"].to_numpy()], model)
            found[part["row"]] = images.reshape(len(part), -1)
        return found
