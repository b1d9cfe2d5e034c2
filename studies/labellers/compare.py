"""The table of labellers and its words: what each knows of the votes, and beyond the class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from builder_tools.datasets.table import ImageTable
from builder_tools.evaluation import (
    Association,
    Figure,
    RegressionEvaluation,
    concordance_gain,
)
from builder_tools.valence_arousal.anchors import vote_weighted_anchors
from builder_tools.valence_arousal.labeller import ValenceArousalLabeller
from builder_tools.valence_arousal.labellers import LABELLERS, faces_of, make_labeller
from builder_tools.valence_arousal.orientation import clip_to_disc
from studies.labellers.validation import (
    WithinClass,
    judge_labels,
    judge_within_classes,
    manifold_quality,
)

UNSHIFTED, SHIFTED = "no", "yes"
ASSOCIATIONS = ("valence", "arousal", "happy_surprise", "disagreement")
SIGNIFICANT = 0.01
"""A p-value below this counts as more than chance: some forty tests are made."""


@dataclass(frozen=True)
class Candidate:
    """A labeller to be compared.

    Args:
        name: In the table.
        labeller: Name in `LABELLERS`.
        options: Of the labeller.
    """

    name: str
    labeller: str
    options: dict[str, Any] = field(default_factory=dict)


CANDIDATES = (
    Candidate("class anchor", "anchor"),
    Candidate("PCA", "pca"),
    Candidate("ISOMAP", "isomap"),
    Candidate("ISOMAP, oriented on images", "isomap", {"orient_on": "images"}),
    Candidate("ISOMAP on network", "isomap-network"),
    Candidate("ISOMAP on network, on images", "isomap-network", {"orient_on": "images"}),
    Candidate("UMAP", "umap"),
)


def compare(
    candidate: Candidate,
    train: ImageTable,
    held_out: ImageTable,
    *,
    points: np.ndarray,
    seed: int = 0,
) -> Iterator[dict[str, Any]]:
    """Fit a labeller on train and judge it on other faces, without and with their class.

    Args:
        candidate: What to fit.
        train: Labelled faces.
        held_out: Faces with votes.
        points: Their pixels' principal components `(n, d)`: neighbours there are what manifolds
            are to keep. Manifolds of a network's features are judged by their own neighbours.
        seed: Of bootstrap and permutations.

    Yields:
        A row of the table: `labeller`, `class_known`, the figures of `RegressionEvaluation`, and
        of each association its value, interval, p-value and number; `trustworthiness` and
        `continuity` of the raw manifold.
    """
    labeller = make_labeller(candidate.labeller, **candidate.options)
    labeller.fit(faces_of(train), train.labels)
    if not isinstance(labeller, ValenceArousalLabeller):
        yield _row(candidate, SHIFTED, labeller.transform(None, held_out.labels), held_out, seed)
        return
    places = labeller.oriented(faces_of(held_out))
    own = points if labeller.network is None else labeller.points(faces_of(held_out))
    quality = vars(manifold_quality(own, places))
    shares = {"clipped_share": labeller.clipped_share_}
    raw = _row(candidate, UNSHIFTED, clip_to_disc(places), held_out, seed)
    yield raw | quality | shares
    shifted = labeller.transform(faces_of(held_out), held_out.labels)
    gain = _gain_over_anchor(shifted, held_out, seed)
    yield _row(candidate, SHIFTED, shifted, held_out, seed) | _columns("over_anchor", gain)


def labeller_table(rows: pd.DataFrame) -> str:
    """Return the Markdown table of agreement with the votes."""
    head = ["labeller", "class known", "CCC mean", "CCC valence", "CCC arousal",
            "RMSE valence", "RMSE arousal", "r valence", "r arousal"]  # fmt: skip
    names = ["mean_ccc", "valence_ccc", "arousal_ccc", "valence_rmse", "arousal_rmse",
             "valence_pearson", "arousal_pearson"]  # fmt: skip
    body = [[row["labeller"], row["class_known"], *(_interval(row, name) for name in names)]
            for row in rows.to_dict("records")]  # fmt: skip
    return markdown(head, body)


def within_table(rows: pd.DataFrame) -> str:
    """Return the Markdown table of what labels say beyond the class."""
    head = ["labeller", "class known", "valence given the class", "arousal given the class",
            "happy: arousal and surprise votes", "distance and disagreement"]  # fmt: skip
    body = [[row["labeller"], row["class_known"], *(_association(row, n) for n in ASSOCIATIONS)]
            for row in rows.to_dict("records")]  # fmt: skip
    return markdown(head, body)


def quality_table(rows: pd.DataFrame) -> str:
    """Return the Markdown table of what the raw manifolds keep."""
    head = ["manifold", "trustworthiness", "continuity", "outside the disc"]
    found = rows[(rows["class_known"] == UNSHIFTED)]
    body = [[row["labeller"], f"{row['trustworthiness']:.3f}", f"{row['continuity']:.3f}",
             f"{row['clipped_share']:.0%}"] for row in found.to_dict("records")]  # fmt: skip
    return markdown(head, body)


def findings(rows: pd.DataFrame) -> list[str]:
    """Describe in sentences what the rows show; nothing that is not in them."""
    known = rows[rows["class_known"] == SHIFTED].set_index("labeller")
    raw = rows[rows["class_known"] == UNSHIFTED].set_index("labeller")
    said = []
    if "class anchor" in known.index:
        said.append(_floor_sentence(known))
    for name, row in raw.iterrows():
        said.append(_raw_sentence(name, row))
    for name, row in raw.iterrows():
        said.append(_beyond_sentence(name, row))
    return said


def markdown(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table, the first column to the left."""
    rules = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, rules, *body))


