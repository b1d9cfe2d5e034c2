"""`valence_arousal.md` and its figures, made from the rows of the steps alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from builder_tools.valence_arousal import ValenceArousalLabeller
from studies.figures import plot_choice, plot_pull
from studies.labellers.compare import ASSOCIATIONS, SHIFTED, UNSHIFTED
from studies.report import draw, interval, markdown, write_page

SIGNIFICANT = 0.01
"""P-values below this count as more than chance; low, since some forty tests are made."""

LOAD = r", load ([0-9.]+)"

HEAD = """# Valence and arousal

Labels for FER+ faces by several labellers (`builder_tools/valence_arousal`), fitted on train and
judged on valid. FER+ has no ratings of valence and arousal. The reference is the vote-weighted
anchor: the mean of the emotions' anchors over the ten votes of a face. It knows nothing of pixels,
but it moves only between anchors and shares its votes with the class label; agreement with it is
agreement with votes on emotions, not with felt arousal.

"Class known: no" is the place on the oriented manifold, from the image alone; "yes" is the label
after the class's centre was moved to its anchor and the face drawn towards it (three stages of
0.5). Brackets are 95 % bootstrap intervals over faces, of one seed (the landmarks drawn); p from
1,999 permutations. Manifolds see 48x48 grey pixels as 100 principal components. `ISOMAP on network`
sees the features that the shipped model `fast` has before its last layer; that network was trained
on the votes of the same train split, so its manifold has seen what votes look like; the pixel
manifolds have not. Written by `python -m studies.labellers`."""

COLUMNS = {
    "CCC mean": "mean_ccc",
    "CCC valence": "valence_ccc",
    "CCC arousal": "arousal_ccc",
    "RMSE valence": "valence_rmse",
    "RMSE arousal": "arousal_rmse",
    "r valence": "valence_pearson",
    "r arousal": "arousal_pearson",
}
BEYOND = {
    "valence": "valence given the class",
    "arousal": "arousal given the class",
    "happy_surprise": "surprise votes among happy faces",
    "disagreement": "annotators' disagreement",
}


def write_report(reports: Path) -> list[Path]:
    """Write the page and the figures of the steps that have rows."""
    written = []
    choice, pulled = _read(reports, "choose"), _read(reports, "pull")
    if choice is not None:
        names = ("residual_variance", "trustworthiness", "continuity")

        def draw_choice(axes):
            for ax, name in zip(axes, names, strict=True):
                plot_choice(choice, name, ax)

        written.append(draw(reports / "figures/va_choice.png", draw_choice, (13, 3.8), columns=3))
    if pulled is not None:
        scans = {name: rows for name, rows in pulled.groupby("labeller")}
        path = reports / "figures/va_pull.png"
        written.append(draw(path, lambda ax: plot_pull(scans, ax), (5, 3.5)))
    steps = {"compare": _compared, "choose": _chosen, "pull": _pulled, "exact": _exact,
             "time": _timed}  # fmt: skip
    found = {step: _read(reports, step) for step in steps}
    parts = [HEAD, *(steps[step](rows) for step, rows in found.items() if rows is not None)]
    return [write_page(reports / "valence_arousal.md", parts), *written]


def labeller_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the table of agreement with the votes."""
    cells = [[interval(row, name, absent="constant") for name in COLUMNS.values()]
             for row in rows.to_dict("records")]  # fmt: skip
    return _labelled(rows).join(pd.DataFrame(cells, columns=list(COLUMNS), index=rows.index))


def within_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the table of what labels tell beyond the class."""
    head = ["valence given the class", "arousal given the class",
            "happy: arousal and surprise votes", "distance and disagreement"]  # fmt: skip
    cells = [[_association(row, name) for name in ASSOCIATIONS] for row in rows.to_dict("records")]
    return _labelled(rows).join(pd.DataFrame(cells, columns=head, index=rows.index))


def quality_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the table of how well the raw manifolds keep neighbours."""
    found = rows[rows["class_known"] == UNSHIFTED]
    return pd.DataFrame({
        "manifold": found["labeller"],
        "trustworthiness": found["trustworthiness"].map("{:.3f}".format),
        "continuity": found["continuity"].map("{:.3f}".format),
        "outside the disc": found["clipped_share"].map("{:.0%}".format),
    })  # fmt: skip


def findings(rows: pd.DataFrame) -> list[str]:
    """Return sentences that state what the rows show and nothing more."""
    known = rows[rows["class_known"] == SHIFTED].set_index("labeller")
    raw = rows[rows["class_known"] == UNSHIFTED].set_index("labeller")
    said = []
    if "class anchor" in known.index:
        floor, others = known.loc["class anchor"], known.drop(index="class anchor")
        sentence = (
            f"The anchor of the class alone reaches a mean CCC of {interval(floor, 'mean_ccc')}: "
            "the class is most of what votes say, and it comes from the same votes."
        )
        parts = [
            f"{name} {interval(row, 'over_anchor', '+.4f')}, {_verdict(row)}"
            for name, row in others.iterrows()
        ]
        if parts:
            sentence += (
                f" With the class known, over that anchor, paired by face: {'; '.join(parts)}."
            )
        said.append(sentence)
    said += [
        f"Without the class, {name} reaches a mean CCC of {interval(row, 'mean_ccc')} "
        f"(valence {row['valence_ccc']:.3f}, arousal {row['arousal_ccc']:.3f})."
        for name, row in raw.iterrows()
    ]
    for name, row in raw.iterrows():
        parts = [f"{what}: {_beyond(row, key)}" for key, what in BEYOND.items()]
        said.append(f"Beyond the class, {name} follows " + "; ".join(parts) + ".")
    return said


def _verdict(row: pd.Series) -> str:
    if row["over_anchor_low"] > 0:
        return "more than the class"
    return "less than the class" if row["over_anchor_high"] < 0 else "no difference found"


def _beyond(row: pd.Series, key: str) -> str:
    value, chance = row[f"{key}_rho"], row[f"{key}_p"]
    if np.isnan(value):
        return "constant"
    if chance >= SIGNIFICANT:
        return f"nothing found (rho {value:+.3f}, p {chance:.3f})"
    size = "a trace" if abs(value) < 0.1 else "little" if abs(value) < 0.3 else "much"
    return f"{size} (rho {value:+.3f}, p {chance:.4f})"


def _association(row: dict[str, Any], name: str) -> str:
    found = interval(row, f"{name}_rho", absent="constant")
    return found if found == "constant" else f"{found}, p {row[f'{name}_p']:.4f}"


