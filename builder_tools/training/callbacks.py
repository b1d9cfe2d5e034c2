"""What happens around the epochs of a run: seeds, validation, checkpoints, a progress bar."""

from __future__ import annotations

import sys
import time

import keras
import numpy as np

from builder_tools.augmentation import FaceBatches
from builder_tools.training.batches import FeatureCopies
from builder_tools.training.checkpoints import RunFolder, has_stopped
from builder_tools.training.config import TrainingConfig
from builder_tools.training.objectives import task_figures

DRAWS_PER_EPOCH = 1_000_000
"""Range reserved for the random draws of one epoch in a Keras seed generator's counter."""


def seed_generators(model: keras.Model, seed: int, count: int) -> None:
    """Set every random generator of a model from a seed and a count of draws."""
    generators = [v for v in model.variables if v.name == "seed_generator_state"]
    for number, state in enumerate(generators):
        # Back ends keep them in 64 bits, or in 32 with or without a sign.
        most = int(np.iinfo(state.dtype).max)
        state.assign([value % (most + 1) for value in (1000 * seed + number, count)])
    if keras.backend.backend() == "torch":  # whose dropout draws from one generator for all
        import torch

        torch.manual_seed((seed << 32) + count)


class EpochSeed(keras.callbacks.Callback):
    """Before each epoch, set the order and copy of faces and all random generators from the seed.

    Args:
        batches: The training batches.
        seed: Seed of the run.
        whole: The network with its augmentation; if only its upper part is trained, that draws
            the same random numbers as it would in the whole.
    """

    def __init__(self, batches: FaceBatches, seed: int, whole: keras.Model) -> None:
        super().__init__()
        self.batches, self.seed, self.whole = batches, seed, whole

    def on_epoch_begin(self, epoch, logs=None):
        self.batches.start_epoch(epoch)
        if isinstance(self.batches.images, FeatureCopies):
            self.batches.images.start_epoch(epoch)
        seed_generators(self.whole, self.seed, epoch * DRAWS_PER_EPOCH)


class AveragedWeights(keras.callbacks.SwapEMAWeights):
    """Put the averaged weights into the network from the end of an epoch to the next one's start.

    So they are what is evaluated and saved; training goes on from the others, which are kept in
    the optimiser. At the end of a stage both become the average.

    Args:
        in_network: Whether the network holds the average when training begins, which it does
            unless this is the first epoch of a phase.
    """

    def __init__(self, *, in_network: bool) -> None:
        super().__init__(swap_on_epoch=True)
        self._ema_weights_in_model = in_network

    def _backend_finalize_ema_values(self, optimizer):
        """Copy, because in JAX two variables that share an array would be donated together."""
        averages = optimizer._model_variables_moving_average
        for variable, average in zip(optimizer._trainable_variables, averages, strict=True):
            average.assign(keras.ops.copy(variable))


class Validation(keras.callbacks.Callback):
    """After each epoch, compute the metrics on validation faces (see `task_figures`).

    A teacher's outputs alongside those of the network are ignored.
    """

    def __init__(self, batches: FaceBatches, targets: np.ndarray, config: TrainingConfig) -> None:
        super().__init__()
        self.batches, self.targets, self.config = batches, targets, config

    def on_epoch_end(self, epoch, logs=None):
        found = self.model.predict(self.batches, verbose=0)[:, : self.targets.shape[1]]
        logs.update(task_figures(self.config, self.targets, found))


class Checkpoint(keras.callbacks.Callback):
    """After each epoch, save a row of history and the network; stop training if it is time."""

    def __init__(self, network: keras.Model, folder: RunFolder, config, phase, stage, data) -> None:
        super().__init__()
        self.network, self.folder, self.config = network, folder, config
        self.phase, self.stage, self.data = phase, stage, data

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        row = {"epoch": epoch, "phase": self.phase.number, "size": self.stage.size}
        row = {**row, "seconds": time.monotonic() - self.started, **(logs or {})}
        self.folder.add(row, self.network, self.config, self.data)
        if has_stopped(self.folder.history(), self.config, self.phase):
            self.model.stop_training = True


class Progress(keras.callbacks.Callback):
    """Show one progress bar per epoch on stderr."""

    def __init__(self, epochs: int, stage) -> None:
        super().__init__()
        self.epochs, self.stage = epochs, stage

    def on_epoch_begin(self, epoch, logs=None):
        from tqdm import tqdm

        self.bar = tqdm(
            total=self.params["steps"],
            desc=f"epoch {epoch + 1}/{self.epochs} at {self.stage.size} px",
            file=sys.stderr,
            mininterval=2,
        )

    def on_train_batch_end(self, batch, logs=None):
        self.bar.update()

    def on_epoch_end(self, epoch, logs=None):
        self.bar.set_postfix({name: f"{value:.4f}" for name, value in (logs or {}).items()})
        self.bar.close()