def _floor_sentence(known: pd.DataFrame) -> str:
    floor, others = known.loc["class anchor"], known.drop(index="class anchor")
    sentence = (
        f"The anchor of the class alone reaches a mean CCC of {_interval(floor, 'mean_ccc')}: the "
        "class is most of what votes say, and it comes from the same votes."
    )
    parts = [
        f"{name} {row['over_anchor']:+.4f} [{row['over_anchor_low']:+.4f}, "
        f"{row['over_anchor_high']:+.4f}], {_verdict(row)}"
        for name, row in others.iterrows()
    ]
    if not parts:
        return sentence
    return f"{sentence} With the class known, over that anchor, paired by face: {'; '.join(parts)}."


def _verdict(row: pd.Series) -> str:
    if row["over_anchor_low"] > 0:
        return "more than the class"
    return "less than the class" if row["over_anchor_high"] < 0 else "no difference found"


def _raw_sentence(name: str, row: pd.Series) -> str:
    return (
        f"Without the class, {name} reaches a mean CCC of {_interval(row, 'mean_ccc')} "
        f"(valence {row['valence_ccc']:.3f}, arousal {row['arousal_ccc']:.3f})."
    )


def _beyond_sentence(name: str, row: pd.Series) -> str:
    parts = []
    words = {
        "valence": "valence given the class",
        "arousal": "arousal given the class",
        "happy_surprise": "surprise votes among happy faces",
        "disagreement": "annotators' disagreement",
    }
    for key, what in words.items():
        value, chance = row[f"{key}_rho"], row[f"{key}_p"]
        if np.isnan(value):
            verdict = "constant"
        elif chance >= SIGNIFICANT:
            verdict = f"nothing found (rho {value:+.3f}, p {chance:.3f})"
        else:
            size = "a trace" if abs(value) < 0.1 else "little" if abs(value) < 0.3 else "much"
            verdict = f"{size} (rho {value:+.3f}, p {chance:.4f})"
        parts.append(f"{what}: {verdict}")
    return f"Beyond the class, {name} follows " + "; ".join(parts) + "."


def _row(
    candidate: Candidate, class_known: str, labels: np.ndarray, table: ImageTable, seed: int
) -> dict[str, Any]:
    row: dict[str, Any] = {"labeller": candidate.name, "class_known": class_known}
    row |= {"description": LABELLERS[candidate.labeller].description}
    row |= _agreement(judge_labels(labels, table.votes, seed=seed))
    return row | _within(judge_within_classes(labels, table, seed=seed))


def _gain_over_anchor(labels: np.ndarray, table: ImageTable, seed: int) -> Figure:
    anchors = make_labeller("anchor").fit_transform(None, table.labels)
    return concordance_gain(vote_weighted_anchors(table.votes), labels, anchors, seed=seed)


def _agreement(found: RegressionEvaluation) -> dict[str, float]:
    row: dict[str, float] = {"n": found.n} | _columns("mean_ccc", found.mean_ccc)
    for axis in ("valence", "arousal"):
        for name, figure in vars(getattr(found, axis)).items():
            row |= _columns(f"{axis}_{name}", figure)
    return row


def _within(found: WithinClass) -> dict[str, float]:
    row: dict[str, float] = {}
    for name in ASSOCIATIONS:
        one: Association = getattr(found, name)
        row |= _columns(f"{name}_rho", one.correlation)
        row |= {f"{name}_p": one.p_value, f"{name}_n": one.n}
    return row


def _columns(name: str, figure: Figure) -> dict[str, float]:
    return {name: figure.value, f"{name}_low": figure.low, f"{name}_high": figure.high}


def _interval(row: Any, name: str) -> str:
    if np.isnan(row[name]):
        return "constant"
    return f"{row[name]:.3f} [{row[f'{name}_low']:.3f}, {row[f'{name}_high']:.3f}]"


def _association(row: Any, name: str) -> str:
    if np.isnan(row[f"{name}_rho"]):
        return "constant"
    return f"{_interval(row, f'{name}_rho')}, p {row[f'{name}_p']:.4f}"
