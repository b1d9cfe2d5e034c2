"""`classical.md` and its figures, made from the table alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from builder_tools.media.partial import replacing
from studies.classical.hybrid_rows import HYBRIDS, OUT_OF_FOLD
from studies.classical.table import DEEP_KEY

TITLES = {"eight": "FER+ majority-8", "nine": "nine classes", "own": "the data's own labels"}
RERUN = "builder-tools classical --data ferplus --out runs/classical"
NETWORK_ONLY = "network"


def write_report(table: str | Path, folder: str | Path) -> list[Path]:
    """Write `classical.md` and `figures/classical_*.png`.

    Args:
        table: The csv of `run_table`.
        folder: Where to.

    Returns:
        What was written.

    Raises:
        ValueError: If the table has no row of the deep model.
    """
    folder = Path(folder)
    rows = pd.read_csv(table, keep_default_na=True)
    rows["features"] = rows["features"].fillna("")
    if DEEP_KEY not in set(rows["key"]):
        raise ValueError(f"Expected the row {DEEP_KEY!r} in {table}. Run the table first.")
    drawn = _draw_all(rows, folder / "figures")
    text = "\n\n".join(_sections(rows, [path.name for path in drawn])) + "\n"
    with replacing(folder / "classical.md") as partial:
        partial.write_text(text)
    return [folder / "classical.md", *drawn]


def prefixes(rows: pd.DataFrame) -> list[str]:
    """Return the protocols of a table, by the prefix of their columns."""
    return [prefix for prefix in TITLES if f"test_{prefix}_accuracy" in rows]


def full_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the classical rows on the largest part of the faces, without balancing."""
    own = rows[_is_classical(rows) & (rows["sampler"] == "none")]
    return own[own["fraction"] == own["fraction"].max()]


def _is_classical(rows: pd.DataFrame) -> pd.Series:
    return (rows["key"] != DEEP_KEY) & ~_is_hybrid(rows) & (rows["features"] != "")


def _is_trained_network(rows: pd.DataFrame) -> pd.Series:
    return (rows["key"] != DEEP_KEY) & (rows["features"] == "")


def _is_hybrid(rows: pd.DataFrame) -> pd.Series:
    return rows["model"].isin([*HYBRIDS, OUT_OF_FOLD])


def _sections(rows: pd.DataFrame, figures: list[str]) -> list[str]:
    main = prefixes(rows)[0]
    deep = rows[rows["key"] == DEEP_KEY]
    whole = full_rows(rows).sort_values(f"valid_{main}_accuracy", ascending=False)
    hybrids = rows[_is_hybrid(rows)]
    curves = rows[_has_curve(rows)]
    balanced = rows[rows["sampler"] != "none"]
    sections = [_head(rows, main), "## Findings", _findings(rows, main)]
    shown = pd.concat([deep, whole])
    fraction = whole["fraction"].max() if len(whole) else 1
    sections += [f"## Every combination, {100 * fraction:g} % of the training faces"]
    sections += [_markdown(_overview(shown, rows)), "## Recall by emotion, per cent"]
    sections += [_markdown(_recalls(pd.concat([deep, _best_by_features(whole, main), hybrids]),
                                    main))]  # fmt: skip
    if len(hybrids):
        sections += ["## Hybrids", _HYBRID_WORDS, _markdown(_overview(hybrids, rows))]
    if len(curves):
        sections += ["## Learning curves", _CURVE_WORDS, _markdown(_curve_table(curves, main))]
    if len(balanced):
        plain = rows["key"].isin(balanced["features"] + "-" + balanced["model"])
        sections += ["## Balancing inside the folds", _markdown(
            _overview(pd.concat([rows[plain], balanced]), rows))]  # fmt: skip
    return sections + [f"![{name}](figures/{name})" for name in figures]


_HYBRID_WORDS = (
    "`vote` is the weighted mean of probabilities, `stack` a logistic regression on their "
    "logarithms. With the deep model as a member the weights were found on valid (it has seen all "
    "of train), and figures on valid are cross-validated; `stack_oof` is of classical models "
    "alone, learnt from out-of-fold predictions on train. Gains are paired (bootstrap over the "
    "same faces, 95 %)."
)
_CURVE_WORDS = (
    "Rows with the features `network` do not belong to the question how much data is needed: that "
    "network has seen all training faces. `landmarks` rest on faces that dlib's predictor was "
    "trained on. Rows without features are networks trained from scratch on the same faces, last "
    "epoch."
)


