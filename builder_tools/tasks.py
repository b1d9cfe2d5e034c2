"""What a network predicts for a face: emotions, valence and arousal, or both.

Rows of outputs and of targets share one layout: `(n, k)` shares of the emotions, `(n, 2)` valence
and arousal in [-1, 1], or `(n, k + 2)` with both in this order. Everything that depends on the
task is defined in its `Task`; no other code checks its name.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NUM_AFFECT = 2
"""Number of outputs for valence and arousal."""

OUTPUT_LAYERS = ("emotion", "affect")
"""Names of the layers of a network that return these outputs; one of them may be missing."""

MONITORS = {"val_loss": -1, "val_accuracy": 1, "val_macro_f1": 1, "val_ccc": 1}
"""Figure that the best epoch of a run is chosen by -> whether more is better (1) or worse (-1)."""

_LABELS_COMPUTED = (
    "Valence and arousal were learnt from labels that were computed from emotions and images; "
    "nobody rated them. "
)


KEEP = ("last", "best")
"""Which epoch of a run may be kept."""


MOST_MASS = 1.01
"""Greatest sum of a face's targets; that of float16 may be off by 0.005."""
LEAST_SHARE = -0.001
"""Least target of an emotion; one that is 1 less all others may be a little below 0."""


@dataclass(frozen=True)
class Task:
    """One of the tasks a network may be trained for.

    Args:
        name: Name in cards, configurations and on the command line.
        emotions: Whether the network has outputs for emotions.
        affect: Whether it has outputs for valence and arousal.
        monitors: The entries of `MONITORS` that apply to it.
        outputs: The outputs in words, for the card's page; "" for emotions alone.
        limits: What a card says first about the limits of such a model.
    """

    name: str
    emotions: bool
    affect: bool
    monitors: tuple[str, ...]
    outputs: str = ""
    limits: str = ""

    @property
    def num_affect(self) -> int:
        """How many of the last outputs are not shares of emotions."""
        return NUM_AFFECT if self.affect else 0

    def num_outputs(self, num_classes: int) -> int:
        """Return the length of a row for a number of emotions."""
        return (num_classes if self.emotions else 0) + self.num_affect

    def split(self, rows: np.ndarray) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Return the columns of emotions and of valence and arousal, None for those it lacks."""
        emotions = rows[:, : rows.shape[1] - self.num_affect] if self.emotions else None
        return emotions, rows[:, -NUM_AFFECT:] if self.affect else None

    def join(self, emotions: np.ndarray, places: np.ndarray | None) -> np.ndarray:
        """Return rows `(n, width)` float32 made of the shares of emotions and the places.

        Args:
            emotions: `(n, k)`; left out if the task has none.
            places: `(n, 2)` valence and arousal; None if the task has none.
        """
        parts = [emotions] * self.emotions + [places] * self.affect
        return np.concatenate(parts, axis=1).astype(np.float32, copy=False)

    def check_targets(self, targets: np.ndarray) -> None:
        """Check that targets fit this task.

        Raises:
            ValueError: If there are too few or too many columns, a place is outside [-1, 1], or the
                shares of a face are below 0 or have a sum above 1 (less is left to a teacher).
        """
        emotions, places = self.split(targets)
        if emotions is not None:
            wrong = (emotions < LEAST_SHARE).any(axis=1) | (emotions.sum(axis=1) > MOST_MASS)
            if wrong.any():
                raise ValueError(
                    "Expected shares of the emotions as targets: at least 0, with a sum of 1 for "
                    f"each face. Received: {int(wrong.sum())} rows that are not, the first "
                    f"{emotions[wrong.argmax()].tolist()}. Divide counts by their sum."
                )
        if places is None:
            return
        fits = emotions.shape[1] > 1 if self.emotions else targets.shape[1] == NUM_AFFECT
        outside = ~(np.abs(places) <= 1)
        if not fits or outside.any():
            width = "k + 2" if self.emotions else "2"
            raise ValueError(
                f"Expected targets of the task {self.name!r}: (n, {width}) with valence and "
                f"arousal in [-1, 1] last. Received: shape {targets.shape}, "
                f"{int(outside.sum())} values outside."
            )


EMOTION = Task(
    "emotion",
    emotions=True,
    affect=False,
    monitors=("val_loss", "val_accuracy", "val_macro_f1"),
)
TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        EMOTION,
        Task(
            "va",
            emotions=False,
            affect=True,
            monitors=("val_loss", "val_ccc"),
            outputs="valence and arousal; an emotion is told by the nearest centre of its training "
            "faces",
            limits=f"{_LABELS_COMPUTED}The network has no outputs for emotions: an emotion is the "
            "one whose centre is nearest, so those at one place (neutral and uncertain, say) are "
            "not told apart. ",
        ),
        Task(
            "both",
            emotions=True,
            affect=True,
            monitors=tuple(MONITORS),
            outputs="probability of each class, valence and arousal, from one pass",
            limits=_LABELS_COMPUTED,
        ),
    )
}
"""Every task by name."""
