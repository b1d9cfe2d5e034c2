"""Features cached on disk under a hash of the faces, the describer and its weights."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import TransformerMixin
from sklearn.pipeline import FeatureUnion

from builder_tools.classical.face_features import FaceFeatures
from builder_tools.media.partial import kept_array, replacing

VERSION = 1
"""Version of what describers compute; raising it invalidates the whole cache."""

CHUNK_FACES = 256


def cached_features(
    describer: TransformerMixin,
    faces: np.ndarray,
    folder: str | Path,
    *,
    n_jobs: int | None = -1,
) -> np.ndarray:
    """Return the features of faces, from disk if they were computed before.

    Args:
        describer: A transformer that learns nothing: `FaceFeatures`, or a `FeatureUnion` of them
            (each is cached separately).
        faces: `(n, H, W)` or `(n, H, W, 3)` uint8.
        folder: Folder of the `<sha256>.npy` files. Their names depend on content alone, so it may
            be shared, and removed at any time.
        n_jobs: Number of processes, as in joblib.

    Returns:
        `(n, num_features)` float32.

    Raises:
        ValueError: If the describer learns from the faces.
    """
    if isinstance(describer, FeatureUnion):
        parts = [each for _, each in describer.transformer_list]
        found = [cached_features(each, faces, folder, n_jobs=n_jobs) for each in parts]
        return np.concatenate(found, axis=1)
    if not isinstance(describer, FaceFeatures):
        raise ValueError(
            "Expected a describer that learns nothing from the faces. Received: "
            f"{type(describer).__name__}. Put it into the pipeline instead."
        )
    path = Path(folder) / f"{features_key(describer, faces)}.npy"
    kept = kept_array(path, (len(faces), None))
    if kept is not None:
        return np.array(kept)
    found = describe_all(describer, faces, n_jobs=n_jobs)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial, partial.open("wb") as file:
        np.save(file, found)
    return found


def is_cached(describer: TransformerMixin, faces: np.ndarray, folder: str | Path) -> bool:
    """Return whether `cached_features` would find all of these features on disk."""
    if isinstance(describer, FeatureUnion):
        return all(is_cached(each, faces, folder) for _, each in describer.transformer_list)
    path = Path(folder) / f"{features_key(describer, faces)}.npy"
    return kept_array(path, (len(faces), None)) is not None


def features_key(describer: FaceFeatures, faces: np.ndarray) -> str:
    """Return the SHA-256 of the faces, the describer's class and options, and its weight files."""
    about = {
        "version": VERSION,
        "class": type(describer).__name__,
        "options": {name: repr(value) for name, value in sorted(describer.get_params().items())},
        "weights": describer.weight_hashes(),
        "shape": faces.shape,
    }
    digest = hashlib.sha256(json.dumps(about).encode())
    digest.update(np.ascontiguousarray(faces).tobytes())
    return digest.hexdigest()


def describe_all(
    describer: FaceFeatures, faces: np.ndarray, *, n_jobs: int | None = -1
) -> np.ndarray:
    """Return the features of faces, computed in chunks, on several processes where that helps."""
    from tqdm import tqdm

    describer.fit(faces[:1])
    starts = range(0, len(faces), CHUNK_FACES)
    jobs = (delayed(describer.transform)(faces[s : s + CHUNK_FACES]) for s in starts)
    alone = describer.single_process or len(starts) == 1
    parts = Parallel(1 if alone else n_jobs, return_as="generator")(jobs)
    name = type(describer).__name__
    shown = tqdm(parts, name, len(starts), unit=" chunks", delay=2, leave=False, disable=None)
    return np.concatenate(list(shown))
