"""Forms of comparing a face with its rest, and the choice among their settings.

A form takes what is known about the judged images and returns log-probabilities. Known are `logs`
`(n, k)` of the images, `means` of their rests, `counts` `(n, 1)` of the images in those, `squares`
`(n, 1)`, the sum of the mean square distances of these from the mean, and the population's mean
`(k,)`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np

from builder_tools.rest import USUAL_SPREAD

MOST_NEUTRALS_LOST = 0.05
RULE = (
    "Rule: of the settings with which neither the posed nor the wild set is less accurate than "
    f"today and no set finds more than {MOST_NEUTRALS_LOST:.0%} fewer of its neutral faces, the "
    "one with the largest mean of the accuracies of all sets; of equals the first in the grid."
)
WEAKLY_LABELLED = "strangers"
"""A set of many people on which accuracy may fall, since its labels are weak."""
NO_FLOOR = 1e-12
TENTHS = tuple(round(0.1 * tenth, 1) for tenth in range(11))
SHARES = TENTHS[3:]


@dataclass(frozen=True)
class People:
    """Images of people: `(n, k)` probabilities, `(n,)` labels and persons."""

    name: str
    emotions: tuple[str, ...]
    probabilities: np.ndarray
    labels: np.ndarray
    persons: np.ndarray

    @property
    def neutral(self) -> int:
        return self.emotions.index("neutral")

    def neutrals_beside(self, row: int) -> np.ndarray:
        """Return the rows of the other neutral images of the person in an image."""
        same = (self.persons == self.persons[row]) & (self.labels == self.neutral)
        return np.flatnonzero(same & (np.arange(len(same)) != row))

    @cached_property
    def judged(self) -> list[int]:
        """Rows of the images whose person has another neutral one."""
        return [row for row in range(len(self.labels)) if len(self.neutrals_beside(row))]

    def other_person(self, row: int) -> np.ndarray:
        """Return the rows of another person's neutral images, always of the next in order."""
        names = sorted(set(self.persons[self.labels == self.neutral]) | {self.persons[row]})
        other = names[(names.index(self.persons[row]) + 1) % len(names)]
        return np.flatnonzero((self.persons == other) & (self.labels == self.neutral))

    def right(self, rows: Sequence[int], scores: np.ndarray) -> np.ndarray:
        """Return whether the best-scoring of the set's classes is the true one."""
        common = np.unique(self.labels)
        return common[scores[:, common].argmax(axis=1)] == self.labels[rows]


@dataclass(frozen=True)
class Known:
    """What is known about the judged images of a set at one floor (see the module)."""

    neutral: int
    logs: np.ndarray
    means: np.ndarray
    counts: np.ndarray
    squares: np.ndarray
    population: np.ndarray


def known(
    people: People, rows: Sequence[int], rests: Callable, neutral_faces: np.ndarray, floor: float
) -> Known:
    """Return what is known about images, with `rests(row)` the rows of the images of each rest."""
    logs = np.log(np.maximum(people.probabilities, floor))
    found = [logs[rests(row)] for row in rows]
    means = np.stack([each.mean(axis=0) for each in found])
    squares = [((each - each.mean(axis=0)) ** 2).mean(axis=1).sum() for each in found]
    return Known(
        people.neutral,
        logs[list(rows)],
        means,
        np.array([[len(each)] for each in found], float),
        np.array(squares)[:, None],
        np.log(np.maximum(neutral_faces, floor)).mean(axis=0),
    )


def by_spread(one: Known, share: float, weight: float, between: float) -> np.ndarray:
    """Compare as `builder_tools.rest`: population and trust by the spread of neutral images."""
    square = (weight * USUAL_SPREAD**2 + one.squares) / (weight + one.counts - 1)
    kept = np.minimum(square / USUAL_SPREAD**2, 1)
    trust = between**2 / (between**2 + square / one.counts)
    return one.logs - share * trust * (one.means - kept * one.population)


def fixed(one: Known, share: float, kept: float, half: float = 0.25) -> np.ndarray:
    """Subtract the same share of everyone's rest, shrunk by the number of images."""
    trust = one.counts / (one.counts + half)
    return one.logs - share * trust * (one.means - kept * one.population)


def neutral_only(one: Known, share: float, kept: float) -> np.ndarray:
    """Move only neutral relative to the other classes."""
    moved = np.zeros_like(one.logs)
    others = np.arange(one.logs.shape[1]) != one.neutral
    rest = (one.means - kept * one.population)[:, others].mean(axis=1)
    moved[:, one.neutral] = share * (one.counts / (one.counts + 0.25))[:, 0] * rest
    return one.logs + moved


def share_of_neutral(one: Known, share: float, kept: float, of_neutral: float) -> np.ndarray:
    """Subtract one share for neutral and another for all other classes."""
    shares = np.full(one.logs.shape[1], share)
    shares[one.neutral] = of_neutral
    trust = one.counts / (one.counts + 0.25)
    return one.logs - trust * shares * (one.means - kept * one.population)


