"""Training: one run = a configuration, a folder, and as many sessions as it takes.

The folder holds `config.json` (written once), `last.keras` (network, optimiser and schedule
after the last whole epoch) and `history.csv` (one row an epoch). Calling `train` again with the
same folder goes on where it stopped. The order of the faces, the augmentation and dropout
follow from seed and epoch alone, so a run in several sessions ends with the weights of a run in
one.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from builder_tools.augmentation import (
    AugmentationStrength,
    FaceBatches,
    augmentation_model,
    with_augmentation,
)
from builder_tools.networks import NETWORKS, build_network

DRAWS_PER_EPOCH = 1_000_000
"""Room for the random draws of one epoch in the counter of a Keras seed generator."""


@dataclass(frozen=True)
class Stage:
    """Some epochs at one picture size (pixels)."""

    size: int
    epochs: int


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides how a run goes, apart from the data.

    Args:
        network: Name in `NETWORKS`.
        stages: Progressive picture size; small first, the deployed size last.
        batch_size: Faces a step.
        learning_rate: Peak of the warmed-up cosine schedule, which ends at 0.
        weight_decay: Decoupled (AdamW); biases and normalisation are left out.
        warmup_epochs: Linear warm-up.
        precision: Keras dtype policy: `mixed_bfloat16` or `float32`.
        seed: Of the weights, the order and the augmentation.
        augmentation: How far faces are changed.
    """

    network: str = "compact"
    stages: tuple[Stage, ...] = (Stage(32, 14), Stage(40, 10), Stage(48, 12))
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    warmup_epochs: int = 1
    precision: str = "mixed_bfloat16"
    seed: int = 0
    augmentation: AugmentationStrength = field(default_factory=AugmentationStrength)

    def __post_init__(self) -> None:
        if self.network not in NETWORKS:
            raise ValueError(f"Expected network of {list(NETWORKS)}. Received: {self.network!r}.")
        if not self.stages or min(min(s.size, s.epochs) for s in self.stages) < 1:
            raise ValueError(f"Expected stages of at least 1 px and 1 epoch. Got: {self.stages}.")

    @property
    def epochs(self) -> int:
        return sum(stage.epochs for stage in self.stages)

    def to_dict(self) -> dict:
        """Gives the configuration as plain JSON values."""
        return json.loads(json.dumps(dataclasses.asdict(self)))


@dataclass(frozen=True)
class Samples:
    """Faces and their targets: `images (n, H, W[, 3])` uint8, `targets (n, k)` summing to 1."""

    images: np.ndarray
    targets: np.ndarray


@dataclass(frozen=True)
class TrainingRun:
    """A finished run: the network and its history (one row an epoch)."""

    model: keras.Model
    history: pd.DataFrame
    config: dict


def train(config: TrainingConfig, train: Samples, valid: Samples, folder: str | Path):
    """Trains a network, or goes on with the run in `folder`.

    Args:
        config: How; must equal the one the folder was begun with.
        train: Training faces.
        valid: Faces for the curves; nothing is chosen by them.
        folder: Where the run lives.

    Returns:
        The `TrainingRun`.

    Raises:
        ValueError: If the folder holds a run of another configuration or other faces.
    """
    folder = Path(folder)
    started = _begin(config, folder)
    keras.utils.set_random_seed(config.seed)
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(config.precision)
    try:
        model = _model(config, train, folder)
        done = _epochs_done(model, config, train, folder)
        for stage, first, last in _stage_epochs(config):
            if done < last:
                _fit(model, config, stage, train, valid, folder, max(first, done), last)
    finally:
        keras.config.set_dtype_policy(policy)
    return TrainingRun(model, pd.DataFrame(_history(folder)), started)


