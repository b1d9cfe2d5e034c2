"""How often the displayed emotion changes."""

from __future__ import annotations

from collections.abc import Iterable

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
