"""Results of a search: the table of trials, the best configuration, and what seems to matter."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from builder_tools.media import replacing
from builder_tools.training import TrainingConfig
from builder_tools.tuning.space import readable

FIGURES = ("val_accuracy", "val_macro_f1", "val_loss")
TAKEN = ("best_epoch", "epochs", "seconds", "parameters")
FIRST_COLUMNS = ("trial", "status", "score", *FIGURES)
LAST_COLUMNS = (*TAKEN, "error")
"""Last columns of the table of trials; the hyperparameters come after the first columns."""


@dataclass(frozen=True)
class SearchResult:
    """The results of a search.

    Args:
        trials: One row per trial, in the order they began: `trial` (from 0), `status`
            (completed|failed|running), `score`, the figures of the best epoch, a column for each
            hyperparameter (empty where it had no effect), `best_epoch` (from 1), `epochs`,
            `seconds`, `parameters`, `error` (the reason for a failure).
        best: The configuration of the best trial.
        table: The CSV file of `trials`.
        config: The JSON file of `best`, for `builder-tools train --config`.
        network: The trained network of the best trial, a `.keras` file; None if it is elsewhere.
    """

    trials: pd.DataFrame
    best: TrainingConfig
    table: Path
    config: Path
    network: Path | None

    @property
    def best_trial(self) -> pd.Series:
        """The row of the best trial."""
        return self.trials.loc[self.trials["score"].idxmax()]

    @property
    def failed(self) -> pd.DataFrame:
        """The rows of the trials that failed."""
        return self.trials[self.trials["status"] == "failed"]


def hyperparameters_of(trials: pd.DataFrame) -> list[str]:
    """Return the columns of a table of trials that hold tuned hyperparameters."""
    return [name for name in trials if name not in (*FIRST_COLUMNS, *LAST_COLUMNS)]


def trial_table(oracle, folder: Path) -> pd.DataFrame:
    """Return a table with one row per trial; see `SearchResult`.

    Args:
        oracle: A KerasTuner oracle.
        folder: Folder of the project, where trials keep the reasons for failures.
    """
    tuned = list(dict.fromkeys(hp.name for hp in oracle.hyperparameters.space))
    rows = [_row(oracle.trials[name], folder) for name in sorted(oracle.trials, key=int)]
    return pd.DataFrame(rows, columns=[*FIRST_COLUMNS, *tuned, *LAST_COLUMNS])


def write_table(trials: pd.DataFrame, file: Path) -> None:
    """Write the table of trials, atomically."""
    with replacing(file) as partial:
        trials.to_csv(partial, index=False)


def write_config(config: TrainingConfig, file: Path) -> None:
    """Write a configuration for `builder-tools train --config`, atomically."""
    with replacing(file) as partial:
        partial.write_text(json.dumps(config.to_dict(), indent=1) + "\n", encoding="utf-8")


def summarise_trials(trials: pd.DataFrame) -> pd.DataFrame:
    """Return how each hyperparameter is associated with the score, strongest first.

    This describes the trials and is not an estimate: the search chose where to look, and a few
    dozen trials prove little. Only completed trials count; trials in which a hyperparameter had no
    effect are left out for it.

    Args:
        trials: The trials of a `SearchResult`, or its CSV file as a DataFrame.

    Returns:
        One row per hyperparameter: `trials` (how many count), `association` (for a choice, the
        share of the score's variance between its values, eta squared; for a number, Spearman's
        rho squared; both 0...1), `direction` (for a number, +1 if higher goes with better and -1
        with worse; 0 for choices), `best` (its value in the best trial), `favoured` (for a choice,
        the value with the highest mean score; for a number, the median over the better half of the
        trials).
    """
    done = trials[trials["status"] == "completed"]
    rows = [_effect(done, name) for name in hyperparameters_of(trials)]
    columns = ["hyperparameter", "trials", "association", "direction", "best", "favoured"]
    table = pd.DataFrame(rows, columns=columns).set_index("hyperparameter")
    return table.sort_values("association", ascending=False, kind="stable", na_position="last")


def _row(trial, folder: Path) -> dict:
    values = {
        name: readable(value) if isinstance(value, float) else value
        for name, value in trial.hyperparameters.values.items()
    }
    last = dict.fromkeys((*FIGURES, *TAKEN))
    for name in last:
        if trial.status == "COMPLETED" and trial.metrics.exists(name):
            last[name] = trial.metrics.get_last_value(name)
    error = ""
    if trial.status == "FAILED":
        # The last line of the traceback, which KerasTuner does not send over the network.
        file = folder / f"trial_{trial.trial_id}" / "error.txt"
        text = trial.message or (file.read_text(encoding="utf-8") if file.is_file() else "")
        error = (text.strip() or "unknown: see the worker's messages").splitlines()[-1]
    return {
        "trial": int(trial.trial_id),
        "status": trial.status.lower(),
        "score": trial.score,
        **last,
        **values,
        "error": error,
    }


def _effect(done: pd.DataFrame, name: str) -> dict:
    known = done[done[name].notna()]
    scores, values = known["score"], known[name]
    best = done.loc[done["score"].idxmax(), name] if len(done) else None
    found = {"hyperparameter": name, "trials": len(known), "best": best}
    if values.nunique() < 2 or scores.nunique() < 2:
        return {**found, "association": float("nan"), "direction": 0, "favoured": None}
    if pd.api.types.is_numeric_dtype(values):
        rho = values.rank().corr(scores.rank())
        better = values[scores >= scores.median()]
        favoured, direction = float(better.median()), int(np.sign(rho))
        return {
            **found,
            "association": float(rho**2),
            "direction": direction,
            "favoured": favoured,
        }
    groups = known.groupby(name)["score"]
    spread = ((scores - scores.mean()) ** 2).sum()
    share = ((groups.transform("mean") - scores.mean()) ** 2).sum() / spread
    favoured = groups.mean().idxmax()
    return {**found, "association": float(share), "direction": 0, "favoured": favoured}
