"""The search space as data: what is tuned, and within which bounds."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from builder_tools.augmentation import AUGMENTATIONS
from builder_tools.fields import is_list_of, is_nothing_or, is_number, is_whole_in
from builder_tools.networks import Head
from builder_tools.training import OPTIMIZERS, SCHEDULES

ALL_LAYERS = "all"
LOGARITHMIC = ("learning_rate", "fine_tune_factor", "weight_decay")
"""Ranges that are searched on a logarithmic scale."""

_CHOICES = {"optimizer": OPTIMIZERS, "schedule": SCHEDULES, "augmentation": AUGMENTATIONS}


@dataclass(frozen=True)
class SearchSpace:
    """What is tuned. Ranges are (lowest, highest); equal ends, or a single choice, fix a value.

    Args:
        dense_layers: Fewest and most hidden layers of the head.
        dense_width: Possible widths of a hidden layer.
        dropout: Dropout of the head.
        optimizer: Names in `OPTIMIZERS`.
        learning_rate: Peak learning rate, on a logarithmic scale.
        fine_tune_factor: Learning rate of the second phase relative to the first, on a
            logarithmic scale; only if there are two phases.
        schedule: Names in `SCHEDULES`; `exponential` is the study's.
        decay_rate: Decay per epoch of the `exponential` schedule; only used with it.
        weight_decay: Weight decay, on a logarithmic scale; only used with `adamw`, which would be
            `adam` without it.
        label_smoothing: Share of the target that is spread over all classes.
        unfrozen: How many of the backbone's last layers are trained in the second phase, or `all`;
            None for half, once and twice the network's own number. Only if there are two phases.
        augmentation: Names in `AUGMENTATIONS`.

    Raises:
        ValueError: If a range is empty or out of bounds, or a name is unknown.
    """

    dense_layers: tuple[int, int] = (0, 2)
    dense_width: tuple[int, ...] = (64, 128, 256, 512)
    dropout: tuple[float, float] = (0.0, 0.6)
    optimizer: tuple[str, ...] = ("adam", "adamw", "sgd", "rmsprop")
    learning_rate: tuple[float, float] = (1e-4, 2e-2)
    fine_tune_factor: tuple[float, float] = (0.01, 1.0)
    schedule: tuple[str, ...] = ("exponential",)
    decay_rate: tuple[float, float] = (0.7, 0.99)
    weight_decay: tuple[float, float] = (1e-4, 1e-1)
    label_smoothing: tuple[float, float] = (0.0, 0.2)
    unfrozen: tuple[int | str, ...] | None = None
    augmentation: tuple[str, ...] = ("off", "light", "full")

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            is_range = is_list_of(lambda part: True)
            if not (is_nothing_or(is_range) if field.name == "unfrozen" else is_range)(value):
                raise ValueError(
                    f"Expected {field.name} as a tuple, ('adam',) or (0.1, 0.5) say. Received: "
                    f"{value!r}."
                )
            if value is not None:
                object.__setattr__(self, field.name, tuple(value))
        for name, known in _CHOICES.items():
            values = getattr(self, name)
            unknown = [value for value in values if value not in known]
            if unknown or not values or len(set(values)) != len(values):
                raise ValueError(f"Expected distinct {name} of {list(known)}. Received: {values}.")
        _expect_range("dense_layers", self.dense_layers, 0, 8)
        for name in ("dropout", "label_smoothing"):
            _expect_range(name, getattr(self, name), 0, 0.95)
        for name in (*LOGARITHMIC, "decay_rate"):
            _expect_range(name, getattr(self, name), 1e-12, 1)
        if not self.dense_width or not is_list_of(is_whole_in(1))(self.dense_width):
            raise ValueError(
                f"Expected dense_width >= 1, whole numbers. Received: {self.dense_width}."
            )
        layers = (ALL_LAYERS,) if self.unfrozen is None else self.unfrozen
        wrong = [u for u in layers if u != ALL_LAYERS and not (isinstance(u, int) and u >= 0)]
        if wrong or not layers:
            raise ValueError(
                f"Expected unfrozen as numbers of layers or 'all'. Received: {self.unfrozen}."
            )


@dataclass(frozen=True)
class Draw:
    """A point in the space, as fields of `TrainingConfig` and the layers to unfreeze."""

    fields: dict[str, Any]
    unfrozen: str | int


def draw(space: SearchSpace, hp, *, unfrozen: Sequence[int | str]) -> Draw:
    """Draw a point in the space from KerasTuner, declaring every hyperparameter.

    Args:
        space: The space.
        hp: `keras_tuner.HyperParameters`.
        unfrozen: Choices of what is unfrozen; empty if there is only one phase.
    """
    drawn = {
        "head": Head(_dense(space, hp), _number(hp, "dropout", space.dropout)),
        "optimizer": _choice(hp, "optimizer", space.optimizer),
        "learning_rate": _number(hp, "learning_rate", space.learning_rate),
        "schedule": _choice(hp, "schedule", space.schedule),
        "weight_decay": _only(hp, space, "optimizer", "adamw", "weight_decay") or 0.0,
        "label_smoothing": _number(hp, "label_smoothing", space.label_smoothing),
        "augmentation": AUGMENTATIONS[_choice(hp, "augmentation", space.augmentation)],
    }
    decay_rate = _only(hp, space, "schedule", "exponential", "decay_rate")
    if decay_rate is not None:
        drawn["decay_rate"] = decay_rate
    if not unfrozen:
        return Draw(drawn, ALL_LAYERS)
    factor = _number(hp, "fine_tune_factor", space.fine_tune_factor)
    drawn["fine_tune_learning_rate"] = readable(drawn["learning_rate"] * factor)
    chosen = _choice(hp, "unfrozen", [str(layers) for layers in unfrozen])
    return Draw(drawn, chosen if chosen == ALL_LAYERS else int(chosen))


def readable(value: float) -> float:
    """Round to four significant digits, which survive the transfer between processes."""
    return float(f"{value:.4g}")


def _dense(space: SearchSpace, hp) -> tuple[int, ...]:
    """Return the widths of the hidden layers, each drawn separately."""
    counts = range(space.dense_layers[0], space.dense_layers[1] + 1)
    count = _choice(hp, "dense_layers", counts)
    widths = []
    for number in range(1, counts[-1] + 1):
        deep_enough = [value for value in counts if value >= number]
        with _scope(hp, "dense_layers", counts, deep_enough):
            widths.append(_choice(hp, f"dense_width_{number}", space.dense_width))
    return tuple(widths[:count])


def _only(hp, space: SearchSpace, parent: str, wanted: str, name: str) -> float | None:
    """Return a number that is active only with one choice of another hyperparameter, else None."""
    choices = getattr(space, parent)
    if wanted not in choices:
        return None
    with _scope(hp, parent, choices, [wanted]):
        value = _number(hp, name, getattr(space, name))
    return value if _choice(hp, parent, choices) == wanted else None


def _scope(hp, parent: str, choices: Sequence, wanted: Sequence):
    """Return the scope in which a hyperparameter is active: everywhere if its parent is fixed."""
    if len(choices) == 1:
        return contextlib.nullcontext()
    return hp.conditional_scope(parent, list(wanted))


def _choice(hp, name: str, values: Sequence) -> Any:
    return values[0] if len(values) == 1 else hp.Choice(name, list(values))


def _number(hp, name: str, bounds: tuple[float, float]) -> float | None:
    """Return a number within bounds, None if it is not active."""
    low, high = bounds
    if low == high:
        return low
    logarithmic = name in LOGARITHMIC
    middle = (low * high) ** 0.5 if logarithmic else (low + high) / 2
    sampling = "log" if logarithmic else "linear"
    value = hp.Float(name, low, high, sampling=sampling, default=middle)
    return None if value is None else readable(value)


def _expect_range(name: str, bounds: tuple, least: float, most: float) -> None:
    numbers = len(bounds) == 2 and is_list_of(is_number)(bounds)
    if not numbers or not least <= bounds[0] <= bounds[1] <= most:
        raise ValueError(
            f"Expected {name} as (lowest, highest) in {least}...{most}. Received: {bounds}."
        )
