"""Writes `reports/valence_arousal.md` and its figures from the rows that `isomap.py` measured."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pandas as pd

from builder_tools.media.partial import replacing
from builder_tools.valence_arousal import ValenceArousalLabeller
from studies.figures import plot_choice, plot_pull
from studies.labellers.compare import (
    findings,
    labeller_table,
    markdown,
    quality_table,
    within_table,
)

LOAD = r", load ([0-9.]+)"

HEAD = """# Valence and arousal

Labels for FER+ faces by several labellers (`builder_tools/valence_arousal`), fitted on train and
judged on held-out faces. FER+ has no ratings of valence and arousal. The reference is the
vote-weighted anchor: the mean of the emotions' anchors over the ten votes of a face. It knows
nothing of pixels, but it moves only between anchors and shares its votes with the class label;
agreement with it is agreement with votes on emotions, not with felt arousal.

"Class known: no" is the place on the oriented manifold, from the image alone; "yes" is the label
after the class's centre was moved to its anchor and the face drawn towards it (three stages of
0.5). Brackets are 95 % bootstrap intervals; p from 1,999 permutations. Manifolds see 48x48 grey
pixels as 100 principal components. `ISOMAP on network` sees the features that the shipped model
`fast` has before its last layer; that network was trained on the votes of the same train split, so
its manifold has seen what votes look like, the pixel manifolds have not. Written by
`python benchmarks/isomap.py`.
"""


def write_figures(reports: Path) -> None:
    """Draw what there are rows of."""
    folder = reports / "figures"
    folder.mkdir(exist_ok=True)
    choice, pulled = _read(reports, "choose"), _read(reports, "pull")
    if choice is not None:
        figure, axes = plt.subplots(1, 3, figsize=(13, 3.8), layout="constrained")
        names = ("residual_variance", "trustworthiness", "continuity")
        for ax, name in zip(axes, names, strict=True):
            plot_choice(choice, name, ax)
        _save(figure, folder / "va_choice.png")
    if pulled is not None:
        ax = plot_pull({name: rows for name, rows in pulled.groupby("labeller")})
        _save(ax.figure, folder / "va_pull.png")


def write_report(reports: Path) -> None:
    """Write the report of what there are rows of."""
    parts = [HEAD]
    for write in (_findings, _compared, _chosen, _pulled, _exact, _timed):
        parts.append(write(reports))
    text = "\n".join(part for part in parts if part)
    with replacing(reports / "valence_arousal.md") as partial:
        partial.write_text(text, encoding="utf-8")


def _findings(reports: Path) -> str:
    rows = _read(reports, "compare")
    if rows is None:
        return ""
    lines = [f"- {sentence}" for sentence in findings(rows)]
    return "## Findings\n\n" + "\n".join(lines) + "\n"


def _compared(reports: Path) -> str:
    rows = _read(reports, "compare")
    if rows is None:
        return ""
    return (
        f"## Labellers against votes, test ({int(rows['n'].iat[0]):,} faces)\n\n"
        f"{labeller_table(rows)}\n\n"
        "The vote-weighted anchors themselves are the reference, so their row would read 1.\n\n"
        "## Beyond the class\n\n"
        "Rank correlations. The first two take each class's mean out of both sides; the last two "
        "ask whether, among happy faces, higher arousal goes with more surprise votes, and whether "
        "faces far from their class's mean are those people disagree on (entropy of the votes). "
        "What is within the anchor's one place is constant.\n\n"
        f"{within_table(rows)}\n\n"
        "## What the raw planes keep\n\n"
        "Of 15 neighbours, on test faces: pixels' principal components, or the network's "
        "features for its own. `outside the disc` is the share of training faces that least "
        f"squares put beyond the unit circle, where they are clipped.\n\n{quality_table(rows)}\n"
    )


def _chosen(reports: Path) -> str:
    rows = _read(reports, "choose")
    if rows is None:
        return ""
    head = ["landmarks", "neighbours", "residual variance", "trustworthiness", "continuity",
            "fit, processor s"]  # fmt: skip
    body = [
        [str(row.landmarks), str(row.neighbours), f"{row.residual_variance:.3f}",
         f"{row.trustworthiness:.3f}", f"{row.continuity:.3f}", f"{row.seconds:.1f}"]
        for row in rows.itertuples()
    ]  # fmt: skip
    return (
        "## Neighbours and landmarks\n\nResidual variance on the landmarks, the others on faces of "
        f"valid.\n\n{markdown(head, body)}\n\n{_choice_in_words(rows)}\n\n"
        "![choice](figures/va_choice.png)\n"
    )


def _choice_in_words(rows: pd.DataFrame) -> str:
    default = ValenceArousalLabeller()
    ranges = ", ".join(
        f"{name.replace('_', ' ')} {rows[name].min():.3f} to {rows[name].max():.3f}"
        for name in ("residual_variance", "trustworthiness", "continuity")
    )
    same = rows[rows["landmarks"] == default.landmarks]
    least = same.loc[same["residual_variance"].idxmin(), "neighbours"]
    return (
        f"Over all of these: {ranges}. The default is {default.landmarks:,} landmarks and "
        f"{default.neighbours} neighbours; with so many landmarks residual variance is least at "
        f"{least} neighbours. What landmarks lose against the exact plane stands below."
    )


def _pulled(reports: Path) -> str:
    rows = _read(reports, "pull")
    if rows is None:
        return ""
    best = rows.loc[rows.groupby("labeller")["mean_ccc"].idxmax()]
    lines = [
        f"- {row.labeller}: best at strength {row.strength:g} (mean CCC {row.mean_ccc:.3f})."
        for row in best.itertuples()
    ]
    return (
        "## How strongly to draw faces to their class\n\nOn valid; 0 moves centres only, 1 is "
        "the anchor. The default, three stages of 0.5, is 0.875.\n\n"
        + "\n".join(lines)
        + "\n\n![pull](figures/va_pull.png)\n"
    )


def _exact(reports: Path) -> str:
    rows = _read(reports, "exact")
    if rows is None:
        return ""
    head = ["faces", "fitted on", "Procrustes distance", "residual variance", "wall s",
            "processor s", "peak MB"]  # fmt: skip
    body = [
        [str(row.faces), str(row.landmarks), f"{row.procrustes_distance:.4f}",
         f"{row.residual_variance:.3f}", f"{row.seconds:.0f}", f"{row.processor_seconds:.0f}",
         "" if pd.isna(row.peak_mb) else f"{row.peak_mb:.0f}"]
        for row in rows.itertuples()
    ]  # fmt: skip
    return (
        "## What landmarks lose\n\nFitted on all faces (exact) and on landmarks that place the "
        "others. Procrustes distance: share of the exact plane's sum of squares that remains "
        "after the best move, turn and scale, 0 = same. Residual variance is against the exact "
        f"geodesics. {_machines(rows)}\n\n{markdown(head, body)}\n"
    )


def _timed(reports: Path) -> str:
    rows = _read(reports, "time")
    if rows is None:
        return ""
    middle = rows[["seconds", "processor_seconds", "peak_mb"]].median()
    first = rows.iloc[0]
    return (
        f"## Time\n\nLabels for {int(first['faces']):,} faces with {int(first['landmarks']):,} "
        f"landmarks, from faces in memory: median of {len(rows)} rounds "
        f"**{middle['seconds']:.1f} s** wall ({rows['seconds'].min():.1f} to "
        f"{rows['seconds'].max():.1f}), {middle['processor_seconds']:.1f} s of processor time, "
        f"peak memory {middle['peak_mb']:.0f} MB. {_machines(rows)}\n"
    )


def _machines(rows: pd.DataFrame) -> str:
    """Name the machines once, with the range of their load: past 2, wall times are not a quiet
    machine's."""
    loads = rows["machine"].str.extract(LOAD, expand=False).astype(float)
    names = rows["machine"].str.replace(LOAD, "", regex=True)
    return "; ".join(dict.fromkeys(names)) + (
        f". Load while measured: {loads.min():g} to {loads.max():g} on these cores; where that is "
        "more than their number, wall times are those of a machine busy with other work."
    )


def _read(reports: Path, step: str) -> pd.DataFrame | None:
    path = reports / f"valence_arousal_{step}.csv"
    return pd.read_csv(path) if path.is_file() else None


def _save(figure, path: Path) -> None:
    with replacing(path) as partial:
        figure.savefig(partial, dpi=110, format="png")
    plt.close(figure)
