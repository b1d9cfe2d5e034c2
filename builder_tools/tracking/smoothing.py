"""Emotions that do not flicker: an exponential mean over time per person, and a sticky label.

The weight of a new image is `1 - exp(-step / time constant)`: the same time constant gives the
same smoothing at any frame rate and at uneven steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from builder_tools.results import FaceEmotion, SteadyEmotion
from builder_tools.tracking.clock import elapsed_s

DEFAULT_MARGIN = 0.1
FORGET_TIME_CONSTANTS = 5.0
FORGET_LEAST_S = 2.0


@dataclass
class _State:
    """What is remembered about a person."""

    time_s: float
    probabilities: np.ndarray
    valence: float | None
    arousal: float | None
    label: int


class EmotionSmoother:
    """Smooth probabilities, valence and arousal per track; probabilities still sum to 1.

    A slow change is shown `time_constant_s` late; a sudden one is half complete after 0.69 of it.
    Memory does not grow: people unseen for five time constants (at least 2 s) are forgotten.

    Args:
        time_constant_s: Time constant in seconds.
        margin: How much more probable another emotion must be, 0...1, before the displayed one
            changes (hysteresis).

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(self, time_constant_s: float, *, margin: float = DEFAULT_MARGIN) -> None:
        if not (math.isfinite(time_constant_s) and time_constant_s > 0 and 0 <= margin < 1):
            raise ValueError(
                "Expected time_constant_s > 0 and margin in [0, 1). "
                f"Received: time_constant_s={time_constant_s}, margin={margin}."
            )
        self.time_constant_s, self.margin = time_constant_s, margin
        self._forget_s = max(FORGET_TIME_CONSTANTS * time_constant_s, FORGET_LEAST_S)
        self._states: dict[int, _State] = {}
        self._time_s: float | None = None

    def update(self, found: Sequence[FaceEmotion], time_s: float) -> tuple[FaceEmotion, ...]:
        """Return the faces of the next image, smoothed; those without a track stay as they are.

        Args:
            found: The faces, with `face.track` set.
            time_s: Time of the image in seconds; not earlier than that of the previous one.

        Raises:
            ValueError: If time goes backwards.
        """
        elapsed_s(self._time_s, time_s)
        self._time_s = time_s
        kept = {t: s for t, s in self._states.items() if time_s - s.time_s <= self._forget_s}
        self._states = kept
        smoothed: list[FaceEmotion] = []
        for face in found:
            if face.face.track is None:
                smoothed.append(face)
                continue
            fresh = np.fromiter(face.probabilities.values(), float, len(face.probabilities))
            state = self._states.get(face.face.track)
            if state is None:
                state = _State(time_s, fresh, face.valence, face.arousal, int(fresh.argmax()))
                self._states[face.face.track] = state
            else:
                weight = -math.expm1(-(time_s - state.time_s) / self.time_constant_s)
                state.probabilities = state.probabilities + weight * (fresh - state.probabilities)
                state.valence = _mixed(state.valence, face.valence, weight)
                state.arousal = _mixed(state.arousal, face.arousal, weight)
                state.time_s = time_s
                likely = int(state.probabilities.argmax())
                if state.probabilities[likely] - state.probabilities[state.label] > self.margin:
                    state.label = likely
            names = tuple(face.probabilities)
            steady = SteadyEmotion(
                face.face,
                dict(zip(names, state.probabilities.tolist(), strict=True)),
                state.valence,
                state.arousal,
                face.doubtful_below,
                shown=names[state.label],
                geometry=face.geometry,
                no_geometry=face.no_geometry,
            )
            smoothed.append(steady)
        return tuple(smoothed)


def _mixed(old: float | None, new: float | None, weight: float) -> float | None:
    if old is None or new is None:
        return new
    return old + weight * (new - old)
