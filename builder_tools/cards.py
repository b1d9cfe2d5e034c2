"""Model cards: what a saved model is, what it expects and how well it performs.

A model folder `saved_models/<name>/` holds the deployable file and `card.json`. The card is the
single source of the model's class order, input size and file hashes.

Models are looked up in `builder_tools/saved_models` (an installed wheel), in `saved_models` next to
the package (a clone of the repository), in `saved_models` in the current folder (where `train` puts
them) and in the user's data folder (`builder_tools/saved_models` under `XDG_DATA_HOME` or
`~/.local/share`).
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

from builder_tools.card_shapes import check_contents
from builder_tools.fields import (
    check_fields,
    is_flag,
    is_list_of,
    is_nothing_or,
    is_number,
    is_table,
    is_table_of,
    is_text,
    is_whole,
    read_json_object,
)
from builder_tools.tasks import NUM_AFFECT, TASKS

logger = logging.getLogger(__name__)

CARD_FILE = "card.json"
DEFAULT_MODEL = "fast"
MOST_INPUT_PX = 4096
MOST_TRAINED_PX = 1024
"""Largest side of the faces that networks are built for here, px; memory ends well before more."""
MODEL_ROOTS = (
    Path(__file__).resolve().parent / "saved_models",
    Path(__file__).resolve().parent.parent / "saved_models",
)
"""Where shipped models are looked up by name; the first match wins (see `model_roots`)."""


@dataclass(frozen=True)
class ModelCard:
    """What is known about a saved model; `card.json` holds exactly these fields.

    Args:
        name: The model's name, normally the name of its folder.
        file: Name of the deployable file inside the folder.
        emotions: Class names, in the order of the model's outputs.
        input_size: Side of the square input, px.
        preprocessing: What the model does with its RGB 0...255 input, in words.
        training: How it was trained: data, data_sha256, seed, commit, budget, config, ...
        metrics: Measured results: `test` by evaluation protocol, `slices`, `valence_arousal`.
        sha256: Hexadecimal SHA-256 of each file in the folder that the card vouches for.
        licence: Licence of the weights, and the terms of the data behind them.
        intended_use: What the model is for.
        limits: Where the model is known to be wrong or has not been tested.
        decision: For each emotion, the number to add to the log of its probability for a decision
            that treats all classes equally (see `decisions.apply_decision`); None if not fitted.
        temperature: Divisor of the network's logits, so that a probability says how often the
            prediction is right; fitted on validation images (1 leaves the outputs unchanged).
        abstain_below: Probability below which the most probable emotion is doubtful: above it,
            95 % of the validation images are right; None if not fitted or not reached.
        task: Name in `tasks.TASKS`. A `va` model has no outputs for emotions: they are predicted
            from how close a face lies to their centres.
        centres: Mean valence and arousal of each emotion's training faces; None for models that
            were not trained on them. Required for the task `va`.
        flip_average: Whether predictions are averaged over a face and its mirror image by
            default.

    Raises:
        ValueError: If the emotions are not distinct, the input size is not a positive whole
            number, a file name is not a bare name, the task is unknown, the centres are missing
            or outside [-1, 1], or `training` or `metrics` hold something else at a place that is
            read (see `card_shapes`).
    """

    name: str
    file: str
    emotions: tuple[str, ...]
    input_size: int
    preprocessing: str
    training: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    sha256: Mapping[str, str] = field(default_factory=dict)
    licence: str = ""
    intended_use: str = ""
    limits: str = ""
    decision: Mapping[str, float] | None = None
    temperature: float = 1.0
    abstain_below: float | None = None
    task: str = "emotion"
    centres: Mapping[str, Sequence[float]] | None = None
    flip_average: bool = False

    def __post_init__(self) -> None:
        check_fields(f"the card of {self.name!r}", vars(self), _KINDS)
        check_contents(f"the card of {self.name!r}", self.training, self.metrics)
        if len(set(self.emotions)) != len(self.emotions) or not self.emotions:
            raise ValueError(
                f"Expected distinct emotion names, in output order, in the card of {self.name!r}. "
                f"Received: {self.emotions!r}."
            )
        object.__setattr__(self, "emotions", tuple(self.emotions))
        for file in (self.file, *self.sha256):
            if not isinstance(file, str) or Path(file).name != file or "\\" in file:
                raise ValueError(
                    f"Expected bare file names in the card of {self.name!r}. Received: {file!r}."
                )
        if self.decision is not None and set(self.decision) != set(self.emotions):
            raise ValueError(
                f"Expected a decision bias for each of {list(self.emotions)} in the card of "
                f"{self.name!r}. Received: {list(self.decision)}."
            )
        _check_task(self)

    @property
    def num_outputs(self) -> int:
        """Length of one row of the network's output."""
        return TASKS[self.task].num_outputs(len(self.emotions))

    @property
    def answers_sha256(self) -> str:
        """Hash of all that affects the model's answers: not of its metrics or descriptions."""
        told = ("training", "metrics", "licence", "intended_use", "limits")
        facts = {name: value for name, value in asdict(self).items() if name not in told}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    @classmethod
    def read(cls, folder: str | Path) -> ModelCard:
        """Read the card of a model folder.

        Raises:
            ValueError: If there is no card, or it is invalid; names the file and the field.
        """
        path = Path(folder) / CARD_FILE
        if not path.is_file():
            raise ValueError(
                f"Expected a model card at {path}. Received: no such file. "
                "Give a folder that holds a model and its card.json."
            )
        found = read_json_object(path)
        allowed = {field.name: field for field in fields(cls)}
        required = {
            name
            for name, spec in allowed.items()
            if spec.default is MISSING and spec.default_factory is MISSING
        }
        missing, unknown = required - set(found), set(found) - set(allowed)
        if missing or unknown:
            raise ValueError(
                f"Expected the fields {list(allowed)} in {path}. Received: without "
                f"{sorted(missing)}, with unknown {sorted(unknown)}. A card from a newer version "
                "needs that version of builder_tools."
            )
        return cls(**found)


