"""A face relative to its own rest: what it shows compared with how it looks when it shows nothing.

Some faces look stern, sad or surprised at rest, and a network that does not know the person keeps
saying so. Where neutral images of a person are known, their mean log-probability `r` is what the
resting face alone makes the network predict. By Bayes' rule the evidence of an image beyond that
is `log p - r`; yet most of `r` is common to all people (a resting face *is* neutral) rather than
particular to this person, and `population` is the mean over people. How much of that may also be
removed depends on how well the rest is known, as seen in the `spread` of the neutral images:

    log q = log max(p, FLOOR) - share * trust * (r - kept * population) + constant
    kept  = min(1, spread^2 / USUAL_SPREAD^2)
    trust = BETWEEN_PEOPLE^2 / (BETWEEN_PEOPLE^2 + spread^2 / images)

Neutral images that are all alike (one session, one lighting) leave little doubt: a face unlike
them is not at rest. If they differ as much as most people's do, only what is particular to this
person is removed, and little of it if there are few images. Two of the constants are measured,
two were chosen on development sets of other people (`benchmarks/rest.py`, reports/rest.md).

A resting face stores no image and no embedding, only a few means and how reliable they are.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from builder_tools.emotions import NINE_EMOTIONS, own_word
from builder_tools.fields import (
    check_fields,
    check_flag,
    check_range,
    is_list_of,
    is_nothing_or,
    is_number,
    is_text,
    is_whole,
    known_name,
    read_text,
)
from builder_tools.media.partial import replacing

SHARE = 1.0
"""How much of a known rest is removed by default."""
FLOOR = 1e-5
"""Probabilities are raised to this before the logarithm: below it, a network's output is noise."""
USUAL_SPREAD = 1.7
"""Typical spread of neutral images of one person: root mean square distance of a log-probability
from the person's mean, over 1,460 images of strangers in the wild."""
BETWEEN_PEOPLE = 1.2
"""How far people's rests are from the population's, in the same measure. The spread of FER+'s
neutral faces, 2.00, less that within one person (in squares) is 1.06; it was 1.15 with the previous
`fast`, for which this value was chosen."""
USUAL_WEIGHT = 0.25
"""Weight of the usual spread beside that of a person's own images, as a number of images."""
CLEARLY_NEUTRAL = 0.7
"""Least probability of neutral for an unlabelled image to count as rest. With a lower value, people
who are never neutral would be compared with a mood."""
GUESSED_SPREAD = 1.0
"""The part of a rest's spread that clearly neutral images do not show, because the others are left
out. Assumed to be independent of the spread they do show."""
FILE_MARK = '{\n  "emotions": ['
"""Text that the file of a resting face begins with."""
POPULATION = dict(
    zip(NINE_EMOTIONS, (-5.70, -6.42, -7.29, -6.79, -6.75, -0.42, -3.43, -7.14, -3.87), strict=True)
)
"""Mean log-probabilities (floor 1e-5) of `fast` for FER+'s neutral faces (valid, 1,180)."""


