"""Judging a model folder on a data set, under every protocol that both allow."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from builder_tools.cards import ModelCard
from builder_tools.classifier import EmotionClassifier
from builder_tools.datasets.ferplus import data_folder
from builder_tools.datasets.table import ImageTable
from builder_tools.emotions import EmotionSet
from builder_tools.evaluation import PROTOCOLS, Judgement, Protocol, judge
from builder_tools.results import Readings

ORIGINAL_LABELS_FILE = "fer2013_labels.csv"
OWN_LABELS = "own-labels"
"""The protocol of data sets on which nobody voted: their own labels, all images."""

IMAGES_AT_A_TIME = 512


def judge_model(
    card: ModelCard, model_folder: str | Path, data: ImageTable, split: str = "test"
) -> dict[str, Judgement]:
    """Judge a model folder on a split under every protocol its classes and the data allow.

    Args:
        card: The card with the decision to judge.
        model_folder: The deployed model.
        data: The whole data set: images of the split that also stand in train are left out
            of a second figure.
        split: train, valid or test.

    Returns:
        Protocol name -> judgement.

    Raises:
        ValueError: If the split is empty, or the model lacks classes of the data.
    """
    part = data.split(split)
    if not len(part):
        raise ValueError(f"Expected images to judge on. Received: a {split} split without any.")
    classifier = EmotionClassifier(model_folder)
    probabilities = predict_table(classifier, part)
    duplicates = names_also_in_train(data)
    return {
        protocol.name: judge(
            protocol,
            table,
            probabilities,
            classifier.emotions,
            duplicates=duplicates,
            biases=card.decision if set(protocol.emotions) <= set(card.decision or ()) else None,
            abstain_below=card.abstain_below,
        )
        for protocol, table in protocols_for(part, classifier.emotions)
    }


def metrics_of(judgements: dict[str, Judgement]) -> dict[str, Any]:
    """Return judgements as a card keeps them under a split's name."""
    return {name: judgement.to_dict() for name, judgement in judgements.items()}


def predict_table(classifier: EmotionClassifier, part: ImageTable) -> np.ndarray:
    """Return the probabilities `(n, k)` of all images of a table, some at a time."""
    return read_table(classifier, part).probabilities


def read_table(classifier: EmotionClassifier, part: ImageTable) -> Readings:
    """Return probabilities and places of all images of a table, some at a time."""
    images = part.resized(_size_of(part, classifier))
    found = [
        classifier.read(images[first : first + IMAGES_AT_A_TIME])
        for first in range(0, len(part), IMAGES_AT_A_TIME)
    ]
    return Readings(
        np.concatenate([one.probabilities for one in found]),
        np.concatenate([one.places for one in found]),
    )


def names_also_in_train(data: ImageTable) -> frozenset[str]:
    """Return the valid and test images that stand, byte for byte, in train, too."""
    contents = np.array([_content(data, row) for row in range(len(data))], object)
    in_train = (data.table["split"] == "train").to_numpy()
    trained = set(contents[in_train])
    names = data.table["name"].to_numpy()[~in_train]
    return frozenset(
        name for name, own in zip(names, contents[~in_train], strict=True) if own in trained
    )


def data_sha256(data: ImageTable) -> str:
    """A hash of images, labels (votes where there are some) and splits: names the data."""
    digest = hashlib.sha256()
    if data.images is not None:
        chosen = data.images[data.table["index"].to_numpy()]
        digest.update(np.ascontiguousarray(chosen).tobytes())
    else:
        digest.update("".join(_content(data, row) for row in range(len(data))).encode())
    digest.update((data.labels if data.votes is None else data.votes).tobytes())
    digest.update("\n".join(data.table["split"]).encode())
    return digest.hexdigest()


def with_original_labels(part: ImageTable) -> pd.DataFrame | None:
    """Return the table with FER2013's own labels (`emotion`, `ambiguous_labels`).

    None where their file is absent or does not know all of the images.
    """
    path = data_folder() / ORIGINAL_LABELS_FILE
    if not path.is_file():
        return None
    labels = pd.read_csv(path).rename(columns={"image": "name"})
    columns = ["name", "emotion", "ambiguous_labels"]
    ours = part.table.drop(columns="emotion")
    table = ours.merge(labels[columns], on="name", how="left", validate="one_to_one")
    return table if table["emotion"].notna().all() else None


def protocols_for(
    part: ImageTable, emotions: EmotionSet
) -> Iterator[tuple[Protocol, pd.DataFrame]]:
    """Yield the protocols that images and a model's classes allow, each with its table."""
    if part.votes is None:
        labels = Protocol(
            OWN_LABELS,
            part.emotions,
            lambda table: table["label"].to_numpy(np.int64),
            "the data set's own labels, every image",
        )
        yield labels, part.table
        return
    original = with_original_labels(part)
    for name, protocol in PROTOCOLS.items():
        table = original if name.startswith("fer2013") else part.table
        if table is not None and set(protocol.emotions) <= set(emotions):
            yield protocol, table


def _size_of(part: ImageTable, classifier: EmotionClassifier) -> int:
    """Stored faces stay as they are, for the classifier to resize; files are read at its size."""
    return classifier.card.input_size if part.images is None else part.images.shape[1]


def _content(data: ImageTable, row: int) -> str:
    number = data.table["index"].iat[row]
    if number >= 0:
        return hashlib.sha256(data.images[number].tobytes()).hexdigest()
    return hashlib.sha256(Path(data.table["path"].iat[row]).read_bytes()).hexdigest()
