"""How strongly a balanced decision should favour rare classes: what each strength gains and costs.

Beside it, biases fitted to valid by their likelihood. Measured on FER+ valid and, through the
default detector, on the development sets in the data folder; model cards hold the strength chosen
by `release/deciding.py`. Writes reports/decisions.md.

    python benchmarks/decisions.py [--models fast tiny]
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from crossdata import DEVELOPMENT_SETS
from machine import describe_machine
from scipy.optimize import minimize
from scipy.special import log_softmax

from builder_tools import EmotionClassifier
from builder_tools.cards import list_models
from builder_tools.datasets.ferplus import data_folder
from builder_tools.datasets.table import ImageTable
from builder_tools.decisions import LEAST_PROBABILITY, apply_decision
from builder_tools.detectors import DEFAULT_DETECTOR
from builder_tools.emotions import EmotionSet
from builder_tools.evaluation import PROTOCOLS, Evaluation, balanced_decision
from builder_tools.release import load_data, predict_table
from builder_tools.release.labelled_sets import LabelledSet, judge_on, labelled_set
from studies.report import markdown, write_page

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
JUDGED = {"ferplus-majority-7": "seven", "ferplus-nine": "nine"}
"""Protocol -> name of its classes in the table."""
FITTED = {"fitted": False, "fitted, balanced": True}
"""Name in the table -> whether all nine classes count alike in the likelihood."""
FOLDS = 5


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
        "classes. Fitted: instead of a strength, the biases that make the labels of valid most "
        "probable, or would if each class had as many images (balanced); an image of valid is "
        f"judged by biases fitted without its fifth of the images ({FOLDS} folds). Development "
        "sets: largest face of the default detector, labels among the set's classes, or (free) "
        "all nine.",
        describe_machine(["onnxruntime"]),
        markdown(pd.DataFrame(rows)),
    ]
    print(write_page(options.reports / "decisions.md", sections).read_text())


def _rows(name: str, valid: ImageTable, sets: list[LabelledSet]) -> list[dict[str, str]]:
    """Return one row per strength."""
    classifier, rows = EmotionClassifier(name), []
    emotions, probabilities = classifier.emotions, predict_table(classifier, valid)
    shares = probabilities.mean(axis=0)
    found = {f"{one:g}": balanced_decision(shares, emotions, strength=one) for one in STRENGTHS}
    decided = {name: apply_decision(probabilities, emotions, found[name]) for name in found}
    labels = PROTOCOLS["ferplus-nine"].apply(valid.table, probabilities, emotions).labels
    for rule, balanced in FITTED.items():
        found[rule] = fit_biases(probabilities, labels, emotions, balanced=balanced)
        decided[rule] = np.empty_like(probabilities, float)
        folds = np.random.default_rng(0).integers(FOLDS, size=len(labels))
        for fold in range(FOLDS):
            seen, held = folds != fold, folds == fold
            biases = fit_biases(probabilities[seen], labels[seen], emotions, balanced=balanced)
            decided[rule][held] = apply_decision(probabilities[held], emotions, biases)
    for rule, biases in found.items():
        classifier.card = replace(classifier.card, decision=biases)
        row = {"model": name, "strength": rule}
        for protocol, classes in JUDGED.items():
            judged = PROTOCOLS[protocol].apply(valid.table, decided[rule], emotions).evaluate()
            row |= _figures(f"valid, {classes}", judged)
        for judged in judge_on(classifier, sets, detector=DEFAULT_DETECTOR, decision="balanced"):
            place = judged.name.removesuffix(".zip")
            row |= _figures(place, judged.restricted)
            row[f"{place}, free: accuracy"] = f"{judged.free.accuracy.value:.3f}"
        rows.append(row)
    return rows


def fit_biases(
    probabilities: np.ndarray, labels: np.ndarray, emotions: EmotionSet, *, balanced: bool
) -> dict[str, float]:
    """Return the biases of log-probabilities that make labels most probable (Guo et al., 2017).

    Args:
        probabilities: `(n, k)`.
        labels: `(n,)` int; every class occurs.
        emotions: Names of the k classes.
        balanced: Weigh images by the inverse of how often their class occurs.
    """
    logits = np.log(np.maximum(probabilities, LEAST_PROBABILITY))
    counts = np.bincount(labels, minlength=len(emotions))
    weights = 1 / counts[labels] if balanced else np.ones(len(labels))

    def loss(biases: np.ndarray) -> float:
        logs = log_softmax(logits + biases, axis=1)[np.arange(len(labels)), labels]
        return -np.average(logs, weights=weights)

    biases = minimize(loss, np.zeros(len(emotions))).x
    return dict(zip(emotions, (biases - biases.mean()).tolist(), strict=True))


def _figures(place: str, found: Evaluation) -> dict[str, str]:
    return {
        f"{place}: accuracy": f"{found.accuracy.value:.3f}",
        f"{place}: macro-F1": f"{found.macro_f1.value:.3f}",
        f"{place}: mean recall": f"{found.mean_recall.value:.3f}",
    }


if __name__ == "__main__":
    main()
