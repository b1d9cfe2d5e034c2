"""The folder of a run: its initial configuration, its history, its checkpoint."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import zipfile
from dataclasses import fields
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from builder_tools.fields import is_whole, read_json_object
from builder_tools.machine import clone, hardware
from builder_tools.networks.weights import expect_whole
from builder_tools.tasks import MONITORS
from builder_tools.training.config import TrainingConfig
from builder_tools.training.identity import differing_data

HISTORY_FILE = "history.csv"
PROGRESS_ENTRY = "progress.json"
"""A file inside `last.keras` that records the run's progress, so that the two cannot disagree."""


class DivergedError(RuntimeError):
    """A run has ended because its loss is not finite, and no epoch is left to be kept."""


class RunFolder:
    """The folder of a run.

    Args:
        folder: Path of the folder.
        resumable: Whether the network is written at all.
        each_epoch: Whether it is written after each epoch; otherwise once, at the end, and the
            best epoch's weights are kept in memory.
    """

    def __init__(self, folder: Path, *, resumable: bool = True, each_epoch: bool = True) -> None:
        self.folder, self.resumable = folder, resumable
        self.each_epoch = resumable and each_epoch
        self._best_weights: list[np.ndarray] | None = None
        self.last, self.best = folder / "last.keras", folder / "best.keras"

    def begin(self, config: TrainingConfig) -> dict:
        """Write the configuration the run starts with, or compare it with the one it started with.

        Settings missing in a run started by earlier code have their defaults.

        Raises:
            ValueError: If the folder holds a run of another configuration, or one without a
                record of its configuration.
        """
        file = self.folder / "config.json"
        if not file.is_file():
            if self.last.exists():
                raise ValueError(
                    f"Expected {file} to say what {self.last.name} beside it was begun with. There "
                    "is no such file. Name another folder to train, or use `builder-tools export` "
                    "to deploy the network."
                )
            self.folder.mkdir(parents=True, exist_ok=True)
            begun = {
                **config.to_dict(),
                "commit": commit_id(),
                "backend": keras.backend.backend(),
                "keras": keras.__version__,
                "machine": hardware(),
            }
            _write_text(file, json.dumps(begun, indent=2))
        begun = read_json_object(file)
        earlier = TrainingConfig.from_dict(
            {field.name: begun[field.name] for field in fields(config) if field.name in begun}
        ).to_dict()
        other = {name: earlier[name] for name, v in config.to_dict().items() if earlier[name] != v}
        if other:
            raise ValueError(
                f"Expected {self.folder} to hold a run of the same configuration. It was begun "
                f"with {other}. Use those values to go on, or name another folder."
            )
        return begun

    def forget_unless_trained(self) -> None:
        """Forget the configuration if no epoch is done yet, so that the run may start otherwise."""
        if not self.last.is_file() and not self.history():
            (self.folder / "config.json").unlink(missing_ok=True)

    def epochs_done(self, data: dict) -> int:
        """Return the number of epochs done, which is the number of the next epoch.

        Only what the saved network has seen counts: rows of history beyond it, written by an
        attempt that was interrupted before it saved, are removed.

        Args:
            data: Record of the current data (see `data_record`).

        Raises:
            ValueError: If the run was started with other data, `last.keras` is not from a run, or
                it or the history is damaged.
        """
        if not self.last.is_file():
            (self.folder / HISTORY_FILE).unlink(missing_ok=True)
            return 0
        expect_whole(self.last)
        with zipfile.ZipFile(self.last) as archive:
            if PROGRESS_ENTRY not in archive.namelist():
                raise ValueError(
                    f"Expected {self.last} to be a checkpoint of a run. Received: a network "
                    "without its progress (saved by hand, or by an earlier version). Name another "
                    "folder to train, or use `builder-tools export` to deploy it."
                )
            progress = json.loads(archive.read(PROGRESS_ENTRY))
        if progress["faces"] != data["faces"] or progress["steps"] != data["steps"]:
            raise ValueError(
                f"Expected {self.folder} to hold a run on as many faces. Received: {data['faces']} "
                f"faces, {data['steps']} steps an epoch; it was begun with {progress['faces']} and "
                f"{progress['steps']}. Use the same data to go on, or name another folder."
            )
        if other := differing_data(data, progress):
            raise ValueError(
                f"Expected {self.folder} to hold a run on the same faces and targets. Received: "
                f"other {other}. Use the data it was begun with, or name another folder."
            )
        done = progress["epochs_done"]
        rows = self.history()
        seen = [row for row in rows if row["epoch"] < done]
        if done - 1 not in [row["epoch"] for row in seen]:
            raise ValueError(
                f"Expected a row for each of {done} epochs in {self.folder / HISTORY_FILE}. The "
                "last one is not there. Put the file back, or name another folder."
            )
        if len(seen) < len(rows):
            self._write_history(seen)
        return done

    def history(self) -> list[dict]:
        """Return a row for each epoch so far."""
        file = self.folder / HISTORY_FILE
        return read_history(file).to_dict("records") if file.is_file() else []

    def add(self, row: dict, network: keras.Model, config: TrainingConfig, data: dict) -> None:
        """Save an epoch: its row of history first, then the network, each atomically.

        The network determines which epoch comes next; a row without its network is dropped then.
        After the last epoch it is saved without its optimiser, as training does not go on. One
        whose `val_loss` is not finite does not replace the last one whose is.

        Args:
            row: The epoch's row of history.
            network: The network after the epoch.
            config: Configuration of the run.
            data: Record of the data (see `data_record`), by which it is recognised.
        """
        rows = [*self.history(), row]
        self._write_history(rows)
        finished = int(row["epoch"]) + 1 == config.epochs
        if config.keep == "best" and best_row(rows, config) is row:
            if self.each_epoch:
                self._save(network, self.best)
            else:
                self._best_weights = network.get_weights()
        at_the_end = self.resumable and finished and config.keep == "last"
        if (self.each_epoch or at_the_end) and np.isfinite(row["val_loss"]):
            partial = self._save(network, self.folder / "partial.keras", optimizer=not finished)
            with zipfile.ZipFile(partial, "a") as archive:
                done = {"epochs_done": int(row["epoch"]) + 1, **data}
                archive.writestr(PROGRESS_ENTRY, json.dumps(done))
            os.replace(partial, self.last)

    def expect_finite(self, config: TrainingConfig) -> None:
        """Check that the epoch to be kept, of those so far, has a finite loss.

        Raises:
            DivergedError: If it has none, or, with `keep="best"`, no epoch has.
        """
        rows = self.history()
        best = config.keep == "best"
        if best_row(rows if best else rows[-1:], config) is None:
            ended, good = rows[-1]["epoch"] + 1, self._good_epoch(rows)
            kept = f" The network in {self.last} is the one after epoch {good}." if good else ""
            raise DivergedError(
                f"Expected a finite val_loss after {'any epoch' if best else f'epoch {ended}'}. "
                f"Received: {rows[-1]['val_loss']}{f' after epoch {ended}' if best else ''}, as "
                f"the training diverged.{kept} Train with a lower learning rate (or in float32, if "
                "it was in half precision) in another folder."
            )

    def restore_best(self, network: keras.Model) -> None:
        """Give a network the weights of the best epoch; leave its optimiser alone.

        The optimiser may be that of another phase.
        """
        if self._best_weights is not None:
            network.set_weights(self._best_weights)
            return
        optimizer, network.optimizer = getattr(network, "optimizer", None), None
        try:
            network.load_weights(self.best)
        finally:
            network.optimizer = optimizer

    def keep_best(self, network: keras.Model) -> None:
        """Write the best network of a finished run, if it has not been written yet."""
        if self.resumable and not self.each_epoch:
            self._save(network, self.best, optimizer=False)

    def _good_epoch(self, rows: list[dict]) -> int | None:
        """Return after which epoch the network was saved; None if there is none, or a bad one.

        Earlier versions also saved networks that had diverged.
        """
        if not self.last.is_file():
            return None
        with zipfile.ZipFile(self.last) as archive:
            done = json.loads(archive.read(PROGRESS_ENTRY))["epochs_done"]
        finite = [row["epoch"] + 1 for row in rows if np.isfinite(row["val_loss"])]
        return done if done in finite else None

    def _write_history(self, rows: list[dict]) -> None:
        _write_text(self.folder / HISTORY_FILE, pd.DataFrame(rows).to_csv(index=False))

    def _save(self, network: keras.Model, file: Path, *, optimizer: bool = True) -> Path:
        partial = file.with_name(f"saving-{file.name}")
        kept, network.optimizer = network.optimizer, network.optimizer if optimizer else None
        try:
            network.save(partial)
        except OSError:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            raise
        finally:
            network.optimizer = kept
        os.replace(partial, file)
        return file

    def remove(self) -> None:
        """Remove the folder and its contents."""
        shutil.rmtree(self.folder)


