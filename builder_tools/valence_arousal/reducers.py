"""Reductions to a plane: ISOMAP, PCA, UMAP. Each is fitted on some points and can place others.

ISOMAP (Tenenbaum, de Silva & Langford, 2000, "A global geometric framework for nonlinear
dimensionality reduction", Science 290) is scikit-learn's `Isomap` step by step, reimplemented for
three reasons: distances are kept in float32 and computed in chunks, so that an exact run on 28,558
faces fits into memory; its eigenvectors are seeded; and a fitted map consists of plain arrays, so
that it can be saved without pickle. A test compares it with scikit-learn's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

PLANE = 2
CHUNK = 256
SMALLEST_STEP = 1e-6
"""Length of the edge between identical points, as a sparse graph cannot hold edges of length 0."""


class Reducer(Protocol):
    """A map from points to the plane."""

    embedding_: np.ndarray

    def fit(self, points: np.ndarray) -> Reducer:
        """Fit the map to points `(n, d)` float32; `embedding_` holds their places `(n, 2)`."""

    def transform(self, points: np.ndarray) -> np.ndarray:
        """Return the places `(m, 2)` float64 of any points `(m, d)`."""

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the fitted map as plain arrays."""

    def from_arrays(self, arrays: Mapping[str, np.ndarray]) -> Reducer:
        """Restore a fitted map from plain arrays."""


class IsomapReducer:
    """ISOMAP to the plane.

    Args:
        neighbours: Neighbours of each point in the graph whose shortest paths are the distances.
        n_jobs: Number of processes for shortest paths, as in joblib.
        random_state: Seed of the start vector for the eigenvectors.

    Attributes:
        embedding_: `(n, 2)` float64, places of the fitted points.
        eigenvalues_: `(2,)`, largest first.
    """

    def __init__(
        self, *, neighbours: int = 10, n_jobs: int | None = None, random_state: int = 0
    ) -> None:
        self.neighbours = neighbours
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(self, points: np.ndarray) -> IsomapReducer:
        if len(points) <= self.neighbours:
            raise ValueError(
                f"Expected more faces than neighbours ({self.neighbours}). "
                f"Received: {len(points)}. Try fewer neighbours or more landmarks."
            )
        self.points_ = np.ascontiguousarray(points, np.float32)
        self.graph_ = neighbour_graph(self.points_, self.neighbours)
        self._distances = shortest_paths(self.graph_, n_jobs=self.n_jobs)
        squares = (np.square(row, dtype=np.float64).mean() for row in self._distances)
        self.mean_squares_ = np.fromiter(squares, np.float64, len(self._distances))
        self.eigenvalues_, self.vectors_ = _top_eigenvectors(self._distances, self.random_state)
        return self

    @property
    def embedding_(self) -> np.ndarray:
        return self.vectors_ * np.sqrt(self.eigenvalues_)

    @property
    def geodesics_(self) -> np.ndarray:
        """Shortest paths between the fitted points, `(n, n)` float32; recomputed after loading."""
        if self._distances is None:
            self._distances = shortest_paths(self.graph_, n_jobs=self.n_jobs)
        return self._distances

    def transform(self, points: np.ndarray) -> np.ndarray:
        from sklearn.neighbors import NearestNeighbors

        index = NearestNeighbors(n_neighbors=self.neighbours).fit(self.points_)
        step, place = index.kneighbors(np.asarray(points, np.float32))
        scaled = self.vectors_ / np.sqrt(self.eigenvalues_)
        parts = []
        for start in range(0, len(points), CHUNK):
            # The shortest paths from new points via their neighbours to all fitted points.
            rows = slice(start, start + CHUNK)
            paths = step[rows, :1].astype(np.float32) + self.geodesics_[place[rows, 0]]
            for number in range(1, self.neighbours):
                other = self.geodesics_[place[rows, number]]
                other += step[rows, number, None].astype(np.float32)
                np.minimum(paths, other, out=paths)
            parts.append(-0.5 * (np.square(paths, dtype=np.float64) - self.mean_squares_) @ scaled)
        return np.concatenate(parts)

    def to_arrays(self) -> dict[str, np.ndarray]:
        graph = {name: getattr(self.graph_, name) for name in ("data", "indices", "indptr")}
        return graph | {
            "points": self.points_,
            "mean_squares": self.mean_squares_,
            "eigenvalues": self.eigenvalues_,
            "vectors": self.vectors_,
        }

    def from_arrays(self, arrays: Mapping[str, np.ndarray]) -> IsomapReducer:
        from scipy.sparse import csr_array

        self.points_, self._distances = arrays["points"], None
        parts = arrays["data"], arrays["indices"], arrays["indptr"]
        self.graph_ = csr_array(parts, shape=(len(self.points_),) * 2)
        self.mean_squares_ = arrays["mean_squares"]
        self.eigenvalues_, self.vectors_ = arrays["eigenvalues"], arrays["vectors"]
        return self


class PcaReducer:
    """The plane of largest variance.

    Attributes:
        embedding_: `(n, 2)` float64, places of the fitted points.
    """

    def __init__(self, *, random_state: int = 0) -> None:
        self.random_state = random_state

    def fit(self, points: np.ndarray) -> PcaReducer:
        from sklearn.decomposition import PCA

        found = PCA(PLANE, svd_solver="randomized", random_state=self.random_state).fit(points)
        self.mean_, self.axes_ = found.mean_, found.components_
        self.embedding_ = self.transform(points)
        return self

    def transform(self, points: np.ndarray) -> np.ndarray:
        return ((points - self.mean_) @ self.axes_.T).astype(np.float64)

    def to_arrays(self) -> dict[str, np.ndarray]:
        return {"mean": self.mean_, "axes": self.axes_}

    def from_arrays(self, arrays: Mapping[str, np.ndarray]) -> PcaReducer:
        self.mean_, self.axes_ = arrays["mean"], arrays["axes"]
        return self


