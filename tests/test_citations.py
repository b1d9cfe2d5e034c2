"""Figures that README and notebooks cite stand in the tables they cite, to the last digit."""

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

SECTIONS = {
    "Valence and arousal: `builder-tools label-va": ("valence_arousal", "va_regressors"),
    "Classical machine learning on the same faces": ("classical",),
    "What the ablations say": ("ablations", "screening"),
}
"""How a part of README begins -> the reports it cites. A part ends where the next begins."""
NOTEBOOKS = {
    "04_networks_and_tuning": ("networks",),
    "05_experiments": ("ablations", "screening"),
    "07_valence_arousal": ("valence_arousal", "va_regressors"),
    "08_classical_and_hybrid": ("classical",),
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


def readme_part(start: str) -> str:
    text = (ROOT / "README.md").read_text()
    begin = text.index(start)
    ends = [text.find(other, begin + 1) for other in (*SECTIONS, "Searches run", "The experiments")]
    return text[begin : min(end for end in ends if end > 0)]


def notebook(name: str) -> tuple[str, str]:
    """Return what the last cell says, and what all others show."""
    cells = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text())["cells"]
    return "".join(cells[-1]["source"]), "\n".join(map(shown_by, cells))


def not_found(said: str, known: str) -> list[str]:
    """Return the intervals and shares of a text that another does not hold."""
    missing = [str(each) for each in sorted(intervals(said) - intervals(known))]
    rounded = {f"{float(x):.3f}" for x in re.findall(r"(?<![\d.])[01]?\.\d{3,}", known)}
    return missing + sorted(set(LONE.findall(said)) - rounded)


@pytest.mark.parametrize("start", SECTIONS)
def test_readme_cites_its_reports(start):
    part = readme_part(start)
    known = "\n".join(report(name) for name in SECTIONS[start])
    known += notebook("07_valence_arousal")[1] if "valence" in start.casefold() else ""
    assert intervals(part), "there is something to compare"
    assert not_found(part, known) == []


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebooks_say_what_they_and_their_reports_show(name):
    said, shown = notebook(name)
    known = shown + "\n".join(report(each) for each in NOTEBOOKS[name])
    assert not_found(said, known) == []


def test_a_wrong_figure_is_found():
    table = "| a | 0.719 [0.711, 0.728] | 67.0 [65.4, 68.7] |\n| b | +3.0 [+1.4, +4.6] | 0.8123 |"
    good = "It has 0.719 [0.711,\n  0.728], 67.0 % [65.4, 68.7]; +3.0 accuracy [1.4, 4.6]; 0.812."
    assert not_found(good, table) == []
    assert not_found(good.replace("65.4", "65.5"), table) == ["(67.0, 65.5, 68.7)"]
    assert not_found(good.replace("0.812", "0.813"), table) == ["0.813"]
