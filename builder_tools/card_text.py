"""A model card as a human-readable page, made from `card.json` alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from builder_tools.card_shapes import AGREEMENT, SHARES
from builder_tools.cards import ModelCard
from builder_tools.results import DOUBTFUL_BELOW
from builder_tools.tasks import TASKS

REFERENCES = {
    "against_votes": "anchors weighted by people's votes",
    "against_labels": "labels like those it was taught",
}
UNKNOWN_INTERVAL = (None, None)


def card_markdown(card: ModelCard) -> str:
    """Return a card as Markdown (Mitchell et al., 2019, "Model Cards for Model Reporting")."""
    sections = {
        f"Model `{card.name}`": _basics(card),
        "Intended use": card.intended_use,
        "Limits": card.limits,
        "Licence": card.licence,
        "How good it is (test)": _figures(card.metrics.get("test", {})),
        "Valence and arousal": _affect(card),
        "Recall by emotion": _recalls(card.metrics.get("test", {})),
        "Where it is better and worse": _slices(card.metrics.get("slices", {})),
        "Certainty": _certainty(card),
        "Training data": _data(card.training),
        "How it was trained, and how to train it again": _making(card.training),
    }
    parts = [f"## {title}\n\n{text}" for title, text in sections.items() if text]
    return "\n\n".join(parts).replace("## ", "# ", 1) + "\n"


def _basics(card: ModelCard) -> str:
    form = "8-bit integers" if card.training.get("int8", {}).get("deployed") else "float32"
    rows = {
        "file": f"`{card.file}` ({form})",
        "classes, in order": ", ".join(card.emotions),
        "input": f"{card.input_size}x{card.input_size} RGB, 0...255",
        "preprocessing": card.preprocessing,
    }
    if card.flip_average:
        rows["in use"] = "the mean of a face and its mirror image (twice the work)"
    if TASKS[card.task].outputs:
        rows["outputs"] = TASKS[card.task].outputs
    return _table(("what", "value"), rows.items())


def _figures(test: Mapping[str, Any]) -> str:
    head = ("protocol", "decision", "images", "accuracy", "macro-F1", "mean recall", "ECE")
    rows = []
    for name, found in test.items():
        parts = {"natural": found, "class-balanced": found.get("balanced_decision")}
        for decision, part in parts.items():
            if part:
                rows.append((name, decision, *_evaluation(part)))
        fresh = found.get("without_duplicates")
        if fresh:
            label = f"{name}, without images that stand in train"
            rows.append((label, "natural", *_evaluation(fresh)))
    described = "".join(
        f"\n- {name}: {found['description']}"
        for name, found in test.items()
        if "description" in found
    )
    return f"{_table(head, rows)}\n{described}" if rows else ""


def _evaluation(found: Mapping[str, Any]) -> list[str]:
    shares = (_share(found, key) for key in SHARES)
    return [found.get("n", "-"), *shares, _number(found.get("ece"))]


def _affect(card: ModelCard) -> str:
    """Return how valence and arousal agree with references, and the nearest-centre results."""
    parts = []
    for split, found in card.metrics.get("valence_arousal", {}).items():
        rows = [
            (
                split,
                words,
                *(
                    "constant" if found[key].get(name) is None else _share(found[key], name)
                    for name in AGREEMENT
                ),
            )
            for key, words in REFERENCES.items()
            if key in found
        ]
        parts += rows
    if not parts:
        return ""
    head = ("split", "against", *(name.replace("_", " ") for name in AGREEMENT))
    test = card.metrics["valence_arousal"].get("test", {})
    ways = [
        (way.replace("_", " "), protocol, one.get("n", "-"), _share(one, "accuracy"))
        for way in ("nearest_centre", "direct")
        for protocol, one in test.get(way, {}).items()
    ]
    text = _table(head, parts)
    if ways:
        text += "\n\nWhich emotion, on test, by the centre nearest to valence and arousal"
        text += " and by the outputs for emotions (direct), where there are such:\n\n"
        text += _table(("way", "protocol", "images", "accuracy"), ways)
    return text


def _recalls(test: Mapping[str, Any]) -> str:
    if not test:
        return ""
    recalls = [found.get("per_class_recall", {}) for found in test.values()]
    names = list(dict.fromkeys(emotion for recall in recalls for emotion in recall))
    rows = [(name, *(_recall(found, name) for found in test.values())) for name in names]
    return _table(("emotion", *test), rows)


def _recall(found: Mapping[str, Any], emotion: str) -> str:
    recall = found.get("per_class_recall", {})
    if emotion not in recall:
        return ""
    low, high = found.get("per_class_recall_95", {}).get(emotion, UNKNOWN_INTERVAL)
    value, images = _number(recall[emotion]), found.get("support", {}).get(emotion, "-")
    return f"{value} [{_number(low)}, {_number(high)}] of {images}"


def _slices(slices: Mapping[str, Any]) -> str:
    rows = [
        (
            measure,
            row.get("slice", "-"),
            f"{row['from']:g}...{row['to']:g}" if {"from", "to"} <= row.keys() else "-",
            row.get("n", "-"),
            _share(row, "accuracy"),
        )
        for measure, thirds in slices.items()
        for row in thirds
    ]
    return _table(("by", "slice", "range", "images", "accuracy"), rows) if rows else ""


def _certainty(card: ModelCard) -> str:
    lines = [f"Temperature, fitted on valid: {card.temperature:g}."]
    if card.abstain_below is not None:
        lines.append(
            f"A prediction below probability {card.abstain_below:g} is doubtful: of those above, "
            "95 % are right on valid."
        )
    else:
        lines.append(
            f"No threshold of doubt was fitted: below {DOUBTFUL_BELOW:g} a prediction is called "
            "doubtful."
        )
    for name, found in card.metrics.get("test", {}).items():
        if "sure" in found:
            sure = found["sure"]
            lines.append(
                f"On test ({name}) {_number(sure.get('coverage'))} of the images are above it and "
                f"{_number(sure.get('accuracy'))} of these are right."
            )
    return " ".join(lines)


def _data(training: Mapping[str, Any]) -> str:
    if "data" not in training:
        return ""
    rows = {
        "data set": training["data"],
        "sha256": f"`{training.get('data_sha256', '-')[:16]}`",
        "images": _counts(training.get("pictures", {})),
        "training images by class": _counts(training.get("class_counts", {})),
    }
    return _table(("what", "value"), rows.items())


def _counts(counts: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in counts.items()) or "-"


def _making(training: Mapping[str, Any]) -> str:
    return _members(training["members"]) if training.get("members") else _training(training)


def _training(training: Mapping[str, Any]) -> str:
    if "config" not in training:
        return ""
    budget = {"epochs": "-", "machine": "-"} | training.get("budget", {})
    minutes = f"{budget['minutes']:g}" if "minutes" in budget else "-"
    said = (
        f"{budget['epochs']} epochs, {minutes} minutes on {budget['machine']}; seed "
        f"{training.get('seed', '-')}, commit `{training.get('commit', '-')}`."
    )
    text = f"{said} `builder-tools train --config config.json` at that commit, with\n\n"
    text += _code(training["config"])
    if "teaching" in training:
        text += "\n\nand these targets (`--teachers`, `--original-share` ...):\n\n"
        text += _code(training["teaching"])
    if "begun_from" in training:
        text += "\n\nIt began from the network of an earlier run: "
        text += _training(training["begun_from"])
    return text


def _members(given: Iterable[Mapping[str, Any] | str]) -> str:
    """Return which models one is made of and, for an ensemble, how each of them was trained."""
    members = [{"name": "-"} | member for member in given if not isinstance(member, str)]
    if not members:
        return f"Made of these models: {', '.join(map(str, given))}."
    names = " ".join(member["name"] for member in members)
    shares = [member.get("share", 1 / len(members)) for member in members]
    command, mean = f"builder-tools ensemble {names}", "mean"
    if len(set(shares)) > 1:
        command += f" --member-shares {' '.join(f'{share:g}' for share in shares)}"
        mean = "weighted mean"
    parts = [
        f"The {mean} of the probabilities of {len(members)} models, one file: "
        f"`{command} --out ...`."
    ]
    sizes = {member["name"]: member["input_size"] for member in members if "input_size" in member}
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"`{name}` at {size} px" for name, size in sizes.items())
        parts.append(f"Each sees the faces at its own size, resized inside the file: {told}.")
    parts += [f"### `{member['name']}`\n\n{_training(member)}" for member in members]
    return "\n\n".join(parts)


def _code(values: Mapping[str, Any]) -> str:
    return f"```json\n{json.dumps(values, indent=2)}\n```"


def _table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    head = tuple(head)
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)])


def _share(found: Mapping[str, Any], key: str) -> str:
    low, high = found.get(f"{key}_95", UNKNOWN_INTERVAL)
    return f"{_number(found.get(key))} [{_number(low)}, {_number(high)}]"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