def _head(rows: pd.DataFrame, main: str) -> str:
    trained = _is_trained_network(rows)
    minutes = rows.loc[~trained, "total_s"].sum() / 60
    more = rows.loc[trained, "fit_s"].sum() / 60
    return (
        "# Classical and hybrid models\n\n"
        f"Protocols: {', '.join(TITLES[p] for p in prefixes(rows))}; models know all classes of "
        "the data and are restricted to the protocol's. Parameters were searched by successive "
        "halving, cross-validated within train (found: `params` in the csv), temperatures "
        "fitted on valid, test judged once a row; sorted by accuracy on valid "
        f"({TITLES[main]}). Milliseconds are medians over single faces, one at a time, as the "
        "model is used (describing included, one thread); size is that of the model's file, "
        "and after + that of the weight files its features need. "
        f"Machine: {_joined(rows['machine'])}. Commits: {_joined(rows['commit'])}. "
        f"{(~trained).sum()} rows in {minutes:.1f} minutes. Rerun with `{RERUN}`."
        + (f" The {trained.sum()} networks of the learning curves (`--networks`) took "
           f"{more:.0f} minutes more." if trained.any() else "")
    )  # fmt: skip


def _findings(rows: pd.DataFrame, main: str) -> str:
    """Return what the figures say, no more."""
    deep = rows[rows["key"] == DEEP_KEY].iloc[0]
    whole, score = full_rows(rows), f"valid_{main}_accuracy"
    alone = whole[~whole["features"].str.contains(NETWORK_ONLY)]
    lines = [f"- The deep model alone: {_said(deep, main)}."]
    for name, part in (("classical model", alone), ("model on the network's features",
                       whole[whole["features"] == NETWORK_ONLY])):  # fmt: skip
        if len(part):
            best = part.loc[part[score].idxmax()]
            lines.append(
                f"- The {name} best on valid, `{best['key']}`: {_said(best, main)}; "
                f"{_gain_said(best, main)}."
            )
    hybrids = rows[_is_hybrid(rows)]
    if len(hybrids):
        best = hybrids.loc[hybrids[score].idxmax()]
        lines.append(
            f"- The hybrid best on valid, `{best['key']}`: {_said(best, main)}; "
            f"{_gain_said(best, main)}."
        )
    return "\n".join(lines + _curve_findings(rows, main))


def _curve_findings(rows: pd.DataFrame, main: str) -> list[str]:
    """Describe for each part of the faces who is ahead: classical or from scratch."""
    lines = []
    for _, network in rows[_is_trained_network(rows)].sort_values("fraction").iterrows():
        part = rows[_is_classical(rows) & (rows["fraction"] == network["fraction"])]
        part = part[(part["sampler"] == "none") & ~part["features"].str.contains(NETWORK_ONLY)]
        if len(part):
            best = part.loc[part[f"valid_{main}_accuracy"].idxmax()]
            lines.append(
                f"- On {100 * network['fraction']:g} % of the training faces "
                f"({network['train_faces']:.0f}) the classical model best on valid, "
                f"`{best['key']}`, has {_with_interval(best, main)}, a network trained from "
                f"scratch {_with_interval(network, main)}."
            )
    return lines


def _with_interval(row: pd.Series, main: str) -> str:
    ends = (f"test_{main}_accuracy{end}" for end in ("", "_low", "_high"))
    value, low, high = (100 * row[end] for end in ends)
    return f"{value:.1f} % [{low:.1f}, {high:.1f}]"


def _said(row: pd.Series, main: str) -> str:
    return (
        f"test accuracy {100 * row[f'test_{main}_accuracy']:.1f} %, macro-F1 "
        f"{row[f'test_{main}_macro_f1']:.3f}, {row['ms_per_face']:.1f} ms a face"
    )


def _gain_said(row: pd.Series, main: str) -> str:
    value, low, high = (100 * row[f"{main}_accuracy_gain{end}"] for end in ("", "_low", "_high"))
    verdict = "better than" if low > 0 else "worse than" if high < 0 else "not told apart from"
    return f"{value:+.1f} points [{low:+.1f}, {high:+.1f}]: {verdict} the deep model"


