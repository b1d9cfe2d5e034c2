"""Tables and figures of the experiments, made from the log alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from builder_tools.datasets.ferplus import load_ferplus
from builder_tools.datasets.labels import majority_eight_labels
from builder_tools.media import replacing
from builder_tools.networks import NETWORKS
from studies.experiments.plans import (
    SCREENING_EPOCHS,
    SCREENING_FACES,
    SCREENING_LOW_RATE,
    SCREENING_MOMENTUM,
    SCREENING_RATE,
)
from studies.experiments.summary import figure_names, read_predictions, summarise

NETWORK_COSTS = "networks.csv"


def write_reports(table: Path, predictions: Path, folder: Path, source: Path | None) -> list[Path]:
    """Write `screening.md`, `ablations.md`, `ablations.csv` and their figures.

    Args:
        table: The log of experiments.
        predictions: Labels each trial predicted on the test faces.
        folder: Where to; `networks.csv` is read from there where it is.
        source: Where FER+ is.

    Returns:
        What was written.
    """
    rows = pd.read_csv(table)
    figures = folder / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    written = []
    if (rows["study"] == "screening").any():
        written += _write_screening(rows[rows["study"] == "screening"], folder)
    if (rows["study"] == "ablations").any():
        trials = rows[rows["study"] == "ablations"]
        written += _write_ablations(trials, predictions, folder, source)
    return written


def screening_table(rows: pd.DataFrame, costs: pd.DataFrame | None) -> pd.DataFrame:
    """Return a row a network, best on valid first, with its cost where that was measured.

    A network that was trained at two rates stands there with the one that was better on valid.

    Args:
        rows: Trials of the screening.
        costs: Columns `network`, `gflop`, `ms_per_face`.
    """
    columns = {
        "network": "network",
        "parameters": "parameters",
        "size": "size",
        "learning_rate": "rate",
        "valid_eight_accuracy": "valid accuracy",
        "test_eight_accuracy": "test accuracy",
        "test_eight_macro_f1": "test macro-F1",
        "minutes": "training minutes",
    }
    best_first = rows.sort_values("valid_eight_accuracy", ascending=False, kind="stable")
    found = best_first.drop_duplicates("network")[list(columns)].rename(columns=columns)
    if costs is None:
        return found.reset_index(drop=True)
    return found.merge(costs[["network", "gflop", "ms_per_face"]], on="network", how="left")


def _write_screening(rows: pd.DataFrame, folder: Path) -> list[Path]:
    from studies.experiments.figures import plot_screening

    costs = folder / NETWORK_COSTS
    table = screening_table(rows, pd.read_csv(costs) if costs.is_file() else None)
    readable = table.assign(parameters=[f"{n / 1e6:.2f} M" for n in table["parameters"]])
    missing = sorted(set(NETWORKS) - set(rows["network"]))
    absent = f" **Not run yet:** {', '.join(missing)}." if missing else ""
    text = (
        "# Screening: every network on the same small budget\n\n"
        f"FER+, {SCREENING_FACES:,} stratified training faces, {SCREENING_EPOCHS} epochs, soft "
        f"labels, light augmentation, AdamW {SCREENING_RATE:g} with a cosine (networks without "
        f"batch normalisation at {SCREENING_LOW_RATE:g}, too: the better rate on valid), running "
        f"statistics with momentum {SCREENING_MOMENTUM:g}, batch 32, seed 0, from scratch "
        "(`weights=None`): a first look at what learns fast, not a ranking of what the networks "
        "can become. Majority-8 protocol; test was looked at once a run. Hardware: "
        f"{_joined(rows['machine'])}. Commit: {_joined(rows['commit'])}. Rerun with "
        f"`builder-tools experiment screening`.{absent}\n\n"
        f"{_markdown(readable)}\n\n![screening](figures/screening.png)\n"
    )
    drawn = table.rename(columns={"valid accuracy": "valid_accuracy"})
    cost = "ms_per_face" if "ms_per_face" in drawn else "parameters"
    return [
        _write(folder / "screening.md", text),
        _draw(
            folder / "figures/screening.png",
            lambda ax: plot_screening(drawn, cost, "valid_accuracy", ax=ax),
            (9, 6),
        ),
    ]


def _write_ablations(rows: pd.DataFrame, predictions: Path, folder: Path, source) -> list[Path]:
    from studies.experiments.figures import plot_gains, plot_recalls

    labels = majority_eight_labels(load_ferplus(source).split("test").votes)
    summary = summarise(rows, read_predictions(predictions), labels)
    seeds = sorted(set(summary["seeds"]))
    text = (
        "# Ablations on the compact network\n\n"
        "One choice at a time differs from the baseline (hard nine-class labels, no balancing, "
        "full augmentation, AdamW 2e-3 with a cosine, 32 px). All runs take the same number of "
        f"steps ({_joined(rows['epochs'])} epochs of 28,544 faces, batch 64), however many faces "
        f"balancing made. {_joined(pd.Series(seeds))} seeds a variant; FER+ majority-8 test, "
        "looked at once a run; mean over seeds with 95 % bootstrap intervals over faces; gains "
        f"are paired. Hardware: {_joined(rows['machine'])}. Commits: {_joined(rows['commit'])}. "
        f"{rows['minutes'].sum() / 60:.1f} hours of runs. Rerun with `builder-tools experiment "
        "ablations --jobs 2`.\n\n"
        f"{_markdown(_readable(summary))}\n\n## Recall by emotion, per cent\n\n"
        f"{_markdown(_recalls(summary))}\n\n"
        "![gain in accuracy](figures/ablations_accuracy.png)\n"
        "![gain in mean recall](figures/ablations_mean_recall.png)\n"
        "![recall by emotion](figures/ablations_recalls.png)\n"
    )
    summary_csv = folder / "ablations.csv"
    with replacing(summary_csv) as partial:
        summary.round(5).to_csv(partial, index=False)
    drawings: dict[str, Callable] = {
        "accuracy": lambda ax: plot_gains(summary, "accuracy", ax=ax),
        "mean_recall": lambda ax: plot_gains(summary, "mean_recall", ax=ax),
        "recalls": lambda ax: plot_recalls(summary, ax=ax),
    }
    drawn = [
        _draw(folder / f"figures/ablations_{name}.png", draw, (7.5, 0.4 * len(summary) + 1))
        for name, draw in drawings.items()
    ]
    return [_write(folder / "ablations.md", text), summary_csv, *drawn]


def _readable(summary: pd.DataFrame) -> pd.DataFrame:
    table = summary[["group", "variant", "seeds"]].copy()
    for name in ("accuracy", "macro_f1", "mean_recall"):
        table[name.replace("_", " ")] = [f"{100 * value:.1f}" for value in summary[name]]
        table[f"gain in {name.replace('_', ' ')}"] = [
            _gain(row, name) for _, row in summary.iterrows()
        ]
    table["sd between seeds"] = [f"{100 * value:.2f}" for value in summary["accuracy_sd"]]
    return table


def _gain(row: pd.Series, name: str) -> str:
    value, low, high = (100 * row[f"{name}_gain{end}"] for end in ("", "_low", "_high"))
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"


def _recalls(summary: pd.DataFrame) -> pd.DataFrame:
    table = summary[["group", "variant"]].copy()
    for name in (name for name in figure_names() if name.startswith("recall_")):
        table[name.removeprefix("recall_")] = [
            f"{100 * row[name]:.0f} [{100 * row[f'{name}_low']:.0f}, "
            f"{100 * row[f'{name}_high']:.0f}]"
            for _, row in summary.iterrows()
        ]
    return table


def _markdown(table: pd.DataFrame) -> str:
    lines = ["| " + " | ".join(table.columns) + " |", "|" + "---|" * len(table.columns)]
    lines += ["| " + " | ".join(map(_cell, row)) + " |" for row in table.itertuples(index=False)]
    return "\n".join(lines)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _joined(values: pd.Series) -> str:
    return "; ".join(dict.fromkeys(map(str, values)))


def _write(path: Path, text: str) -> Path:
    with replacing(path) as partial:
        partial.write_text(text)
    return path


def _draw(path: Path, draw: Callable, size_inches: tuple[float, float]) -> Path:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size_inches, layout="constrained")
    draw(figure.subplots())
    figure.savefig(path, dpi=110)
    return path
