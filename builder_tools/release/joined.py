"""Several trained models as one that is as sure as their mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from builder_tools.cards import ModelCard, file_sha256, write_card
from builder_tools.datasets.new_folder import new_folder
from builder_tools.datasets.table import ImageTable
from builder_tools.ensemble import ensemble_onnx
from builder_tools.evaluation import Judgement
from builder_tools.release.finishing import finish_model
from builder_tools.tasks import EMOTION

SHARED = ("data", "data_sha256", "pictures", "class_counts")
"""What the members' cards must agree in: what they were trained on."""


def join_models(
    sources: Sequence[str | Path],
    out: str | Path,
    table: ImageTable,
    *,
    flip_average: bool = False,
) -> tuple[ModelCard, dict[str, Judgement]]:
    """Write the mean of several models as one, with decisions and figures of its own.

    Args:
        sources: Folders of models in ONNX, each of emotions alone; float32 or int8.
        out: New folder to write.
        table: The data set they were trained on.
        flip_average: Average faces with their mirror images in use, and when it is judged.

    Returns:
        The card as written, and the judgements by protocol.

    Raises:
        ValueError: If the models do not go together; nothing is written then.
        FileExistsError: If `out` is not empty.
    """
    folders = [Path(source) for source in sources]
    cards = [ModelCard.read(folder) for folder in folders]
    _expect_alike(cards)
    with new_folder(Path(out)) as place:
        files = [folder / card.file for folder, card in zip(folders, cards, strict=True)]
        ensemble_onnx(files, place / "model.onnx", cards[0].emotions)
        card = replace(
            cards[0],
            name=Path(out).name,
            file="model.onnx",
            training=_record(cards),
            sha256={"model.onnx": file_sha256(place / "model.onnx")},
            metrics={},
            decision=None,
            temperature=1.0,
            abstain_below=None,
            flip_average=flip_average,
        )
        write_card(place, card)
        return finish_model(place, table)


def _record(cards: Sequence[ModelCard]) -> dict[str, Any]:
    """Return how it was made: each member as its card says."""
    shared = {name: cards[0].training[name] for name in SHARED}
    members = [
        {
            "name": card.name,
            "sha256": card.sha256[card.file],
            **{k: v for k, v in card.training.items() if k not in SHARED},
        }
        for card in cards
    ]
    int8 = [card.training.get("int8", {}).get("deployed", False) for card in cards]
    return {**shared, "members": members} | ({"int8": {"deployed": all(int8)}} if any(int8) else {})


def _expect_alike(cards: Sequence[ModelCard]) -> None:
    told = {card.name: (card.task, card.file, card.input_size, card.emotions) for card in cards}
    kinds = {(task, Path(file).suffix, size, names) for task, file, size, names in told.values()}
    if len(cards) < 2 or len(kinds) > 1 or next(iter(kinds))[:2] != (EMOTION.name, ".onnx"):
        raise ValueError(
            "Expected at least two models of emotions as ONNX files, of one input size and one "
            f"class order. Received: {told}."
        )
    for name in SHARED:
        if len({str(card.training.get(name)) for card in cards}) > 1:
            raise ValueError(
                f"Expected models trained on the same data. Received: {name} "
                f"{ {card.name: card.training.get(name) for card in cards} }."
            )