_KINDS = {
    "name": (is_text, "a text"),
    "file": (is_text, "a text"),
    "emotions": (is_list_of(is_text), "a list of distinct emotion names, in output order"),
    "input_size": (
        lambda side: is_whole(side) and 1 <= side <= MOST_INPUT_PX,
        f"a positive whole number of px, at most {MOST_INPUT_PX}",
    ),
    "preprocessing": (is_text, "a text"),
    "training": (is_table, "a table"),
    "metrics": (is_table, "a table"),
    "sha256": (is_table_of(is_text), "a table of texts"),
    "licence": (is_text, "a text"),
    "intended_use": (is_text, "a text"),
    "limits": (is_text, "a text"),
    "decision": (is_nothing_or(is_table_of(is_number)), "a table of numbers, or null"),
    "temperature": (lambda value: is_number(value) and value > 0, "a number above 0"),
    "abstain_below": (is_nothing_or(is_number), "a number, or null"),
    "task": (is_text, "a text"),
    "centres": (is_nothing_or(is_table_of(is_list_of(is_number))), "a table of places, or null"),
    "flip_average": (is_flag, "true or false"),
}


def write_card(folder: str | Path, card: ModelCard) -> Path:
    """Write `card.json` into a model folder atomically and return its path.

    Fields keep the order of `ModelCard`, so two cards can be compared line by line.
    """
    path = Path(folder) / CARD_FILE
    text = json.dumps(asdict(card), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".card-", suffix=".tmp")
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise
    return path


