"""Distillation of a face network, one that tells people apart, into a network with random weights.

Both see the same augmented face. The student's pooled features, projected, learn the direction of
the teacher's embedding from the mean embedding; the loss is `1 - cosine`. No labels are used.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from keras import layers, ops

from builder_tools.augmentation import FaceBatches, augmentation_model, with_augmentation
from builder_tools.media import replacing
from builder_tools.networks import NETWORKS, PRETRAINED
from builder_tools.training import Samples, TrainingConfig
from builder_tools.training.callbacks import Checkpoint, EpochSeed, Progress
from builder_tools.training.checkpoints import RunFolder
from builder_tools.training.identity import data_record
from builder_tools.training.optimizers import SCHEDULES, build_optimizer

TEACHER = "face_mobilenet"
TEACHER_SIZE = 96
"""Side of the teacher's faces, enlarged from the student's, px."""
CENTRING_FACES = 2_048
"""Number of faces whose mean embedding is the origin of all directions."""
READERS = 4
"""Threads that prepare batches ahead of training."""


@keras.saving.register_keras_serializable("builder_tools_studies")
class DirectionLoss(keras.losses.Loss):
    """1 - cosine between the halves of each row: the student's output and the teacher's."""

    def __init__(self, name="loss", **kwargs):
        super().__init__(name=name, **kwargs)

    def call(self, y_true, y_pred):
        student, teacher = ops.split(ops.cast(y_pred, "float32"), 2, axis=-1)
        return 1 - cosines(student, ops.stop_gradient(teacher))


def cosines(one, other):
    """Return the cosine between the rows of two arrays `(n, d)`, as `(n,)`."""
    return ops.sum(ops.normalize(one, axis=-1) * ops.normalize(other, axis=-1), axis=-1)


def face_teacher(stored_px: int, faces: np.ndarray, *, size: int = TEACHER_SIZE) -> keras.Model:
    """Return the frozen teacher: from faces to its embedding minus the mean embedding.

    Args:
        stored_px: Side of the faces it is given, px.
        faces: `(n, stored_px, stored_px, 3)` uint8 that the mean is taken over.
        size: Side to which it enlarges them, px.
    """
    inputs = keras.Input((stored_px, stored_px, 3))
    backbone = NETWORKS[TEACHER].backbone(size, PRETRAINED)
    enlarged = layers.Resizing(size, size, dtype="float32")(inputs)
    embedding = layers.GlobalAveragePooling2D(dtype="float32")(backbone(enlarged))
    rows = np.random.default_rng(0).permutation(len(faces))[:CENTRING_FACES]
    plain = keras.Model(inputs, embedding)
    mean = plain.predict(faces[rows].astype(np.float32), verbose=0).mean(axis=0)
    centred = layers.Rescaling(1.0, offset=(-mean).tolist(), dtype="float32")(embedding)
    model = keras.Model(inputs, centred, name="teacher")
    model.trainable = False
    return model


def distil(
    config: TrainingConfig,
    faces: np.ndarray,
    valid: np.ndarray,
    folder: Path,
    *,
    minutes: float | None = None,
    make_teacher: Callable[[int, np.ndarray], keras.Model] = face_teacher,
) -> tuple[keras.Model, pd.DataFrame, dict]:
    """Train a network's backbone by distillation, or resume the run in a folder.

    Args:
        config: Network, one stage, learning rate, augmentation, as for any training; options
            about labels have no effect here.
        faces: Training faces, `(n, H, H, 3)` uint8.
        valid: Faces on which student and teacher are compared after each epoch.
        folder: Folder of the run.
        minutes: Start no epoch after this many minutes.
        make_teacher: Called as `make_teacher(H, faces)`; its model maps faces to `(n, d)`.

    Returns:
        The student's backbone; one row per epoch, `val_loss` = 1 - mean cosine on `valid`; the
        record the run was started with.

    Raises:
        ValueError: If the folder holds a run of another configuration or on other faces.
        RuntimeError: If the training diverged.
    """
    run_folder = RunFolder(folder)
    begun = run_folder.begin(config)
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(config.precision)
    try:
        keras.utils.set_random_seed(config.seed)
        backbone = NETWORKS[config.network].backbone(config.stages[-1].size, None)
        teacher = make_teacher(faces.shape[1], faces)
        network = _student(backbone, teacher.output_shape[-1])
        _fit(network, teacher, config, faces, valid, run_folder, minutes)
        return backbone, pd.DataFrame(run_folder.history()), begun
    finally:
        keras.config.set_dtype_policy(policy)


def write_backbone(backbone: keras.Model, network: str, file: Path) -> None:
    """Write only a backbone, in half precision, atomically; `--weights FILE` reads it.

    Raises:
        ValueError: If a weight is out of the range of half precision.
    """
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float16")
    try:
        half = NETWORKS[network].backbone(backbone.input_shape[1], None)
    finally:
        keras.config.set_dtype_policy(policy)
    weights = [weight.astype(np.float16) for weight in backbone.get_weights()]
    if not all(np.isfinite(weight).all() for weight in weights):
        raise ValueError(f"Expected weights within half precision. Received: {network}'s are not.")
    half.set_weights(weights)
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as partial:
        whole = partial.with_name(f"{partial.name}.keras")
        half.save(whole)
        whole.replace(partial)


def _student(backbone: keras.Model, width: int) -> keras.Model:
    """Return the backbone with pooling and a projection to the width of the teacher's embedding."""
    inputs = keras.Input(backbone.input_shape[1:])
    features = backbone(inputs)
    pooled = layers.GlobalAveragePooling2D(dtype="float32")(features)
    projected = layers.Dense(width, dtype="float32", name="projection")(pooled)
    return keras.Model(inputs, projected, name="student")


