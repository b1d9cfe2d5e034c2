"""Several trained models combined into one that returns their mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from builder_tools.cards import ModelCard, file_sha256, verify_files, write_card
from builder_tools.datasets.new_folder import new_folder
from builder_tools.datasets.table import ImageTable
from builder_tools.ensemble import ensemble_onnx, relative_shares
from builder_tools.evaluation import Judgement
from builder_tools.release.data import expect_trained_on
from builder_tools.release.finishing import finish_model
from builder_tools.release.run_record import origins_of, reservations_of
from builder_tools.release.words import card_words
from builder_tools.tasks import EMOTION

SHARED = ("data", "data_sha256", "pictures", "class_counts")
"""Entries in which the members' cards must agree: what they were trained on."""


def join_models(
    sources: Sequence[str | Path],
    out: str | Path,
    table: ImageTable,
    *,
    shares: Sequence[float] | None = None,
    size_px: int | None = None,
    flip_average: bool = False,
) -> tuple[ModelCard, dict[str, Judgement]]:
    """Write the weighted mean of several models as one, with its own decisions and metrics.

    Args:
        sources: Folders of ONNX models for emotions alone; float32 or int8. Each sees the faces
            at its own input size. One that is itself a mean is recorded as its members.
        out: New folder to write.
        table: The data set they were trained on.
        shares: Weight of each in the mean, above 0; equal if None.
        size_px: Side of the faces taken by the combined model, at most that of the member with the
            largest; that of the first model if None.
        flip_average: Average faces with their mirror images, both in use and in evaluation.

    Returns:
        The card as written, and the judgements by protocol.

    Raises:
        ValueError: If the models are not compatible, a file does not match its card, or the cards
            tell that they were trained on other data or splits; nothing is written then.
        FileExistsError: If `out` is not empty.
    """
    folders = [Path(source) for source in sources]
    cards = cards_to_join(folders, shares=shares, size_px=size_px)
    expect_trained_on(cards[0].name, cards[0].training, table)
    record = _record(cards, shares)
    with new_folder(Path(out)) as place:
        files = [folder / card.file for folder, card in zip(folders, cards, strict=True)]
        size_px = size_px or cards[0].input_size
        ensemble_onnx(
            files, place / "model.onnx", cards[0].emotions, shares=shares, size_px=size_px
        )
        card = replace(
            cards[0],
            name=Path(out).name,
            file="model.onnx",
            input_size=size_px,
            preprocessing=_together(cards),
            training=record,
            **card_words(
                table.votes is not None,
                reservations=reservations_of(record["members"]),
                origins=origins_of(record["members"]),
            ),
            sha256={"model.onnx": file_sha256(place / "model.onnx")},
            metrics={},
            decision=None,
            temperature=1.0,
            abstain_below=None,
            flip_average=flip_average,
        )
        write_card(place, card)
        return finish_model(place, table)


def cards_to_join(
    folders: Sequence[str | Path],
    *,
    shares: Sequence[float] | None = None,
    size_px: int | None = None,
) -> list[ModelCard]:
    """Return the cards of models that can be joined, in order.

    Args:
        folders: As `sources` of `join_models`.
        shares: As in `join_models`.
        size_px: As in `join_models`.

    Raises:
        ValueError: If the models, shares or size do not fit, or a file does not match its card.
    """
    cards = [ModelCard.read(folder) for folder in folders]
    _expect_alike(cards)
    relative_shares(shares, len(cards))
    for folder, card in zip(folders, cards, strict=True):
        verify_files(folder, card, [card.file])
    most_px = max(card.input_size for card in cards)
    if size_px is not None and not 1 <= size_px <= most_px:
        raise ValueError(
            f"Expected a size of 1...{most_px} px, as none of the members takes larger faces. "
            f"Received: {size_px}."
        )
    return cards


def _together(cards: Sequence[ModelCard]) -> str:
    """Return the members' preprocessing, once if all agree, else with the members' names."""
    said: dict[str, list[str]] = {}
    for card in cards:
        names = [member["name"] for member in _members(card)]
        said.setdefault(card.preprocessing, []).extend(names)
    if len(said) == 1:
        return cards[0].preprocessing
    return " ".join(f"{', '.join(members)}: {text}" for text, members in said.items())


def _record(cards: Sequence[ModelCard], shares: Sequence[float] | None) -> dict[str, Any]:
    """Return how it was made: each member according to its card, with its share of the mean."""
    shared = {name: cards[0].training[name] for name in SHARED}
    members = [
        member | {"share": round(float(share) * member["share"], 6)}
        for card, share in zip(cards, relative_shares(shares, len(cards)), strict=True)
        for member in _members(card)
    ]
    int8 = [member.get("int8", {}).get("deployed", False) for member in members]
    return {**shared, "members": members} | ({"int8": {"deployed": all(int8)}} if any(int8) else {})


def _members(card: ModelCard) -> list[dict[str, Any]]:
    """Return the networks that make up a model, each with its share, input size and record."""
    inner = card.training.get("members")
    if inner:
        equal = 1 / len(inner)  # the meaning of cards without shares
        return [{"input_size": card.input_size, "share": equal, **member} for member in inner]
    record = {name: value for name, value in card.training.items() if name not in SHARED}
    sha256 = card.sha256[card.file]
    return [
        {"name": card.name, "sha256": sha256, "input_size": card.input_size, "share": 1.0, **record}
    ]


def _expect_alike(cards: Sequence[ModelCard]) -> None:
    told = [(card.name, card.task, card.file, card.emotions) for card in cards]
    kinds = {(task, Path(file).suffix, names) for _, task, file, names in told}
    if len(cards) < 2 or len(kinds) > 1 or next(iter(kinds))[:2] != (EMOTION.name, ".onnx"):
        raise ValueError(
            "Expected at least two models of emotions as ONNX files, of one class order. "
            f"Received: {told}."
        )
    untold = [card.name for card in cards if not set(SHARED) <= set(card.training)]
    if untold:
        raise ValueError(
            f"Expected cards that tell what their models were trained on ({', '.join(SHARED)}). "
            f"Received: {untold} without. Export them from the folders of their runs."
        )
    for name in SHARED:
        if len({str(card.training.get(name)) for card in cards}) > 1:
            raise ValueError(
                f"Expected models trained on the same data. Received: {name} "
                f"{ {card.name: card.training.get(name) for card in cards} }."
            )
