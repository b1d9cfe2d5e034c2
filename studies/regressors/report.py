"""Writes `va_regressors.md` from the rows of `va_regressors.py`; says nothing that is not there."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from builder_tools.media.partial import replacing
from studies.labellers.compare import markdown

EIGHT, NINE = "ferplus-majority-8", "ferplus-nine"
BUDGET = ["faces", "epochs", "size", "seed"]
HOW = """Every network saw the same faces of FER+ train for the same epochs; all figures are of the
test split, with 95 % bootstrap intervals. `none` is the direct classifier: its valence and arousal
are the expected anchors of its probabilities. *base*: what a network started from, random weights
or a file; what a base has seen comes on top of the faces and epochs of its row. *votes*: against
the vote-weighted anchors, the reference that knows what ten people saw. *own labels*: against the
labeller's labels of the same faces, made with their class known. Nobody rated valence and arousal
of these images. Minutes and milliseconds (processor time of one thread) grow with whatever else
the machine did, see its load below: they are no measure of small differences. Written by
`python benchmarks/va_regressors.py`."""
CAVEATS = """`isomap-network` looks at the features of a network that was taught the votes of these
training faces. The reference and the labels share the anchors, so they cannot be called
independent of each other in level and spread."""


def write_report(rows_file: Path, page: Path, machine: str) -> None:
    """Write the page, a section a budget."""
    rows = pd.read_csv(rows_file)
    parts = ["# Regressors of valence and arousal", HOW]
    for budget, group in rows.groupby(BUDGET, sort=False):
        faces, epochs, size, seed = budget
        parts.append(f"## {faces} training faces, {epochs} epochs, {size} px, seed {seed}")
        parts.append(_agreement_table(group))
        parts.append(_error_table(group))
        parts.append(_accuracy_table(group))
        parts.append("\n".join(f"- {line}" for line in findings(group)))
    parts += [CAVEATS, f"{machine}. Trained on: {', '.join(rows['machine'].unique())}."]
    text = "\n\n".join(part for part in parts if part)
    with replacing(page) as partial:
        partial.write_text(text + "\n", encoding="utf-8")


def findings(rows: pd.DataFrame) -> list[str]:
    """Describe in sentences what the rows of one budget show."""
    named = {_name(row): row for row in rows.to_dict("records")}
    lines = []
    classifiers = {_start(row): row for row in named.values() if row["task"] == "emotion"}
    for name, row in named.items():
        if row["task"] == "emotion":
            continue
        direct = classifiers.get(_start(row))
        if direct is not None:
            lines.append(_against_direct(name, row, direct))
        if row["task"] == "both":
            lines.append(_both_ways(name, row))
    return lines


def _against_direct(name: str, row: dict, direct: dict) -> str:
    nearest, classes = f"test_nearest_centre_{EIGHT}_accuracy", f"test_direct_{EIGHT}_accuracy"
    ccc = "test_votes_mean_ccc"
    return (
        f"{name}: the nearest centre names the emotion with an accuracy of "
        f"{_value(row, nearest)}, the direct classifier of the same start and budget with "
        f"{_value(direct, classes)} ({_apart(row, nearest, direct, classes)}). Mean CCC with the "
        f"votes {_value(row, ccc)} against {_value(direct, ccc)} of the classifier's expected "
        f"anchors ({_apart(row, ccc, direct, ccc)})."
    )


def _both_ways(name: str, row: dict) -> str:
    nearest, classes = f"test_nearest_centre_{EIGHT}_accuracy", f"test_direct_{EIGHT}_accuracy"
    return (
        f"{name}, in one network: nearest centre {_value(row, nearest)}, own outputs for emotions "
        f"{_value(row, classes)} ({_apart(row, nearest, row, classes)})."
    )


def _apart(row: dict, name: str, other: dict, other_name: str) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    if low > other[f"{other_name}_high"]:
        return "above, intervals apart"
    if high < other[f"{other_name}_low"]:
        return "below, intervals apart"
    return "intervals overlap"


def _agreement_table(rows: pd.DataFrame) -> str:
    head = ["labeller", "network", "task", "base", "CCC votes", "CCC valence", "CCC arousal",
            "CCC own labels", "minutes", "ms a face"]  # fmt: skip
    names = ["test_votes_mean_ccc", "test_votes_valence_ccc", "test_votes_arousal_ccc",
             "test_labels_mean_ccc"]  # fmt: skip
    return markdown(head, [
        [*_words(row), *(_value(row, name) for name in names),
         f"{row['minutes']:.1f}", f"{row['ms_per_face']:.2f}"]
        for row in rows.to_dict("records")
    ])  # fmt: skip


def _error_table(rows: pd.DataFrame) -> str:
    head = ["labeller", "network", "task", "base", "RMSE valence", "RMSE arousal", "r valence",
            "r arousal"]  # fmt: skip
    names = [f"test_votes_{axis}_{figure}" for figure in ("rmse", "pearson")
             for axis in ("valence", "arousal")]  # fmt: skip
    return markdown(head, [
        [*_words(row), *(_value(row, name) for name in names)] for row in rows.to_dict("records")
    ])  # fmt: skip


def _accuracy_table(rows: pd.DataFrame) -> str:
    head = ["labeller", "network", "task", "base"]
    names = []
    for protocol, short in ((EIGHT, "eight"), (NINE, "nine")):
        head += [f"nearest centre, {short}", f"direct, {short}"]
        names += [f"test_{way}_{protocol}_accuracy" for way in ("nearest_centre", "direct")]
    return markdown(head, [
        [*_words(row), *(_value(row, name) for name in names)] for row in rows.to_dict("records")
    ])  # fmt: skip


def _words(row: dict) -> list[str]:
    return [row["labeller"], row["network"], row["task"], row["base"]]


def _name(row: dict) -> str:
    base = "" if row["base"] == "random" else f" from {row['base']}"
    return f"{row['network']} ({row['task']}){base} on {row['labeller']} labels"


def _start(row: dict) -> tuple[str, str]:
    return row["network"], row["base"]


def _value(row: dict, name: str) -> str:
    if name not in row or pd.isna(row[name]):
        return "-"
    return f"{row[name]:.3f} [{row[f'{name}_low']:.3f}, {row[f'{name}_high']:.3f}]"
