"""What a run is trained on, in a few numbers by which it is recognised."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from builder_tools.augmentation.batches import FaceSource

if TYPE_CHECKING:
    from builder_tools.training.run import Samples

HASHED_IMAGES = 256
"""Number of images that represent all of them in a hash, if they are in files."""


def content_hash(arrays: Iterable[np.ndarray]) -> str:
    """Return the SHA-256 of a sequence of arrays: of their shapes, types and values."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(repr((array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def hashed_images(images: FaceSource | np.ndarray) -> np.ndarray:
    """Return the images that enter a hash: all of an array, `HASHED_IMAGES` of those in files."""
    if isinstance(images, np.ndarray):
        return images
    count = min(HASHED_IMAGES, len(images))
    return images[np.linspace(0, len(images) - 1, count).astype(int)]


def data_record(steps: int, train: Samples, valid: Samples) -> dict:
    """Return what a run remembers of its data, as JSON values.

    Targets are summed with random weights instead of hashed: teachers that are asked again, such
    as on another machine, repeat their answers only to within rounding.

    Args:
        steps: Number of steps per epoch.
        train: Training faces.
        valid: Validation faces.

    Returns:
        `faces` (number of training faces), `steps`, `faces_sha256` (of both parts) and
        `target_sums` (one sum per column of each part).
    """
    parts = (train, valid)
    sums = [np.random.default_rng(0).normal(size=len(p.targets)) @ p.targets for p in parts]
    return {
        "faces": len(train.images),
        "steps": steps,
        "faces_sha256": content_hash(hashed_images(part.images) for part in parts),
        "target_sums": np.concatenate(sums).round(4).tolist(),
    }


def differing_data(record: dict, earlier: dict) -> str | None:
    """Return what differs in two records of as many faces: faces, targets or None.

    Args:
        record: As returned by `data_record`.
        earlier: Another; entries that it lacks, as in runs begun by earlier code, do not differ.
    """
    known = {**record, **earlier}
    if known["faces_sha256"] != record["faces_sha256"]:
        return "faces"
    sums, others = record["target_sums"], known["target_sums"]
    if len(sums) != len(others) or not np.allclose(sums, others, rtol=0, atol=0.01):
        return "targets"
    return None
