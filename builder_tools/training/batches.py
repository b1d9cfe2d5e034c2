"""Batches with epochs of any requested length, whatever the number of faces."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from builder_tools.augmentation import FaceBatches, degrade_faces, mix_faces
from builder_tools.augmentation.batches import piece_of_passes


class StreamedBatches(FaceBatches):
    """Faces in an endless sequence of shuffled passes, cut into epochs of equal length.

    Runs on data of different sizes (such as balanced and not) then take the same number of steps,
    and every face is seen equally often, to within one time.

    Args:
        images: See `FaceBatches`.
        targets: See `FaceBatches`.
        epoch_faces: Number of faces per epoch; with `balanced`, at most as many as there are.
        shuffle_seed: Determines the order of each pass, together with the number of the pass.
        **options: See `FaceBatches`.

    Raises:
        ValueError: If `balanced` epochs are longer than the data.
    """

    def __init__(self, images, targets, *, epoch_faces: int, shuffle_seed=0, **options) -> None:
        if options.get("balanced") and epoch_faces > len(images):
            raise ValueError(
                f"Expected epoch_faces of at most {len(images)} with balanced batches: that many "
                f"faces there are. Received: {epoch_faces}."
            )
        self.epoch_faces = epoch_faces
        super().__init__(images, targets, shuffle_seed=shuffle_seed, **options)

    def __len__(self) -> int:
        return math.ceil(self.epoch_faces / self.batch_size)

    def start_epoch(self, epoch: int) -> None:
        """Put the faces of an epoch in order."""
        if self.balanced:
            super().start_epoch(epoch)
            self.order = self.order[: self.epoch_faces]
            return
        self.epoch = epoch
        rows, first = np.arange(len(self.images)), epoch * self.epoch_faces
        self.order = piece_of_passes(rows, first, self.epoch_faces, (self.shuffle_seed,))


class FeatureCopies:
    """A `FaceSource` of features: in each epoch, those of one copy of each face.

    Args:
        copies: Arrays `(n, ...)` of one shape, usually memory-mapped.
    """

    def __init__(self, copies: list[np.ndarray]) -> None:
        self.copies = copies
        self.start_epoch(0)

    def __len__(self) -> int:
        return len(self.copies[0])

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        return self.copy[rows]

    def start_epoch(self, epoch: int) -> None:
        """Select the copy for an epoch."""
        self.copy = self.copies[epoch % len(self.copies)]


@dataclass(frozen=True)
class BatchChanges:
    """Changes to the faces of a training batch before they reach the network.

    Args:
        degrade: Probability that a face is degraded (see `degrade_faces`).
        mixup: See `mix_faces`.
        cutmix: See `mix_faces`.
    """

    degrade: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.degrade or self.mixup or self.cutmix)

    def __call__(
        self, faces: np.ndarray, targets: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return changed faces and targets."""
        if self.degrade:
            faces = degrade_faces(faces, rng, probability=self.degrade)
        if self.mixup or self.cutmix:
            return mix_faces(faces, targets, rng, mixup=self.mixup, cutmix=self.cutmix)
        return faces, targets
