"""What depends on a network's task: the layout of targets, losses and metrics.

Targets are laid out like the network's outputs: `(n, k)` shares of the emotions, `(n, 2)` valence
and arousal, or `(n, k + 2)` with both in this order.
"""

from __future__ import annotations

import keras
import numpy as np

from builder_tools.tasks import NUM_AFFECT, TASKS, Task
from builder_tools.training.config import TrainingConfig
from builder_tools.training.losses import (
    AffectLoss,
    EmotionAffectLoss,
    EmotionLoss,
    class_weights,
    concordances,
)


def build_loss(config: TrainingConfig, targets: np.ndarray) -> keras.losses.Loss:
    """Return the loss specified by a configuration.

    Args:
        config: Configuration of the run.
        targets: Targets of the training faces, for class weights.

    Raises:
        ValueError: If classes are to be weighted and one has no faces.
    """
    task, emotion = TASKS[config.task], None
    if task.emotions:
        emotion = EmotionLoss(
            class_weights(task.split(targets)[0], config.class_weight_power),
            config.focal_gamma,
            config.label_smoothing,
        )
    if not task.affect:
        return emotion
    affect = AffectLoss(config.ccc_weight, config.mse_weight)
    return affect if emotion is None else EmotionAffectLoss(emotion, affect, config.affect_weight)


def training_metrics(task: Task) -> list[keras.metrics.Metric]:
    """Return the metrics computed while training: accuracy if there are emotions."""
    counted = FirstColumnsAccuracy if task.affect else keras.metrics.CategoricalAccuracy
    return [counted(name="accuracy")] if task.emotions else []


class FirstColumnsAccuracy(keras.metrics.CategoricalAccuracy):
    """Accuracy of the emotions in rows that also hold valence and arousal."""

    def update_state(self, y_true, y_pred, sample_weight=None):
        emotions = (slice(None), slice(None, -NUM_AFFECT))
        return super().update_state(y_true[emotions], y_pred[emotions], sample_weight)


def task_figures(config: TrainingConfig, targets: np.ndarray, found: np.ndarray) -> dict:
    """Return the metrics of an epoch on validation faces.

    Args:
        config: Configuration of the run.
        targets: `(n, width)` targets.
        found: `(n, width)` outputs.

    Returns:
        `val_loss` (without class weights, focus and smoothing, over all faces at once), and, if
        the task has them, `val_accuracy`, `val_macro_f1`, `val_ccc` (mean of valence and arousal),
        `val_rmse` (root of the mean squared error over both).
    """
    task = TASKS[config.task]
    classes, places = task.split(targets)
    found_classes, found_places = task.split(found)
    figures = {} if classes is None else validation_figures(classes, found_classes)
    if places is None:
        return figures
    affect = affect_figures(places, found_places)
    own_loss = (
        config.ccc_weight * (1 - affect["val_ccc"]) + config.mse_weight * affect["val_rmse"] ** 2
    )
    weight = config.affect_weight if classes is not None else 1.0
    return figures | affect | {"val_loss": figures.get("val_loss", 0.0) + weight * own_loss}


def validation_figures(targets: np.ndarray, found: np.ndarray) -> dict[str, float]:
    """Return `val_loss` (plain cross-entropy), `val_accuracy` and `val_macro_f1`.

    Args:
        targets: `(n, k)`, possibly soft; the largest is the label.
        found: `(n, k)` probabilities.
    """
    from sklearn.metrics import f1_score

    labels, predicted = targets.argmax(axis=1), found.argmax(axis=1)
    loss = -(targets * np.log(np.clip(found, 1e-7, 1))).sum(axis=1).mean()
    return {
        "val_loss": float(loss),
        "val_accuracy": float((labels == predicted).mean()),
        "val_macro_f1": float(
            f1_score(
                labels,
                predicted,
                labels=range(targets.shape[1]),
                average="macro",
                zero_division=0,
            )
        ),
    }


def affect_figures(places: np.ndarray, found: np.ndarray) -> dict[str, float]:
    """Return `val_ccc` and `val_rmse` for places `(n, 2)`."""
    agreement = concordances(
        keras.ops.convert_to_tensor(places, "float32"),
        keras.ops.convert_to_tensor(found, "float32"),
    )
    squares = (np.asarray(places, np.float64) - found) ** 2
    return {
        "val_ccc": float(keras.ops.convert_to_numpy(agreement).mean()),
        "val_rmse": float(np.sqrt(squares.mean())),
    }