FLOORS = (1e-4, 1e-5, 1e-6)
FORMS: dict[str, tuple[Callable, Sequence[float], Sequence[tuple[float, ...]]]] = {
    "by spread (the package's)": (
        by_spread,
        FLOORS,
        tuple(product((1.0, 0.9, 0.8, 0.7), (0.25, 0.5, 1.0, 2.0), (1.0, 1.2, 1.4, 1.7, 2.0))),
    ),
    "one share, one kept share": (fixed, FLOORS, tuple(product(SHARES, TENTHS))),
    "the same in the logits (no floor)": (fixed, (NO_FLOOR,), tuple(product(SHARES, TENTHS))),
    "the same, shrunk by count": (
        fixed,
        (1e-5,),
        tuple(product(SHARES, TENTHS, (0.25, 0.5, 1.0, 2.0, 4.0))),
    ),
    "neutral alone": (neutral_only, FLOORS, tuple(product(SHARES, TENTHS))),
    "a share for neutral": (
        share_of_neutral,
        (1e-5,),
        tuple(product(SHARES, TENTHS[::2], (0.0, 0.5, 1.0, 2.0))),
    ),
}
"""Name -> form, its floors, and the grid of its settings."""


@dataclass(frozen=True)
class Choice:
    """A form, a floor and settings."""

    form: Callable
    floor: float
    settings: tuple[float, ...]

    def scores(self, people: People, rows, rests: Callable, neutral_faces) -> np.ndarray:
        return self.form(known(people, rows, rests, neutral_faces, self.floor), *self.settings)


def all_right(
    sets: Sequence[People], neutral_faces: np.ndarray, name: str
) -> list[tuple[Choice, list[np.ndarray]]]:
    """Return, for each setting of a form, which judged images it gets right, by set."""
    form, floors, grid = FORMS[name]
    found = []
    for floor in floors:
        parts = [(p, p.judged) for p in sets]
        facts = [known(p, rows, p.neutrals_beside, neutral_faces, floor) for p, rows in parts]
        for settings in grid:
            right = [
                p.right(rows, form(fact, *settings))
                for (p, rows), fact in zip(parts, facts, strict=True)
            ]
            found.append((Choice(form, floor, settings), right))
    return found


def choose(
    sets: Sequence[People],
    found: Sequence[tuple[Choice, list[np.ndarray]]],
    parts: Sequence[np.ndarray] | None = None,
) -> tuple[Choice, list[np.ndarray]] | None:
    """Return the best setting by the rule, on the images in `parts` (masks by set) alone.

    None if no setting satisfies the rule.
    """
    best, best_mean = None, -1.0
    for choice, right in found:
        accuracies = []
        for place, people in enumerate(sets):
            rows = np.array(people.judged)
            part = np.ones(len(rows), bool) if parts is None else parts[place]
            today = people.right(rows, people.probabilities[rows])
            calm = part & (people.labels[rows] == people.neutral)
            lost = today[calm].mean() - right[place][calm].mean()
            worse = right[place][part].mean() < today[part].mean()
            if (worse and people.name != WEAKLY_LABELLED) or lost > MOST_NEUTRALS_LOST:
                break
            accuracies.append(right[place][part].mean())
        else:
            mean = round(float(np.mean(accuracies)), 6)
            if mean > best_mean:
                best, best_mean = (choice, right), mean
    return best


def held_out_gains(
    sets: Sequence[People], found: Sequence[tuple[Choice, list[np.ndarray]]], rounds: int = 20
) -> np.ndarray:
    """Return gains in points on half of the people, with settings chosen on the other half.

    The array is `(m, sets)`, with up to two rows per round.
    """
    random, gains = np.random.default_rng(0), []
    for _ in range(rounds):
        halves = []
        for people in sets:
            owners = people.persons[people.judged]
            names = np.unique(owners)
            halves.append(np.isin(owners, random.permutation(names)[: len(names) // 2]))
        for parts in (halves, [~half for half in halves]):
            best = choose(sets, found, parts)
            if best is None:
                continue
            row = []
            for place, people in enumerate(sets):
                rows = np.array(people.judged)
                today = people.right(rows, people.probabilities[rows])[~parts[place]]
                row.append(100 * (best[1][place][~parts[place]].mean() - today.mean()))
            gains.append(row)
    return np.array(gains)


HEAD = (
    "| set | {} | accuracy | mean recall | neutral found | anger found | gain, points |\n"
    "|---|---|---|---|---|---|---|"
)


def interval(people: People, rows: list[int], gains: np.ndarray) -> str:
    """Return the mean gain in percentage points with a 95 % bootstrap interval over people."""
    owners = people.persons[rows]
    names = np.unique(owners)
    sums = np.array([gains[owners == name].sum() for name in names], float)
    counts = np.array([(owners == name).sum() for name in names], float)
    drawn = np.random.default_rng(0).integers(0, len(names), (2000, len(names)))
    low, high = np.percentile(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1), [2.5, 97.5])
    return f"{100 * gains.mean():+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def cells_of(people: People, rows: list[int], scores: np.ndarray) -> list[str]:
    """Return accuracy, mean recall, neutral and anger found, and the gain with its interval."""
    right, today = people.right(rows, scores), people.right(rows, people.probabilities[rows])
    labels = people.labels[rows]
    recall = np.mean([right[labels == label].mean() for label in np.unique(labels)])
    found = [
        f"{right[labels == label].sum()} of {(labels == label).sum()}"
        for label in (people.neutral, people.emotions.index("anger"))
    ]
    gain = interval(people, rows, right.astype(float) - today.astype(float))
    return [f"{right.mean():.3f}", f"{recall:.3f}", *found, gain]
