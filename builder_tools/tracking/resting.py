"""Each person's rest in a stream, estimated while it runs, and what they show compared with it.

`auto` believes nobody at first: trust grows with the seconds in which a face looked at rest. An
image counts as rest while it is clearly neutral and, once there is an estimate, near it; else
the estimate stands still, so that a long laugh does not become the rest. So it never learns a rest
that the model calls by another name: for such a face, give the first seconds or images. It knows
only the past (`online` and videos alike). No images are kept.

The constants were compared on made streams of two development sets: see reports/rest.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from builder_tools.emotions import own_word
from builder_tools.rest import FLOOR, POPULATION_SHARE, SHARE, RestingFace, population_of
from builder_tools.results import FaceEmotion

AUTO = "auto"
CLEARLY_NEUTRAL = 0.7
"""Least probability of neutral of an image that may be rest. Where less is enough, people who are
never neutral are judged against a mood."""
FAR = 1.5
"""Root mean square distance in log-probabilities beyond which a face is no longer near its rest."""
SURE_AFTER_S = 3.0
"""Seconds of rest after which distance from the estimate counts."""
HALF_TRUST_S = 10.0
"""t seconds of rest that nobody promised are trusted t / (t + this)."""
HALF_TRUST_TOLD_S = 0.5
"""The same of seconds that somebody said are rest: three are trusted like two images."""
LOOK_NEUTRAL_S = 3.0
"""For how long people look neutral when they are asked to."""
MEMORY_S = 120.0
"""Rest of longer ago weighs less and less."""
LONGEST_STEP_S = 0.5
"""An image stands for no more than this, however long ago the one before it was."""
FORGET_S = 60.0
"""People unseen for so long are forgotten."""


@dataclass
class _Rest:
    """What is known of a person's rest: the mean, and the seconds it rests on."""

    first_s: float
    last_s: float
    mean: list[float]
    seconds: float = 0.0


@dataclass(frozen=True)
class _Classes:
    """What holds for every face of a model."""

    names: tuple[str, ...]
    population: tuple[float, ...]
    neutral: tuple[int, ...]


class RestTracker:
    """Puts beside what each face shows what it shows compared with its rest.

    Args:
        rest: `auto`; a number of seconds, the first ones of each person, that are rest; or the
            resting face of the one person who is filmed.

    Raises:
        ValueError: If it is none of these.
    """

    def __init__(self, rest: RestingFace | str | float) -> None:
        is_seconds = isinstance(rest, int | float) and math.isfinite(rest) and rest > 0
        if not (isinstance(rest, RestingFace) or rest == AUTO or is_seconds):
            raise ValueError(
                f"Expected rest='auto', seconds above 0 or a RestingFace. Received: {rest!r}."
            )
        self.rest = rest
        self._states: dict[int, _Rest] = {}
        self._classes: _Classes | None = None
        self._begins_anew = False

    def look_neutral(self) -> None:
        """Take the next three seconds of everybody as their rest, in place of what is known.

        People who come later have theirs in their own first three seconds. May be called from
        another thread.
        """
        self._begins_anew = True

    def update(self, found: Sequence[FaceEmotion], time_s: float) -> tuple[FaceEmotion, ...]:
        """Return the faces of the next image with `relative_probabilities`.

        A face whose rest is not known shows the same compared with it.

        Args:
            found: The faces; those with `face.track` set have a rest of their own.
            time_s: When the image is shown, seconds; not earlier than the one before.

        Raises:
            ValueError: If a class has no population (`auto`, seconds), or the resting face is of
                other classes.
        """
        if self._begins_anew:
            self.rest, self._classes, self._begins_anew = LOOK_NEUTRAL_S, None, False
            self._states.clear()
        for track in [t for t, s in self._states.items() if time_s - s.last_s > FORGET_S]:
            del self._states[track]
        return tuple(self._compared(face, time_s) for face in found)

    def _compared(self, face: FaceEmotion, time_s: float) -> FaceEmotion:
        """Plain numbers, not arrays: of nine classes they are several times as fast."""
        names = tuple(face.probabilities)
        if self._classes is None or self._classes.names != names:
            self._classes = self._settled(names)
        logs = [math.log(max(value, FLOOR)) for value in face.probabilities.values()]
        mean, trust = self._rest_of(face.face.track, logs, time_s)
        relative = face.probabilities
        if trust > 0:
            weights = [
                math.exp(log - SHARE * trust * (rest - POPULATION_SHARE * usual))
                for log, rest, usual in zip(logs, mean, self._classes.population, strict=True)
            ]
            whole = sum(weights)
            relative = {name: weight / whole for name, weight in zip(names, weights, strict=True)}
        return replace(face, relative_probabilities=relative)

    def _rest_of(
        self, track: int | None, logs: list[float], time_s: float
    ) -> tuple[Sequence[float], float]:
        """Return the mean and its trust, with this image taken in."""
        if isinstance(self.rest, RestingFace):
            return self.rest.log_probabilities, self.rest.trust
        if track is None:
            return logs, 0.0
        state = self._states.get(track)
        if state is None:
            state = self._states[track] = _Rest(time_s, time_s, logs)
        step_s = min(time_s - state.last_s, LONGEST_STEP_S)
        state.last_s = time_s
        if self.rest == AUTO:
            if self._looks_calm(logs) and not _is_far(logs, state):
                _take_in(state, logs, step_s)
            return state.mean, state.seconds / (state.seconds + HALF_TRUST_S)
        if time_s - state.first_s <= self.rest:
            _take_in(state, logs, step_s)
            return state.mean, 0.0
        return state.mean, state.seconds / (state.seconds + HALF_TRUST_TOLD_S)

    def _looks_calm(self, logs: list[float]) -> bool:
        return any(logs[label] >= math.log(CLEARLY_NEUTRAL) for label in self._classes.neutral)

    def _settled(self, names: tuple[str, ...]) -> _Classes:
        if isinstance(self.rest, RestingFace):
            self.rest.check_model(names)
            return _Classes(names, self.rest.population, ())
        neutral = tuple(n for n, name in enumerate(names) if own_word(name) == "neutral")
        if self.rest == AUTO and not neutral:
            raise ValueError(
                f"Expected a class neutral for rest='auto'. Received: {list(names)}. Give the "
                "first seconds as rest, or a resting face."
            )
        return _Classes(names, population_of(names), neutral)


def _is_far(logs: list[float], state: _Rest) -> bool:
    if state.seconds < SURE_AFTER_S:
        return False
    squares = sum((log - rest) ** 2 for log, rest in zip(logs, state.mean, strict=True))
    return squares > len(logs) * FAR**2


def _take_in(state: _Rest, logs: list[float], step_s: float) -> None:
    """Move the mean by the weight of so many seconds among those it rests on."""
    state.seconds = min(state.seconds + step_s, MEMORY_S)
    weight = step_s / state.seconds if state.seconds > 0 else 1.0
    state.mean = [rest + weight * (log - rest) for log, rest in zip(logs, state.mean, strict=True)]