def _overview(part: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    found = pd.DataFrame({"key": part["key"]})
    for prefix in prefixes(rows):
        start, title = f"test_{prefix}", TITLES[prefix]
        ends = (f"{start}_accuracy", f"{start}_accuracy_low", f"{start}_accuracy_high")
        value, low, high = (100 * part[end] for end in ends)
        found[f"{title}: accuracy"] = [
            f"{a:.1f} [{b:.1f}, {c:.1f}]" for a, b, c in zip(value, low, high, strict=True)
        ]
        found["macro-F1" if prefix == "eight" else f"macro-F1, {title}"] = [
            f"{value:.3f}" for value in part[f"{start}_macro_f1"]
        ]
    main = prefixes(rows)[0]
    gain, low, high = (100 * part[f"{main}_accuracy_gain{end}"] for end in ("", "_low", "_high"))
    found["gain on deep"] = [
        f"{a:+.1f} [{b:+.1f}, {c:+.1f}]" for a, b, c in zip(gain, low, high, strict=True)
    ]
    found["fit s"] = part["fit_s"].map("{:.1f}".format)
    found["ms a face"] = part["ms_per_face"].map("{:.2f}".format)
    found["MB"] = [
        f"{own:.2f}" + (f" + {more:.1f}" if more else "")
        for own, more in zip(part["size_mb"], part["needs_mb"], strict=True)
    ]
    return found


def _best_by_features(rows: pd.DataFrame, main: str) -> pd.DataFrame:
    return rows.loc[rows.groupby("features", sort=False)[f"valid_{main}_accuracy"].idxmax()]


def _recalls(part: pd.DataFrame, main: str) -> pd.DataFrame:
    start = f"test_{main}_recall_"
    columns = [name for name in part if name.startswith(start)]
    found = pd.DataFrame({"key": part["key"]})
    for name in columns:
        found[name.removeprefix(start)] = (100 * part[name]).map("{:.0f}".format)
    return found


def _has_curve(rows: pd.DataFrame) -> pd.Series:
    """Describe the rows of combinations that were fitted to several parts of the faces."""
    own = (rows["sampler"] == "none") & (rows["key"] != DEEP_KEY) & ~_is_hybrid(rows)
    parts = rows[own].groupby(["features", "model"])["fraction"].transform("nunique")
    return own & (parts.reindex(rows.index).fillna(0) > 1)


def _curve_table(curves: pd.DataFrame, main: str) -> pd.DataFrame:
    wide = curves.pivot_table(
        index=["features", "model"],
        columns="fraction",
        values=f"test_{main}_accuracy",
        sort=False,
    )
    wide = wide[sorted(wide.columns)]
    wide.columns = [f"{100 * fraction:g} %" for fraction in wide.columns]
    shown = wide.map(lambda value: "" if pd.isna(value) else f"{100 * value:.1f}")
    return shown.reset_index()


def _draw_all(rows: pd.DataFrame, folder: Path) -> list[Path]:
    from studies.figures import (
        plot_grid,
        plot_hybrid_gains,
        plot_learning_curves,
    )

    folder.mkdir(parents=True, exist_ok=True)
    main = prefixes(rows)[0]
    score = f"test_{main}_accuracy"
    whole, curves, hybrids = full_rows(rows), rows[_has_curve(rows)], rows[_is_hybrid(rows)]
    jobs: list[tuple[str, Callable, tuple[float, float], bool]] = [
        ("grid", lambda ax: plot_grid(whole, score, ax=ax), (9, 5), bool(len(whole))),
        ("curves", lambda ax: plot_learning_curves(curves, score, ax=ax), (9, 5),
         bool(len(curves))),
        ("gains", lambda ax: plot_hybrid_gains(hybrids, prefix=main, ax=ax),
         (7, 0.45 * len(hybrids) + 1.2), bool(len(hybrids))),
    ]  # fmt: skip
    return [_draw(folder / f"classical_{name}.png", draw, size)
            for name, draw, size, wanted in jobs if wanted]  # fmt: skip


def _draw(path: Path, draw: Callable, size_inches: tuple[float, float]) -> Path:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size_inches, layout="constrained")
    draw(figure.subplots())
    with replacing(path) as partial:
        figure.savefig(partial, dpi=110, format="png")
    return path


def _markdown(table: pd.DataFrame) -> str:
    lines = ["| " + " | ".join(table.columns) + " |", "|" + "---|" * len(table.columns)]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in table.itertuples(index=False)]
    return "\n".join(lines)


def _joined(values: pd.Series) -> str:
    return "; ".join(dict.fromkeys(map(str, values)))
