"""What the ablations say: figures of each variant over its seeds, and its gain on the baseline.

Intervals come from drawing the test faces again and again (bootstrap, percentiles). Variant and
baseline are judged on the same draws, so the interval of a gain is that of paired runs; figures
are averaged over the seeds within a draw. The spread between seeds stands beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from builder_tools.emotions import FERPLUS_EIGHT
from builder_tools.media import replacing

RESAMPLES = 1000
BASELINE = ("baseline", "baseline")
FIGURES = ("accuracy", "macro_f1", "mean_recall")


def read_predictions(path: Path) -> dict[str, np.ndarray]:
    """Return trial -> predicted labels of the test faces, none if there is no such file."""
    if not path.is_file():
        return {}
    with np.load(path) as archive:
        return dict(archive)


def add_prediction(path: Path, trial: str, labels: np.ndarray) -> None:
    """Add the labels `(n,)` that a trial predicted on the test faces, atomically."""
    together = {**read_predictions(path), trial: labels.astype(np.uint8)}
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **together)


def summarise(
    trials: pd.DataFrame, predictions: Mapping[str, np.ndarray], labels: np.ndarray
) -> pd.DataFrame:
    """Return a row a variant.

    Args:
        trials: Rows of the experiments: `trial`, `group`, `variant`, `seed`.
        predictions: Trial -> predicted labels of the test faces, into `FERPLUS_EIGHT`.
        labels: `(n,)` true labels of the same faces, -1 = left out.

    Returns:
        Columns `group`, `variant`, `seeds`; for each of accuracy, macro_f1, mean_recall and
        `recall_<emotion>`: mean over seeds, `_low` and `_high` (95 %); and `<figure>_gain` with
        the same, against the baseline; `accuracy_sd` between seeds.

    Raises:
        ValueError: If the baseline is not among the trials.
    """
    drawn = _draws(labels)
    bootstrap = {
        variant: np.mean([_figures(labels, predictions[t], drawn) for t in own["trial"]], axis=0)
        for variant, own in trials.groupby(["group", "variant"], sort=False)
    }
    if BASELINE not in bootstrap:
        raise ValueError(f"Expected the baseline among the trials. Received: {list(bootstrap)}.")
    rows = []
    for (group, variant), own in trials.groupby(["group", "variant"], sort=False):
        found, base = bootstrap[group, variant], bootstrap[BASELINE]
        row = {"group": group, "variant": variant, "seeds": len(own)}
        row |= _columns(found, "") | _columns(found - base, "_gain")
        per_seed = [(predictions[t] == labels)[labels >= 0].mean() for t in own["trial"]]
        row["accuracy_sd"] = float(np.std(per_seed, ddof=1)) if len(own) > 1 else float("nan")
        rows.append(row)
    return pd.DataFrame(rows)


def figure_names() -> Sequence[str]:
    """Return the figures in the order in which they are computed."""
    return (*FIGURES, *(f"recall_{name}" for name in FERPLUS_EIGHT))


def _draws(labels: np.ndarray) -> np.ndarray:
    """Return how often each face is drawn: `(1 + RESAMPLES, n)`; first the faces as they are."""
    rng = np.random.default_rng(0)
    kept = (labels >= 0).astype(float)
    drawn = rng.multinomial(int(kept.sum()), kept / kept.sum(), size=RESAMPLES)
    return np.concatenate([kept[None], drawn])


def _figures(labels: np.ndarray, predicted: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Return `(1 + RESAMPLES, figures)`."""
    k = len(FERPLUS_EIGHT)
    cell = np.where(labels >= 0, labels * k + predicted, 0)
    hits = np.zeros((len(labels), k * k))
    hits[np.arange(len(labels)), cell] = 1
    confusion = (drawn @ hits).reshape(-1, k, k)
    right = np.diagonal(confusion, axis1=1, axis2=2)
    true, found = confusion.sum(axis=2), confusion.sum(axis=1)
    with np.errstate(invalid="ignore"):
        recall = np.where(true > 0, right / true, np.nan)
        f1 = np.where(true + found > 0, 2 * right / (true + found), np.nan)
    accuracy = right.sum(axis=1) / true.sum(axis=1)
    means = [accuracy, np.nanmean(f1, axis=1), np.nanmean(recall, axis=1)]
    return np.column_stack([*means, recall])


def _columns(found: np.ndarray, suffix: str) -> dict[str, float]:
    row = {}
    for name, values in zip(figure_names(), found.T, strict=True):
        known = values[1:][~np.isnan(values[1:])]
        low, high = np.percentile(known, [2.5, 97.5]) if len(known) else (np.nan, np.nan)
        row |= {
            f"{name}{suffix}": float(values[0]),
            f"{name}{suffix}_low": float(low),
            f"{name}{suffix}_high": float(high),
        }
    return row
