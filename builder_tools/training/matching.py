"""Teachers that predict on exactly the faces a network is trained on (function matching).

Beyer et al., 2022, arXiv:2106.05237: a student learns most from a teacher that sees the same
warped and mixed image, over many epochs. So the teacher runs alongside the student in the
training graph, and the part left open by the targets is filled with its prediction: a row of
targets that sums to 0.7 gets 0.3 from the teacher, an unlabelled face (a row of zeros) only the
teacher.
"""

from __future__ import annotations

import keras
from keras import ops

from builder_tools.tasks import TASKS
from builder_tools.training.config import TrainingConfig
from builder_tools.training.losses import EmotionLoss


def expect_matching(config: TrainingConfig) -> None:
    """Refuse a configuration under which teachers cannot answer about the augmented faces.

    Raises:
        ValueError: If it caches features, or learns valence and arousal.
    """
    if config.feature_copies:
        raise ValueError(
            "Expected no cached features with teachers that answer about the augmented faces. "
            f"Received: {config.feature_copies} copies. Leave one of them out."
        )
    if TASKS[config.task].affect:
        raise ValueError(
            "Expected the task 'emotion' with teachers that answer about the augmented faces. "
            f"Received: {config.task!r}. Ask them about the stored faces, without matching."
        )


@keras.saving.register_keras_serializable("builder_tools")
class MatchingLoss(keras.losses.Loss):
    """An emotion loss whose targets are filled up with a teacher's predictions.

    Args:
        emotion: The loss of the student's probabilities.
    """

    def __init__(self, emotion: EmotionLoss, name="loss", **kwargs):
        super().__init__(name=name, **kwargs)
        self.emotion = emotion

    def call(self, y_true, y_pred):
        student, teacher = ops.split(y_pred, 2, axis=-1)
        target = ops.cast(y_true, "float32")
        left = 1 - ops.sum(target, axis=-1, keepdims=True)
        return self.emotion.call(target + left * ops.stop_gradient(teacher), student)

    def get_config(self):
        return {
            **super().get_config(),
            "emotion": keras.saving.serialize_keras_object(self.emotion),
        }

    @classmethod
    def from_config(cls, config):
        return cls(
            **{**config, "emotion": keras.saving.deserialize_keras_object(config["emotion"])}
        )
