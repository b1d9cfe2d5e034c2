"""Each person's rest in a stream, estimated as it runs, and their emotions relative to it.

`auto` trusts a first look a little, and trusts it more the longer a face has looked at rest. An
image counts as rest if it shows what resting faces are commonly taken for, neutral is possible and,
once there is an estimate, it is close to that. Otherwise the estimate stays as it is, so that a
long laugh does not become the rest. Somebody who looks sad whenever they are seen is therefore
taken to look so at rest; the absolute emotion is given as well. `update` knows only the past; with
`learn` first and `compare` after the end, the whole film is used. No images are kept.

The constants were compared on streams composed from two development sets: see reports/rest.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from builder_tools.emotions import own_word
from builder_tools.fields import is_number
from builder_tools.rest import (
    FLOOR,
    SHARE,
    USUAL_SPREAD,
    USUAL_WEIGHT,
    RestingFace,
    kept_of,
    population_of,
    trust_of,
)
from builder_tools.results import FaceEmotion
from builder_tools.tracking.clock import elapsed_s

AUTO = "auto"
FAR = 1.5
"""Root mean square distance in log-probabilities above which a face is not close to its rest."""
SURE_AFTER_S = 3.0
"""Seconds of rest after which distance from the estimate matters."""
LIKE_REST = ("neutral", "sad", "anger", "uncertain")
"""Emotions that resting faces are taken for."""
LIKE_REST_FROM = 0.85
"""Minimum total probability of these for an image to count as rest unless told otherwise."""
NEUTRAL_FROM = 0.08
"""Minimum probability of neutral for such an image."""
FIRST_LOOK = 0.75
"""Number of independent images that the first look at a possibly resting face counts as."""
IMAGE_S = 2.0
"""Seconds of rest after it that count as one more image."""
HIDDEN_SPREAD = 1.22
"""The part of a rest's spread that a stream's images do not show, as they are from one occasion and
those unlike the rest are left out. Assumed independent of the part they show."""
LOOK_NEUTRAL_S = 3.0
"""How long people look neutral when asked to."""
MEMORY_S = 120.0
"""Rest from longer ago than this weighs less and less."""
LONGEST_STEP_S = 0.5
"""Maximum time an image stands for, however long ago the previous one was."""
FORGET_S = 60.0
"""People unseen for this long are forgotten."""


@dataclass
class _Rest:
    """What is known about a person's rest: mean, mean square distance from it, seconds of rest.

    `seconds` are those in memory, `seen_s` all of them.
    """

    first_s: float
    last_s: float
    mean: list[float]
    square: float = 0.0
    seconds: float = 0.0
    seen_s: float = 0.0
    frames: int = 0


@dataclass(frozen=True)
class _Classes:
    """What is common to all faces of a model."""

    names: tuple[str, ...]
    population: tuple[float, ...]
    neutral: tuple[int, ...]
    like_rest: tuple[int, ...]


class RestTracker:
    """Add to each face its emotions relative to the person's rest.

    Args:
        rest: `auto`; a number of seconds, the first ones of each person, taken as rest; or the
            resting face of the only person filmed.
        memory_s: Rest from longer ago weighs less and less; infinity weighs all equally.
        forget_s: People unseen for this long are forgotten; infinity for never.
        natural: Returns the probabilities of the natural decision, of which rests are, given those
            of the faces (`EmotionClassifier.natural`); None if they are the same.

    Raises:
        ValueError: If the rest is none of these.
    """

    def __init__(
        self,
        rest: RestingFace | str | float,
        *,
        memory_s: float = MEMORY_S,
        forget_s: float = FORGET_S,
        natural: Callable[[list[list[float]]], np.ndarray] | None = None,
    ) -> None:
        is_seconds = is_number(rest) and rest > 0
        if not (isinstance(rest, RestingFace) or rest == AUTO or is_seconds):
            raise ValueError(
                f"Expected rest='auto', seconds above 0 or a RestingFace. Received: {rest!r}."
            )
        self.rest, self._memory_s, self._forget_s = rest, memory_s, forget_s
        self._natural = natural
        self._states: dict[int, _Rest] = {}
        self._longest: _Rest | None = None
        self._classes: _Classes | None = None
        self._begins_anew = False
        self._time_s: float | None = None

    @property
    def is_auto(self) -> bool:
        """Whether rests are estimated automatically."""
        return self.rest == AUTO

    def look_neutral(self) -> None:
        """Take everybody's next three seconds as their rest, replacing what is known.

        For people who appear later, their own first three seconds count. May be called from
        another thread.
        """
        self._begins_anew = True

    def update(self, found: Sequence[FaceEmotion], time_s: float) -> tuple[FaceEmotion, ...]:
        """Return the faces of the next image with `relative_probabilities`.

        For a face whose rest is not known, they equal the probabilities.

        Args:
            found: The faces; those with `face.track` set have a rest of their own.
            time_s: Time of the image in seconds; not earlier than that of the previous one.

        Raises:
            ValueError: If time goes backwards, a class has no population (`auto`, seconds), or the
                resting face has other classes.
        """
        self.learn(found, time_s)
        return self.compare(found)

    def learn(self, found: Sequence[FaceEmotion], time_s: float) -> None:
        """Learn from the faces of the next image that are at rest.

        Arguments and errors are those of `update`.
        """
        elapsed_s(self._time_s, time_s)
        self._time_s = time_s
        if self._begins_anew:
            self.rest, self._classes, self._begins_anew = LOOK_NEUTRAL_S, None, False
            self._states.clear()
            self._longest = None
        for track in [t for t, s in self._states.items() if time_s - s.last_s > self._forget_s]:
            self._longest = self._longest_known()
            del self._states[track]
        for face in found:
            classes, track = self._classes_of(face), face.face.track
            if isinstance(self.rest, RestingFace) or track is None:
                continue
            shown = list(face.probabilities.values())
            if self._natural is not None:
                (shown,) = self._natural([shown]).tolist()
            logs = [math.log(max(value, FLOOR)) for value in shown]
            state = self._states.get(track)
            if state is None:
                state = self._states[track] = _Rest(time_s, time_s, logs)
            step_s = min(time_s - state.last_s, LONGEST_STEP_S)
            state.last_s = time_s
            if self.rest == AUTO:
                is_rest = _may_be_rest(shown, classes) and not _is_far(logs, state)
            else:
                is_rest = time_s - state.first_s <= self.rest
            if is_rest:
                _take_in(state, logs, step_s, self._memory_s)

    def compare(self, found: Sequence[FaceEmotion]) -> tuple[FaceEmotion, ...]:
        """Return faces with `relative_probabilities` from what is known, without learning.

        Raises:
            ValueError: See `update`.
        """
        return tuple(self._compared(face) for face in found)

    def resting_face(self, model: str | None = None) -> RestingFace:
        """Return the rest of the person seen at rest for the longest time.

        They need not be in sight any more, nor remembered by `update`.

        Args:
            model: The model that gave the probabilities (`EmotionClassifier.identity`).

        Raises:
            ValueError: If nobody was seen at rest.
        """
        if isinstance(self.rest, RestingFace):
            return self.rest
        state = self._longest_known()
        if state is None or not state.seconds:
            raise ValueError(
                "Expected a face at rest. Received: none. Look neutral for some seconds, or give "
                "neutral images."
            )
        spread, trust = self._belief(state)
        names, population = self._classes.names, self._classes.population
        return RestingFace(names, tuple(state.mean), population, state.frames, spread, trust, model)

    def _longest_known(self) -> _Rest | None:
        """Return what is known of the person seen at rest longest, also if they are forgotten."""
        known = [*([self._longest] if self._longest else []), *self._states.values()]
        return max(known, key=lambda one: one.seen_s, default=None)

    def _compared(self, face: FaceEmotion) -> FaceEmotion:
        """Compare one face, in plain numbers: for nine classes, several times as fast as arrays."""
        classes = self._classes_of(face)
        state = self._states.get(face.face.track)
        if isinstance(self.rest, RestingFace):
            mean, spread, trust = self.rest.log_probabilities, self.rest.spread, self.rest.trust
        elif state is None or (self.rest != AUTO and state.last_s - state.first_s <= self.rest):
            return replace(face, relative_probabilities=face.probabilities)
        else:
            mean, (spread, trust) = state.mean, self._belief(state)
        if trust == 0:
            return replace(face, relative_probabilities=face.probabilities)
        share, kept = SHARE * trust, kept_of(spread)
        weights = [
            math.exp(math.log(max(value, FLOOR)) - share * (rest - kept * usual))
            for value, rest, usual in zip(
                face.probabilities.values(), mean, classes.population, strict=True
            )
        ]
        whole = sum(weights)
        relative = {
            name: weight / whole for name, weight in zip(classes.names, weights, strict=True)
        }
        return replace(face, relative_probabilities=relative)

    def _belief(self, state: _Rest) -> tuple[float, float]:
        """Return the spread of a person's rest, and how far its mean is trusted."""
        images = FIRST_LOOK * (state.frames > 0) + state.seconds / IMAGE_S
        square = (USUAL_WEIGHT * USUAL_SPREAD**2 + images * (HIDDEN_SPREAD**2 + state.square)) / (
            USUAL_WEIGHT + images
        )
        spread = math.sqrt(square)
        return spread, trust_of(spread, images)

    def _classes_of(self, face: FaceEmotion) -> _Classes:
        names = tuple(face.probabilities)
        if self._classes is not None and self._classes.names == names:
            return self._classes
        if isinstance(self.rest, RestingFace):
            self.rest.check_model(names)
            self._classes = _Classes(names, self.rest.population, (), ())
            return self._classes
        neutral = tuple(n for n, name in enumerate(names) if own_word(name) == "neutral")
        if self.rest == AUTO and not neutral:
            raise ValueError(
                f"Expected a class neutral for rest='auto'. Received: {list(names)}. Give the "
                "first seconds as rest, or a resting face."
            )
        like_rest = tuple(n for n, name in enumerate(names) if own_word(name) in LIKE_REST)
        self._classes = _Classes(names, population_of(names), neutral, like_rest)
        return self._classes


def _may_be_rest(shown: Sequence[float], classes: _Classes) -> bool:
    is_neutral = max(shown[label] for label in classes.neutral) >= NEUTRAL_FROM
    return is_neutral and sum(shown[label] for label in classes.like_rest) >= LIKE_REST_FROM


def _take_in(state: _Rest, logs: list[float], step_s: float, memory_s: float) -> None:
    """Update mean and mean square with `step_s` seconds, weighted among those they are based on."""
    state.frames += 1
    state.seen_s += step_s
    state.seconds = min(state.seconds + step_s, memory_s)
    weight = step_s / state.seconds if state.seconds > 0 else 1.0
    before = state.mean
    state.mean = [rest + weight * (log - rest) for log, rest in zip(logs, before, strict=True)]
    triples = zip(logs, before, state.mean, strict=True)
    square = sum((log - old) * (log - new) for log, old, new in triples)
    state.square += weight * (square / len(logs) - state.square)


def _is_far(logs: list[float], state: _Rest) -> bool:
    if state.seconds < SURE_AFTER_S:
        return False
    squares = sum((log - rest) ** 2 for log, rest in zip(logs, state.mean, strict=True))
    return squares > len(logs) * FAR**2
