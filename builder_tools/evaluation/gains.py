"""Whether one model is better than another, by a paired bootstrap on the same faces."""

from __future__ import annotations

import numpy as np

from builder_tools.evaluation.bootstrap import Figure, redraw
from builder_tools.evaluation.checking import label_numbers
from builder_tools.evaluation.confusion import mean_figures


def paired_gains(
    y_true: np.ndarray, found: np.ndarray, base: np.ndarray, num_classes: int, *, seed: int = 0
) -> dict[str, Figure]:
    """Return how much better one model is than another, with 95 % bootstrap intervals.

    Each face counts as a triple of its true label and both predictions, so drawing n faces with
    replacement means drawing the table of these triples from a multinomial distribution.

    Args:
        y_true: `(n,)` labels, n >= 1.
        found: `(n,)` labels predicted by the model.
        base: `(n,)` labels predicted by the other model.
        num_classes: Number of classes k.
        seed: Seed of the draws.

    Returns:
        accuracy, macro_f1, mean_recall -> gain; positive if the model is better.

    Raises:
        ValueError: If the lengths differ, there are no faces, or a label is none of the classes.
    """
    if not len(y_true) or not len(y_true) == len(found) == len(base):
        raise ValueError(
            "Expected as many true labels as predictions of both models, one or more. "
            f"Received: {len(y_true)}, {len(found)} and {len(base)}."
        )
    k = num_classes
    y_true, found, base = (label_numbers(labels, k) for labels in (y_true, found, base))
    triples = np.bincount((y_true * k + found) * k + base, minlength=k**3)
    tables = np.concatenate([triples[None], redraw(triples, seed)]).reshape(-1, k, k, k)
    own, others = mean_figures(tables.sum(axis=3)), mean_figures(tables.sum(axis=2))
    gains = {name: own[name] - others[name] for name in own}
    return {name: Figure.of(column[0], column[1:], len(y_true)) for name, column in gains.items()}
