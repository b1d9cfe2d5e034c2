"""How far to trust the shipped models' confidence: calibration, and what abstaining gains.

Temperature and threshold are in the model cards, fitted on FER+ valid; here they are judged on
test. Writes reports/calibration.md and two figures per model.

    python benchmarks/calibration.py [--models fast tiny]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from matplotlib.figure import Figure

from builder_tools import EmotionClassifier
from builder_tools.cards import list_models
from builder_tools.datasets.table import ImageTable
from builder_tools.decisions import apply_temperature
from builder_tools.evaluation import (
    PROTOCOLS,
    expected_calibration_error,
    risk_coverage,
)
from builder_tools.media import replacing
from builder_tools.plots import plot_confusion, plot_reliability, plot_risk_coverage
from builder_tools.release import load_data, predict_table

JUDGED = ("ferplus-nine", "ferplus-majority-8")
WANTED = (0.9, 0.95, 0.98)


def main() -> None:
    """Measure, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=[card.name for card in list_models()])
    parser.add_argument("--reports", type=Path, default=Path("reports"))
    options = parser.parse_args()
    test = load_data("ferplus").split("test")
    parts = [
        "# Calibration and doubt",
        "FER+ test; temperature and threshold of doubt were fitted on valid and are in the cards. "
        "ECE: expected calibration error, 15 bins. Coverage: the largest share of images, the "
        "surest first, of which that many are right. Written by "
        "`python benchmarks/calibration.py`.",
    ]
    for name in options.models:
        parts += [f"## `{name}`", *_model(name, test, options.reports)]
    text = "\n\n".join(parts) + "\n"
    with replacing(options.reports / "calibration.md") as partial:
        partial.write_text(text)
    print(text)


def _model(name: str, test: ImageTable, reports: Path) -> list[str]:
    """Return the parts of the report on one model, and draw its figures."""
    classifier = EmotionClassifier(name)
    card = classifier.card
    calibrated = predict_table(classifier, test)
    plain = apply_temperature(calibrated, 1 / card.temperature)
    confusion = Figure(figsize=(7, 5.5), layout="constrained")
    nine = card.metrics["test"]["ferplus-nine"]  # measured on the deployed file
    plot_confusion(nine["confusion"], card.emotions, confusion.subplots())
    confusion.savefig(reports / "figures" / f"{name}_confusion.png", dpi=120)
    figure = Figure(figsize=(9.5, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    head = "| protocol | images | ECE as trained | ECE at temperature "
    head += "".join(f"| coverage at {wanted:.0%} right " for wanted in WANTED) + "|"
    lines = [head, "|---" * (4 + len(WANTED)) + "|"]
    for protocol in (PROTOCOLS[name] for name in JUDGED):
        before, after = (
            protocol.apply(test.table, found, classifier.emotions) for found in (plain, calibrated)
        )
        curve = risk_coverage(after.labels, after.probabilities)
        errors = (
            expected_calibration_error(each.labels, each.probabilities) for each in (before, after)
        )
        lines.append(
            f"| {protocol.name} | {len(after.labels):,} | "
            + " | ".join(f"{error:.4f}" for error in errors)
            + "".join(f" | {_coverage(curve, wanted)}" for wanted in WANTED)
            + " |"
        )
        own = set(protocol.emotions) == set(card.emotions)
        plot_risk_coverage(curve, card.abstain_below if own else None, ax=right)
        if own:
            plot_reliability(after.labels, after.probabilities, ax=left)
            sure = curve.at_threshold(card.abstain_below or 0.0)
    right.set_title("surest first; upper line: eight by majority")
    path = reports / "figures" / f"{name}_calibration.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    told = (
        f"Temperature {card.temperature:g}; the card's threshold of doubt "
        f"{card.abstain_below} (95 % right on valid) leaves {sure[0]:.1%} of test, of which "
        f"{sure[1]:.1%} are right (nine classes)."
    )
    return ["\n".join(lines), told, f"![{name}](figures/{path.name})"]


def _coverage(curve, wanted: float) -> str:
    found = curve.at_accuracy(wanted)
    return "-" if found is None else f"{found[1]:.3f}"


if __name__ == "__main__":
    main()
