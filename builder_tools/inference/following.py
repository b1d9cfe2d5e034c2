"""What a stream knows of its past: who is who, and what they showed a moment ago."""

from __future__ import annotations

from collections.abc import Sequence

from builder_tools.results import Face, FaceEmotion
from builder_tools.tracking import EmotionSmoother, FaceTracker


class Following:
    """Names faces and calms their emotions, as far as wanted.

    Args:
        track: Whether faces keep their identity.
        smooth_s: Time constant of the smoothing in seconds; 0 or None for none.

    Raises:
        ValueError: If `smooth_s` is negative, or given without `track`.
    """

    def __init__(self, *, track: bool, smooth_s: float | None) -> None:
        if smooth_s and not track:
            raise ValueError("Expected track=True with smooth_s: emotions are smoothed per person.")
        self._settings = {"track": track, "smooth_s": smooth_s}
        self._tracker = FaceTracker() if track else None
        self._smoother = EmotionSmoother(smooth_s) if smooth_s else None

    def anew(self) -> Following:
        """Gives one with the same settings that has seen nothing yet."""
        return Following(**self._settings)

    def name(self, faces: list[Face], time_s: float) -> list[Face]:
        """Gives the faces of the next picture with their tracks."""
        return faces if self._tracker is None else self._tracker.update(faces, time_s)

    def steady(self, found: Sequence[FaceEmotion], time_s: float) -> tuple[FaceEmotion, ...]:
        """Gives the faces of the next picture with smoothed emotions."""
        return tuple(found) if self._smoother is None else self._smoother.update(found, time_s)
