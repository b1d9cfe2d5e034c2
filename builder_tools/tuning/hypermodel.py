"""The hypermodel: from a point in the search space to a network trained in two phases."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import pandas as pd

from builder_tools import training
from builder_tools.fields import check_positive, is_whole_in
from builder_tools.networks import (
    NETWORKS,
    PRETRAINED,
    build_network,
    check_network,
    set_trainable,
)
from builder_tools.training import (
    Samples,
    Stage,
    TrainingConfig,
    TrainingRun,
    fine_tuning_stages,
)
from builder_tools.training.checkpoints import DivergedError, best_row
from builder_tools.training.losses import EmotionLoss
from builder_tools.training.optimizers import build_optimizer
from builder_tools.tuning.space import ALL_LAYERS, SearchSpace, draw

OBJECTIVES = ("val_accuracy", "val_macro_f1")
"""Objectives that a search can maximise."""


class EmotionHyperModel(keras_tuner.HyperModel):
    """A network of the registry whose head and training are tuned.

    With weights to start from, a trial has two phases: the head alone, then also the backbone's
    last layers. From scratch it has only one.

    Args:
        network: Name in `NETWORKS`.
        num_classes: Number of outputs.
        space: What is tuned; the default `SearchSpace` if None.
        size: Side of the faces, px; the network's own if None.
        head_epochs: Epochs of the first phase; unused from scratch.
        epochs: Epochs of the second phase, or of the only one from scratch.
        weights: What the backbone starts from: None, `pretrained`, or a file.
        batch_size: Number of faces per step.
        precision: Keras dtype policy for training.
        patience: Number of epochs without a better objective after which a phase ends; None for
            never.
        seed: Seed of weights, order and augmentation; the same in every trial.
        feature_copies: Compute the output of frozen layers only once, for this number of augmented
            copies of each face (see `TrainingConfig`); 0 to compute it at every step.
        batch_norm_momentum: See `TrainingConfig`.
        epoch_faces: Number of faces per epoch (see `TrainingConfig`); None for all.
        each_epoch: Whether a killed trial resumes after its last complete epoch; otherwise it
            starts again, and no time is spent on checkpoints (see `train`).

    Raises:
        ValueError: If the network is unknown, or another argument is invalid.
    """

    def __init__(
        self,
        network: str = "vgg16",
        num_classes: int = 9,
        *,
        space: SearchSpace | None = None,
        size: int | None = None,
        head_epochs: int = 3,
        epochs: int = 10,
        weights: str | Path | None = None,
        batch_size: int = 64,
        precision: str = "mixed_bfloat16",
        patience: int | None = None,
        seed: int = 0,
        feature_copies: int = 0,
        batch_norm_momentum: float | None = None,
        epoch_faces: int | None = None,
        each_epoch: bool = True,
    ) -> None:
        if not is_whole_in(2)(num_classes):
            raise ValueError(f"Expected num_classes of at least 2. Received: {num_classes!r}.")
        if not is_whole_in(0)(head_epochs):
            raise ValueError(f"Expected head_epochs >= 0. Received: {head_epochs!r}.")
        if not isinstance(space, SearchSpace | None):
            raise ValueError(f"Expected space as a SearchSpace, or None. Received: {space!r}.")
        if not isinstance(weights, str | Path | None):
            raise ValueError(f"Expected weights as 'pretrained', a file, or None: {weights!r}.")
        if weights is None and space is not None and space.unfrozen is not None:
            raise ValueError(
                "Expected weights to begin from with layers to unfreeze: all layers of a network "
                f"from scratch learn in one phase. Received: unfrozen={space.unfrozen}."
            )
        check_positive(size=size)
        # A file of weights may still be made before the first trial.
        published = weights if weights == PRETRAINED else None
        check_network(network, () if size is None else (size,), published)
        super().__init__(name=network)
        self.network, self.num_classes = network, num_classes
        self.space = space or SearchSpace()
        self.size = size or NETWORKS[network].input_size
        self.head_epochs, self.epochs = head_epochs, epochs
        self.weights = None if weights is None else str(weights)
        self.batch_size, self.precision = batch_size, precision
        self.patience, self.seed, self.feature_copies = patience, seed, feature_copies
        self.batch_norm_momentum, self.epoch_faces = batch_norm_momentum, epoch_faces
        self.each_epoch = each_epoch
        self.config(keras_tuner.HyperParameters())  # refuses values that no trial could use

    def config(
        self, hp: keras_tuner.HyperParameters, *, monitor: str = "val_accuracy"
    ) -> TrainingConfig:
        """Return the configuration of a trial.

        Args:
            hp: `keras_tuner.HyperParameters`; everything that is tuned is declared in it.
            monitor: Figure that decides which epoch is best; name in `MONITORS`.
        """
        drawn = draw(self.space, hp, unfrozen=self._unfrozen())
        stages = (Stage(self.size, self.epochs),)
        if self.weights is not None:
            stages = fine_tuning_stages(
                self.size,
                head_epochs=self.head_epochs,
                epochs=self.epochs,
                unfrozen=drawn.unfrozen,
            )
        return TrainingConfig(
            network=self.network,
            weights=self.weights,
            stages=stages,
            batch_size=self.batch_size,
            precision=self.precision,
            patience=self.patience,
            seed=self.seed,
            feature_copies=self.feature_copies,
            batch_norm_momentum=self.batch_norm_momentum,
            epoch_faces=self.epoch_faces,
            monitor=monitor,
            keep="best",
            **drawn.fields,
        )

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Build the network of a trial, compiled at its peak learning rate.

        The schedule is set up by `fit`, which knows how many steps an epoch has.
        """
        config = self.config(hp)
        with _policy(config.precision):
            network = build_network(
                self.network, self.num_classes, self.size, head=config.head, weights=self.weights
            )
        set_trainable(network, config.stages[-1].trainable)
        rate = config.fine_tune_learning_rate or config.learning_rate
        network.compile(
            build_optimizer(config.optimizer, rate, weight_decay=config.weight_decay),
            EmotionLoss(label_smoothing=config.label_smoothing),
            metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
        )
        return network

    def fit(
        self,
        hp: keras_tuner.HyperParameters,
        model: keras.Model | None,
        train: Samples,
        valid: Samples,
        *,
        monitor: str = "val_accuracy",
        folder: str | Path | None = None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
    ) -> dict[str, float]:
        """Train a trial's network in its phases, or resume an interrupted training.

        Args:
            hp: The trial's hyperparameters.
            model: The network from `build`; it receives the best weights. None if they are not
                needed.
            train: Training faces.
            valid: Faces that the objective is measured on.
            monitor: Figure that decides which epoch is best.
            folder: Folder of the run; by default that of the trial known to KerasTuner's own
                callbacks, or else one that is removed afterwards.
            callbacks: Callbacks that are shown only the best epoch, which lets KerasTuner's own
                save the weights.

        Returns:
            Figures of the best epoch over all phases (`val_accuracy`, `val_macro_f1`,
            `val_loss`, `best_epoch`), and the cost of the trial: `epochs`, `seconds`,
            `parameters`.

        Raises:
            keras_tuner.errors.FailedTrialError: If no epoch ended with a finite loss.
        """
        config = self.config(hp, monitor=monitor)
        place = folder or None
        for callback in callbacks:  # KerasTuner's own belongs to a trial, which has a folder
            if place is None and hasattr(callback, "tuner") and hasattr(callback, "trial"):
                place = Path(callback.tuner.get_trial_dir(callback.trial.trial_id)) / "run"
        try:
            run = training.train(config, train, valid, place, each_epoch=self.each_epoch)
        except DivergedError as error:
            raise keras_tuner.errors.FailedTrialError(str(error)) from error
        figures = trial_figures(run, config)
        if model is not None:
            model.set_weights(run.model.get_weights())
            # The callbacks see only one epoch, the best.
            told = keras.callbacks.CallbackList(list(callbacks), model=model)
            epoch = int(figures["best_epoch"]) - 1
            told.on_train_begin()
            told.on_epoch_begin(epoch)
            told.on_epoch_end(epoch, dict(figures))
            told.on_train_end()
        return figures

    def to_dict(self) -> dict[str, Any]:
        """Return everything that determines the result of a trial, apart from the data."""
        later = {"feature_copies": 0, "batch_norm_momentum": None, "epoch_faces": None}
        return {
            "network": self.network,
            "num_classes": self.num_classes,
            "weights": self.weights,
            "size": self.size,
            "head_epochs": self.head_epochs if self.weights else 0,
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "precision": self.precision,
            "patience": self.patience,
            "seed": self.seed,
            "space": dataclasses.asdict(self.space),
            # only if set, so that searches begun before these options existed can be resumed
            **{name: own for name in later if (own := getattr(self, name)) != later[name]},
        }

    def _unfrozen(self) -> tuple[int | str, ...]:
        """Return what may be unfrozen in the second phase; empty if there is none."""
        if self.weights is None or not self.epochs:
            return ()
        if self.space.unfrozen is not None:
            return self.space.unfrozen
        own = NETWORKS[self.network].unfreeze
        return (ALL_LAYERS,) if own is None else (max(own // 2, 1), own, 2 * own)


def trial_figures(run: TrainingRun, config: TrainingConfig) -> dict[str, float]:
    """Return the figures of a run's best epoch, and the cost of the run."""
    best = best_row(run.history.to_dict("records"), config)
    assert best is not None, "a run that has diverged does not finish"
    return {
        **{name: float(best[name]) for name in ("val_accuracy", "val_macro_f1", "val_loss")},
        "best_epoch": float(best["epoch"] + 1),
        "epochs": float(len(run.history)),
        "seconds": float(pd.to_numeric(run.history["seconds"]).sum()),
        "parameters": float(run.model.count_params()),
    }


@contextlib.contextmanager
def _policy(name: str) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
