"""From an exported model folder to one that may be shipped: int8, decisions, figures, card."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from builder_tools.card_text import card_markdown
from builder_tools.cards import ModelCard, file_sha256, write_card
from builder_tools.classifier import EmotionClassifier, resize_faces
from builder_tools.datasets.new_folder import new_folder
from builder_tools.datasets.table import ImageTable
from builder_tools.emotions import EmotionSet
from builder_tools.evaluation import PROTOCOLS, Judgement, concordance, evaluate, restrict
from builder_tools.evaluation.protocols import LEFT_OUT
from builder_tools.media import replacing
from builder_tools.quantization import CALIBRATION_FACES, quantize_onnx
from builder_tools.release.affect import VALENCE_AROUSAL, judge_affect
from builder_tools.release.deciding import fit_decisions
from builder_tools.release.judging import judge_model, metrics_of, read_table
from builder_tools.release.slices import slice_figures
from builder_tools.results import Readings

CARD_PAGE = "README.md"
"""The card as a page, beside `card.json`."""

INT8_LOSS = 0.003
"""Accuracy that 8-bit integers may cost on valid."""

INT8_CCC = 0.99
"""Agreement of their valence and arousal with those of float32 on valid that they must keep."""

INT8_PROTOCOL = "ferplus-majority-8"
"""By which it is measured, where people voted."""


def finish_model(
    folder: str | Path,
    table: ImageTable,
    *,
    int8: bool = False,
    labels: pd.DataFrame | None = None,
) -> tuple[ModelCard, dict[str, Judgement]]:
    """Fit what is fitted on valid, judge on test, write the card.

    Args:
        folder: A model folder fresh from export; its card holds no decision and no figures yet.
        table: The data set, split.
        int8: Deploy 8-bit integers if that keeps the accuracy on valid within 0.3 points, and
            valence and arousal, where there are such, within a CCC of 0.99.
        labels: Of valence and arousal, as it was taught.

    Returns:
        The card as written, and the judgements by protocol.
    """
    folder = Path(folder)
    if int8:
        quantize_in_place(folder, table)
    card = fit_decisions(folder, table)
    return judge_and_write(folder, card, table, labels=labels)


def judge_and_write(
    folder: str | Path, card: ModelCard, table: ImageTable, *, labels: pd.DataFrame | None = None
) -> tuple[ModelCard, dict[str, Judgement]]:
    """Judge a model folder on test and write figures, card and the card's page.

    Valence and arousal are judged on valid, too; against labels only where they are given.
    """
    judgements = judge_model(card, folder, table)
    metrics = {"test": metrics_of(judgements), "slices": slice_figures(folder, table)}
    if card.task != "emotion":
        metrics[VALENCE_AROUSAL] = judge_affect(folder, table, labels=labels)
    card = replace(card, metrics=metrics)
    write_card(folder, card)
    with replacing(Path(folder) / CARD_PAGE) as partial:
        partial.write_text(card_markdown(card), encoding="utf-8")
    return card, judgements


def quantize_model(
    source: str | Path,
    out: str | Path,
    table: ImageTable,
    *,
    labels: pd.DataFrame | None = None,
) -> tuple[ModelCard, dict[str, Judgement]]:
    """Return a float32 model folder an int8 twin, with decisions and figures of its own.

    Args:
        source: The model folder to start from.
        out: New folder to write.
        table: The data set it was trained on.
        labels: Of valence and arousal, as it was taught.

    Raises:
        ValueError: If int8 costs more than it may, or the model is int8 already;
            nothing is written then.
        FileExistsError: If `out` is not empty.
    """
    source, out = Path(source), Path(out)
    with new_folder(out) as place:
        for path in source.iterdir():
            shutil.copyfile(path, place / path.name)
        write_card(place, replace(ModelCard.read(place), name=out.name))
        if not quantize_in_place(place, table):
            record = ModelCard.read(place).training["int8"]
            raise ValueError(
                f"Expected int8 to cost at most {INT8_LOSS} of the accuracy on valid, and to keep "
                f"a CCC of {INT8_CCC} with the valence and arousal of float32 where there are "
                f"such. Received: {record}. Use the float32 model."
            )
        return finish_model(place, table, labels=labels)


def quantize_in_place(folder: Path, table: ImageTable) -> bool:
    """Deploy int8 in a model folder if accuracy on valid holds; say so if it does not.

    Valence and arousal, where there are such, must hold too. The card's `training` tells what
    was measured either way.
    """
    card = ModelCard.read(folder)
    if "int8" in card.training:
        raise ValueError(f"Expected a float32 model in {folder}. Received: one that is int8.")
    before = _read_valid(folder, table)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".int8-") as temporary:
        place = Path(temporary)
        faces = _calibration_faces(table, card.input_size)
        quantize_onnx(folder / card.file, place / card.file, faces, card.emotions)
        sha256 = dict(card.sha256) | {card.file: file_sha256(place / card.file)}
        write_card(place, replace(card, sha256=sha256))
        after = _read_valid(place, table)
        record = {"calibration_faces": len(faces), **_compared(before, after, card, table)}
        card = replace(card, training=dict(card.training) | {"int8": record})
        if record["deployed"]:
            os.replace(place / card.file, folder / card.file)
            card = replace(card, sha256=sha256)
    write_card(folder, card)
    if not record["deployed"]:
        print(f"float32 stays deployed, int8 costs too much: {record}", file=sys.stderr)
    return record["deployed"]


def _read_valid(folder: Path, table: ImageTable) -> Readings:
    return read_table(EmotionClassifier(folder), table.split("valid"))


def _compared(
    before: Readings, after: Readings, card: ModelCard, table: ImageTable
) -> dict[str, Any]:
    """Return what int8 costs on valid, and whether it may be deployed."""
    emotions, valid = EmotionSet(card.emotions), table.split("valid")
    accuracies = [_accuracy(one.probabilities, emotions, valid) for one in (before, after)]
    found: dict[str, Any] = {
        "valid_accuracy_float32": round(accuracies[0], 4),
        "valid_accuracy_int8": round(accuracies[1], 4),
    }
    holds = accuracies[1] >= accuracies[0] - INT8_LOSS
    if card.task != "emotion":
        pairs = zip(before.places.T, after.places.T, strict=True)
        agreement = min(concordance(*pair) for pair in pairs)
        found["valid_ccc_with_float32"] = round(agreement, 4)
        holds = holds and agreement >= INT8_CCC
    return {**found, "deployed": bool(holds)}


def _accuracy(probabilities: np.ndarray, emotions: EmotionSet, valid: ImageTable) -> float:
    if valid.votes is None:
        return evaluate(valid.labels, probabilities, valid.emotions).accuracy.value
    protocol = PROTOCOLS[INT8_PROTOCOL]
    truth = protocol.labels(valid.table)
    kept = truth != LEFT_OUT
    inside = restrict(probabilities, emotions, protocol.emotions)
    return evaluate(truth[kept], inside[kept], protocol.emotions).accuracy.value


def _calibration_faces(table: ImageTable, size: int) -> np.ndarray:
    """Return seeded training faces at the network's size."""
    train = table.split("train")
    rows = np.random.default_rng(0).permutation(len(train))[:CALIBRATION_FACES]
    stored = size if table.images is None else table.images.shape[1]
    return resize_faces(train.resized(stored)[np.sort(rows)], size)
