"""What a `.keras` file was trained on, according to the files beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from builder_tools.cards import CARD_FILE, ModelCard
from builder_tools.fields import read_json_object
from builder_tools.media import replacing
from builder_tools.tasks import EMOTION

CONFIG_FILE = "config.json"
"""File in a run's folder that records its configuration."""
DATA_FILE = "data.json"
"""File in a run's folder that records the data its network learns from; earlier runs lack it."""


def note_data(run_folder: Path, record: Mapping[str, Any]) -> None:
    """Write what a run learns from, unless it has begun; then compare the emotions.

    Args:
        run_folder: Folder of the run.
        record: As returned by `run_record.data_record`.

    Raises:
        ValueError: If the run was begun with other emotions, or in another order.
    """
    network = run_folder / "last.keras"
    if network.is_file():
        advice = "Use data of these emotions to go on, or name another folder."
        expect_emotions(network, list(record["class_counts"]), advice)
        return
    run_folder.mkdir(parents=True, exist_ok=True)
    with replacing(run_folder / DATA_FILE) as partial:
        partial.write_text(json.dumps(record, indent=2), encoding="utf-8")


def data_of_run(network: Path) -> dict[str, Any] | None:
    """Return the record of the data that a run's network learnt from; None if there is none.

    Raises:
        ValueError: If it is damaged.
    """
    file = network.with_name(DATA_FILE)
    if not file.is_file():
        return None
    record = read_json_object(file)
    if not isinstance(record.get("class_counts"), dict):
        raise ValueError(
            f"Expected {file} to tell the emotions of a run in class_counts. It is damaged. Remove "
            "it if you know that the network's emotions are those of your data."
        )
    return record


def card_beside(network: Path) -> ModelCard | None:
    """Return the card of the model folder that a file belongs to; None if it is in none."""
    if not network.with_name(CARD_FILE).is_file():
        return None
    card = ModelCard.read(network.parent)
    return card if network.name in card.sha256 else None


def emotions_of(network: Path) -> tuple[str, ...] | None:
    """Return the emotions of a network's outputs, in order; None if no file beside it tells them.

    Raises:
        ValueError: If a file beside it is damaged.
    """
    record = data_of_run(network)
    if record is not None:
        return tuple(record["class_counts"])
    card = card_beside(network)
    return None if card is None else card.emotions


def expect_emotions_alone(network: Path) -> None:
    """Refuse a network that is known to have outputs other than emotions.

    Their number does not tell: valence and arousal are as many as two emotions.

    Args:
        network: A `.keras` file.

    Raises:
        ValueError: If so, or a file beside it is damaged.
    """
    begun, card = network.with_name(CONFIG_FILE), card_beside(network)
    task = EMOTION.name if card is None else card.task
    if begun.is_file():
        head = read_json_object(begun).get("head")
        task = head.get("task", task) if isinstance(head, dict) else task
    if task != EMOTION.name:
        raise ValueError(
            f"Expected a network of emotions alone. Received: {network}, whose task is {task!r}. "
            "Use the model that train made of it."
        )


def expect_emotions(network: Path, emotions: Sequence[str], advice: str) -> None:
    """Refuse a network that is known to have other emotions, or these in another order.

    Args:
        network: A `.keras` file.
        emotions: What its outputs should be, in order.
        advice: What to do otherwise; ends the error.

    Raises:
        ValueError: If so.
    """
    own = emotions_of(network)
    if own is not None and own != tuple(emotions):
        raise ValueError(
            f"Expected the emotions that {network} learnt, in its order: {list(own)}. Received: "
            f"{list(emotions)}. {advice}"
        )
