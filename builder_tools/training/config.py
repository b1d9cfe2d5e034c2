"""The configuration of a run: stages, optimiser, loss, stopping."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from builder_tools.augmentation import AugmentationStrength
from builder_tools.cards import MOST_TRAINED_PX
from builder_tools.fields import (
    MOST_SEED,
    is_flag,
    is_list_of,
    is_nothing_or,
    is_number,
    is_number_in,
    is_text,
    is_whole_in,
)
from builder_tools.networks import NETWORKS, PRETRAINED, Head
from builder_tools.tasks import KEEP, MONITORS, TASKS
from builder_tools.training.optimizers import OPTIMIZERS, PRECISIONS, SCHEDULES


@dataclass(frozen=True)
class Stage:
    """A number of epochs at one image size.

    Args:
        size: Side of the images in px.
        epochs: Number of epochs.
        trainable: `all`, `head` (the backbone is frozen), or the number of the backbone's last
            layers that are trained along with the head.
    """

    size: int
    epochs: int
    trainable: str | int = "all"


@dataclass(frozen=True)
class Phase:
    """Consecutive stages that train the same layers with one optimiser and one schedule."""

    number: int
    trainable: str | int
    stages: tuple[Stage, ...]
    first_epoch: int

    @property
    def epochs(self) -> int:
        return sum(stage.epochs for stage in self.stages)

    @property
    def end_epoch(self) -> int:
        return self.first_epoch + self.epochs

    def stage_epochs(self) -> Iterator[tuple[Stage, int, int]]:
        """Yield each stage with its first epoch and the epoch after its last."""
        first = self.first_epoch
        for stage in self.stages:
            yield stage, first, first + stage.epochs
            first += stage.epochs


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that determines a run, apart from the data.

    Args:
        network: Name in `NETWORKS`.
        head: Pooling, hidden layers and dropout after the backbone, and the task: emotions,
            valence and arousal, or both.
        weights: Initial weights of the backbone: None (random), `pretrained`, or a weights file.
        keep_head: Also start from that file's head, whose probabilities are assumed to be those
            of the data, like an exported model's (the class weights of a run are taken out).
        stages: Image sizes and what is trained; small sizes first, the deployed size last.
        batch_size: Number of faces per step.
        optimizer: Name in `OPTIMIZERS`.
        learning_rate: Peak of the schedule.
        fine_tune_learning_rate: Peak of every phase after the first; `learning_rate` if None.
        schedule: Name in `SCHEDULES`: `cosine` ends at 0, `exponential` multiplies the rate by
            `decay_rate` each epoch, `constant` does not change it.
        decay_rate: Decay of the exponential schedule, in (0, 1].
        weight_decay: Decoupled, for optimisers that support it; biases and normalisation are
            excluded.
        warmup_epochs: Linear warm-up of the cosine schedule.
        focal_gamma: 0 is cross-entropy; above 0, easy faces count less (Lin et al., 2017).
        label_smoothing: Share of the target spread over all classes.
        class_weight_power: Weight of a class = (its inverse frequency) ** power, with a mean
            weight per face of 1: 0 means no weighting, 1 balanced.
        balanced_batches: Draw faces so that all classes are equally frequent; faces without
            labels, which only a teacher labels, are one more class.
        epoch_faces: Faces per epoch, drawn in shuffled passes; None for each face once.
        patience: End a phase after this many epochs without a better `monitor`; None for never.
        monitor: Name in `MONITORS`: the criterion for the best epoch, on validation faces.
        keep: `last` epoch, or `best` over all phases.
        precision: Keras dtype policy, one of `PRECISIONS`.
        seed: Seed for the weights, the order and the augmentation.
        augmentation: How strongly faces are changed.
        degrade: Probability that a face is degraded as if by cameras and codecs.
        mixup: Alpha of mixup, 0 for none.
        cutmix: Alpha of cutmix, 0 for none.
        ema_decay: Evaluate and keep the exponential moving average of the weights with this decay
            per step (such as 0.999); 0 keeps the weights themselves.
        batch_norm_momentum: Share of their running statistics that batch normalisations keep per
            step; None leaves the network's own. Runs of a few hundred steps need 0.9 (see
            `set_batch_norm_momentum`).
        feature_copies: Compute the outputs of frozen layers once, for this many augmented copies
            of each face, and train the rest on them (see `training.features`); epochs use the
            copies in turn. 0 computes them anew each step, for newly augmented faces.
        affect_weight: Weight of the valence and arousal loss relative to emotions (`both`).
        ccc_weight: Weight of 1 - CCC in the loss of valence and arousal.
        mse_weight: Weight of the mean squared error in it.
    """

    network: str = "compact"
    head: Head = field(default_factory=Head)
    weights: str | None = None
    keep_head: bool = False
    stages: tuple[Stage, ...] = (Stage(32, 14), Stage(40, 10), Stage(48, 12))
    batch_size: int = 64
    optimizer: str = "adamw"
    learning_rate: float = 2e-3
    fine_tune_learning_rate: float | None = None
    schedule: str = "cosine"
    decay_rate: float = 0.9
    weight_decay: float = 0.05
    warmup_epochs: int = 1
    focal_gamma: float = 0.0
    label_smoothing: float = 0.0
    class_weight_power: float = 0.0
    balanced_batches: bool = False
    epoch_faces: int | None = None
    patience: int | None = None
    monitor: str = "val_loss"
    keep: str = "last"
    precision: str = "mixed_bfloat16"
    seed: int = 0
    augmentation: AugmentationStrength = field(default_factory=AugmentationStrength)
    degrade: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    ema_decay: float = 0.0
    batch_norm_momentum: float | None = None
    feature_copies: int = 0
    affect_weight: float = 1.0
    ccc_weight: float = 1.0
    mse_weight: float = 1.0

    def __post_init__(self) -> None:
        known = {
            "network": NETWORKS,
            "optimizer": OPTIMIZERS,
            "schedule": SCHEDULES,
            "monitor": MONITORS,
            "keep": KEEP,
            "precision": PRECISIONS,
        }
        for name, names in known.items():
            if getattr(self, name) not in list(names):
                raise ValueError(
                    f"Expected {name} of {list(names)}. Received: {getattr(self, name)!r}."
                )
        self._expect_numbers()
        if self.input_size is None and not NETWORKS[self.network].any_size:
            raise ValueError(
                f"Expected one image size: {self.network!r} is built for a fixed one. "
                f"Received: {[stage.size for stage in self.stages]} px."
            )
        if self.keep_head and self.weights in (None, PRETRAINED):
            raise ValueError(
                "Expected weights as a .keras file of a whole network to keep its head. "
                f"Received: {self.weights!r}."
            )
        self._expect_task()
        self._expect_cacheable()

    @property
    def task(self) -> str:
        """Name in `TASKS`, which determines the network's outputs."""
        return self.head.task

    @property
    def epochs(self) -> int:
        return sum(stage.epochs for stage in self.stages)

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases: consecutive stages that train the same layers."""
        phases, first = [], 0
        for trainable, group in itertools.groupby(self.stages, lambda stage: stage.trainable):
            phases.append(Phase(len(phases), trainable, tuple(group), first))
            first = phases[-1].end_epoch
        return tuple(phases)

    @property
    def input_size(self) -> int | None:
        """The size that all stages share, in px; None if the network must take several."""
        sizes = {stage.size for stage in self.stages}
        return sizes.pop() if len(sizes) == 1 else None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainingConfig:
        """Return the configuration written by `to_dict`; missing settings take their defaults.

        Raises:
            ValueError: If there is an unknown name or an invalid value.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(f"Expected names of {sorted(known)}. Received: {unknown}.")
        values = dict(values)
        try:
            if "stages" in values:
                values["stages"] = tuple(Stage(**stage) for stage in values["stages"])
            if "head" in values:
                head = dict(values["head"])
                values["head"] = Head(**{**head, "dense": tuple(head.get("dense", ()))})
            if "augmentation" in values:
                ranges = dict(values["augmentation"]).items()
                values["augmentation"] = AugmentationStrength(
                    **{k: tuple(v) if isinstance(v, list) else v for k, v in ranges}
                )
        except TypeError as error:
            raise ValueError(
                f"Expected stages, head and augmentation as to_dict writes them. Received: {error}."
            ) from error
        return cls(**values)

    def to_dict(self) -> dict:
        """Return the configuration as plain JSON values."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    def _expect_numbers(self) -> None:
        for name, (is_right, words) in _KINDS.items():
            if not is_right(getattr(self, name)):
                raise ValueError(f"Expected {name} {words}. Received: {getattr(self, name)!r}.")
        if self.ema_decay and self.patience is not None:
            raise ValueError(
                "Expected ema_decay without early stopping: an average wants the whole schedule. "
                f"Received: ema_decay={self.ema_decay}, patience={self.patience}."
            )

    def _expect_cacheable(self) -> None:
        if not self.feature_copies:
            return
        if self.mixup or self.cutmix:
            raise ValueError(
                "Expected no mixup and no cutmix with cached features: they mix faces anew in each "
                f"step. Received: mixup={self.mixup}, cutmix={self.cutmix}."
            )
        if all(stage.trainable == "all" for stage in self.stages):
            raise ValueError(
                "Expected a stage with frozen layers to cache their features, as 48:5:head or "
                f"48:5:4. Received: {self.feature_copies} copies, and all layers learn in every "
                "stage."
            )

    def _expect_task(self) -> None:
        task = TASKS[self.task]
        known = task.monitors
        if self.monitor not in known:
            raise ValueError(
                f"Expected monitor of {list(known)} for the task {self.task!r}. "
                f"Received: {self.monitor!r}."
            )
        if task.affect and not self.ccc_weight + self.mse_weight > 0:
            raise ValueError(
                "Expected ccc_weight or mse_weight above 0 to learn valence and arousal. "
                f"Received: {self.ccc_weight} and {self.mse_weight}."
            )
        of_classes = ("focal_gamma", "label_smoothing", "class_weight_power", "balanced_batches")
        given = [name for name in of_classes if getattr(self, name)]
        if given and not task.emotions:
            raise ValueError(
                f"Expected no options of emotions for the task 'va'. Received: {given}. Leave "
                "them out, or use the task 'both'."
            )


def _is_stage(value: Any) -> bool:
    if not isinstance(value, Stage) or not is_whole_in(1, MOST_TRAINED_PX)(value.size):
        return False
    if not is_whole_in(1)(value.epochs):
        return False
    return value.trainable in ("all", "head") or is_whole_in(0)(value.trainable)


_RATE = (lambda value: is_number(value) and 0 < value <= 1, "in (0, 1]")
_SHARE_BELOW_1 = (lambda value: is_number(value) and 0 <= value < 1, "in [0, 1)")
_NOT_NEGATIVE = (is_number_in(0), ">= 0, a finite number")
_FLAG = (lambda value: is_flag(value) or is_whole_in(0, 1)(value), "True or False")
_COUNT = (is_whole_in(1), ">= 1, a whole number")
_COUNT_OR_0 = (is_whole_in(0), ">= 0, a whole number")
_KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "stages": (
        lambda value: is_list_of(_is_stage)(value) and bool(value),
        f"as a tuple of Stage of 1...{MOST_TRAINED_PX} px and at least 1 epoch that train 'all', "
        "'head' or a number of last layers",
    ),
    "head": (lambda value: isinstance(value, Head), "as a Head"),
    "augmentation": (
        lambda value: isinstance(value, AugmentationStrength),
        "as an AugmentationStrength",
    ),
    "weights": (is_nothing_or(is_text), "as the text 'pretrained', the path of a file, or None"),
    "keep_head": _FLAG,
    "batch_size": _COUNT,
    "learning_rate": _RATE,
    "fine_tune_learning_rate": (is_nothing_or(_RATE[0]), f"{_RATE[1]} or None"),
    "decay_rate": _RATE,
    "weight_decay": _NOT_NEGATIVE,
    "warmup_epochs": _COUNT_OR_0,
    "focal_gamma": _NOT_NEGATIVE,
    "label_smoothing": _SHARE_BELOW_1,
    "class_weight_power": (is_number_in(0, 4), "in [0, 4]"),
    "balanced_batches": _FLAG,
    "epoch_faces": (is_nothing_or(_COUNT[0]), f"{_COUNT[1]}, or None"),
    "patience": (is_nothing_or(_COUNT[0]), f"{_COUNT[1]}, or None"),
    "seed": (is_whole_in(0, MOST_SEED), f"in 0...{MOST_SEED}, a whole number"),
    "degrade": (is_number_in(0, 1), "in [0, 1]"),
    "mixup": _NOT_NEGATIVE,
    "cutmix": _NOT_NEGATIVE,
    "ema_decay": _SHARE_BELOW_1,
    "batch_norm_momentum": (is_nothing_or(_SHARE_BELOW_1[0]), f"{_SHARE_BELOW_1[1]} or None"),
    "feature_copies": _COUNT_OR_0,
    "affect_weight": _NOT_NEGATIVE,
    "ccc_weight": _NOT_NEGATIVE,
    "mse_weight": _NOT_NEGATIVE,
}
"""The valid values of a field, as a check and in words."""


def fine_tuning_stages(
    size: int, *, head_epochs: int, epochs: int, unfrozen: str | int
) -> tuple[Stage, ...]:
    """Return the two phases of fine-tuning: the head alone, then also the last layers.

    Args:
        size: Side of the images in px.
        head_epochs: Number of epochs on frozen features; 0 skips the phase.
        epochs: Number of epochs in the second phase; 0 skips it.
        unfrozen: Number of the backbone's last layers trained in the second phase, or `all`.
    """
    stages = (Stage(size, head_epochs, "head"), Stage(size, epochs, unfrozen))
    return tuple(stage for stage in stages if stage.epochs)
