"""The run itself: build, fit phase by phase, resume where it stopped."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from builder_tools.augmentation import FaceBatches, augmentation_model, with_augmentation
from builder_tools.journal import only_one_in
from builder_tools.networks import (
    NETWORKS,
    PRETRAINED,
    build_network,
    fused_batch_norm,
    load_head_weights,
    restore_batch_norm,
    set_batch_norm_momentum,
    set_trainable,
)
from builder_tools.networks.head import divide_by_weights
from builder_tools.tasks import TASKS
from builder_tools.training.batches import BatchChanges, StreamedBatches
from builder_tools.training.callbacks import (
    AveragedWeights,
    Checkpoint,
    EpochSeed,
    Progress,
    Validation,
)
from builder_tools.training.checkpoints import RunFolder, has_diverged, has_stopped
from builder_tools.training.config import Phase, Stage, TrainingConfig
from builder_tools.training.features import cached_features, split_at_frozen
from builder_tools.training.identity import data_record
from builder_tools.training.losses import class_weights
from builder_tools.training.matching import MatchingLoss, expect_matching
from builder_tools.training.objectives import (
    build_loss,
    training_metrics,
)
from builder_tools.training.optimizers import SCHEDULES, build_optimizer

VALIDATION_BATCH = 256
CALIBRATION_FACES = 256
READERS = 4
"""Number of threads that prepare batches ahead of training."""


@dataclass(frozen=True)
class Samples:
    """Faces and their targets.

    Args:
        images: `(n, H, W[, 3])` uint8, or `ResizedImages`, which are decoded on demand.
        targets: `(n, k)` float32, rows sum to 1; for the tasks `va` and `both`, valence and
            arousal `(n, 2)` instead of or after them (see `training.objectives`).
    """

    images: np.ndarray
    targets: np.ndarray


@dataclass(frozen=True)
class TrainingRun:
    """A finished run: the network, its history (one row per epoch), its initial configuration.

    The network is as trained: class weights in the loss still affect its probabilities.
    """

    model: keras.Model
    history: pd.DataFrame
    config: dict


def train(
    config: TrainingConfig,
    train: Samples,
    valid: Samples,
    folder: str | Path | None,
    *,
    tensorboard: bool = False,
    teacher: keras.Model | None = None,
    each_epoch: bool = True,
) -> TrainingRun:
    """Train a network, or resume the run in `folder`.

    Args:
        config: The configuration; must equal the one the folder was started with.
        train: Training faces.
        valid: Faces for the curves, early stopping and the choice of the best epoch.
        folder: Folder of the run; None for a run that need not survive being killed.
        tensorboard: Write TensorBoard logs to `folder/tensorboard`.
        teacher: A model from stored faces `(n, H, W, 3)` to probabilities `(n, k)`: the part left
            open by the training targets is filled with its prediction on the same augmented face
            (see `training.matching`). For the task `emotion`.
        each_epoch: Write a checkpoint after each epoch; otherwise only the network at the end, as
            short runs of large networks spend half their time writing. Such a run starts over if
            it is killed.

    Returns:
        The `TrainingRun`.

    Raises:
        ValueError: If the folder holds a run with another configuration, other faces or other
            targets, or faces and targets are invalid, differ in shape, or do not suit the
            configuration's task.
        BlockingIOError: If another process is training in the folder.
        DivergedError: A RuntimeError: if the loss is not finite after the epoch to be kept. A
            phase that diverges ends with that epoch; with `keep="best"`, the best one so far is
            gone on from.
    """
    _expect_samples(train, valid)
    for part in (train, valid):
        TASKS[config.task].check_targets(part.targets)
    if teacher is not None:
        expect_matching(config)
    run_folder = RunFolder(
        Path(folder or tempfile.mkdtemp(prefix="run-")),
        resumable=folder is not None,
        each_epoch=each_epoch,
    )
    begun = run_folder.begin(config)
    with only_one_in(run_folder.folder):
        keras.utils.set_random_seed(config.seed)
        policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy(config.precision)
        try:
            session = _Session(config, train, valid, run_folder, tensorboard, teacher)
            network = session.run()
            return TrainingRun(network, pd.DataFrame(run_folder.history()), begun)
        except (ValueError, OSError):
            run_folder.forget_unless_trained()
            raise
        finally:
            keras.config.set_dtype_policy(policy)
            if folder is None:
                run_folder.remove()


def _expect_samples(train: Samples, valid: Samples) -> None:
    shapes = []
    for name, part in {"train": train, "valid": valid}.items():
        if not isinstance(part, Samples):
            raise ValueError(f"Expected {name} as Samples. Received: {type(part).__name__}.")
        faces, targets = (getattr(array, "shape", ()) for array in (part.images, part.targets))
        dtype = getattr(part.images, "dtype", np.dtype(np.uint8))
        if len(faces) not in (3, 4) or faces[3:] not in ((), (3,)) or dtype != np.uint8:
            raise ValueError(
                f"Expected {name} faces (n, H, W) or (n, H, W, 3) uint8. Received: {faces}, "
                f"{dtype}."
            )
        is_array = isinstance(part.targets, np.ndarray)
        if not is_array or len(targets) != 2 or targets[0] != faces[0] or not faces[0]:
            raise ValueError(
                f"Expected {name} targets as an array (n, k), a row for each of at least one face. "
                f"Received: {type(part.targets).__name__} {targets} for {faces[0]} faces."
            )
        if not np.isfinite(part.targets).all():
            raise ValueError(f"Expected finite {name} targets. Received: NaN or infinity.")
        shapes.append((targets[1], faces[3:]))
    if shapes[0] != shapes[1]:
        raise ValueError(
            "Expected train and valid with as many targets and channels. Received: targets "
            f"{np.shape(train.targets)} and {np.shape(valid.targets)}, faces "
            f"{np.shape(train.images)} and {np.shape(valid.images)}."
        )


class _Session:
    """One call of `train`: the state that all phases share."""

    def __init__(
        self, config, train: Samples, valid: Samples, folder: RunFolder, tensorboard, teacher
    ):
        self.config, self.train, self.valid, self.folder = config, train, valid, folder
        self.tensorboard, self.teacher = tensorboard, teacher
        self.task = TASKS[config.task]
        self.steps = len(self._batches(train.images))
        self.data = data_record(self.steps, train, valid)

    def run(self) -> keras.Model:
        done = self.folder.epochs_done(self.data)
        network = self._network(weights=None if done else self.config.weights)
        phases = self.config.phases
        begun = self.folder.history()[-1]["phase"] if done else -1
        if done == self.config.epochs:
            network.load_weights(self.folder.last)
            self._compile(network, phases[begun])
        elif done:
            self._compile(network, phases[begun])
            network.load_weights(self.folder.last)
        for phase in phases[max(begun, 0) :]:
            if done >= phase.end_epoch or self._has_stopped(phase):
                continue
            if phase.number != begun:
                if phase.number and self.config.keep == "best":
                    self.folder.expect_finite(self.config)
                    self.folder.restore_best(network)
                self._compile(network, phase)
            for stage, first, last in phase.stage_epochs():
                if done < last and not self._has_stopped(phase):
                    self._fit_stage(network, phase, stage, max(first, done), last)
            if has_diverged(self.folder.history()):
                self.folder.expect_finite(self.config)
            done = phase.end_epoch
        self.folder.expect_finite(self.config)
        if self.config.keep == "best":
            self.folder.restore_best(network)
            self.folder.keep_best(network)
        return network

    def _network(self, weights: str | None) -> keras.Model:
        size = None if NETWORKS[self.config.network].any_size else self.config.input_size
        network = build_network(
            self.config.network,
            self.train.targets.shape[1] - self.task.num_affect,
            size,
            head=self.config.head,
            weights=weights,
        )
        if weights and self.config.keep_head:
            load_head_weights(network, weights)
            classes, _ = self.task.split(self.train.targets)
            tilt = class_weights(classes, self.config.class_weight_power)
            if tilt is not None:
                divide_by_weights(network, 1 / tilt)
        if weights == PRETRAINED and NETWORKS[self.config.network].folded:
            rows = np.random.default_rng(self.config.seed).permutation(len(self.train.images))
            faces = self.train.images[rows[:CALIBRATION_FACES]]
            faces = np.repeat(faces[..., None], 3, axis=-1) if faces.ndim == 3 else faces
            sides = (self.config.stages[0].size,) * 2
            faces = keras.ops.image.resize(faces.astype(np.float32), sides, antialias=True)
            restore_batch_norm(network.get_layer("backbone"), keras.ops.convert_to_numpy(faces))
        if self.config.batch_norm_momentum is not None:
            set_batch_norm_momentum(network, self.config.batch_norm_momentum)
        return network

    def _has_stopped(self, phase: Phase) -> bool:
        return has_stopped(self.folder.history(), self.config, phase)

    def _compile(self, network: keras.Model, phase: Phase) -> None:
        config = self.config
        set_trainable(network, phase.trainable)
        rate = config.learning_rate
        if phase.number and config.fine_tune_learning_rate:
            rate = config.fine_tune_learning_rate
        schedule = SCHEDULES[config.schedule](
            rate,
            steps=phase.epochs * self.steps,
            epoch_steps=self.steps,
            warmup_epochs=config.warmup_epochs,
            decay_rate=config.decay_rate,
        )
        optimizer = build_optimizer(
            config.optimizer,
            schedule,
            weight_decay=config.weight_decay,
            ema_decay=config.ema_decay,
        )
        network.compile(optimizer, build_loss(config, self.train.targets))
        # the one compiled, which scales the loss if the precision is mixed_float16
        network.optimizer.build(network.trainable_variables)

    def _fit_stage(self, network, phase: Phase, stage: Stage, first: int, last: int) -> None:
        config, train, valid = self.config, self.train.images, self.valid.images
        whole = with_augmentation(
            network,
            augmentation_model(config.augmentation),
            size=stage.size,
            channels=1 if len(train.shape) == 3 else 3,
            teacher=self.teacher,
        )
        model, changes = whole, BatchChanges(config.degrade, config.mixup, config.cutmix)
        parts = split_at_frozen(network) if config.feature_copies else None
        if parts:
            below, model = parts
            train = cached_features(below, train, config, size=stage.size, augmented=True)
            valid = cached_features(below, valid, config, size=stage.size, augmented=False)
            changes = None
        if self.teacher is None:
            model.compile(network.optimizer, network.loss, metrics=training_metrics(self.task))
        else:
            model.compile(network.optimizer, MatchingLoss(network.loss))
        batches = self._batches(train, changes)
        judged = FaceBatches(valid, self.valid.targets, batch_size=VALIDATION_BATCH)
        callbacks = [
            EpochSeed(batches, config.seed, whole),
            Validation(judged, self.valid.targets, config),
            *self._callbacks(network, phase, stage),
        ]
        if config.ema_decay:
            callbacks.insert(0, AveragedWeights(in_network=first > phase.first_epoch))
        with fused_batch_norm(network):
            model.fit(
                batches,
                shuffle=False,
                initial_epoch=first,
                epochs=last,
                verbose=0,
                callbacks=callbacks,
            )

    def _batches(self, images, changes: BatchChanges | None = None) -> FaceBatches:
        targets, config = self.train.targets, self.config
        in_memory = isinstance(self.train.images, np.ndarray)
        # TensorFlow reads ahead on its own.
        ahead = in_memory and keras.backend.backend() == "tensorflow"
        options = {
            "batch_size": config.batch_size,
            "shuffle_seed": config.seed,
            "balanced": config.balanced_batches,
            "classes": self.task.split(targets)[0],
            "workers": 1 if ahead else READERS,
            "changes": changes or None,
        }
        if config.epoch_faces is None:
            return FaceBatches(images, targets, **options)
        return StreamedBatches(images, targets, epoch_faces=config.epoch_faces, **options)

    def _callbacks(self, network, phase, stage) -> list[keras.callbacks.Callback]:
        callbacks = [
            Progress(self.config.epochs, stage),
            Checkpoint(network, self.folder, self.config, phase, stage, self.data),
        ]
        if self.tensorboard:
            logs = self.folder.folder / "tensorboard"
            callbacks.append(keras.callbacks.TensorBoard(logs, write_graph=False))
        return callbacks
