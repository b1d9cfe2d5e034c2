"""Optimisers, learning-rate schedules and precisions by name; Keras is loaded to build them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

OPTIMIZERS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "adamw": ("AdamW", {}),
    "adam": ("Adam", {}),
    "sgd": ("SGD", {"momentum": 0.9, "nesterov": True}),
    "rmsprop": ("RMSprop", {}),
}
"""Name -> the class in `keras.optimizers` and its options."""

PRECISIONS = ("mixed_bfloat16", "mixed_float16", "float32")
"""Keras dtype policies for training."""


def cosine(rate: float, *, steps: int, epoch_steps: int, warmup_epochs: int, decay_rate: float):
    """Return a linear warm-up from 0, then half a cosine to 0."""
    from keras.optimizers import schedules

    warmup = warmup_epochs * epoch_steps
    return schedules.CosineDecay(
        0.0, decay_steps=max(steps - warmup, 1), warmup_target=rate, warmup_steps=warmup
    )


def exponential(
    rate: float, *, steps: int, epoch_steps: int, warmup_epochs: int, decay_rate: float
):
    """Return Keras's `ExponentialDecay`, smooth, by `decay_rate` per epoch, without warm-up."""
    from keras.optimizers import schedules

    return schedules.ExponentialDecay(rate, decay_steps=epoch_steps, decay_rate=decay_rate)


def constant(rate: float, *, steps: int, epoch_steps: int, warmup_epochs: int, decay_rate: float):
    """Return the same rate for every step."""
    return rate


SCHEDULES = {"cosine": cosine, "exponential": exponential, "constant": constant}
"""Learning-rate schedules by name."""


def build_optimizer(
    name: str,
    schedule: keras.optimizers.schedules.LearningRateSchedule | float,
    *,
    weight_decay: float,
    ema_decay: float = 0.0,
) -> keras.optimizers.Optimizer:
    """Build an optimiser whose weight decay excludes biases and normalisation.

    Args:
        name: Name in `OPTIMIZERS`.
        schedule: A learning rate, or a schedule.
        weight_decay: Decoupled decay per step, relative to the learning rate.
        ema_decay: Decay of the moving average of the weights (`averaging`); 0 keeps none.
    """
    import keras

    kind, options = OPTIMIZERS[name]
    build = getattr(keras.optimizers, kind)
    if ema_decay:
        build, options = averaging(build), {**options, "use_ema": True, "ema_momentum": ema_decay}
    no_decay = 0.0 if name == "adamw" else None  # AdamW does not accept None.
    optimizer = build(schedule, weight_decay=weight_decay or no_decay, **options)
    if weight_decay:
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def averaging(kind: type[keras.optimizers.Optimizer]) -> type[keras.optimizers.Optimizer]:
    """Return an optimiser class whose moving average of the weights forgets its starting point.

    Keras' own keeps `decay ** steps` of the weights after the first step: a third after 1,000
    steps at 0.999. Here each step weighs `decay` times the next one, including the first (Adam's
    correction: Kingma and Ba, 2015, arXiv:1412.6980, section 3).

    Args:
        kind: A class from `keras.optimizers`; used with `use_ema`.
    """
    from keras import ops

    class Averaging(kind):
        def _update_model_variables_moving_average(self, trainable_variables):
            steps, log = ops.cast(self.iterations, "float32"), math.log(self.ema_momentum)
            # decay * (1 - decay**steps) / (1 - decay**(steps + 1)), accurate for decays near 1
            keep = self.ema_momentum * ops.expm1(steps * log) / ops.expm1((steps + 1) * log)
            pairs = zip(trainable_variables, self._model_variables_moving_average, strict=True)
            for weights, average in pairs:
                if average is not None:
                    share = ops.cast(keep, average.dtype)
                    average.assign(share * average + (1 - share) * weights)

    return Averaging
