"""What a network is taught: votes, FER2013's own labels, other models, or a mixture of them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from builder_tools.datasets.ferplus import with_original_labels
from builder_tools.datasets.table import ImageTable
from builder_tools.datasets.unlabelled import unlabelled_faces
from builder_tools.evaluation import PROTOCOLS
from builder_tools.evaluation.protocols import LEFT_OUT
from builder_tools.fields import check_types, is_number
from builder_tools.media import resize_stack
from builder_tools.release.run_record import teaching_of
from builder_tools.release.teachers import (
    KERAS_FILE,
    mean_answers,
    mean_teacher,
    teacher_record,
    teacher_temperature,
)

if TYPE_CHECKING:
    from builder_tools.training import Samples

ORIGINAL_PROTOCOL = "fer2013-7"
TEMPERATURES = "teacher_temperatures"
"""Key of the temperatures of the teachers in a teaching's record; earlier runs lack it."""


@dataclass(frozen=True)
class Teaching:
    """What the targets of the training faces are made of.

    Args:
        soft: Use the shares of the votes if people voted; otherwise, 1 for the label.
        original_share: Share of FER2013's own label in each target (a second opinion on the same
            images; ambiguously labelled images keep their target).
        teachers: Models, by name or folder, whose mean probability is part of the target
            (knowledge distillation, Hinton et al., 2015, arXiv:1503.02531). Without `match`, each
            sees a face and its mirror image.
            Third-party expression networks are given by name (`face_expression`); `.keras` files
            of networks with the table's classes also work.
        teacher_share: Share of that mean in each target.
        teacher_weights: Weight of each teacher in the mean; equal if empty.
        match: Ask the teachers about exactly the faces that are trained on, augmented and mixed,
            instead of once about the stored ones (see `training.matching`).
        unlabelled: Folders or zips of faces without labels, taught by the teachers alone.

    Raises:
        ValueError: If a share is not in [0, 1], there is a share without a teacher, a teacher
            without a share or a weight, or `match` or unlabelled faces without a teacher.
    """

    soft: bool = True
    original_share: float = 0.0
    teachers: tuple[str, ...] = ()
    teacher_share: float = 0.0
    teacher_weights: tuple[float, ...] = ()
    match: bool = False
    unlabelled: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_types(self)
        for name in ("original_share", "teacher_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"Expected {name} in [0, 1]. Received: {getattr(self, name)}.")
        if bool(self.teachers) != bool(self.teacher_share):
            raise ValueError(
                "Expected teachers together with a teacher_share above 0. Received: "
                f"teachers={list(self.teachers)}, teacher_share={self.teacher_share}."
            )
        weights = self.teacher_weights
        positive = all(is_number(weight) and weight > 0 for weight in weights)
        if weights and (len(weights) != len(self.teachers) or not positive):
            raise ValueError(
                f"Expected a weight above 0 for each of {len(self.teachers)} teachers, or none. "
                f"Received: {list(weights)}."
            )
        if (self.unlabelled or self.match) and not self.teachers:
            raise ValueError(
                "Expected teachers for unlabelled faces and for matching. Received: none. Name "
                "some, or leave these options out."
            )

    @property
    def weights(self) -> tuple[float, ...]:
        """Weight of each teacher."""
        return self.teacher_weights or (1.0,) * len(self.teachers)

    def to_dict(self) -> dict:
        """Return what a card says about it: teachers with file hashes, and their own teaching.

        Raises:
            FileNotFoundError: With `match`, if a teacher has no `model.keras`.
            ValueError: If a teacher's file does not match its card.
        """
        file = KERAS_FILE if self.match else None
        records = [teacher_record(name, file) for name in self.teachers]
        taught_by = dict(zip(records, map(teaching_of, self.teachers), strict=True))
        told = dataclasses.asdict(self) | {
            "teachers": records,
            TEMPERATURES: [teacher_temperature(name) for name in self.teachers],
            "unlabelled": [Path(name).name for name in self.unlabelled],
            "taught_by": {name: teaching for name, teaching in taught_by.items() if teaching},
        }
        later = ("teacher_weights", "match", "unlabelled", "taught_by", TEMPERATURES)
        return {name: value for name, value in told.items() if value or name not in later}


def taught_samples(table: ImageTable, teaching: Teaching, *, size_px: int) -> Samples:
    """Return the training faces with the targets defined by a teaching.

    Args:
        table: The data set with splits.
        teaching: What the targets are made of. With `match`, the teachers' part is left open:
            rows sum to 1 - `teacher_share`, those of unlabelled faces to 0.
        size_px: Side of images decoded from files; with unlabelled faces, that of all images.

    Raises:
        ValueError: If FER2013's labels are requested but absent, a teacher has other classes, or
            a place for unlabelled faces holds none.
    """
    from builder_tools.training import Samples
    from builder_tools.training.samples import table_samples

    samples = table_samples(table, "train", size_px=size_px, soft=teaching.soft)
    images, targets, train = samples.images, samples.targets, table.split("train")
    if teaching.original_share:
        targets = _with_second_opinion(targets, train, teaching.original_share)
    if teaching.teachers:
        targets = (1 - teaching.teacher_share) * targets
    if teaching.teachers and not teaching.match:
        faces = train.resized(size_px if len(images.shape) == 4 else images.shape[1])
        targets = targets + teaching.teacher_share * _mean_opinion(teaching, faces, table)
    if teaching.unlabelled:
        grey = len(images.shape) == 3
        images = resize_stack(images, size_px)
        found = unlabelled_faces(teaching.unlabelled, size_px=size_px, grey=grey)
        images = np.concatenate([images, found])
        answers = np.zeros((len(found), targets.shape[1]))
        if not teaching.match:
            colour = np.repeat(found[..., None], 3, axis=-1) if grey else found
            answers = _mean_opinion(teaching, colour, table)
        targets = np.concatenate([targets, answers])
    return Samples(images, targets.astype(np.float32))


def matching_teacher(table: ImageTable, teaching: Teaching, *, size_px: int):
    """Return the network that teaches while a student is trained, or None.

    Args:
        table: The data set.
        teaching: What the student is taught; without `match`, the result is None.
        size_px: Side of the stored faces.
    """
    if not teaching.match:
        return None
    return mean_teacher(teaching.teachers, teaching.weights, table.emotions.names, size_px)


def _mean_opinion(teaching: Teaching, faces, table: ImageTable) -> np.ndarray:
    return mean_answers(teaching.teachers, teaching.weights, faces, table.emotions.names)


def _with_second_opinion(targets: np.ndarray, train: ImageTable, share: float) -> np.ndarray:
    original = with_original_labels(train)
    if original is None:
        raise ValueError(
            "Expected FER2013's own labels (fer2013_labels.csv in the data folder) for "
            "original_share. Received: none for these images. Leave the share out, or see "
            "data/README.md."
        )
    protocol = PROTOCOLS[ORIGINAL_PROTOCOL]
    labels = protocol.labels(original)
    known = labels != LEFT_OUT
    places = np.array([train.emotions.label(name) for name in protocol.emotions])
    mixed = targets.copy()
    mixed[known] *= 1 - share
    mixed[np.flatnonzero(known), places[labels[known]]] += share
    return mixed