def _fit(network, teacher, config: TrainingConfig, faces, valid, folder: RunFolder, minutes):
    nothing = np.zeros((len(faces), 1), np.float32)
    options = {"batch_size": config.batch_size, "shuffle_seed": config.seed, "workers": READERS}
    batches = FaceBatches(faces, nothing, **options)
    none_of_valid = np.zeros((len(valid), 1), np.float32)
    data = data_record(len(batches), Samples(faces, nothing), Samples(valid, none_of_valid))
    done = folder.epochs_done(data)
    if done == config.epochs:
        network.load_weights(folder.last)
        return
    schedule = SCHEDULES[config.schedule](
        config.learning_rate,
        steps=config.epochs * len(batches),
        epoch_steps=len(batches),
        warmup_epochs=config.warmup_epochs,
        decay_rate=config.decay_rate,
    )
    optimizer = build_optimizer(config.optimizer, schedule, weight_decay=config.weight_decay)
    network.compile(optimizer, DirectionLoss())
    # the one compiled, which scales the loss if the precision is mixed_float16
    network.optimizer.build(network.trainable_variables)
    if done:
        network.load_weights(folder.last)
    stage, augment = config.stages[-1], augmentation_model(config.augmentation)
    model = with_augmentation(network, augment, size=stage.size, channels=3, teacher=teacher)
    model.compile(network.optimizer, DirectionLoss())
    model.fit(
        batches,
        shuffle=False,
        initial_epoch=done,
        epochs=config.epochs,
        verbose=0,
        callbacks=[
            EpochSeed(batches, config.seed, model),
            _Comparison(FaceBatches(valid, none_of_valid, batch_size=config.batch_size)),
            Progress(config.epochs, stage),
            Checkpoint(network, folder, config, config.phases[-1], stage, data),
            _Deadline(minutes),
        ],
    )
    folder.expect_finite(config)


class _Comparison(keras.callbacks.Callback):
    """After each epoch, logs 1 - mean cosine on unaugmented faces."""

    def __init__(self, batches: FaceBatches) -> None:
        super().__init__()
        self.batches = batches

    def on_epoch_end(self, epoch, logs=None):
        halves = np.split(self.model.predict(self.batches, verbose=0), 2, axis=-1)
        logs["val_loss"] = 1 - float(ops.mean(cosines(*halves)))


class _Deadline(keras.callbacks.Callback):
    """Ends training after the epoch in which its minutes run out."""

    def __init__(self, minutes: float | None) -> None:
        super().__init__()
        self.ends_at = time.monotonic() + (math.inf if minutes is None else 60 * minutes)

    def on_epoch_end(self, epoch, logs=None):
        if time.monotonic() > self.ends_at:
            self.model.stop_training = True
