"""`va_regressors.md`, made from the rows of `va_regressors.csv` alone."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from studies.intervals import by_variant
from studies.report import interval, joined, markdown, write_page
from studies.table import made_rows

EIGHT, NINE = "ferplus-majority-8", "ferplus-nine"
PRECISION = "mixed_bfloat16"
"""Keras dtype policy of rows that do not tell theirs."""
BUDGET = ["faces", "epochs", "size", "precision"]
NAME = ["labeller", "network", "task", "base"]
CCC = "valid_votes_mean_ccc"
NEAREST, DIRECT = (f"valid_{way}_{EIGHT}_accuracy" for way in ("nearest_centre", "direct"))
HOW = """Every network saw the same faces of FER+ train for the same epochs; all figures are of
valid. `none` is the direct classifier: its valence and arousal are the expected anchors of its
probabilities. *base*: what a network started from, random weights or a file; what a base has seen
comes on top of the faces and epochs of its row. *votes*: against the vote-weighted anchors, the
reference that knows what ten people saw. *own labels*: against the labeller's labels of the same
faces, made with their class known. Nobody rated valence and arousal of these images. Brackets are
95 % bootstrap intervals over faces, and over seeds where a row has several; where it has one, they
tell these networks apart, and nothing is claimed of the labellers. Minutes and milliseconds
(processor time of one thread) grow with whatever else the machine did: they are no measure of small
differences. Written by `python -m studies.regressors`."""
CAVEATS = """`isomap-network` looks at the features of a network that was taught the votes of these
training faces. The reference and the labels share the anchors, so they cannot be called
independent of each other in level and spread."""
TABLES = (
    {
        "CCC votes": CCC,
        "CCC valence": "valid_votes_valence_ccc",
        "CCC arousal": "valid_votes_arousal_ccc",
        "CCC own labels": "valid_labels_mean_ccc",
    },
    {
        "RMSE valence": "valid_votes_valence_rmse",
        "RMSE arousal": "valid_votes_arousal_rmse",
        "r valence": "valid_votes_valence_pearson",
        "r arousal": "valid_votes_arousal_pearson",
    },
    {
        "nearest centre, eight": NEAREST,
        "direct, eight": DIRECT,
        "nearest centre, nine": f"valid_nearest_centre_{NINE}_accuracy",
        "direct, nine": f"valid_direct_{NINE}_accuracy",
    },
)
"""The three tables of a section: heading -> column."""


def write_report(csv: Path, page: Path) -> Path:
    """Write the page, with one section per budget."""
    rows = made_rows(csv).copy()
    rows["precision"] = rows["precision"].fillna(PRECISION) if "precision" in rows else PRECISION
    parts = ["# Regressors of valence and arousal", HOW]
    for budget, group in by_variant(rows, [*BUDGET, *NAME]).groupby(BUDGET, sort=False):
        faces, epochs, size, precision = budget
        other = "" if precision == PRECISION else f", {precision}"
        parts.append(f"## {faces} training faces, {epochs} epochs, {size} px{other}")
        parts += [markdown(_table(group, columns)) for columns in TABLES]
        compared = beside_the_classifier(group)
        if len(compared):
            parts += ["Beside the direct classifier of the same start:", markdown(compared)]
    parts += [CAVEATS, f"Trained on: {joined(rows['machine'])}. Commits: {joined(rows['commit'])}."]
    return write_page(page, parts)


def beside_the_classifier(rows: pd.DataFrame) -> pd.DataFrame:
    """Return how each regressor compares with the classifier of the same network and base.

    Args:
        rows: Rows of one budget, one per variant.

    Returns:
        How its nearest centre, its places and its own emotion outputs compare with the
        classifier's classes and expected anchors: below, above, or not told apart.
    """
    records = rows.to_dict("records")
    starts = {(row["network"], row["base"]): row for row in records if row["task"] == "emotion"}
    found = []
    for row in records:
        direct = starts.get((row["network"], row["base"]))
        if row["task"] == "emotion" or direct is None:
            continue
        own = _apart(row, DIRECT, direct, DIRECT) if row["task"] == "both" else "-"
        found.append({
            **{name: row[name] for name in NAME},
            "seeds": row["seeds"],
            "places: CCC": _apart(row, CCC, direct, CCC),
            "nearest centre beside classes": _apart(row, NEAREST, direct, DIRECT),
            "own classes": own,
        })  # fmt: skip
    return pd.DataFrame(found)


def _apart(row: dict, name: str, other: dict, other_name: str) -> str:
    if row[f"{name}_low"] > other[f"{other_name}_high"]:
        return "above"
    if row[f"{name}_high"] < other[f"{other_name}_low"]:
        return "below"
    return "not told apart"


def _table(rows: pd.DataFrame, columns: dict[str, str]) -> pd.DataFrame:
    found = rows[[*NAME, "seeds"]].copy()
    for title, name in columns.items():
        found[title] = [interval(row, name) for row in rows.to_dict("records")]
    if columns is TABLES[0]:
        found["minutes"] = rows["minutes"].map("{:.1f}".format)
        found["ms a face"] = rows["ms_per_face"].map("{:.2f}".format)
    return found
