"""Optimisers, learning-rate schedules and precisions by name. Keras is loaded to build them."""

from __future__ import annotations

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
"""Name -> the class of `keras.optimizers` and its options."""

PRECISIONS = ("mixed_bfloat16", "mixed_float16", "float32")
"""Keras dtype policies of training."""


def cosine(rate: float, *, steps: int, epoch_steps: int, warmup_epochs: int, decay_rate: float):
    """Linear warm-up from 0, then half a cosine to 0."""
    from keras.optimizers import schedules

    warmup = warmup_epochs * epoch_steps
    return schedules.CosineDecay(
        0.0, decay_steps=max(steps - warmup, 1), warmup_target=rate, warmup_steps=warmup
    )


def exponential(
    rate: float, *, steps: int, epoch_steps: int, warmup_epochs: int, decay_rate: float
):
    """Keras's `ExponentialDecay`, smooth, by `decay_rate` an epoch; no warm-up."""
    from keras.optimizers import schedules

    return schedules.ExponentialDecay(rate, decay_steps=epoch_steps, decay_rate=decay_rate)


def constant(rate: float, *, steps: int, epoch_steps: int, warmup_epochs: int, decay_rate: float):
    """The same rate at every step."""
    return rate


SCHEDULES = {"cosine": cosine, "exponential": exponential, "constant": constant}
"""Learning rate by step, by name."""


def build_optimizer(
    name: str,
    schedule: keras.optimizers.schedules.LearningRateSchedule | float,
    *,
    weight_decay: float,
    ema_decay: float = 0.0,
) -> keras.optimizers.Optimizer:
    """Build an optimiser whose decay leaves biases and normalisation alone.

    Args:
        name: In `OPTIMIZERS`.
        schedule: A rate, or a schedule of them.
        weight_decay: Decoupled decay a step, relative to the rate.
        ema_decay: Of the moving average of the weights; 0 keeps none.
    """
    import keras

    kind, options = OPTIMIZERS[name]
    average = {"use_ema": True, "ema_momentum": ema_decay} if ema_decay else {}
    optimizer = getattr(keras.optimizers, kind)(
        schedule, weight_decay=weight_decay or None, **options, **average
    )
    if weight_decay:
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer
