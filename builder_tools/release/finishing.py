"""From an exported model folder to one that can be shipped: int8, decisions, metrics, card."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pandas as pd

from builder_tools.card_text import card_markdown
from builder_tools.cards import ModelCard, write_card
from builder_tools.classifier import EmotionClassifier
from builder_tools.datasets.identity import names_also_in_train
from builder_tools.datasets.new_folder import new_folder
from builder_tools.datasets.table import ImageTable
from builder_tools.evaluation import Judgement
from builder_tools.media import replacing
from builder_tools.release.affect import JUDGED_SPLITS, VALENCE_AROUSAL, judge_affect
from builder_tools.release.data import expect_trained_on
from builder_tools.release.deciding import fit_decisions
from builder_tools.release.judging import judge_predicted, metrics_of
from builder_tools.release.predicting import Predictions
from builder_tools.release.quantizing import INT8_CCC, INT8_LOSS, quantize_where_it_holds
from builder_tools.release.slices import slice_figures
from builder_tools.tasks import TASKS

CARD_PAGE = "README.md"
"""The card as a page, next to `card.json`."""


def finish_model(
    folder: str | Path,
    table: ImageTable,
    *,
    int8: bool = False,
    labels: pd.DataFrame | None = None,
) -> tuple[ModelCard, dict[str, Judgement]]:
    """Fit the decisions on valid, evaluate on test, write the card.

    Args:
        folder: A freshly exported model folder, whose card holds no decision or metrics yet.
        table: The data set with splits.
        int8: Deploy 8-bit integers if that keeps the accuracy on valid within 0.3 points, and
            valence and arousal, if any, at a CCC of at least 0.99.
        labels: Labels of valence and arousal that it was trained on.

    Returns:
        The card as written, and the judgements by protocol.
    """
    folder = Path(folder)
    found = Predictions(folder, table)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".int8-") as place:
        if int8:
            found = quantize_where_it_holds(folder, Path(place), found)
        card = fit_decisions(found.card, found.split("valid"))
        card, judgements = judge_predictions(card, found, labels=labels)
        if found.folder != folder:
            os.replace(found.folder / card.file, folder / card.file)
        _write(folder, card)
    return card, judgements


def judge_and_write(
    folder: str | Path, table: ImageTable, *, labels: pd.DataFrame | None = None
) -> tuple[ModelCard, dict[str, Judgement]]:
    """Evaluate a finished model folder again and write metrics, card and the card's page.

    Arguments and result are as in `finish_model`.

    Raises:
        ValueError: If the card tells that the model was trained on other data or splits.
    """
    card = ModelCard.read(folder)
    expect_trained_on(card.name, card.training, table)
    found = Predictions(folder, table)
    card, judgements = judge_predictions(found.card, found, labels=labels)
    _write(Path(folder), card)
    return card, judgements


def judge_predictions(
    card: ModelCard, found: Predictions, *, labels: pd.DataFrame | None = None
) -> tuple[ModelCard, dict[str, Judgement]]:
    """Return a card with the metrics of a model's predictions, and the judgements on test.

    Valence and arousal are also evaluated on valid; against labels only if they are given.
    """
    test = found.split("test")
    judgements = judge_predicted(card, test, duplicates=names_also_in_train(found.table))
    metrics = {"test": metrics_of(judgements), "slices": slice_figures(card, test)}
    if TASKS[card.task].affect:
        metrics[VALENCE_AROUSAL] = {
            split: judge_affect(card, found.split(split), labels=labels) for split in JUDGED_SPLITS
        }
    return replace(card, metrics=metrics), judgements


def quantize_model(
    source: str | Path,
    out: str | Path,
    table: ImageTable,
    *,
    labels: pd.DataFrame | None = None,
) -> tuple[ModelCard, dict[str, Judgement]]:
    """Write the int8 counterpart of a float32 model folder, with its own decisions and metrics.

    Args:
        source: The model folder to start from.
        out: New folder to write.
        table: The data set it was trained on.
        labels: Labels of valence and arousal that it was trained on.

    Raises:
        ValueError: If int8 costs more than allowed, the model is already int8, or its card tells
            that it was trained on other data or splits; nothing is written then.
        FileExistsError: If `out` is not empty.
    """
    source, out = Path(source), Path(out)
    card = float32_card(source)
    expect_trained_on(card.name, card.training, table)
    with new_folder(out) as place:
        for path in filter(Path.is_file, source.iterdir()):
            shutil.copyfile(path, place / path.name)
        write_card(place, replace(ModelCard.read(place), name=out.name))
        card, judgements = finish_model(place, table, int8=True, labels=labels)
        record = card.training["int8"]
        if not record["deployed"]:
            raise ValueError(
                f"Expected int8 to cost at most {INT8_LOSS} of the accuracy on valid, and to keep "
                f"a CCC of {INT8_CCC} with the valence and arousal of float32 where there are "
                f"such. Received: {record}. Use the float32 model."
            )
    return card, judgements


def float32_card(folder: str | Path) -> ModelCard:
    """Return the card of a model that can be made into 8-bit integers.

    Args:
        folder: The model folder.

    Raises:
        ValueError: If it is int8 already, or a file does not match the card.
    """
    card = EmotionClassifier(folder).card
    if "int8" in card.training:
        raise ValueError(f"Expected a float32 model in {folder}. Received: one that is int8.")
    return card


def _write(folder: Path, card: ModelCard) -> None:
    write_card(folder, card)
    with replacing(folder / CARD_PAGE) as partial:
        partial.write_text(card_markdown(card), encoding="utf-8")
