"""How often the displayed emotion changes, and how long an image stands for what it shows."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from builder_tools.results import FrameResult

LONGEST_STEP_S = 1.0
"""Longer gaps count neither as time in sight nor as a change."""


def label_changes_per_minute(results: Iterable[FrameResult]) -> float:
    """Return how often a person's displayed emotion changes, per minute in sight.

    Args:
        results: Frames in order, with tracked faces (faces without a track are left out).

    Returns:
        Changes per minute over all people; NaN if nobody was in sight for two frames in a row.
    """
    last: dict[int, tuple[float, str]] = {}
    changes, seconds = 0, 0.0
    for result in results:
        for face in result.faces:
            if face.face.track is None:
                continue
            time_s, emotion = last.get(face.face.track, (float("-inf"), ""))
            if result.time_s - time_s <= LONGEST_STEP_S:
                seconds += result.time_s - time_s
                changes += emotion != face.emotion
            last[face.face.track] = (result.time_s, face.emotion)
    return 60 * changes / seconds if seconds else float("nan")


def periods_shown(looked: np.ndarray, count: int, period_s: float) -> np.ndarray:
    """Return which period's images are shown in each of several equal periods: `(count,)` int.

    Those of the period itself, or else of the last one before that has any, as an image stands
    until the next one; -1 if there is none, or none within `LONGEST_STEP_S` (but of one period ago
    at least, as images are spaced unevenly).

    Args:
        looked: Numbers of the periods with an image, 0...count - 1, in any order.
        count: Number of periods.
        period_s: Length of a period, in seconds.
    """
    periods = np.arange(count)
    last = np.maximum.accumulate(np.where(np.isin(periods, looked), periods, -1))
    most = max(int(LONGEST_STEP_S / period_s + 1e-6), 1)
    return np.where(periods - last <= most, last, -1)