def commit_id() -> str:
    """Gives the commit the working tree stands at, "-dirty" if changed, "unknown" outside git."""
    repository = Path(__file__).resolve().parents[1]
    command = ["git", "-C", str(repository), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _begin(config: TrainingConfig, folder: Path) -> dict:
    file = folder / "config.json"
    if not file.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        begun = {
            **config.to_dict(),
            "commit": commit_id(),
            "backend": keras.backend.backend(),
            "keras": keras.__version__,
        }
        _write_text(file, json.dumps(begun, indent=2))
    begun = json.loads(file.read_text())
    other = {k: begun.get(k) for k, v in config.to_dict().items() if begun.get(k) != v}
    if other:
        raise ValueError(
            f"Expected {folder} to hold a run of the same configuration. It was begun with "
            f"{other}. Use those values to go on, or name another folder."
        )
    return begun


def _model(config: TrainingConfig, samples: Samples, folder: Path) -> keras.Model:
    """Builds network and optimiser anew, then takes their state from the checkpoint.

    A loaded model would do but for its optimiser: it forgets what weight decay leaves out.
    """
    model = build_network(config.network, samples.targets.shape[1])
    model.compile(_optimizer(config, _steps(config, samples)), "categorical_crossentropy")
    model.optimizer.build(model.trainable_variables)
    if (folder / "last.keras").is_file():
        model.load_weights(folder / "last.keras")
    return model


def _steps(config: TrainingConfig, samples: Samples) -> int:
    return math.ceil(len(samples.images) / config.batch_size)


def _optimizer(config: TrainingConfig, steps: int) -> keras.optimizers.Optimizer:
    warmup = config.warmup_epochs * steps
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0,
        decay_steps=max(config.epochs * steps - warmup, 1),
        warmup_target=config.learning_rate,
        warmup_steps=warmup,
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=config.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def _epochs_done(model: keras.Model, config, samples: Samples, folder: Path) -> int:
    """Gives the whole epochs behind the model, which may be one fewer than rows of history."""
    done, rest = divmod(int(model.optimizer.iterations), _steps(config, samples))
    if rest:
        raise ValueError(
            f"Expected {folder} to hold a run on as many faces. Received: "
            f"{len(samples.images)} faces, which do not fit {int(model.optimizer.iterations)} "
            "steps. Use the same data to go on, or name another folder."
        )
    return done


def _stage_epochs(config: TrainingConfig):
    first = 0
    for stage in config.stages:
        yield stage, first, first + stage.epochs
        first += stage.epochs


def _fit(network, config, stage, train, valid, folder, first, last) -> None:
    model = with_augmentation(
        network,
        augmentation_model(config.augmentation),
        size=stage.size,
        channels=1 if train.images.ndim == 3 else 3,
    )
    model.compile(network.optimizer, network.loss, metrics=["categorical_accuracy"])
    batches = FaceBatches(
        train.images, train.targets, batch_size=config.batch_size, shuffle_seed=config.seed
    )
    model.fit(
        batches,
        shuffle=False,
        validation_data=FaceBatches(valid.images, valid.targets, batch_size=256),
        initial_epoch=first,
        epochs=last,
        verbose=0,
        callbacks=[
            _EpochSeed(batches, config.seed),
            _Progress(config.epochs, stage.size),
            _Checkpoint(network, folder, stage.size),
        ],
    )


class _EpochSeed(keras.callbacks.Callback):
    """Before each epoch: order of the faces and every random generator, from seed and epoch."""

    def __init__(self, batches: FaceBatches, seed: int) -> None:
        super().__init__()
        self.batches, self.seed = batches, seed

    def on_epoch_begin(self, epoch, logs=None):
        self.batches.start_epoch(epoch)
        generators = [v for v in self.model.variables if v.name == "seed_generator_state"]
        for number, state in enumerate(generators):
            state.assign([1000 * self.seed + number, epoch * DRAWS_PER_EPOCH])


class _Checkpoint(keras.callbacks.Callback):
    """After each epoch: its row of history first, then the model, each atomically.

    The model decides which epoch comes next; a row without its model is written again.
    """

    def __init__(self, network: keras.Model, folder: Path, size: int) -> None:
        super().__init__()
        self.network, self.folder, self.size = network, folder, size

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        partial = self.folder / "partial.keras"
        self.network.save(partial)
        row = {"epoch": epoch, "size": self.size, "seconds": time.monotonic() - self.started}
        earlier = [row for row in _history(self.folder) if row["epoch"] < epoch]
        history = pd.DataFrame([*earlier, {**row, **(logs or {})}])
        _write_text(self.folder / "history.csv", history.to_csv(index=False))
        os.replace(partial, self.folder / "last.keras")


class _Progress(keras.callbacks.Callback):
    """One bar an epoch on stderr."""

    def __init__(self, epochs: int, size: int) -> None:
        super().__init__()
        self.epochs, self.size = epochs, size

    def on_epoch_begin(self, epoch, logs=None):
        from tqdm import tqdm

        self.bar = tqdm(
            total=self.params["steps"],
            desc=f"epoch {epoch + 1}/{self.epochs} at {self.size} px",
            file=sys.stderr,
            mininterval=2,
        )

    def on_train_batch_end(self, batch, logs=None):
        self.bar.update()

    def on_epoch_end(self, epoch, logs=None):
        self.bar.set_postfix({name: f"{value:.4f}" for name, value in (logs or {}).items()})
        self.bar.close()


def _history(folder: Path) -> list[dict]:
    file = folder / "history.csv"
    return pd.read_csv(file).to_dict("records") if file.is_file() else []


def _write_text(file: Path, text: str) -> None:
    partial = file.with_suffix(".partial")
    partial.write_text(text)
    os.replace(partial, file)
