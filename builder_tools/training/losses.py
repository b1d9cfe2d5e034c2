"""The losses of the study.

Cross-entropy with soft targets, class weights and focus; concordance and squared error for valence
and arousal; and their sum for networks with both.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from builder_tools.tasks import NUM_AFFECT


@keras.saving.register_keras_serializable("builder_tools")
class EmotionLoss(keras.losses.Loss):
    """Cross-entropy of probabilities with targets that may be soft.

    `-sum_k w_k * y_k * (1 - p_k) ** gamma * log(p_k)`: `gamma` is that of the focal loss (Lin et
    al., 2017, arXiv:1708.02002), `y` the smoothed target (Szegedy et al., 2016,
    arXiv:1512.00567).

    Args:
        class_weights: One weight per class; None means 1 for all.
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
            # The gradient of a power below 1 is infinite at 0.
            terms = terms * ops.power(ops.maximum(1 - predicted, 1e-7), self.gamma)
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


@keras.saving.register_keras_serializable("builder_tools")
class AffectLoss(keras.losses.Loss):
    """Lack of agreement in valence and arousal, plus their squared error.

    `ccc_weight * (1 - mean CCC of the two over the batch) + mse_weight * mean squared error`. The
    CCC (Lin, 1989, Biometrics 45) measures order, spread and level over a whole batch, which keeps
    predictions from shrinking to the mean, as the squared error alone would allow; the squared
    error constrains every face.

    Args:
        ccc_weight: Weight of the first term, >= 0.
        mse_weight: Weight of the second term, >= 0.
    """

    def __init__(self, ccc_weight=1.0, mse_weight=1.0, name="loss", **kwargs):
        super().__init__(name=name, **kwargs)
        self.ccc_weight, self.mse_weight = float(ccc_weight), float(mse_weight)

    def call(self, y_true, y_pred):
        target, predicted = ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")
        terms = self.mse_weight * ops.mean(ops.square(predicted - target), axis=-1)
        if self.ccc_weight:
            # One number per batch: added to each of its faces, it is unchanged in their mean.
            terms = terms + self.ccc_weight * (1 - ops.mean(concordances(target, predicted)))
        return terms

    def get_config(self):
        own = {"ccc_weight": self.ccc_weight, "mse_weight": self.mse_weight}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("builder_tools")
class EmotionAffectLoss(keras.losses.Loss):
    """The loss of emotions plus that of valence and arousal, for rows that hold both.

    Args:
        emotion: Loss of the first columns.
        affect: Loss of the last two columns.
        affect_weight: Factor of the latter, >= 0.
    """

    def __init__(
        self,
        emotion: EmotionLoss,
        affect: AffectLoss,
        affect_weight: float = 1.0,
        name="loss",
        **kwargs,
    ):
        super().__init__(name=name, **kwargs)
        self.emotion, self.affect, self.affect_weight = emotion, affect, float(affect_weight)

    def call(self, y_true, y_pred):
        split = (slice(None), slice(None, -NUM_AFFECT)), (slice(None), slice(-NUM_AFFECT, None))
        emotion = self.emotion.call(y_true[split[0]], y_pred[split[0]])
        return emotion + self.affect_weight * self.affect.call(y_true[split[1]], y_pred[split[1]])

    def get_config(self):
        own = {
            "emotion": keras.saving.serialize_keras_object(self.emotion),
            "affect": keras.saving.serialize_keras_object(self.affect),
            "affect_weight": self.affect_weight,
        }
        return {**super().get_config(), **own}

    @classmethod
    def from_config(cls, config):
        parts = ("emotion", "affect")
        made = {name: keras.saving.deserialize_keras_object(config[name]) for name in parts}
        return cls(**{**config, **made})


def concordances(reference, predicted):
    """Return Lin's CCC of each column of two batches `(n, d)`, as `(d,)` float32 in -1...1.

    Variances are those of the batch (divided by n). A column that is constant on either side has
    a CCC of 0, even if both are the same constant.
    """
    mean_r, mean_p = ops.mean(reference, axis=0), ops.mean(predicted, axis=0)
    off_r, off_p = reference - mean_r, predicted - mean_p
    shared = ops.mean(off_r * off_p, axis=0)
    spread = ops.mean(ops.square(off_r), axis=0) + ops.mean(ops.square(off_p), axis=0)
    return 2 * shared / (spread + ops.square(mean_r - mean_p) + LEAST_SPREAD)


LEAST_SPREAD = 1e-8
"""Prevents dividing 0 by 0 in a batch of equal faces."""


def class_weights(targets: np.ndarray, power: float) -> np.ndarray | None:
    """Return a weight per class: inverse frequency to a power, 1 for the average face.

    Args:
        targets: `(n, k)` targets of the training faces; each class must have some mass. What
            they leave open for a teacher does not count.
        power: 0 returns None (no weights); 1 makes every class count the same.

    Raises:
        ValueError: If a class has no faces.
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
    shares = shares / shares.sum()
    weights = shares**-power
    return weights / (weights * shares).sum()
