"""Batches of faces for training, from memory or from files, in a reproducible order."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import keras
import numpy as np

Changes = Callable[[np.ndarray, np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray]]


class FaceSource(Protocol):
    """Where faces come from: an array, or `ResizedImages` that decode files on access.

    It may be accessed from several threads at once.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """Return the faces in the given rows, `(k, H, W[, C])` uint8."""
        ...


class FaceBatches(keras.utils.PyDataset):
    """Batches of faces for `fit(shuffle=False)`, in a new order for each epoch.

    The order depends only on seed and epoch. `fit` does not say which epoch begins (Keras calls
    `on_epoch_end` more often than epochs end), so a callback calls `start_epoch`.

    Only NumPy is used here: Keras operations inside a data pipeline can deadlock on a machine with
    few cores. Augmentation is part of the training graph instead (see `with_augmentation`).

    Args:
        images: `(n, H, W)` uint8 grey, `(n, H, W, 3)` uint8 RGB, or a `FaceSource`; features of
            another type are passed through as float32.
        targets: `(n, k)` float32.
        batch_size: Number of faces per batch.
        shuffle_seed: With the epoch, fixes the order of every epoch; None keeps the given order.
        balanced: Whether to draw faces so that every class (largest target) is equally frequent:
            an epoch keeps its length, faces of small classes appear in it several times, and those
            of large classes take turns over the epochs. Faces whose targets are all 0, left to a
            teacher, are one more class. Needs `shuffle_seed`.
        workers: Number of threads that read ahead; 1 reads in the training thread (TensorFlow
            still reads ahead on its own). 2 or more pay off if files are decoded.
        max_queue_size: Number of batches read ahead.
        changes: Called as `changes(faces, targets, rng)` with uint8 faces `(n, H, W[, 3])` of a
            batch; returns faces and targets to replace them. The generator depends on seed, epoch
            and batch. Needs `shuffle_seed`.
        classes: `(n, k)` columns of the targets that define the class for `balanced`; None for
            all.

    Raises:
        ValueError: If the numbers of targets and faces differ, or `balanced` or `changes` is given
            without a seed.
    """

    def __init__(
        self,
        images: FaceSource | np.ndarray,
        targets: np.ndarray,
        *,
        batch_size: int = 64,
        shuffle_seed: int | None = None,
        balanced: bool = False,
        workers: int = 1,
        max_queue_size: int = 10,
        changes: Changes | None = None,
        classes: np.ndarray | None = None,
    ) -> None:
        super().__init__(workers=workers, max_queue_size=max_queue_size)
        if len(images) != len(targets):
            raise ValueError(
                f"Expected one target a face. Received: {len(images)} faces, {len(targets)} "
                "targets."
            )
        if (balanced or changes) and shuffle_seed is None:
            raise ValueError("Expected shuffle_seed with balanced or changes. Received: None.")
        self.images, self.targets, self.batch_size = images, targets, batch_size
        self.classes = targets if classes is None else classes
        self.shuffle_seed, self.balanced, self.changes = shuffle_seed, balanced, changes
        self.start_epoch(0)

    def __len__(self) -> int:
        return math.ceil(len(self.images) / self.batch_size)

    def __getitem__(self, index: int):
        chosen = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        faces, targets = self.images[chosen], self.targets[chosen]
        if self.changes:
            rng = np.random.default_rng((self.shuffle_seed, self.epoch, index))
            faces, targets = self.changes(faces, targets, rng)
        faces = faces[..., None] if faces.ndim == 3 and faces.dtype == np.uint8 else faces
        return faces.astype(np.float32), targets

    def start_epoch(self, epoch: int) -> None:
        """Set the order of the faces for an epoch."""
        self.epoch = epoch
        if self.balanced:
            num_classes, labelled = self.classes.shape[1], self.classes.any(axis=1)
            labels = np.where(labelled, self.classes.argmax(axis=1), num_classes)
            self.order = balanced_order(labels, self.shuffle_seed, epoch)
            return
        self.order = np.arange(len(self.images))
        if self.shuffle_seed is not None:
            np.random.default_rng((self.shuffle_seed, epoch)).shuffle(self.order)


def balanced_order(labels: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """Draw an epoch in which every class is equally frequent (up to one face).

    Each class is an endless stream of shuffled passes over its faces, and every epoch takes the
    next piece of it: over the epochs, all faces of a class appear equally often (up to once).

    Args:
        labels: `(n,)` int.
        seed: With the epoch, fixes the order.
        epoch: Number of the epoch, from 0.

    Returns:
        `(n,)` rows.
    """
    classes = np.unique(labels)
    pieces = []
    for place, label in enumerate(classes):
        # Sums to n over the classes in every epoch (Hermite's identity).
        first, end = ((e * len(labels) + place) // len(classes) for e in (epoch, epoch + 1))
        rows = np.flatnonzero(labels == label)
        pieces.append(piece_of_passes(rows, first, end - first, (seed, int(label))))
    order = np.concatenate(pieces)
    np.random.default_rng((seed, epoch)).shuffle(order)
    return order


def piece_of_passes(rows: np.ndarray, first: int, size: int, seed: tuple) -> np.ndarray:
    """Return a piece of an endless stream of shuffled passes.

    Args:
        rows: The rows of each pass.
        first: Position in the stream at which the piece begins.
        size: Length of the piece.
        seed: With the number of the pass, fixes the order of each pass.
    """
    passes = range(first // len(rows), (first + size) // len(rows) + 1)
    stream = [np.random.default_rng((*seed, number)).permutation(rows) for number in passes]
    start = first - passes.start * len(rows)
    return np.concatenate(stream)[start : start + size]
