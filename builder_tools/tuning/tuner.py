"""KerasTuner's Bayesian search, made to survive being killed at any moment.

Three things differ from `keras_tuner.BayesianOptimization`, which is the same oracle in the same
tuner: files are written atomically and made consistent when they are read again; a third of the
trials (at least 3) is random, instead of three for each hyperparameter (which would make a search
of 20 trials entirely random); and no point is tried twice.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import math
import os
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import keras
import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial, TrialStatus
from keras_tuner.oracles import BayesianOptimizationOracle
from keras_tuner.src.engine import oracle as locks

from builder_tools.media import replacing
from builder_tools.training import Samples
from builder_tools.tuning.hypermodel import EmotionHyperModel

ENDED = (TrialStatus.COMPLETED, TrialStatus.FAILED)
IDLE_S = 1.0
"""How long a worker waits before it asks for a trial again."""

MOST_STARTS = 3
"""A trial whose process dies this often without finishing another epoch is not tried again."""

logger = logging.getLogger(__name__)


def _frees_lock(method):
    """Make a method release KerasTuner's lock if it fails; otherwise nobody would get a trial."""

    @functools.wraps(method)
    def guarded(oracle, *arguments, **options):
        try:
            return method(oracle, *arguments, **options)
        except Exception:
            if locks.THREADS[oracle] == threading.current_thread().name:
                locks.THREADS[oracle] = None
                locks.LOCKS[oracle].release()
            raise

    return guarded


