"""Eigenfaces (Turk and Pentland, 1991): the directions in which faces differ most."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.utils.validation import check_is_fitted, validate_data


class MainDirections(TransformerMixin, BaseEstimator):
    """Rows projected on their main directions, whitened; for `PixelFeatures`, on eigenfaces.

    It learns from the rows it is fitted on, so it belongs inside the cross-validation. Unlike
    `PCA(n)`, it also works with fewer rows than directions.

    Args:
        num_directions: Largest number of directions.
        random_state: Seed of the solver.

    Attributes:
        pca_: The fitted `PCA`; row i of its `components_`, reshaped to a square, is eigenface i.
    """

    def __init__(self, *, num_directions: int = 150, random_state: int | None = 0) -> None:
        self.num_directions = num_directions
        self.random_state = random_state

    def fit(self, rows: np.ndarray, y: np.ndarray | None = None) -> MainDirections:
        """Find the main directions of rows `(n, d)`.

        Raises:
            ValueError: If there are fewer than two rows, or an option is out of range.
        """
        if self.num_directions < 1:
            raise ValueError(f"Expected num_directions >= 1. Received: {self.num_directions}.")
        rows = validate_data(self, rows, dtype=np.float32, ensure_min_samples=2)
        count = min(self.num_directions, len(rows) - 1, rows.shape[1])
        self.pca_ = PCA(count, whiten=True, random_state=self.random_state).fit(rows)
        return self

    def transform(self, rows: np.ndarray) -> np.ndarray:
        """Return the coordinates of each row in the k directions found, `(n, k)` float32."""
        check_is_fitted(self)
        rows = validate_data(self, rows, reset=False, dtype=np.float32)
        return self.pca_.transform(rows).astype(np.float32)

    def get_feature_names_out(self, input_features: object = None) -> np.ndarray:
        """Return a name for each direction, strongest first."""
        check_is_fitted(self)
        return self.pca_.get_feature_names_out(input_features).astype(object)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags
