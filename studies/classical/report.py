"""`classical.md` and its figures, made from the table alone."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from studies.classical.hybrids import HYBRIDS, OUT_OF_FOLD
from studies.classical.rows import DEEP_KEY
from studies.figures import plot_grid, plot_hybrid_gains, plot_learning_curves
from studies.intervals import by_variant, latest, verdict
from studies.report import draw, interval, joined, markdown, points, write_page
from studies.table import made_rows

TITLES = {"eight": "FER+ majority-8", "nine": "nine classes", "own": "the data's own labels"}
GAINS = ("accuracy", "macro_f1", "mean_recall")
NETWORK_ONLY = "network"
HYBRID_WORDS = (
    "`vote` is the weighted mean of probabilities, `stack` a logistic regression on their "
    "logarithms. With the deep model as a member the weights were found on valid (it has seen all "
    "of train), and figures on valid are cross-validated; `stack_oof` is of classical models "
    "alone, learnt from out-of-fold predictions on train. Gains are paired."
)
CURVE_WORDS = (
    "Rows with the features `network` do not belong to the question how much data is needed: that "
    "network has seen all training faces. `landmarks` rest on faces that dlib's predictor was "
    "trained on. Rows without features are networks trained from scratch on the same faces, last "
    "epoch. Each part of the faces was drawn once a seed."
)


def read_table(csv: str | Path) -> pd.DataFrame:
    """Return one row per model: means over seeds, and gains over the deep model on valid.

    Of a gain measured on test, as all were before November 26, only the width of the interval is
    kept: the gain is the difference on valid.

    Raises:
        ValueError: If the table has no rows, or none of the deep model.
    """
    rows = latest(made_rows(Path(csv)), ["key"]).copy()
    rows["features"] = rows["features"].fillna("")
    if DEEP_KEY not in set(rows["key"]):
        raise ValueError(f"Expected the row {DEEP_KEY!r} in {csv}. Run the table first.")
    deep = rows[rows["key"] == DEEP_KEY].set_index("seed")
    for prefix in prefixes(rows):
        for name in GAINS:
            valid = f"valid_{prefix}_{name}"
            gain = f"{prefix}_{name}_gain"
            moved = rows[valid] - rows["seed"].map(deep[valid]) - rows[gain]
            for end in ("_low", "_high", ""):
                rows[gain + end] += moved
    return by_variant(rows, ["key"])


def write_report(table: str | Path, folder: str | Path) -> list[Path]:
    """Write `classical.md` and `figures/classical_*.png`.

    Args:
        table: The csv of the rows.
        folder: Where to write.

    Returns:
        Paths of the files written.

    Raises:
        ValueError: If the table has no row of the deep model.
    """
    folder, rows = Path(folder), read_table(table)
    main = prefixes(rows)[0]
    score, figures = f"valid_{main}_accuracy", folder / "figures"
    deep, whole = rows[rows["key"] == DEEP_KEY], full_rows(rows).sort_values(score, ascending=False)
    hybrids, curves = rows[_is_hybrid(rows)], rows[_has_curve(rows)]
    balanced = rows[rows["sampler"] != "none"]
    drawn = []
    if len(whole):
        drawn.append(
            draw(figures / "classical_grid.png", lambda ax: plot_grid(whole, score, ax=ax), (9, 5))
        )
    if len(curves):
        onto = lambda ax: plot_learning_curves(curves, score, ax=ax)  # noqa: E731
        drawn.append(draw(figures / "classical_curves.png", onto, (9, 5)))
    if len(hybrids):
        size = (7, 0.45 * len(hybrids) + 1.2)
        onto = lambda ax: plot_hybrid_gains(hybrids, prefix=main, ax=ax)  # noqa: E731
        drawn.append(draw(figures / "classical_gains.png", onto, size))
    fraction = whole["fraction"].max() if len(whole) else 1
    best = whole.loc[whole.groupby("features", sort=False)[score].idxmax()]
    sections = [
        *_head(rows, main),
        "## Findings",
        "\n".join(findings(rows)),
        f"## Every combination, {100 * fraction:g} % of the training faces",
        markdown(_overview(pd.concat([deep, whole]), rows)),
        "## Recall by emotion, per cent",
        markdown(_recalls(pd.concat([deep, best, hybrids]), main)),
    ]
    if len(hybrids):
        sections += ["## Hybrids", HYBRID_WORDS, markdown(_overview(hybrids, rows))]
    if len(curves):
        sections += ["## Learning curves", CURVE_WORDS, markdown(_curve_table(curves, score))]
    if len(balanced):
        plain = rows["key"].isin(balanced["features"] + "-" + balanced["model"])
        pairs = pd.concat([rows[plain], balanced])
        sections += ["## Balancing inside the folds", markdown(_overview(pairs, rows))]
    sections += [f"![{path.name}](figures/{path.name})" for path in drawn]
    return [write_page(folder / "classical.md", sections), *drawn]


def prefixes(rows: pd.DataFrame) -> list[str]:
    """Return the column prefixes of a table's protocols."""
    return [prefix for prefix in TITLES if f"valid_{prefix}_accuracy" in rows]


def full_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the classical rows on the largest part of the faces, without balancing."""
    own = rows[_is_classical(rows) & (rows["sampler"] == "none")]
    return own[own["fraction"] == own["fraction"].max()]


def findings(rows: pd.DataFrame) -> list[str]:
    """Return sentences that state what the figures show and nothing more."""
    main, hybrids = prefixes(rows)[0], rows[_is_hybrid(rows)]
    score, whole = f"valid_{main}_accuracy", full_rows(rows)
    deep = rows[rows["key"] == DEEP_KEY].iloc[0]
    alone = whole[~whole["features"].str.contains(NETWORK_ONLY)]
    lines = [f"- The deep model alone: {_said(deep, main)}."]
    for name, part in (
        ("classical model", alone),
        ("model on the network's features", whole[whole["features"] == NETWORK_ONLY]),
        ("hybrid", hybrids),
    ):
        if len(part):
            best = part.loc[part[score].idxmax()]
            low, high = (best[f"{main}_accuracy_gain{end}"] for end in ("_low", "_high"))
            told = verdict(low, high, best["seeds"], "the deep model")
            lines.append(
                f"- The best {name}, `{best['key']}`: {_said(best, main)}; "
                f"{points(best, f'{main}_accuracy_gain')} points ({told})."
            )
    for _, network in rows[_is_trained_network(rows)].sort_values("fraction").iterrows():
        part = rows[_is_classical(rows) & (rows["fraction"] == network["fraction"])]
        part = part[(part["sampler"] == "none") & ~part["features"].str.contains(NETWORK_ONLY)]
        if len(part):
            best, seeds = part.loc[part[score].idxmax()], int(network["seeds"])
            lines.append(
                f"- On {100 * network['fraction']:g} % of the training faces "
                f"({network['train_faces']:.0f}, {seeds} seed{'s' if seeds > 1 else ''}) the best "
                f"classical model, `{best['key']}`, has {_per_cent(best, score)}, a network "
                f"trained from scratch {_per_cent(network, score)}."
            )
    return lines


def _head(rows: pd.DataFrame, main: str) -> list[str]:
    trained = _is_trained_network(rows)
    minutes = rows.loc[~trained, "total_s"].sum() / 60
    more = rows.loc[trained, "fit_s"].sum() / 60
    seeds = joined(sorted(set(rows["seeds"].astype(int))))
    return [
        "# Classical and hybrid models",
        f"Protocols: {', '.join(TITLES[p] for p in prefixes(rows))}; models know all classes of "
        "the data and are restricted to the protocol's. Parameters were searched by successive "
        "halving, cross-validated within train (found: `params` in the csv), temperatures fitted "
        "on valid. All figures are those on valid, sorted by accuracy "
        f"({TITLES[main]}); test is for shipped models. {seeds} seed a row; brackets are 95 % "
        "bootstrap intervals over faces, and over seeds where a row has several: of one seed no "
        "claim is made. Gains are paired; those of rows from before November 26 were measured "
        "face by face on test, of which only the width of the interval is used. The best of many "
        "rows on the same faces is flattered by a point or so. "
        "Milliseconds are medians over single faces, one at a time, as the model is used "
        "(describing included, one thread); size is that of the model's file, and after + that of "
        f"the weight files its features need. Machine: {joined(rows['machine'])}. Commits: "
        f"{joined(rows['commit'])}. The deep model, its features and the hybrids are those of the "
        f"`fast` of {joined(rows.loc[rows['key'] == DEEP_KEY, 'date'])}. "
        f"{(~trained).sum()} rows in {minutes:.1f} minutes. Rerun with "
        "`python -m studies.classical`."
        + (f" The {trained.sum()} networks of the learning curves (`--networks`) took "
           f"{more:.0f} minutes more." if trained.any() else ""),
    ]  # fmt: skip


def _is_classical(rows: pd.DataFrame) -> pd.Series:
    return (rows["key"] != DEEP_KEY) & ~_is_hybrid(rows) & (rows["features"] != "")


def _is_trained_network(rows: pd.DataFrame) -> pd.Series:
    return (rows["key"] != DEEP_KEY) & (rows["features"] == "")


def _is_hybrid(rows: pd.DataFrame) -> pd.Series:
    return rows["model"].isin([*HYBRIDS, OUT_OF_FOLD])


def _has_curve(rows: pd.DataFrame) -> pd.Series:
    """Return a mask of the combinations that were fitted to several parts of the faces."""
    own = (rows["sampler"] == "none") & (rows["key"] != DEEP_KEY) & ~_is_hybrid(rows)
    parts = rows[own].groupby(["features", "model"])["fraction"].transform("nunique")
    return own & (parts.reindex(rows.index).fillna(0) > 1)


def _per_cent(row: pd.Series, score: str) -> str:
    value, low, high = (f"{100 * row[score + end]:.1f}" for end in ("", "_low", "_high"))
    return f"{value} % [{low}, {high}]"


def _said(row: pd.Series, main: str) -> str:
    return (
        f"accuracy {_per_cent(row, f'valid_{main}_accuracy')}, macro-F1 "
        f"{row[f'valid_{main}_macro_f1']:.3f}, {row['ms_per_face']:.1f} ms a face"
    )


def _overview(part: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    records, main = part.to_dict("records"), prefixes(rows)[0]
    found = pd.DataFrame({"key": part["key"]})
    for prefix in prefixes(rows):
        title = TITLES[prefix]
        accuracy = f"valid_{prefix}_accuracy"
        found[f"{title}: accuracy"] = [interval(r, accuracy, ".1f", scale=100) for r in records]
        found["macro-F1" if prefix == "eight" else f"macro-F1, {title}"] = part[
            f"valid_{prefix}_macro_f1"
        ].map("{:.3f}".format)
    found["gain on deep"] = [points(row, f"{main}_accuracy_gain") for row in records]
    found["fit s"] = part["fit_s"].map("{:.1f}".format)
    found["ms a face"] = part["ms_per_face"].map("{:.2f}".format)
    found["MB"] = [
        f"{own:.2f}" + (f" + {more:.1f}" if more else "")
        for own, more in zip(part["size_mb"], part["needs_mb"], strict=True)
    ]
    return found


def _recalls(part: pd.DataFrame, main: str) -> pd.DataFrame:
    start = f"valid_{main}_recall_"
    found = pd.DataFrame({"key": part["key"]})
    for name in (name for name in part if name.startswith(start)):
        found[name.removeprefix(start)] = (100 * part[name]).map("{:.0f}".format)
    return found


def _curve_table(curves: pd.DataFrame, score: str) -> pd.DataFrame:
    index = ["features", "model"]
    wide = curves.pivot_table(index=index, columns="fraction", values=score, sort=False)
    wide = wide[sorted(wide.columns)]
    wide.columns = [f"{100 * fraction:g} %" for fraction in wide.columns]
    shown = wide.map(lambda value: "" if pd.isna(value) else f"{100 * value:.1f}")
    return shown.reset_index()
