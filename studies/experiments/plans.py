"""What the study tries, as data: a trial is a configuration and what is done to the faces."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from builder_tools.augmentation import AUGMENTATIONS
from builder_tools.networks import NETWORKS
from builder_tools.training import Stage, TrainingConfig

SEEDS = (0, 1, 2)

SCREENING_FACES = 2_000
SCREENING_EPOCHS = 3
SCREENING_SIZE = 32
SCREENING_RATE = 1e-3
SCREENING_LOW_RATE = 1e-4
"""The second rate, for networks without batch normalisation: many of them stay where they began
at the first."""
SCREENING_MOMENTUM = 0.9
"""Of batch normalisation: at Keras' 0.99 a network that has learnt is judged with the statistics
of its first steps. Xception reached 0.456 on its 2,000 training faces in 126 steps and gave the
largest class for every face of valid."""

ABLATION_EPOCHS = 4
ABLATION_SIZE = 32
ABLATION_EPOCH_FACES = 28_544
"""Faces an epoch: as many as FER+ has for training, in whole batches of 64. The same for every
variant, however many faces balancing made, so that all take the same steps."""

LABELS = ("hard", "soft")
DECISIONS = ("natural", "balanced")


@dataclass(frozen=True)
class Trial:
    """One run to be made.

    Args:
        study: `screening` or `ablations`.
        group: What is varied.
        variant: Its value.
        config: How the network is trained.
        labels: `hard` (the nine-class label) or `soft` (the shares of the votes).
        balancer: Name in `BALANCERS`: raises every class to the size of the largest.
        train_faces: Size of a seeded stratified subset of the training faces; None for all.
        decision: `natural` (the largest probability) or `balanced` (logit adjustment with the
            strength that is best on valid).
        trained_as: Variant of the baseline group whose network is judged; its own if None.
    """

    study: str
    group: str
    variant: str
    config: TrainingConfig
    labels: str = "hard"
    balancer: str = "none"
    train_faces: int | None = None
    decision: str = "natural"
    trained_as: str | None = None

    @property
    def key(self) -> str:
        """Name the trial in its plan."""
        return f"{self.group}-{self.variant}-s{self.config.seed}"

    @property
    def training_key(self) -> str:
        """Name the trial whose network is judged."""
        return (
            f"{self.trained_as}-{self.trained_as}-s{self.config.seed}"
            if self.trained_as
            else self.key
        )


def screening_trials() -> Iterator[Trial]:
    """Yield every network of the registry on the same faces for the same epochs, from scratch.

    Networks that cannot take 32 px get the next larger size they can take. Networks without batch
    normalisation are trained at a second, lower rate, too.
    """
    for name, spec in NETWORKS.items():
        yield _screening_trial(name, SCREENING_RATE)
        if not spec.batch_norm:
            yield _screening_trial(name, SCREENING_LOW_RATE)


def _screening_trial(name: str, rate: float) -> Trial:
    config = TrainingConfig(
        network=name,
        stages=(Stage(NETWORKS[name].size_from(SCREENING_SIZE), SCREENING_EPOCHS),),
        batch_size=32,
        learning_rate=rate,
        weight_decay=0.01,
        warmup_epochs=0,
        augmentation=AUGMENTATIONS["light"],
        batch_norm_momentum=SCREENING_MOMENTUM,
    )
    variant = name if rate == SCREENING_RATE else f"{name}_low_rate"
    return Trial("screening", "network", variant, config, "soft", train_faces=SCREENING_FACES)


def ablation_trials() -> Iterator[Trial]:
    """Yield the ablations: one choice at a time differs from the baseline, three seeds each.

    The first seed of everything comes before the second of anything.
    """
    for seed in SEEDS:
        base = _ablation_baseline(seed)
        for group, variant, changes, extra in ABLATIONS:
            config = dataclasses.replace(base, **changes)
            yield Trial("ablations", group, variant, config, **extra)


ABLATIONS: tuple[tuple[str, str, dict, dict], ...] = (
    ("baseline", "baseline", {}, {}),
    ("balancing", "class_weights", {"class_weight_power": 1.0}, {}),
    ("balancing", "random_oversampling", {}, {"balancer": "random_oversampling"}),
    ("balancing", "pixel_smote", {}, {"balancer": "pixel_smote"}),
    ("balancing", "embedding_smote", {}, {"balancer": "embedding_smote"}),
    ("balancing", "augmentation_smote", {}, {"balancer": "augmentation_smote"}),
    ("balancing", "balanced_batches", {"balanced_batches": True}, {}),
    ("balancing", "logit_adjustment", {}, {"decision": "balanced", "trained_as": "baseline"}),
    ("labels", "soft", {}, {"labels": "soft"}),
    ("augmentation", "off", {"augmentation": AUGMENTATIONS["off"]}, {}),
    ("augmentation", "light", {"augmentation": AUGMENTATIONS["light"]}, {}),
    ("optimizer", "adam", {"optimizer": "adam", "weight_decay": 0.0}, {}),
    ("optimizer", "sgd", {"optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 0.001}, {}),
    ("optimizer", "rmsprop", {"optimizer": "rmsprop", "learning_rate": 1e-3}, {}),
    ("input_size", "48", {"stages": (Stage(48, ABLATION_EPOCHS),)}, {}),
    ("input_size", "64", {"stages": (Stage(64, ABLATION_EPOCHS),)}, {}),
)
"""Group, variant, what differs in the configuration, what differs in the trial. SGD's decay is
relative to its higher rate: the same 1e-4 a step."""

PLANS: dict[str, Callable[[], Iterator[Trial]]] = {
    "screening": screening_trials,
    "ablations": ablation_trials,
}
"""Plan by name: gives its trials in the order they are run."""


def find_trial(plan: str, key: str) -> Trial:
    """Return a trial of a plan by its key.

    Raises:
        ValueError: If there is none.
    """
    for trial in PLANS[plan]():
        if trial.key == key:
            return trial
    raise ValueError(f"Expected a trial of the plan {plan!r}. Received: {key!r}.")


def _ablation_baseline(seed: int) -> TrainingConfig:
    return TrainingConfig(
        stages=(Stage(ABLATION_SIZE, ABLATION_EPOCHS),),
        epoch_faces=ABLATION_EPOCH_FACES,
        seed=seed,
    )
