"""Valence and arousal of faces from their places on a manifold of faces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from builder_tools.cards import file_sha256
from builder_tools.datasets.sampling import stratified_sample
from builder_tools.emotions import NINE_EMOTIONS, EmotionSet
from builder_tools.fields import check_range, check_seed, check_whole
from builder_tools.valence_arousal.orientation import clip_to_disc, fit_orientation, staged_shift
from builder_tools.valence_arousal.reducers import REDUCERS, Reducer
from builder_tools.valence_arousal.vectors import (
    Faces,
    Vectorise,
    check_faces,
    keras_file,
    network_vectors,
    pixel_vectors,
    vectors_of,
)

PCA_SAMPLE = 5_000
"""Most faces that the principal components are computed from."""
ORIENTATIONS = ("classes", "images")


class ValenceArousalLabeller(BaseEstimator):
    """Label faces with valence and arousal: manifold, orientation to anchors, pull to classes.

    Faces become grey 48 x 48 vectors and then principal components; ISOMAP is fitted on a
    stratified sample (landmarks) and places all other faces. The plane is then rotated and scaled
    so that the class means lie as close as possible to the emotions' anchors. If labels are known,
    each class is moved to its anchor and contracted in stages.

    Args:
        emotions: The classes, in label order.
        manifold: Name in `REDUCERS`: isomap, pca or umap.
        neighbours: Number of neighbours in the graph of isomap and umap.
        landmarks: Number of faces that the manifold is fitted on; None for all (exact).
        pca: Number of principal components kept before the manifold; None keeps the vectors.
        network: A `.keras` file, model folder or name of a model whose features replace the pixels.
        orient_on: What is aligned with the anchors by least squares: `classes` (class means, all
            weighted equally) or `images` (every face; the plane shrinks to what it can predict).
        stages: Number of stages of the shift towards the class; 0 leaves the raw manifold.
        pull: Share of the way to the anchor in each stage, 0...1.
        n_jobs: Number of processes for shortest paths, as in joblib.
        random_state: Seed of landmarks, components and manifold.

    Attributes:
        landmark_rows_: Rows that the manifold was fitted on.
        mean_, axes_: Mean `(d,)` and axes `(pca, d)` of the principal components; None without.
        reducer_: The fitted manifold.
        orientation_: The `Orientation`.
        centres_: `(k, 2)`, the oriented mean place of each class; NaN for classes without faces.
        clipped_share_: Share of the fitted faces outside the unit disc before any shift.
    """

    def __init__(
        self,
        *,
        emotions: EmotionSet = NINE_EMOTIONS,
        manifold: str = "isomap",
        neighbours: int = 10,
        landmarks: int | None = 4000,
        pca: int | None = 100,
        network: str | Path | None = None,
        orient_on: str = "classes",
        stages: int = 3,
        pull: float = 0.5,
        n_jobs: int | None = None,
        random_state: int = 0,
    ) -> None:
        self.emotions = emotions
        self.manifold = manifold
        self.neighbours = neighbours
        self.landmarks = landmarks
        self.pca = pca
        self.network = network
        self.orient_on = orient_on
        self.stages = stages
        self.pull = pull
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(self, images: Faces, labels: np.ndarray) -> ValenceArousalLabeller:
        """Fit components, manifold and orientation.

        Args:
            images: `(n, H, W)` or `(n, H, W, 3)` uint8, or the `ResizedImages` of a table.
            labels: `(n,)` int indices into `emotions`.

        Raises:
            ValueError: If options or input are invalid: only one class, too few faces for the
                neighbours, blank faces, NaN, a neighbour graph in several pieces.
            FileNotFoundError: If the network does not exist.
            ImportError: If UMAP is requested but not installed.
        """
        self._fit(images, labels)
        return self

    def transform(self, images: Faces, labels: np.ndarray | None = None) -> np.ndarray:
        """Return valence and arousal in the unit disc, `(n, 2)` float64.

        Args:
            images: As for `fit`, in any number.
            labels: `(n,)` int. If given, the shift towards the class is applied; otherwise the
                places on the oriented manifold are returned, which do not depend on classes.

        Raises:
            ValueError: If the input is invalid, or a label is of a class not seen by `fit`.
        """
        return clip_to_disc(self._path(self.oriented(images), labels)[-1])

    def fit_transform(self, images: Faces, labels: np.ndarray) -> np.ndarray:
        """Return `fit(images, labels).transform(images, labels)`, placing each face only once."""
        places = self._fit(images, labels)
        return clip_to_disc(self._path(places, labels)[-1])

    def trajectory(self, images: Faces, labels: np.ndarray) -> np.ndarray:
        """Return the trajectory of every face from the oriented manifold to its label.

        Returns:
            `(stages + 1, n, 2)` in the unit disc; the last is `transform(images, labels)`.
        """
        return clip_to_disc(self._path(self.oriented(images), labels))

    def oriented(self, images: Faces) -> np.ndarray:
        """Return unclipped places on the oriented manifold, `(n, 2)`, for evaluating manifolds."""
        check_is_fitted(self)
        return self.orientation_.apply(self.reducer_.transform(self.points(images)))

    def points(self, images: Faces) -> np.ndarray:
        """Return faces as the input of the manifold, `(n, d)` float32."""
        check_faces(images)
        return vectors_of(images, self._vectorise(), self._project)

    def save(self, path: str | Path) -> Path:
        """Write the fitted labeller as one `.npz` of plain arrays (no pickle), atomically.

        Raises:
            ValueError: If the manifold is UMAP's, which cannot be stored this way.
        """
        from builder_tools.valence_arousal.storage import save_labeller

        check_is_fitted(self)
        return save_labeller(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> ValenceArousalLabeller:
        """Read a labeller written by `save`, without executing anything from the file.

        Raises:
            FileNotFoundError: If there is no such file, or its network is missing.
            ValueError: If it is not a saved labeller, or its network has changed.
        """
        from builder_tools.valence_arousal.storage import load_labeller

        return load_labeller(Path(path))

    def _fit(self, images: Faces, labels: np.ndarray) -> np.ndarray:
        """Fit everything and return the oriented places of the faces."""
        self.check_options()
        check_faces(images)
        labels = self._checked_labels(labels, len(images))
        self._check_anchors(labels)
        rng = np.random.default_rng(self.random_state)
        self._embed: Vectorise | None = None
        points = self._fit_points(images, rng)
        self.landmark_rows_ = stratified_sample(labels, self.landmarks, rng)
        self.reducer_ = self._reducer().fit(points[self.landmark_rows_])
        everything = len(self.landmark_rows_) == len(points)
        raw = self.reducer_.embedding_ if everything else self.reducer_.transform(points)
        means, anchors = class_means(raw, labels, len(self.emotions)), self.emotions.anchors
        placed = ~np.isnan(means + anchors).any(axis=1)
        if self.orient_on == "classes":
            self.orientation_ = fit_orientation(means[placed], anchors[placed])
        else:
            known = placed[labels]
            self.orientation_ = fit_orientation(raw[known], anchors[labels[known]])
        self.centres_, places = self.orientation_.apply(means), self.orientation_.apply(raw)
        self.clipped_share_ = float((np.linalg.norm(places, axis=1) > 1).mean())
        return places

    def _fit_points(self, images: Faces, rng: np.random.Generator) -> np.ndarray:
        """Fit the components and return the faces as the input of the manifold."""
        vectorise = self._vectorise()
        if self.network is None:  # pixel vectors are large, and quick to compute twice
            self._fit_components(
                len(images), rng, lambda rows: vectors_of(_Chosen(images, rows), vectorise, _same)
            )
            return self.points(images)
        vectors = vectors_of(images, vectorise, _same)
        self._fit_components(len(images), rng, lambda rows: vectors[rows])
        return self._project(vectors)

    def _fit_components(
        self, count: int, rng: np.random.Generator, vectors_at: Callable[[np.ndarray], np.ndarray]
    ) -> None:
        from sklearn.decomposition import PCA

        self.mean_ = self.axes_ = None
        if self.pca is None:
            return
        vectors = vectors_at(np.sort(rng.permutation(count)[:PCA_SAMPLE]))
        kept = min(self.pca, *vectors.shape)
        found = PCA(kept, svd_solver="randomized", random_state=self.random_state).fit(vectors)
        self.mean_, self.axes_ = found.mean_, found.components_

    def _path(self, places: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
        if labels is None:
            return places[None]
        labels = self._checked_labels(labels, len(places))
        unseen = np.isnan(self.centres_).any(axis=1)[labels]
        if unseen.any():
            name = self.emotions[labels[unseen][0]]
            raise ValueError(f"Expected classes that fit has seen. Received: {name!r}.")
        return staged_shift(
            places, labels, self.centres_, self.emotions.anchors, stages=self.stages, pull=self.pull
        )

    def _vectorise(self):
        if self.network is None:
            return pixel_vectors
        if getattr(self, "_embed", None) is None:
            self.network_sha256_ = file_sha256(keras_file(self.network))
            self._embed = network_vectors(self.network)
        return self._embed

    def _project(self, vectors: np.ndarray) -> np.ndarray:
        if self.axes_ is None:
            return vectors
        return ((vectors - self.mean_) @ self.axes_.T).astype(np.float32)

    def _reducer(self) -> Reducer:
        options: dict[str, dict[str, Any]] = {
            "isomap": {"neighbours": self.neighbours, "n_jobs": self.n_jobs},
            "umap": {"neighbours": self.neighbours},
        }
        chosen = options.get(self.manifold, {})
        return REDUCERS[self.manifold](random_state=self.random_state, **chosen)

    def check_options(self) -> None:
        """Check the options without any faces, as `fit` does first.

        Raises:
            FileNotFoundError: If the network does not exist.
            ValueError: If an option is none of its values or out of range, or the network does
                not match the card of its model.
        """
        if self.manifold not in REDUCERS or self.orient_on not in ORIENTATIONS:
            raise ValueError(
                f"Expected manifold of {list(REDUCERS)} and orient_on of {list(ORIENTATIONS)}. "
                f"Received: manifold={self.manifold!r}, orient_on={self.orient_on!r}."
            )
        check_seed(random_state=self.random_state)
        if self.n_jobs == 0:
            raise ValueError("Expected n_jobs as None or a number other than 0. Received: 0.")
        counts = {"neighbours": self.neighbours, "landmarks": self.landmarks, "pca": self.pca}
        for name, value in counts.items():
            if value is not None:
                check_whole(2, **{name: value})
        check_whole(0, stages=self.stages)
        check_range(0, 1, pull=self.pull)
        if self.network is not None:
            keras_file(self.network)

    def _check_anchors(self, labels: np.ndarray) -> None:
        """Refuse classes with fewer than two distinct anchors, which cannot orient a plane."""
        anchors, present = self.emotions.anchors, np.unique(labels)
        known = ~np.isnan(anchors[present]).any(axis=1)
        if len(np.unique(anchors[present[known]], axis=0)) < 2:
            names = np.array(self.emotions.names)
            raise ValueError(
                "Expected faces of at least two classes whose emotions have different places on "
                f"the circumplex. Received: {names[present[known]].tolist()} with a place, "
                f"{names[present[~known]].tolist()} without. Known words: "
                f"{', '.join(NINE_EMOTIONS)}."
            )

    def _checked_labels(self, labels: np.ndarray, length: int) -> np.ndarray:
        labels = np.asarray(labels)
        if labels.shape != (length,) or not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(
                f"Expected whole-number labels ({length},), one a face. "
                f"Received: shape={labels.shape}, dtype={labels.dtype}."
            )
        if labels.min() < 0 or labels.max() >= len(self.emotions):
            raise ValueError(
                f"Expected labels 0...{len(self.emotions) - 1}. "
                f"Received: {labels.min()}...{labels.max()}."
            )
        return labels.astype(np.int64)


def class_means(places: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Return the mean place of each class, `(k, 2)`; NaN for classes without faces."""
    count = np.bincount(labels, minlength=num_classes)
    sums = [np.bincount(labels, weights=axis, minlength=num_classes) for axis in places.T]
    with np.errstate(invalid="ignore"):
        return np.stack(sums, axis=1) / count[:, None]


class _Chosen:
    """Selected rows of faces, read in chunks."""

    def __init__(self, images: Faces, rows: np.ndarray) -> None:
        self._images, self._rows = images, rows
        self.shape = (len(rows), *images.shape[1:])

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        return self._images[self._rows[rows]]


def _same(vectors: np.ndarray) -> np.ndarray:
    return vectors
