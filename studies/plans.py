"""Run a plan of trials: each in its own process, several in parallel, with rows added to the log.

A process per trial frees its memory at the end and can be told how many threads to use: on a small
machine, two runs on one thread each do more than one run on two.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from builder_tools.cli.release import need_study
from builder_tools.cli.verb import positive
from builder_tools.emotions import FERPLUS_EIGHT, NINE_EMOTIONS
from builder_tools.evaluation import restrict
from builder_tools.journal import alone_in
from builder_tools.media import replacing
from studies.command import command, study_parser
from studies.table import Job, pending, run_table, say_missing
from studies.trials import ANSWERS, Trial, finished_row, need_weights, run_trial

LOG = "experiments.csv"
ANSWERS_FILE = "experiments_{split}_labels.npz"
"""File beside the log with the label each trial predicts for each face of a split, to compare
trials face by face. It is that of valid; trials before November 26 kept only their labels on test.
"""


@dataclass(frozen=True)
class Plan:
    """A study whose rows are trials.

    Args:
        study: Name of the study, its module and its folder of runs.
        about: What the study asks; shown first in its help.
        examples: Options of example commands.
        seeds: Default seeds.
        trials: Function from seeds to trials, in the order in which they are run.
        write: Function from the folder of reports and the source of FER+ to the files written.
        parts: Names of the parts of a variant, joined by `-`: each becomes an option to select by.
    """

    study: str
    about: str
    examples: tuple[str, ...]
    seeds: tuple[int, ...]
    trials: Callable[[Sequence[int]], Iterator[Trial]]
    write: Callable[[Path, Path | None], list[Path]]
    parts: tuple[str, ...] = ()


def plan_command(plan: Plan, arguments: Sequence[str] | None = None) -> int:
    """Run the command of a plan; return the exit code."""
    parser = study_parser(plan.study, plan.about, plan.examples, plan.seeds)
    add = parser.add_argument
    add("--jobs", type=positive, default=1, help="trials to run in parallel")
    add("--groups", nargs="+", default=[], help="only these groups")
    for part in plan.parts:
        add(f"--{part}", nargs="+", default=[], help=f"only these {part}")
    add("--in-process", action="store_true",
        help="run all in this process, one after another, as each start costs seconds")  # fmt: skip
    add_finished_option(parser)
    add("--trial", nargs="+", metavar="KEY", help="run these in this process; adds no row")
    return command(parser, partial(_act, plan), arguments)


def add_finished_option(parser: argparse.ArgumentParser) -> None:
    """Add the option --finished."""
    parser.add_argument(
        "--finished",
        action="store_true",
        help="add what finished runs in --runs have (from another machine, say), start none",
    )


def chosen_trials(plan: Plan, options: argparse.Namespace) -> list[Trial]:
    """Return the trials that the options ask for.

    Raises:
        ValueError: If an option names a value that no trial has.
    """
    wanted = {-1: options.groups} | {
        place: getattr(options, part) for place, part in enumerate(plan.parts)
    }
    trials = list(plan.trials(options.seeds))
    for place, values in wanted.items():
        known = dict.fromkeys(_part(trial, place) for trial in trials)
        unknown = [value for value in values if value not in known]
        if unknown:
            raise ValueError(f"Expected some of {list(known)}. Received: {unknown}.")
    return [
        trial
        for trial in trials
        if all(not values or _part(trial, place) in values for place, values in wanted.items())
    ]


def _part(trial: Trial, place: int) -> str:
    """Return the group of a trial (for -1) or a part of its variant."""
    return trial.group if place < 0 else trial.variant.split("-")[place]


def find_trial(trials: Iterable[Trial], key: str) -> Trial:
    """Return the trial with a key.

    Raises:
        ValueError: If there is none.
    """
    for trial in trials:
        if trial.key == key:
            return trial
    raise ValueError(f"Expected the key of a trial. Received: {key!r}. --list prints them.")


def trial_jobs(trials: Iterable[Trial], make: Callable[[Trial], dict]) -> list[Job]:
    """Return trials as rows to be made."""
    return [Job(trial.key, trial.outcome, partial(make, trial)) for trial in trials]


def run_apart(trial: Trial, runs: Path, *, source: Path | None, at_once: int) -> dict:
    """Run a trial in its own process, with its share of the cores; return its row.

    A trial that has already been run is only read.

    Raises:
        FileNotFoundError: If the weights it starts from are missing.
        RuntimeError: If the process fails; gives its last line and the path of its log.
    """
    row = finished_row(trial, runs)
    if row is not None:
        return row
    need_weights(trial.config.network, trial.config.weights)
    threads = str(max((os.cpu_count() or 1) // at_once, 1))
    names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
    words = [sys.executable, "-m", f"studies.{trial.study}", "--trial", trial.key]
    words += ["--seeds", str(trial.config.seed), "--runs", str(runs)]
    words += ["--source", str(source)] if source else []
    log = runs / trial.key / "log.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        environment = os.environ | dict.fromkeys(names, threads)
        code = subprocess.run(words, stdout=file, stderr=file, env=environment).returncode
    if code:
        last = " ".join(log.read_text(errors="replace").strip().splitlines()[-1:])
        raise RuntimeError(f"exit code {code}: {last} (see {log})")
    return run_trial(trial, runs, source=source)


def run_here(trial: Trial, runs: Path, *, source: Path | None) -> dict:
    """Run a trial in this process, without a checkpoint each epoch; return its row."""
    import keras

    keras.backend.clear_session()
    return run_trial(trial, runs, source=source, each_epoch=False)


def read_answers(reports: Path, split: str) -> dict[str, np.ndarray]:
    """Return trial -> predicted labels of a split, into `FERPLUS_EIGHT`; empty without a file."""
    path = reports / ANSWERS_FILE.format(split=split)
    if not path.is_file():
        return {}
    with np.load(path) as archive:
        return dict(archive)


def keep_answers(trials: Iterable[Trial], runs: Path, reports: Path) -> None:
    """Save the labels that finished trials predict on valid, atomically, beside the log."""
    found = {
        trial.key: restrict(np.load(file), NINE_EMOTIONS, FERPLUS_EIGHT).argmax(axis=1)
        for trial in trials
        if (file := runs / trial.key / ANSWERS).is_file() and finished_row(trial, runs)
    }
    if not found:
        return
    path = reports / ANSWERS_FILE.format(split="valid")
    with alone_in(reports):
        together = read_answers(reports, "valid")
        together |= {key: labels.astype(np.uint8) for key, labels in found.items()}
        with replacing(path) as partial_file, partial_file.open("wb") as file:
            np.savez_compressed(file, **together)


def _act(plan: Plan, options: argparse.Namespace) -> int:
    need_study()
    if options.trial:
        trials = list(plan.trials(options.seeds))
        for trial in [find_trial(trials, key) for key in options.trial]:
            run_here(trial, options.runs, source=options.source)
        return 0
    chosen = chosen_trials(plan, options)
    make = partial(run_apart, at_once=options.jobs)
    if options.in_process:
        make = run_here
    if options.finished:
        chosen = [trial for trial in chosen if finished_row(trial, options.runs)]
    make = partial(make, runs=options.runs, source=options.source)
    jobs, log = trial_jobs(chosen, make), options.reports / LOG
    if options.list:
        print("".join(f"{job.key}\n" for job in pending(jobs, log)), end="")
        return 0
    missing = {}
    if not options.report:
        at_once = 1 if options.in_process else options.jobs
        missing = run_table(jobs, log, at_once=at_once, minutes=options.minutes)
        keep_answers(chosen, options.runs, options.reports)
    code = say_missing(missing)
    for path in plan.write(options.reports, options.source):
        print(path)
    return code
