"""Runs a plan: each trial in a process of its own, several beside each other, rows to one table.

A process a trial gives its memory back at the end and can be told how many threads to use: on a
small machine two runs on one thread each do more than one run on two.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import numpy as np

from builder_tools.emotions import FERPLUS_EIGHT, NINE_EMOTIONS
from builder_tools.evaluation import restrict
from builder_tools.release import add_rows, read_rows
from studies.experiments.plans import PLANS, Trial
from studies.experiments.summary import add_prediction
from studies.experiments.trial import run_trial, trial_folder

PREDICTIONS = "experiments_test_labels.npz"
"""Beside the table: the label each trial predicted for each test face, so that trials can be
compared face by face."""


def pending_trials(plan: str, table: Path, groups: Sequence[str] = ()) -> list[Trial]:
    """Return the trials of a plan that do not stand in the table."""
    done = {row.get("trial") for row in read_rows(table) if row.get("study") == plan}
    return [
        trial
        for trial in PLANS[plan]()
        if trial.key not in done and (not groups or trial.group in groups)
    ]


def run_plan(
    plan: str,
    *,
    table: Path,
    runs: Path,
    source: Path | None = None,
    jobs: int = 1,
    groups: Sequence[str] = (),
    minutes: float | None = None,
) -> list[str]:
    """Run what is pending; each finished trial adds its row to the table at once.

    Args:
        plan: Name in `PLANS`.
        table: The csv of experiments.
        runs: Folder of the checkpoints.
        source: Where FER+ is.
        jobs: Trials at a time; each gets its share of the cores.
        groups: Only these groups; all if empty.
        minutes: No trial begins after so long.

    Returns:
        The keys of the trials that failed; their messages went to stderr.
    """
    deadline = time.monotonic() + 60 * minutes if minutes else float("inf")
    trials = pending_trials(plan, table, groups)
    print(f"{plan}: {len(trials)} trials to run, {jobs} at a time", file=sys.stderr)
    failed = []
    with ThreadPoolExecutor(jobs) as pool:
        waiting = {
            pool.submit(_run_in_process, trial, runs, source, jobs, deadline): trial
            for trial in trials
        }
        for number, future in enumerate(as_completed(waiting), start=1):
            trial = waiting[future]
            ran, message = future.result()
            if message:
                failed.append(trial.key)
                print(f"{trial.key}: {message}", file=sys.stderr)
            elif ran:
                row = run_trial(trial, runs, source=source)
                add_rows(table, [row])
                found = restrict(
                    np.load(trial_folder(runs, trial) / "test.npy"), NINE_EMOTIONS, FERPLUS_EIGHT
                )
                add_prediction(table.with_name(PREDICTIONS), trial.key, found.argmax(axis=1))
                print(_progress(row, number, len(trials)), file=sys.stderr)
    return failed


def _run_in_process(trial: Trial, runs: Path, source, jobs: int, deadline: float):
    """Return whether the trial ran, and its last words if it failed."""
    if time.monotonic() > deadline:
        return False, ""
    threads = str(max((os.cpu_count() or 1) // jobs, 1))
    environment = os.environ | {
        "TF_NUM_INTRAOP_THREADS": threads,
        "TF_NUM_INTEROP_THREADS": threads,
        "OMP_NUM_THREADS": threads,
    }
    folder = trial_folder(runs, trial)
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "studies.experiments", trial.study]
    command += ["--trial", trial.key, "--runs", str(runs)]
    command += ["--source", str(source)] if source else []
    with (folder / "log.txt").open("ab") as log:
        code = subprocess.run(command, stdout=log, stderr=log, env=environment).returncode
    if code:
        last = (folder / "log.txt").read_text(errors="replace").strip().splitlines()[-1:]
        return True, f"exit code {code}: {' '.join(last)} (see {folder / 'log.txt'})"
    return True, ""


def _progress(row: dict, number: int, total: int) -> str:
    return (
        f"[{number}/{total}] {row['trial']}: valid accuracy {row['valid_eight_accuracy']:.4f}, "
        f"mean recall {row['valid_eight_mean_recall']:.4f}, {row['minutes']:.1f} min"
    )