class EmotionOracle(BayesianOptimizationOracle):
    """Chooses the points of a search.

    Args:
        objective: Figure to maximise.
        trials: Total number of trials.
        seed: Seed of the search.
        minutes: Time after which no new trial is started.
    """

    def __init__(
        self, objective: str, *, trials: int, seed: int, minutes: float | None = None
    ) -> None:
        super().__init__(
            keras_tuner.Objective(objective, "max"),
            max_trials=trials,
            num_initial_points=max(trials // 3, 3),
            seed=seed + 1,  # KerasTuner treats 0 as "any"
            max_consecutive_failed_trials=trials + 1,
        )
        self.verbose = 0
        self._ends_at = time.monotonic() + (math.inf if minutes is None else 60 * minutes)

    def populate_space(self, trial_id):
        """Return the next point, a random one if the model proposes the same point again."""
        from sklearn.exceptions import ConvergenceWarning
        from threadpoolctl import threadpool_limits

        try:
            # Thousands of tiny matrix products: more threads would only wait for each other.
            with threadpool_limits(1), warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                found = super().populate_space(trial_id)
        except np.linalg.LinAlgError:
            return self._random_populate_space()
        repeats = found["values"] is not None and self._duplicate(found["values"])
        return self._random_populate_space() if repeats else found

    @_frees_lock
    @keras_tuner.synchronized
    def create_trial(self, tuner_id):
        """Return the next trial, or an idle one while another worker's trial may come back."""
        if time.monotonic() > self._ends_at:
            return Trial(hyperparameters=self.get_space(), status=TrialStatus.STOPPED)
        trial = super().create_trial(tuner_id)
        if trial.status == TrialStatus.STOPPED and self.ongoing_trials:
            trial.status = TrialStatus.IDLE
        return trial

    @_frees_lock
    def update_trial(self, trial_id, metrics, step=0):
        """Record the metrics of a trial."""
        return super().update_trial(trial_id, metrics, step=step)

    @_frees_lock
    def end_trial(self, trial):
        """Record the end of a trial."""
        super().end_trial(trial)

    def save(self):
        """Write the state, atomically."""
        _write_json(self._get_oracle_fname(), self.get_state())

    def _save_trial(self, trial):
        _write_json(Path(self._get_trial_dir(trial.trial_id)) / "trial.json", trial.get_state())

    def reload(self):
        """Read the state; trials that began but did not end are run again with the same number."""
        with _named_if_damaged(self._project_dir):
            super().reload()
        names = sorted(self.trials, key=int)
        for trial in self.trials.values():
            self._record_values(trial)
        pending = [name for name in names if self.trials[name].status not in ENDED]
        for name in pending:
            forget_metrics(self.trials[name])
        ended = [name for name in names if name not in pending]
        self._retry_queue = pending[::-1]
        self.start_order = names
        self.end_order = [name for name in self.end_order if name in ended]
        self.end_order += [name for name in ended if name not in self.end_order]

    @property
    def num_ended(self) -> int:
        """How many trials have ended, successfully or not."""
        return _num_ended(self)


@keras_tuner.synchronized
def _num_ended(oracle: EmotionOracle) -> int:
    """Count while no worker's request changes the trials."""
    return sum(trial.status in ENDED for trial in oracle.trials.values())


class EmotionTuner(keras_tuner.Tuner):
    """Runs the trials that an oracle chooses.

    Args:
        oracle: Chooses the trials.
        hypermodel: Turns them into configurations.
        folder: Folder of the search.
        project: Name of the folder in it that holds KerasTuner's state and the trials.
        after_trial: Called with the oracle when a trial has ended.
    """

    def __init__(
        self,
        oracle: EmotionOracle,
        hypermodel: EmotionHyperModel,
        *,
        folder: Path,
        project: str,
        after_trial: Callable[[EmotionOracle], None] | None = None,
    ) -> None:
        self.after_trial = after_trial
        self._asked = False
        super().__init__(oracle, hypermodel, directory=str(folder), project_name=project)
        self.save()

    @property
    def folder(self) -> Path:
        return Path(self.project_dir)

    def save(self):
        """Write the state, atomically; a worker has no state."""
        if not self._is_worker():
            self.oracle.save()
            _write_json(self._get_tuner_fname(), {})

    def reload(self):
        """Read the state."""
        with _named_if_damaged(self.project_dir):
            super().reload()

    def _get_tuner_fname(self):
        """Return the same name alone and as chief, so that each can resume the other's search."""
        name = f"worker-{self.tuner_id}" if self._is_worker() else "search"
        return os.path.join(self.project_dir, f"{name}.json")

    def _populate_initial_space(self):
        """Declare all hyperparameters at once; KerasTuner would build networks to find them."""
        hp = self.oracle.get_space()
        self.hypermodel.config(hp)
        self.oracle.update_space(hp)

    def pre_create_trial(self):
        """Wait if the oracle had no trial the last time."""
        if self._asked:
            time.sleep(IDLE_S)
        self._asked = True

    def on_trial_begin(self, trial):
        """Remember that there was a trial."""
        self._asked = False
        super().on_trial_begin(trial)

    def run_trial(self, trial, train: Samples, valid: Samples):
        """Train in the trial's folder, or resume there."""
        keras.backend.clear_session()
        folder = self._run_folder(trial)
        _count_start(folder)
        objective = self.oracle.objective.name
        try:
            return self.hypermodel.fit(
                trial.hyperparameters, None, train, valid, monitor=objective, folder=folder
            )
        except KeyboardInterrupt:  # somebody stops the search, which is not the trial's fault
            _take_start_back(folder)
            raise

    def on_trial_end(self, trial):
        """Report the end of a trial; keep the reason for a failure in its folder."""
        if trial.message:
            _write_text(Path(self.get_trial_dir(trial.trial_id)) / "error.txt", trial.message)
            reason = trial.message.strip().splitlines()[-1]
            logger.warning("Trial %s failed: %s", trial.trial_id, reason)
        super().on_trial_end(trial)
        (self._run_folder(trial) / "last.keras").unlink(missing_ok=True)
        if self.after_trial:
            self.after_trial(self.oracle)

    def _run_folder(self, trial) -> Path:
        return Path(self.get_trial_dir(trial.trial_id)) / "run"


@contextlib.contextmanager
def _named_if_damaged(folder: str):
    """Turn KerasTuner's errors about damaged files into a message that names their folder."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        if str(error).startswith("Expected"):
            raise
        raise ValueError(
            f"Expected the files of a search in {folder}. One of them is damaged ({error!r}). Name "
            "another folder, or begin anew with --overwrite."
        ) from error


def forget_metrics(trial) -> None:
    """Clear a trial's metrics so that it can be run again."""
    trial.metrics = type(trial.metrics)()


def drop_networks(oracle: EmotionOracle, folder: Path) -> None:
    """Remove the networks of trials that have ended, except the best one's.

    Args:
        oracle: The oracle, which knows these trials.
        folder: Folder of the project.
    """
    best = oracle.get_best_trials(1)
    for name, trial in oracle.trials.items():
        if trial.status not in ENDED:
            continue
        run = folder / f"trial_{name}" / "run"
        (run / "last.keras").unlink(missing_ok=True)
        if trial is not best[0]:
            (run / "best.keras").unlink(missing_ok=True)


def _count_start(folder: Path) -> None:
    """Count how often a trial started at the same epoch; refuse one that dies repeatedly."""
    folder.mkdir(parents=True, exist_ok=True)
    history, file = folder / "history.csv", folder / "starts.json"
    epoch = len(history.read_text().splitlines()) if history.is_file() else 0
    before = json.loads(file.read_text()) if file.is_file() else {}
    starts = before["starts"] if before.get("epoch") == epoch else 0
    if starts >= MOST_STARTS:
        raise keras_tuner.errors.FailedTrialError(
            f"Its process ended {starts} times in the same epoch: killed, or out of memory?"
        )
    _write_json(file, {"epoch": epoch, "starts": starts + 1})


def _take_start_back(folder: Path) -> None:
    file = folder / "starts.json"
    counted = json.loads(file.read_text())
    _write_json(file, {**counted, "starts": counted["starts"] - 1})


def _write_json(file: str | Path, value: dict) -> None:
    _write_text(Path(file), json.dumps(value))


def _write_text(file: Path, text: str) -> None:
    with replacing(file) as partial:
        partial.write_text(text, encoding="utf-8")
