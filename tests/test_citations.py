"""Figures that README, the documentation and notebooks cite stand in the tables they cite, to the
last digit."""

import csv
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
REPORTS = ROOT / "reports"
NUMBER = r"[+-]?\d+(?:\.\d+)?"
INTERVAL = re.compile(
    rf"({NUMBER})(?: ?%)?(?: \w+){{0,3}}\s+\[\s*({NUMBER}),\s+({NUMBER})\s*\]", re.ASCII
)
"""`0.719 [0.711, 0.728]`, `+3.0 [1.4, 4.6]`, `67.0 % [65.4, 68.7]`, `+3.0 accuracy [1.4, 4.6]`."""
LONE = re.compile(r"(?<![\d.\[])(?<!, )([01]\.\d{3})(?!\d|\.\d)")
"""Shares with three digits."""

PAGES = {
    "README.md": ("scoreboard", "crossdata"),
    "README.ru.md": ("scoreboard", "crossdata"),
    "docs/explanation/accuracy.md": ("scoreboard", "crossdata", "calibration", "decisions"),
    "docs/explanation/findings.md": (
        *("ablations", "screening", "pretraining", "transfer", "searches"),
        *("valence_arousal", "va_regressors", "classical"),
    ),
}
"""A page -> the reports it cites, beside the cards of the shipped models."""
NOTEBOOKS = {
    "01_data_analysis": (),
    "02_cleaning_and_detectors": (),
    "03_balancing_and_augmentation": (),
    "04_networks_and_tuning": ("networks", "pretraining", "transfer", "searches"),
    "05_experiments": ("ablations", "screening"),
    "06_benchmark_and_inference": ("scoreboard", "calibration", "robustness"),
    "07_valence_arousal": ("valence_arousal", "va_regressors"),
    "08_classical_and_hybrid": ("classical",),
    "09_video_and_highlights": (),
    "10_geometry_and_rest": ("geometry", "rest"),
}


def intervals(text: str) -> set[tuple[float, ...]]:
    """Return value, low and high of every interval, without regard to signs that are written."""
    return {tuple(map(float, found)) for found in INTERVAL.findall(text)}


def shown_by(cell: dict) -> str:
    """Return the text of what a cell shows."""
    parts = []
    for output in cell.get("outputs", []):
        parts.append("".join(output.get("text", "")))
        parts.append("".join(output.get("data", {}).get("text/plain", "")))
    return "\n".join(parts)


def report(name: str) -> str:
    """Return a report, and the csv beside it where one is."""
    return "\n".join(path.read_text() for path in sorted(REPORTS.glob(f"{name}*.[mc][ds]*")))


def intervals_of_the_scoreboard() -> str:
    """Return accuracy and gain (in points) of each model, with intervals, as pages write them."""
    lines = []
    with (REPORTS / "scoreboard.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            for what, times, digits in (("accuracy", 1, 3), ("gain", 100, 1)):
                cells = [row.get(f"{what}{end}") for end in ("", "_low", "_high")]
                if all(cells):
                    value, low, high = (f"{times * float(cell):.{digits}f}" for cell in cells)
                    lines.append(f"{value} [{low}, {high}]")
    return "\n".join(lines)


def notebook(name: str) -> tuple[str, str]:
    """Return what the last cell says, and what all others show."""
    cells = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text())["cells"]
    return "".join(cells[-1]["source"]), "\n".join(map(shown_by, cells))


def not_found(said: str, known: str) -> list[str]:
    """Return the intervals and shares of a text that another does not hold."""
    missing = [str(each) for each in sorted(intervals(said) - intervals(known))]
    rounded = {f"{float(x):.3f}" for x in re.findall(r"(?<![\d.])[01]?\.\d{3,}", known)}
    return missing + sorted(set(LONE.findall(said)) - rounded)


@pytest.mark.parametrize("page", PAGES)
def test_pages_cite_their_reports(page):
    said = (ROOT / page).read_text(encoding="utf-8")
    known = [intervals_of_the_scoreboard(), *(report(name) for name in PAGES[page])]
    known += [card.read_text() for card in sorted(ROOT.glob("saved_models/*/card.json"))]
    known += [
        (ROOT / f"saved_models/{name}/README.md").read_text() for name in ("fast", "accurate")
    ]
    known += [notebook("07_valence_arousal")[1]] * page.endswith("findings.md")
    assert intervals(said), "there is something to compare"
    assert not_found(said, "\n".join(known)) == []


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebooks_say_what_they_and_their_reports_show(name):
    said, shown = notebook(name)
    known = shown + "\n".join(report(each) for each in NOTEBOOKS[name])
    known += intervals_of_the_scoreboard()
    assert not_found(said, known) == []


def test_a_wrong_figure_is_found():
    table = "| a | 0.719 [0.711, 0.728] | 67.0 [65.4, 68.7] |\n| b | +3.0 [+1.4, +4.6] | 0.8123 |"
    good = "It has 0.719 [0.711,\n  0.728], 67.0 % [65.4, 68.7]; +3.0 accuracy [1.4, 4.6]; 0.812."
    assert not_found(good, table) == []
    assert not_found(good.replace("65.4", "65.5"), table) == ["(67.0, 65.5, 68.7)"]
    assert not_found(good.replace("0.812", "0.813"), table) == ["0.813"]