@dataclass(frozen=True)
class RestingFace:
    """How one person's face looks to one model when it shows nothing.

    Args:
        emotions: The model's classes, in its order.
        log_probabilities: Mean log-probability of each class over the resting images, at most 0.
        population: The same over many people's neutral faces.
        frames: Number of images it is based on, at least 1.
        spread: How far they are apart (see above), at least 0.
        trust: How far it is trusted, 0...1.
        model: The model that gave the probabilities (`EmotionClassifier.identity`); None binds
            the resting face to the classes only.

    Raises:
        ValueError: If a field has the wrong kind or length, or there is no image behind it.
    """

    emotions: tuple[str, ...]
    log_probabilities: tuple[float, ...]
    population: tuple[float, ...]
    frames: int
    spread: float = USUAL_SPREAD
    trust: float = 1.0
    model: str | None = None

    def __post_init__(self) -> None:
        check_fields("a resting face", vars(self), _KINDS)
        for name in ("emotions", "log_probabilities", "population"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        count = len(self.emotions)
        lengths = (len(self.log_probabilities), len(self.population), len(set(self.emotions)))
        if lengths != (count,) * 3:
            raise ValueError(
                f"Expected one number for each of {count} distinct emotions in a resting face. "
                f"Received: {len(self.log_probabilities)} log_probabilities, "
                f"{len(self.population)} of the population, emotions {list(self.emotions)}."
            )

    def __str__(self) -> str:
        shown = sorted(zip(self.log_probabilities, self.emotions, strict=True), reverse=True)[:2]
        words = ", ".join(f"{name} {math.exp(log):.0%}" for log, name in shown)
        plural = "" if self.frames == 1 else "s"
        return f"a rest of {self.frames} image{plural} (mostly {words}), believed {self.trust:.0%}"

    @classmethod
    def from_probabilities(
        cls,
        probabilities: Any,
        *,
        emotions: Iterable[str] = NINE_EMOTIONS,
        population: Mapping[str, float] = POPULATION,
        model: str | None = None,
        hidden_spread: float = 0.0,
    ) -> RestingFace:
        """Return the resting face estimated from independent images of a person's neutral face.

        Args:
            probabilities: `(n, k)` of the natural decision, n at least 1: from
                `EmotionClassifier.predict`, if need be by way of `EmotionClassifier.natural`.
            emotions: The model's classes, in the order of the columns.
            population: Class -> mean log-probability over many people's neutral faces.
            model: The model that gave them; None for any model with these classes.
            hidden_spread: Part of the rest's spread not shown by these images (`GUESSED_SPREAD`).

        Raises:
            ValueError: If there is no row, a row is invalid, or a class has no population.
        """
        names = tuple(emotions)
        if hasattr(probabilities, "__len__") and not len(probabilities):
            raise ValueError(
                "Expected at least one image of the resting face. Received: 0. Give neutral "
                "images of the same person."
            )
        rows = checked_probabilities(probabilities, names)
        logs, usual = np.log(np.clip(rows, FLOOR, 1.0)), population_of(names, population)
        mean, count = logs.mean(axis=0), len(rows)
        spread = _spread_of(((logs - mean) ** 2).mean(axis=1).sum(), count, hidden_spread)
        return cls(names, mean.tolist(), usual, count, spread, trust_of(spread, count), model)

    def relative(self, probabilities: Any, share: float | None = None) -> np.ndarray:
        """Return what faces of this person show compared with their rest.

        Args:
            probabilities: `(n, k)` in the order of `emotions`.
            share: How much of the rest is removed, 0...1; None for `SHARE`. 0 leaves the
                probabilities unchanged.

        Returns:
            `(n, k)` float64, rows sum to 1.

        Raises:
            ValueError: If a row is not a distribution, or the share is out of range.
        """
        rows = checked_probabilities(probabilities, self.emotions)
        check_range(0, 1, share=SHARE if share is None else share)
        strength = (SHARE if share is None else share) * self.trust
        if strength == 0:
            return rows.copy()
        own, usual = np.array(self.log_probabilities), np.array(self.population)
        taken = own - kept_of(self.spread) * usual
        logs = np.log(np.maximum(rows, FLOOR)) - strength * taken
        weights = np.exp(logs - logs.max(axis=1, keepdims=True))
        return weights / weights.sum(axis=1, keepdims=True)

    def check_model(self, emotions: Iterable[str], model: str | None = None) -> None:
        """Check that a model has the same classes, in order, weights and temperature (if known).

        Raises:
            ValueError: If it does not; says what differs and what to do.
        """
        names = tuple(emotions)
        if names != self.emotions:
            raise ValueError(
                f"Expected a resting face of the classes {list(names)} in this order. Received: "
                f"{list(self.emotions)}. Make it anew with this model."
            )
        if self.model and model and not f"{model},".startswith(f"{self.model},"):
            raise ValueError(
                f"Expected a resting face made with the model {model}. Received: one made with "
                f"{self.model}. Make it anew with this model."
            )

    def save(self, path: str | Path) -> Path:
        """Write the resting face as JSON, completely or not at all, and return its path.

        Raises:
            OSError, ValueError: If it cannot be written; a device or a pipe is never replaced.
        """
        with replacing(Path(path)) as partial:
            partial.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> RestingFace:
        """Return the resting face that `save` wrote.

        Earlier versions learnt it by any decision, and did not tell the model's temperature.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it holds no resting face; names the file and the field.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"No resting face at {str(path)!r}. Check the spelling.")
        try:
            values = json.loads(read_text(path))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"Expected a resting face in {path}, as JSON: {error}.") from error
        if not isinstance(values, dict) or set(values) != set(_KINDS):
            raise ValueError(
                f"Expected the fields {sorted(_KINDS)} in the resting face {path}. Received: "
                f"{sorted(values) if isinstance(values, dict) else type(values).__name__}."
            )
        try:
            return cls(**values)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error


def rests_by_person(
    probabilities: np.ndarray,
    emotions: Iterable[str],
    persons: Iterable[Any],
    is_neutral: Collection[bool] | None = None,
) -> list[RestingFace | None]:
    """Return the rest of each image's person, from the *other* neutral images of that person.

    Args:
        probabilities: `(n, k)` of the natural decision, in the order of `emotions`.
        emotions: The model's classes.
        persons: Who is in each of the n images; "" or a missing value if unknown.
        is_neutral: `(n,)` bool, which images are known to be neutral; if None, those that look
            clearly neutral are used.

    Returns:
        n resting faces, None where there is no other neutral image.

    Raises:
        ValueError: If lengths differ, `is_neutral` lacks a value, or without it a neutral class.
    """
    names, rows = tuple(emotions), np.asarray(probabilities, np.float64)
    who, told = [known_name(person) for person in persons], is_neutral
    counts = [len(rows), len(who), len(rows if told is None else told)]
    if len(set(counts)) > 1:
        raise ValueError(f"Expected as many images, persons and is_neutral. Received: {counts}.")
    for one in () if told is None else told:
        check_flag(is_neutral=one)
    calm = looks_neutral(rows, names) if told is None else np.asarray(told, bool)
    hidden = GUESSED_SPREAD if told is None else 0.0
    images: dict[str, list[int]] = {}
    for number, person in enumerate(who):
        images.setdefault(person, []).append(number)
    rests: list[RestingFace | None] = [None] * len(who)
    for person, own in images.items():
        neutral = rows[[number for number in own if calm[number]]]
        if person and len(neutral) and len(own) > 1:
            whole = RestingFace.from_probabilities(neutral, emotions=names, hidden_spread=hidden)
            of_others = iter(_without_each(whole, neutral, hidden))
            for number in own:
                rests[number] = next(of_others) if calm[number] else whole
    return rests


def _without_each(
    rest: RestingFace, rows: np.ndarray, hidden_spread: float
) -> list[RestingFace | None]:
    """Return, for each of the `(n, k)` images of a rest, the rest of all the others."""
    logs, count = np.log(np.maximum(rows, FLOOR)), len(rows) - 1
    if not count:
        return [None]
    apart = logs - logs.mean(axis=0)
    means = np.minimum(logs.mean(axis=0) - apart / count, 0.0).tolist()
    squares = (apart**2).mean(axis=1)
    left = np.maximum(squares.sum() - squares * len(rows) / count, 0.0).tolist()
    spreads = [_spread_of(one, count, hidden_spread) for one in left]
    return [
        RestingFace(rest.emotions, mean, rest.population, count, spread, trust_of(spread, count))
        for mean, spread in zip(means, spreads, strict=True)
    ]


def looks_neutral(probabilities: np.ndarray, emotions: Sequence[str]) -> np.ndarray:
    """Return which rows are clearly neutral, `(n,)` bool.

    Raises:
        ValueError: If there is no neutral class.
    """
    labels = [label for label, name in enumerate(emotions) if own_word(name) == "neutral"]
    if not labels:
        raise ValueError(
            f"Expected a class neutral, by which resting faces are found. Received: "
            f"{list(emotions)}. Say which images are neutral."
        )
    return probabilities[:, labels].max(axis=1) >= CLEARLY_NEUTRAL


def relative_by_person(
    probabilities: np.ndarray,
    emotions: Iterable[str],
    persons: Iterable[str],
    is_neutral: Collection[bool] | None = None,
) -> np.ndarray:
    """Return what each image shows compared with its person's *other* neutral images.

    Args:
        probabilities, emotions, persons, is_neutral: As in `rests_by_person`.

    Returns:
        `(n, k)` float64; rows of people without another neutral image are unchanged.
    """
    found = np.array(probabilities, np.float64)
    for number, rest in enumerate(rests_by_person(found, emotions, persons, is_neutral)):
        if rest is not None:
            found[number] = rest.relative(found[number : number + 1])[0]
    return found


_LOGS = is_list_of(lambda value: is_number(value) and value <= 0), "a list of numbers, none above 0"
_KINDS = {
    "emotions": (is_list_of(is_text), "a list of emotion names"),
    "log_probabilities": _LOGS,
    "population": _LOGS,
    "frames": (lambda count: is_whole(count) and count >= 1, "a whole number, at least 1"),
    "spread": (lambda value: is_number(value) and value >= 0, "a number, at least 0"),
    "trust": (lambda value: is_number(value) and 0 <= value <= 1, "a number, 0...1"),
    "model": (is_nothing_or(is_text), "a text or null"),
}


def _spread_of(squares: float, count: int, hidden_spread: float) -> float:
    """Return the spread of a rest from its images' squared distances from their mean, summed."""
    square = (USUAL_WEIGHT * USUAL_SPREAD**2 + squares) / (USUAL_WEIGHT + count - 1)
    return math.sqrt(square + hidden_spread**2)


def kept_of(spread: float) -> float:
    """Return how much of the population's rest is kept, 0...1, at a given spread of the rest."""
    return min(1.0, (spread / USUAL_SPREAD) ** 2)


def trust_of(spread: float, images: float) -> float:
    """Return how far the mean of a number of images with a given spread is trusted, 0...1."""
    if images <= 0:
        return 0.0
    return BETWEEN_PEOPLE**2 / (BETWEEN_PEOPLE**2 + spread**2 / images)


def population_of(
    emotions: Iterable[str], population: Mapping[str, float] = POPULATION
) -> tuple[float, ...]:
    """Return the population's rest in the order of a model's classes; synonyms are recognised.

    Raises:
        ValueError: If a class is not in the population.
    """
    known = {own_word(name): value for name, value in population.items()}
    missing = [name for name in emotions if own_word(name) not in known]
    if missing:
        raise ValueError(
            f"Expected only classes of {list(population)} for a resting face: of others it is not "
            f"known what many neutral faces give. Received: {missing}. Use another model, or in "
            "Python give RestingFace.from_probabilities their population."
        )
    return tuple(float(known[own_word(name)]) for name in emotions)


def checked_probabilities(probabilities: Any, emotions: tuple[str, ...]) -> np.ndarray:
    """Return probabilities as `(n, k)` float64.

    Raises:
        ValueError: If the shape is wrong, a value is not in 0...1, or a row's sum is not 1.
    """
    rows = np.asarray(probabilities, np.float64)
    if rows.ndim != 2 or rows.shape[1] != len(emotions):
        raise ValueError(
            f"Expected probabilities of shape (n, {len(emotions)}). Received: shape {rows.shape}."
        )
    wrong = rows[~((rows >= 0) & (rows <= 1 + 1e-4))]
    if len(wrong):
        raise ValueError(f"Expected probabilities, 0...1. Received: {wrong[0]}.")
    if len(rows) and not math.isclose(float(np.abs(rows.sum(axis=1) - 1).max()), 0, abs_tol=1e-3):
        raise ValueError("Expected rows of probabilities that sum to 1. Received: others.")
    return rows