def file_sha256(path: str | Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify_files(folder: str | Path, card: ModelCard, names: Sequence[str] | None = None) -> None:
    """Check files of a model folder against the hashes in its card.

    Args:
        folder: The model folder.
        card: Its card.
        names: Files to check; None checks all files that the card lists.

    Raises:
        ValueError: If a file is missing, is not listed, or does not match the card's hash.
    """
    for name in (*card.sha256,) if names is None else names:
        path = Path(folder) / name
        expected = card.sha256.get(name)
        received = file_sha256(path) if path.is_file() else "no such file"
        if received != expected:
            raise ValueError(
                f"Expected {path} to have sha256 {expected or '(none is listed in the card)'}. "
                f"Received: {received}. Restore the file (git checkout, reinstall) or export "
                "the model again so that file and card agree."
            )


def model_roots() -> tuple[Path, ...]:
    """Return the folders where models are looked up by name.

    The first match wins, so a user's own model never replaces a shipped one.
    """
    roots = list(MODEL_ROOTS)
    with suppress(OSError):  # the current folder may no longer exist
        roots.append(Path.cwd() / "saved_models")
    with suppress(RuntimeError):  # a user may have no home folder
        data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
        roots.append(Path(data) / "builder_tools" / "saved_models")
    return tuple(roots)


def find_model(name_or_path: str | Path | None = None) -> Path:
    """Return the folder of a model.

    Args:
        name_or_path: A model's name (see `list_models`, `model_roots`), a folder with a card, or
            None for the default model.

    Raises:
        TypeError: If it is none of these.
        ValueError: If there is no such model; lists the models that exist.
    """
    wanted = DEFAULT_MODEL if name_or_path is None else name_or_path
    if not isinstance(wanted, str | Path):
        raise TypeError(
            f"Expected the name of a model or a folder. Received: {type(wanted).__name__}."
        )
    known = model_folders()
    if isinstance(wanted, str) and wanted in known:
        return known[wanted]
    if (Path(wanted) / CARD_FILE).is_file():
        return Path(wanted)
    raise ValueError(
        f"Expected one of the models {sorted(known)} or a folder with a {CARD_FILE}. "
        f"Received: {str(wanted)!r}. `builder-tools models` lists what is installed."
    )


def list_models() -> list[ModelCard]:
    """Return the cards of the models that can be loaded by name, sorted by name.

    Their names are those of their folders, by which they are loaded. Models whose card cannot be
    read are left out, with one warning each.
    """
    found = []
    for name, folder in sorted(model_folders().items()):
        try:
            found.append(replace(ModelCard.read(folder), name=name))
        except (OSError, ValueError) as error:
            _warn_once(f"The model of {folder / CARD_FILE} is left out: {error}")
    return found


@cache
def _warn_once(message: str) -> None:
    logger.warning("%s", message)


def model_folders() -> dict[str, Path]:
    """Return a mapping from folder name to folder; for duplicate names, the first root wins."""
    cards = []
    for root in reversed(model_roots()):
        with suppress(OSError):  # a folder that this user may not read
            cards += list(root.glob(f"*/{CARD_FILE}"))
    return {card.parent.name: card.parent for card in cards}


def _check_task(card: ModelCard) -> None:
    """Raise a ValueError for an unknown task or for missing or invalid centres."""
    if card.task not in TASKS:
        raise ValueError(
            f"Expected a task of {list(TASKS)} in the card of {card.name!r}. "
            f"Received: {card.task!r}."
        )
    if card.centres is None:
        if not TASKS[card.task].emotions:
            raise ValueError(
                f"Expected centres in the card of {card.name!r}: without them nobody knows which "
                "emotion a place means. Received: None."
            )
        return
    whole = all(
        len(place) == NUM_AFFECT and all(-1 <= value <= 1 for value in place)
        for place in card.centres.values()
    )
    if set(card.centres) != set(card.emotions) or not whole:
        raise ValueError(
            f"Expected valence and arousal in [-1, 1] for each of {list(card.emotions)} in the "
            f"card of {card.name!r}. Received: {dict(card.centres)}."
        )
