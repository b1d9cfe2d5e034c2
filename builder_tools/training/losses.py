"""The loss of the study: cross-entropy with soft targets, class weights and focus."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable("builder_tools")
class EmotionLoss(keras.losses.Loss):
    """Cross-entropy of probabilities with targets that may be soft.

    `-sum_k w_k * y_k * (1 - p_k) ** gamma * log(p_k)`: `gamma` is that of the focal loss (Lin et
    al., 2017, arXiv:1708.02002), `y` the smoothed target (Szegedy et al., 2016,
    arXiv:1512.00567).

    Args:
        class_weights: One a class, or None for 1.
        gamma: 0 is plain cross-entropy.
        label_smoothing: Share of each target that is spread over all classes.
    """

    def __init__(self, class_weights=None, gamma=0.0, label_smoothing=0.0, name="loss", **kwargs):
        super().__init__(name=name, **kwargs)
        self.class_weights = None if class_weights is None else [float(w) for w in class_weights]
        self.gamma, self.label_smoothing = float(gamma), float(label_smoothing)

    def call(self, y_true, y_pred):
        predicted = ops.clip(ops.cast(y_pred, "float32"), 1e-7, 1.0)
        target = ops.cast(y_true, "float32")
        if self.label_smoothing:
            share = self.label_smoothing
            target = target * (1 - share) + share / target.shape[-1]
        terms = -target * ops.log(predicted)
        if self.gamma:
            terms = terms * ops.power(1 - predicted, self.gamma)
        if self.class_weights is not None:
            terms = terms * ops.convert_to_tensor(self.class_weights, "float32")
        return ops.sum(terms, axis=-1)

    def get_config(self):
        own = {
            "class_weights": self.class_weights,
            "gamma": self.gamma,
            "label_smoothing": self.label_smoothing,
        }
        return {**super().get_config(), **own}


def class_weights(targets: np.ndarray, power: float) -> np.ndarray | None:
    """Gives a weight a class: inverse frequency to a power, 1 for the average face.

    Args:
        targets: `(n, k)` of the training faces; each class must have some mass.
        power: 0 gives None (no weights), 1 makes every class count the same.

    Raises:
        ValueError: If a class has no face.
    """
    if not power:
        return None
    shares = targets.mean(axis=0)
    if not shares.all():
        absent = np.flatnonzero(shares == 0).tolist()
        raise ValueError(
            f"Expected a face of every class to weight classes. Received: none with label "
            f"{absent}. Add some, or set class_weight_power to 0."
        )
    weights = shares**-power
    return weights / (weights * shares).sum()