class UmapReducer:
    """UMAP to the plane (McInnes et al., 2018, arXiv:1802.03426); needs umap-learn.

    Attributes:
        embedding_: `(n, 2)` float64, places of the fitted points.
    """

    def __init__(self, *, neighbours: int = 15, random_state: int = 0) -> None:
        self.neighbours = neighbours
        self.random_state = random_state

    def fit(self, points: np.ndarray) -> UmapReducer:
        try:
            from umap import UMAP
        except ImportError as error:
            raise ImportError("UMAP needs umap-learn: pip install umap-learn.") from error
        if len(points) <= self.neighbours:
            raise ValueError(
                f"Expected more faces than neighbours ({self.neighbours}). Received: {len(points)}."
            )
        # One process: with a seed, UMAP allows no more and warns unless this is set.
        self._umap = UMAP(
            n_neighbors=self.neighbours, random_state=self.random_state, n_jobs=1
        ).fit(points)
        self.embedding_ = np.asarray(self._umap.embedding_, np.float64)
        return self

    def transform(self, points: np.ndarray) -> np.ndarray:
        return np.asarray(self._umap.transform(points), np.float64)

    def to_arrays(self) -> dict[str, np.ndarray]:
        raise ValueError(
            "Expected a manifold that can be saved as plain arrays: isomap or pca. Received: umap, "
            "which only pickle can save. Save its labels instead (write_labels)."
        )

    def from_arrays(self, arrays: Mapping[str, np.ndarray]) -> UmapReducer:
        raise ValueError("A UMAP cannot be loaded.")


REDUCERS: dict[str, Callable[..., Reducer]] = {
    "isomap": IsomapReducer,
    "pca": PcaReducer,
    "umap": UmapReducer,
}


def neighbour_graph(points: np.ndarray, neighbours: int):
    """Return the nearest-neighbour graph, with an edge if either point is the other's neighbour.

    Args:
        points: `(n, d)` float32.
        neighbours: Number of neighbours of each point.

    Returns:
        A symmetric sparse array `(n, n)` of distances.

    Raises:
        ValueError: If the graph is in several pieces; gives their sizes.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components
    from sklearn.neighbors import kneighbors_graph

    graph = csr_array(kneighbors_graph(points, neighbours, mode="distance"))
    graph.data = np.maximum(graph.data, SMALLEST_STEP)
    graph = csr_array(graph.maximum(graph.T))
    num, part = connected_components(graph, directed=False)
    if num > 1:
        sizes = np.sort(np.bincount(part))[::-1]
        raise ValueError(
            f"Expected a neighbour graph in one piece. With {neighbours} neighbours it falls into "
            f"{num}, of {', '.join(map(str, sizes[:5]))}{', ...' if num > 5 else ''} faces. "
            "Try more neighbours, or remove copies (builder-tools clean)."
        )
    return graph


def shortest_paths(graph, *, n_jobs: int | None = None) -> np.ndarray:
    """Return the lengths of all shortest paths, `(n, n)` float32, computed in chunks.

    Args:
        graph: A symmetric, sparse and connected graph.
        n_jobs: Number of processes, as in joblib.
    """
    from joblib import Parallel, delayed
    from tqdm import tqdm

    length = graph.shape[0]
    starts = range(0, length, CHUNK)
    found = np.empty((length, length), np.float32)
    jobs = (delayed(_paths_from)(graph, range(s, min(s + CHUNK, length))) for s in starts)
    parts = Parallel(n_jobs, return_as="generator")(jobs)
    shown = tqdm(parts, "shortest paths", len(starts), delay=2, leave=False, disable=None)
    for start, part in zip(starts, shown, strict=True):
        found[start : start + CHUNK] = part
    return found


def _paths_from(graph, rows: range) -> np.ndarray:
    from scipy.sparse.csgraph import dijkstra

    # The graph has both directions: searched as directed, each edge is visited only once.
    return dijkstra(graph, directed=True, indices=list(rows)).astype(np.float32)


def _top_eigenvectors(distances: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the two largest eigenvalues of the centred kernel -J D^2 J / 2 and their vectors."""
    from scipy.sparse.linalg import LinearOperator, eigsh

    length = len(distances)
    square = np.empty((CHUNK, length), np.float32)

    def multiply(vector: np.ndarray) -> np.ndarray:
        vector = np.asarray(vector, np.float64).ravel()
        centred = (vector - vector.mean()).astype(np.float32)
        found = np.empty(length)
        for start in range(0, length, CHUNK):
            part = distances[start : start + CHUNK]
            squared = np.multiply(part, part, out=square[: len(part)])
            found[start : start + CHUNK] = squared @ centred
        return -0.5 * (found - found.mean())

    kernel = LinearOperator((length, length), matvec=multiply, dtype=np.float64)
    start = np.random.default_rng(seed).uniform(-1, 1, length)
    values, vectors = eigsh(kernel, PLANE, v0=start, tol=1e-6)
    values, vectors = values[::-1], vectors[:, ::-1]
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(PLANE)]
    return values.copy(), vectors * np.sign(largest)
