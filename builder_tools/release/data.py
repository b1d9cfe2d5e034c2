"""Data sets by name, as read for training and evaluation."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from builder_tools.datasets import DATASETS
from builder_tools.datasets.identity import data_sha256
from builder_tools.datasets.table import SPLITS, ImageTable
from builder_tools.emotions import EmotionSet

_logger = logging.getLogger(__name__)


def load_data(
    name: str,
    source: str | Path | None = None,
    *,
    emotions: Sequence[str] | None = None,
    **reading: Any,
) -> ImageTable:
    """Read a data set by name, split into train, valid and test.

    Args:
        name: Name in `DATASETS`.
        source: Location of the data set; its default location if None.
        emotions: The classes in label order, as of an existing model. None takes those that
            appear in train, for training. If people voted, they are always the data set's.
        **reading: Options of its loader: `classes`, `columns`, `valid`, `test`.

    Raises:
        ValueError: If the name is not in `DATASETS`, there is nothing to train on, an emotion is
            not in `emotions`, or, without them, train lacks a class of valid or test.
    """
    if name not in DATASETS:
        raise ValueError(f"Expected one of {list(DATASETS)}. Received: data={name!r}.")
    data = DATASETS[name](source, **reading)
    for split in SPLITS:
        if not len(data.split(split)):
            raise ValueError(
                f"Expected images in train, valid and test. Received: none in {split} of "
                f"{source or name}."
            )
    if data.votes is not None:
        return data
    if emotions:
        return data.with_emotions(EmotionSet(emotions))
    learnt = set(data.split("train").table["emotion"])
    unlearnt = sorted(set(data.table["emotion"]) - learnt)
    if unlearnt or len(learnt) < 2:
        raise ValueError(
            "Expected images of two classes or more, each of them in train. Received in train: "
            f"{sorted(learnt)}, and besides in valid or test: {unlearnt or 'none'}, of "
            f"{source or name}."
        )
    if len(learnt) == len(data.emotions):
        return data
    # A folder with three emotions makes a network with three.
    known = [emotion for emotion in data.emotions if emotion in learnt]
    _logger.warning("%s shows %d emotions: %s.", source or name, len(known), ", ".join(known))
    return data.with_emotions(EmotionSet(known))


def expect_trained_on(name: str, training: Mapping[str, Any], table: ImageTable) -> None:
    """Refuse data other than a model's own, in the same splits, for figures in its card.

    Its valid and test images may be among those that it learnt from. Records that do not tell of
    their data are not checked.

    Args:
        name: Name of the model, or of its run.
        training: What its card says about its training.
        table: The data set with splits.

    Raises:
        ValueError: If the record tells of other data, or of other splits.
    """
    own = training.get("data_sha256")
    if own is not None and own != data_sha256(table):
        received = {split: len(table.split(split)) for split in SPLITS}
        raise ValueError(
            f"Expected the data that {name!r} was trained on, in the same splits: "
            f"{training.get('pictures', 'those of its card')}. Received: {received}, which "
            "are other images or other splits. Give the --data, --source, --classes and --shares "
            "of its training. Other data are judged by evaluate without --update-card."
        )