def _labelled(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[["labeller", "class_known"]].rename(columns={"class_known": "class known"})


def _compared(rows: pd.DataFrame) -> str:
    return "\n\n".join([
        "## Findings",
        "\n".join(f"- {sentence}" for sentence in findings(rows)),
        f"## Labellers against votes, valid ({int(rows['n'].iat[0]):,} faces)",
        markdown(labeller_table(rows)),
        "The vote-weighted anchors themselves are the reference, so their row would read 1.",
        "## Beyond the class",
        "Rank correlations. The first two take each class's mean out of both sides; the last two "
        "ask whether, among happy faces, higher arousal goes with more surprise votes, and whether "
        "faces far from their class's mean are those people disagree on (entropy of the votes). "
        "What is within the anchor's one place is constant.",
        markdown(within_table(rows)),
        "## What the raw planes keep",
        "Of 15 neighbours, on faces of valid: pixels' principal components, or the network's "
        "features for its own. `outside the disc` is the share of training faces that least "
        "squares put beyond the unit circle, where they are clipped.",
        markdown(quality_table(rows)),
    ])  # fmt: skip


def _chosen(rows: pd.DataFrame) -> str:
    figures = ("residual_variance", "trustworthiness", "continuity")
    shown = pd.DataFrame({
        "landmarks": rows["landmarks"].astype(str),
        "neighbours": rows["neighbours"].astype(str),
        **{name.replace("_", " "): rows[name].map("{:.3f}".format) for name in figures},
        "fit, processor s": rows["seconds"].map("{:.1f}".format),
    })  # fmt: skip
    default = ValenceArousalLabeller()
    ranges = ", ".join(
        f"{name.replace('_', ' ')} {rows[name].min():.3f} to {rows[name].max():.3f}"
        for name in figures
    )
    same = rows[rows["landmarks"] == default.landmarks]
    least = same.loc[same["residual_variance"].idxmin(), "neighbours"]
    return "\n\n".join([
        "## Neighbours and landmarks",
        "Residual variance on the landmarks, the others on faces of valid.",
        markdown(shown),
        f"Over all of these: {ranges}. The default is {default.landmarks:,} landmarks and "
        f"{default.neighbours} neighbours; with so many landmarks residual variance is least at "
        f"{least} neighbours. What landmarks lose against the exact plane is given below.",
        "![choice](figures/va_choice.png)",
    ])  # fmt: skip


def _pulled(rows: pd.DataFrame) -> str:
    best = rows.loc[rows.groupby("labeller")["mean_ccc"].idxmax()]
    lines = [
        f"- {row.labeller}: best at strength {row.strength:g} (mean CCC {row.mean_ccc:.3f})."
        for row in best.itertuples()
    ]
    return "\n\n".join([
        "## How strongly to draw faces to their class",
        "On valid; 0 moves centres only, 1 is the anchor. The default, three stages of 0.5, is "
        "0.875.",
        "\n".join(lines),
        "![pull](figures/va_pull.png)",
    ])  # fmt: skip


def _exact(rows: pd.DataFrame) -> str:
    shown = pd.DataFrame({
        "faces": rows["faces"].astype(str),
        "fitted on": rows["landmarks"].astype(str),
        "Procrustes distance": rows["procrustes_distance"].map("{:.4f}".format),
        "residual variance": rows["residual_variance"].map("{:.3f}".format),
        "wall s": rows["seconds"].map("{:.0f}".format),
        "processor s": rows["processor_seconds"].map("{:.0f}".format),
        "peak MB": ["" if pd.isna(peak) else f"{peak:.0f}" for peak in rows["peak_mb"]],
    })  # fmt: skip
    return "\n\n".join([
        "## What landmarks lose",
        "Fitted on all faces (exact) and on landmarks that place the others. Procrustes distance: "
        "share of the exact plane's sum of squares that remains after the best move, turn and "
        "scale, 0 = same. Residual variance is against the exact geodesics. "
        f"{_machines(rows)}",
        markdown(shown),
    ])  # fmt: skip


def _timed(rows: pd.DataFrame) -> str:
    middle, first = rows[["seconds", "processor_seconds", "peak_mb"]].median(), rows.iloc[0]
    return (
        f"## Time\n\nLabels for {int(first['faces']):,} faces with {int(first['landmarks']):,} "
        f"landmarks, from faces in memory: median of {len(rows)} rounds "
        f"**{middle['seconds']:.1f} s** wall ({rows['seconds'].min():.1f} to "
        f"{rows['seconds'].max():.1f}), {middle['processor_seconds']:.1f} s of processor time, "
        f"peak memory {middle['peak_mb']:.0f} MB. {_machines(rows)}"
    )


def _machines(rows: pd.DataFrame) -> str:
    """Return the names of the machines, each once, and the range of the load on them."""
    loads = rows["machine"].str.extract(LOAD, expand=False).astype(float)
    names = rows["machine"].str.replace(LOAD, "", regex=True)
    return "; ".join(dict.fromkeys(names)) + (
        f". Load while measured: {loads.min():g} to {loads.max():g} on these cores; where that is "
        "more than their number, wall times are those of a machine busy with other work."
    )


def _read(reports: Path, step: str) -> pd.DataFrame | None:
    path = reports / f"valence_arousal_{step}.csv"
    return pd.read_csv(path) if path.is_file() else None