def read_history(file: Path) -> pd.DataFrame:
    """Return the history of a run, one row per epoch.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is damaged; names the file.
    """
    try:
        rows = pd.read_csv(file)
    except ValueError as error:  # from pandas, or from text that is not UTF-8
        raise ValueError(f"Expected the history of a run in {file}. Received: {error}.") from error
    wanted = ["epoch", "seconds"]
    if not set(wanted) <= set(rows) or not all(map(is_whole, rows["epoch"].tolist())):
        raise ValueError(
            f"Expected the history of a run in {file}, with the columns {wanted}. Received: "
            f"{list(rows)[:5]}. Put the file back, or name another folder."
        )
    return rows


def best_row(rows: list[dict], config: TrainingConfig) -> dict | None:
    """Return the row of the best epoch with a finite loss, the earliest one in case of ties.

    It is None if there is no such epoch. (NaN is taken for the first class, and may be right.)
    """
    finite = [row for row in rows if np.isfinite(row["val_loss"])]
    sign = MONITORS[config.monitor]
    return max(finite, key=lambda row: sign * row[config.monitor], default=None)


def has_diverged(rows: list[dict]) -> bool:
    """Return whether neither loss of the last epoch is finite.

    One alone may be in half precision, where the next epoch goes on from finite weights.
    """
    return bool(rows) and not np.isfinite([rows[-1]["loss"], rows[-1]["val_loss"]]).any()


def has_stopped(rows: list[dict], config: TrainingConfig, phase) -> bool:
    """Return whether a phase has diverged or was stopped early, judging from the history alone."""
    own = [row for row in rows if row["phase"] == phase.number]
    if has_diverged(own):
        return True
    if config.patience is None or not own:
        return False
    best = best_row(own, config)
    last_better = own[0]["epoch"] - 1 if best is None else best["epoch"]
    return own[-1]["epoch"] - last_better >= config.patience


def commit_id() -> str:
    """Return the commit of the working tree, with "-dirty" if it has changes.

    Outside git, and for an installed package, it is the value of `BUILDER_TOOLS_COMMIT` (for a copy
    of a commit on another machine), or "unknown".
    """
    repository = clone()
    if repository is None:
        return os.environ.get("BUILDER_TOOLS_COMMIT", "unknown")
    command = ["git", "-C", str(repository), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return os.environ.get("BUILDER_TOOLS_COMMIT", "unknown")


def _write_text(file: Path, text: str) -> None:
    partial = file.with_suffix(".partial")
    partial.write_text(text)
    os.replace(partial, file)
