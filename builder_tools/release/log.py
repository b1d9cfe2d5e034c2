"""The log of experiments: a csv file to which rows are added atomically; nothing is removed."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from builder_tools.cards import ModelCard
from builder_tools.journal import alone_in
from builder_tools.media.partial import replacing
from builder_tools.tasks import TASKS

COLUMN_PREFIXES = {
    "ferplus-majority-8": "majority_8",
    "ferplus-nine": "nine_class",
    "own-labels": "own_labels",
}
"""Protocol -> prefix of its columns."""


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a csv file as text; none if it does not exist."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def add_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Add rows, safely even while others do; earlier rows keep all columns, new ones come last."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with alone_in(path.parent):
        together = [*read_rows(path), *rows]
        columns = list(dict.fromkeys(column for row in together for column in row))
        with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=columns, lineterminator="\n", restval="")
            writer.writeheader()
            writer.writerows(together)


def log_experiment(path: str | Path, card: ModelCard, note: str = "") -> None:
    """Add the row of an evaluated model to the log of experiments.

    What the card does not tell is left empty: that of a network that is in no run tells little.
    """
    training = card.training
    runs = training.get("members", [training])
    budgets = [run.get("budget", {}) for run in runs]
    row = {
        "date": date.today().isoformat(),
        "study": "model",
        "model": card.name,
        "network": " + ".join(run.get("config", {}).get("network", "") for run in runs),
        "data": training.get("data", ""),
        "data_sha256": training.get("data_sha256", "")[:12],
        "seed": _all_of(run.get("seed", "") for run in runs),
        "commit": _all_of(run.get("commit", "") for run in runs),
        "epochs": _sum_of("epochs", budgets),
        "minutes": _sum_of("minutes", budgets),
        "machine": _all_of(budget.get("machine", "") for budget in budgets),
        **_figures(card.metrics["test"]),
    }
    if TASKS[card.task].affect:
        row |= {"task": card.task, "va_labels": " ".join(training.get("va_labels", ()))}
        for split, found in card.metrics["valence_arousal"].items():
            for reference in ("votes", "labels"):
                agreement = found.get(f"against_{reference}", {})
                row[f"va_{split}_{reference}_ccc"] = agreement.get("mean_ccc")
    add_rows(Path(path), [row | {"note": note}])


def _all_of(values: Iterable[Any]) -> str:
    """Return the values of a model's runs as text, just once if they agree."""
    return " + ".join(dict.fromkeys(map(str, values)))


def _sum_of(name: str, budgets: Sequence[Mapping[str, Any]]) -> float | str:
    """Return the sum over a model's runs, to a decimal; "" if one does not tell."""
    told = [budget.get(name) for budget in budgets]
    return "" if None in told else round(sum(told), 1)


def _figures(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of the protocols that were evaluated."""
    row: dict[str, Any] = {}
    for protocol, prefix in COLUMN_PREFIXES.items():
        if protocol in metrics:
            found = metrics[protocol]
            row[f"{prefix}_accuracy"] = found["accuracy"]
            row[f"{prefix}_macro_f1"] = found["macro_f1"]
            row[f"{prefix}_accuracy_without_duplicates"] = found.get("without_duplicates", {}).get(
                "accuracy"
            )
    if "ferplus-majority-7" in metrics:
        balanced = metrics["ferplus-majority-7"].get("balanced_decision", {})
        row["mean_recall_7_balanced"] = balanced.get("mean_recall")
    return row
