"""How high a common reaction would rise by chance, of viewers who react each for themselves.

Every viewer is given another beginning: their reactions are moved round the film by random times,
which keeps how often, how long and how strongly each reacts, and undoes what the film made them do
together (Kauppi et al., 2010, "Inter-subject correlation of brain hemodynamic responses during
watching a movie", Frontiers in Neuroinformatics 4, tests in this way). The highest moment of each
such film says what the search for the highest moment finds where there is nothing to find. What is
compared is the mean of the viewers: reactions are clipped, so that medians are often equal.
"""

from __future__ import annotations

import math

import numpy as np

RESAMPLES = 199
MOST_VIEWERS = 40
"""Of more viewers, so many are drawn anew for each film: chance lifts the median of fewer higher,
so that this errs on the safe side, and the time stays the same."""


def common_reaction(viewers: np.ndarray, least_share: float) -> np.ndarray:
    """Return the median over the visible viewers: `(n,)`, NaN where there are too few.

    Args:
        viewers: `(n, viewers)` reactions, NaN where a face is missing.
        least_share: Share of viewers required.
    """
    ordered, seen = np.sort(viewers, axis=1), np.isfinite(viewers).sum(axis=1)
    enough = seen >= _least(viewers, least_share)
    rows, count = ordered[enough], seen[enough]
    place = np.arange(len(rows))
    common = np.full(len(viewers), np.nan)
    common[enough] = (rows[place, (count - 1) // 2] + rows[place, count // 2]) / 2
    return common


def highest_by_chance(
    viewers: np.ndarray, least_share: float, *, seed: int, resamples: int = RESAMPLES
) -> np.ndarray:
    """Return the highest mean reaction of films in which nobody reacts together, `(resamples,)`.

    Args:
        viewers: `(n, viewers)` reactions at even times, NaN where a face is missing.
        least_share: Share of viewers who must be visible for a time to count.
        seed: Seed of the times by which viewers are moved.
        resamples: Number of films.
    """
    rng, highest = np.random.default_rng(seed), np.full(resamples, -np.inf)
    for number in range(resamples):
        drawn = rng.permutation(viewers.shape[1])[:MOST_VIEWERS]
        moved = [np.roll(viewers[:, one], rng.integers(len(viewers))) for one in drawn]
        together = np.stack(moved, axis=1)
        seen = np.isfinite(together).sum(axis=1)
        enough = seen >= _least(together, least_share)
        if enough.any():
            highest[number] = (np.nansum(together[enough], axis=1) / seen[enough]).max()
    return highest


def chance_of(score: float, highest: np.ndarray) -> float:
    """Return how often a mean reaction is as high by chance, 0...1.

    Args:
        score: The mean reaction of the visible viewers.
        highest: From `highest_by_chance`; the film itself counts as one more.
    """
    return float((1 + (highest >= score).sum()) / (1 + len(highest)))


def _least(viewers: np.ndarray, share: float) -> int:
    """Return how many viewers must be visible."""
    return max(math.ceil(share * viewers.shape[1] - 1e-9), 1)
