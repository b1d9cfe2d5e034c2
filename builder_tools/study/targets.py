"""What a network is taught: votes, FER2013's own labels, other models; or a mixture of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from builder_tools.cards import ModelCard, file_sha256, find_model
from builder_tools.classifier import EmotionClassifier
from builder_tools.datasets.table import PictureTable
from builder_tools.evaluation import PROTOCOLS
from builder_tools.evaluation.protocols import LEFT_OUT
from builder_tools.study.judging import predict_table, with_original_labels

if TYPE_CHECKING:
    from builder_tools.training import Samples

ORIGINAL_PROTOCOL = "fer2013-7"


@dataclass(frozen=True)
class Teaching:
    """What the targets of the training faces are made of.

    Args:
        soft: The shares of the votes where people voted; else 1 for the label.
        original_share: How much of each target is FER2013's own label (a second opinion on the
            same pictures; those it is in two minds about keep their target).
        teachers: Models, by name or folder, whose mean probability is part of the target
            (knowledge distillation, Hinton et al., 2015, arXiv:1503.02531). Each looks at a face
            and at its mirror image.
        teacher_share: How much of each target that mean is.

    Raises:
        ValueError: If a share is not in [0, 1], or there is a share without a teacher.
    """

    soft: bool = True
    original_share: float = 0.0
    teachers: tuple[str, ...] = ()
    teacher_share: float = 0.0

    def __post_init__(self) -> None:
        for name in ("original_share", "teacher_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"Expected {name} in [0, 1]. Received: {getattr(self, name)}.")
        if bool(self.teachers) != bool(self.teacher_share):
            raise ValueError(
                "Expected teachers together with a teacher_share above 0. Received: "
                f"teachers={list(self.teachers)}, teacher_share={self.teacher_share}."
            )

    def to_dict(self) -> dict:
        """Gives what a card says of it: teachers with the hash of their file."""
        return dataclasses.asdict(self) | {"teachers": [_named(name) for name in self.teachers]}


def taught_samples(table: PictureTable, teaching: Teaching, *, size_px: int) -> Samples:
    """Gives the training faces with the targets that a teaching makes.

    Args:
        table: The data set, split.
        teaching: What the targets are made of.
        size_px: Side that files are decoded to.

    Raises:
        ValueError: If FER2013's labels are wanted and absent, or a teacher has other classes.
    """
    from builder_tools.training import Samples
    from builder_tools.training.samples import table_samples

    samples = table_samples(table, "train", size_px=size_px, soft=teaching.soft)
    targets, train = samples.targets, table.split("train")
    if teaching.original_share:
        targets = _with_second_opinion(targets, train, teaching.original_share)
    if teaching.teachers:
        taught = _mean_opinion(train, teaching.teachers)
        targets = (1 - teaching.teacher_share) * targets + teaching.teacher_share * taught
    return Samples(samples.images, targets.astype(np.float32))


def with_places(samples: Samples, places: np.ndarray | None, task: str) -> Samples:
    """Gives samples whose targets are those of a task.

    Args:
        samples: With the targets of the emotions.
        places: `(n, 2)` valence and arousal; None for the task `emotion`.
        task: Name in `TASKS`.
    """
    from builder_tools.training import Samples

    if task == "emotion":
        return samples
    parts = [places] if task == "va" else [samples.targets, places]
    return Samples(samples.images, np.concatenate(parts, axis=1).astype(np.float32))


def _with_second_opinion(targets: np.ndarray, train: PictureTable, share: float) -> np.ndarray:
    original = with_original_labels(train)
    if original is None:
        raise ValueError(
            "Expected FER2013's own labels (fer2013_labels.csv in the data folder) for "
            "original_share. Received: none for these pictures. Leave the share out, or see "
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


def _mean_opinion(train: PictureTable, teachers: Sequence[str]) -> np.ndarray:
    """Gives the mean of the teachers' probabilities, `(n, k)` in the order of the table."""
    total = np.zeros((len(train), len(train.emotions)))
    for name in teachers:
        teacher = EmotionClassifier(name, flip_average=True)
        if tuple(teacher.emotions) != tuple(train.emotions):
            raise ValueError(
                f"Expected a teacher of the classes {list(train.emotions)}. Received: {name!r} "
                f"with {list(teacher.emotions)}."
            )
        total += predict_table(teacher, train)
    return total / len(teachers)


def _named(teacher: str) -> str:
    folder = find_model(teacher)
    card = ModelCard.read(folder)
    return f"{card.name} ({file_sha256(folder / card.file)[:12]})"
