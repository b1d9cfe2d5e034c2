"""How strongly a balanced decision should favour rare classes: what each strength gains and costs.

Measured on FER+ valid and, through the default detector, on the development sets in the data
folder; model cards hold the strength chosen by `release/deciding.py`. Writes reports/decisions.md.

    python benchmarks/decisions.py [--models fast tiny]
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import pandas as pd
from crossdata import DEVELOPMENT_SETS
from machine import describe_machine

from builder_tools import EmotionClassifier
from builder_tools.cards import list_models
from builder_tools.datasets.ferplus import data_folder
from builder_tools.datasets.table import ImageTable
from builder_tools.decisions import apply_decision
from builder_tools.detectors import DEFAULT_DETECTOR
from builder_tools.evaluation import PROTOCOLS, Evaluation, balanced_decision
from builder_tools.release import load_data, predict_table
from builder_tools.release.labelled_sets import LabelledSet, judge_on, labelled_set
from studies.report import markdown, write_page

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
JUDGED = {"ferplus-majority-7": "seven", "ferplus-nine": "nine"}
"""Protocol -> name of its classes in the table."""


def main() -> None:
    """Measure, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=[card.name for card in list_models()])
    parser.add_argument("--reports", type=Path, default=Path("reports"))
    options = parser.parse_args()
    valid = load_data("ferplus").split("valid")
    sets = [labelled_set(data_folder() / name) for name in DEVELOPMENT_SETS]
    rows = [row for name in options.models for row in _rows(name, valid, sets)]
    sections = [
        "# How strongly the balanced decision favours rare classes",
        "Written by `python benchmarks/decisions.py`. A strength of 0 is the natural decision; 1 "
        "divides the probabilities by how frequent the model itself takes each class to be (its "
        "mean probabilities on FER+ valid), which is right where all nine are equally frequent. "
        f"FER+ valid: {len(valid):,} images, by majority without contempt (seven), and all nine "
        "classes. Development sets: largest face of the default detector, labels among the set's "
        "classes, or (free) all nine.",
        describe_machine(["onnxruntime"]),
        markdown(pd.DataFrame(rows)),
    ]
    print(write_page(options.reports / "decisions.md", sections).read_text())


def _rows(name: str, valid: ImageTable, sets: list[LabelledSet]) -> list[dict[str, str]]:
    """Return one row per strength."""
    classifier, rows = EmotionClassifier(name), []
    emotions, probabilities = classifier.emotions, predict_table(classifier, valid)
    for strength in STRENGTHS:
        biases = balanced_decision(probabilities.mean(axis=0), emotions, strength=strength)
        classifier.card = replace(classifier.card, decision=biases)
        row = {"model": name, "strength": f"{strength:g}"}
        decided = apply_decision(probabilities, emotions, biases)
        for protocol, classes in JUDGED.items():
            found = PROTOCOLS[protocol].apply(valid.table, decided, emotions).evaluate()
            row |= _figures(f"valid, {classes}", found)
        for judged in judge_on(classifier, sets, detector=DEFAULT_DETECTOR, decision="balanced"):
            place = judged.name.removesuffix(".zip")
            row |= _figures(place, judged.restricted)
            row[f"{place}, free: accuracy"] = f"{judged.free.accuracy.value:.3f}"
        rows.append(row)
    return rows


def _figures(place: str, found: Evaluation) -> dict[str, str]:
    return {
        f"{place}: accuracy": f"{found.accuracy.value:.3f}",
        f"{place}: macro-F1": f"{found.macro_f1.value:.3f}",
        f"{place}: mean recall": f"{found.mean_recall.value:.3f}",
    }


if __name__ == "__main__":
    main()
