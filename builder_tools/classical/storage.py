"""A fitted classical or hybrid model as a folder: `model.skops` and its card. No pickle."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from builder_tools.cards import ModelCard, file_sha256, verify_files, write_card
from builder_tools.classical.models import without_samplers
from builder_tools.classifier import SKOPS_FORMAT, SkopsRuntime, sorted_by_trust
from builder_tools.datasets.new_folder import new_folder
from builder_tools.emotions import EmotionSet

MODEL_FILE = "model.skops"
PREPROCESSING = "Inside the model: RGB 0...255; its features say what they make of it."


def face_model(describer: Any, fitted: Any):
    """Return a describer and a fitted model as one pipeline from faces to probabilities."""
    from sklearn.pipeline import Pipeline

    return Pipeline([("describe", describer), ("classify", without_samplers(fitted))])


def save_model(
    model: Any,
    folder: str | Path,
    emotions: EmotionSet,
    *,
    input_size: int,
    training: Mapping[str, Any] | None = None,
    licence: str = "",
    intended_use: str = "",
    limits: str = "",
) -> ModelCard:
    """Write a model folder atomically.

    Args:
        model: A fitted model with `predict_proba(faces)` and `classes_` 0...k-1: `face_model`,
            `SoftVoting` or `Stacked`.
        folder: A new or empty folder.
        emotions: The model's classes, in the order of its probabilities.
        input_size: Side of the faces passed to it, px.
        training: How it was trained, for the card.
        licence: See `ModelCard`.
        intended_use: See `ModelCard`.
        limits: See `ModelCard`.

    Returns:
        The card. `release.deciding.fit_decisions` adds the temperature and the decision to it.

    Raises:
        ValueError: If the model's classes are not 0...k-1, or it holds a type that
            `EmotionClassifier` would not trust.
        FileExistsError: If the folder is not empty.
    """
    import sklearn
    import skops.io

    if not np.array_equal(model.classes_, np.arange(len(emotions))):
        raise ValueError(
            f"Expected a model of the labels 0...{len(emotions) - 1}. Received: "
            f"{list(model.classes_)}. Fit it to faces of every class."
        )
    stored = {
        "format": SKOPS_FORMAT,
        "emotions": list(emotions),
        "input_size": input_size,
        "model": model,
    }
    folder = Path(folder)
    with new_folder(folder) as place:
        path = place / MODEL_FILE
        skops.io.dump(stored, path, compression=zipfile.ZIP_DEFLATED)
        _, unknown = sorted_by_trust(path)
        if unknown:
            raise ValueError(
                f"Expected a model of the types that are trusted in a file. Received: "
                f"{unknown}. Use the features and models of the registries."
            )
        card = ModelCard(
            name=folder.name,
            file=MODEL_FILE,
            emotions=tuple(emotions),
            input_size=input_size,
            preprocessing=PREPROCESSING,
            training={**(training or {}), "scikit-learn": sklearn.__version__},
            sha256={MODEL_FILE: file_sha256(path)},
            licence=licence,
            intended_use=intended_use,
            limits=limits,
        )
        write_card(place, card)
    return card


def load_model(folder: str | Path) -> Any:
    """Return the estimator of a model folder, for use as a member of a hybrid.

    Raises:
        ValueError: If the file does not match the card, or holds a type that is not trusted.
    """
    card = ModelCard.read(folder)
    verify_files(folder, card, [card.file])
    return SkopsRuntime(Path(folder) / card.file, threads=1).model


def needed_files(model: Any) -> frozenset[Path]:
    """Return the weight files that a model needs besides its own file.

    Args:
        model: A `face_model`, a hybrid of such models, or a describer.
    """
    if hasattr(model, "files"):
        return frozenset(model.files())
    parts = getattr(model, "members", None) or getattr(model, "transformer_list", None)
    parts = parts or getattr(model, "steps", ())
    return frozenset(file for _, part in parts for file in needed_files(part))
