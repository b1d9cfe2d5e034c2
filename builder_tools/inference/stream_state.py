"""What a stream knows of its past: who is who, and what they showed a moment ago."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from builder_tools.inference.search import Search
from builder_tools.rest import RestingFace
from builder_tools.results import Face, FaceEmotion
from builder_tools.tracking import EmotionSmoother, FaceTracker, RestTracker
from builder_tools.tracking.resting import AUTO

logger = logging.getLogger(__name__)


class StreamState:
    """Names faces and calms their emotions, as far as wanted.

    Args:
        track: Whether faces keep their identity.
        smooth_s: Time constant of the smoothing in seconds; 0 or None for none.
        rest: What faces are compared with, as `RestTracker` takes it; None for nothing.

    Attributes:
        rests: What is known of each person's rest; None where nobody asked.
        search: Finds faces in the next image, near their last place.

    Raises:
        ValueError: If `smooth_s` is negative, or given without `track`, or a rest that has to be
            estimated is.
    """

    def __init__(
        self,
        *,
        track: bool,
        smooth_s: float | None,
        rest: RestingFace | str | float | None = None,
    ) -> None:
        if smooth_s and not track:
            raise ValueError("Expected track=True with smooth_s: emotions are smoothed per person.")
        if rest is not None and not isinstance(rest, RestingFace) and not track:
            raise ValueError("Expected track=True with rest: it is estimated per person.")
        self._settings = {"track": track, "smooth_s": smooth_s, "rest": rest}
        self._tracker = FaceTracker() if track else None
        self.search = Search()
        self._smoother = EmotionSmoother(smooth_s) if smooth_s else None
        self.rests = None if rest is None else RestTracker(rest)

    def anew(self) -> StreamState:
        """Return one with the same settings that has seen nothing yet."""
        return StreamState(**self._settings)

    @property
    def is_auto(self) -> bool:
        """Whether rests are estimated unaided."""
        return self.rests is not None and self.rests.rest == AUTO

    def look_neutral(self) -> None:
        """Take everybody's next three seconds as rest, where faces are compared with theirs."""
        if self.rests is not None:
            logger.warning("Look neutral for three seconds")
            self.rests.look_neutral()

    def name(self, faces: list[Face], time_s: float, image: np.ndarray) -> list[Face]:
        """Return the faces of the next image with their tracks."""
        return faces if self._tracker is None else self._tracker.update(faces, time_s, image)

    def steady(self, found: Sequence[FaceEmotion], time_s: float) -> tuple[FaceEmotion, ...]:
        """Return the faces of the next image, smoothed and compared with their rest."""
        calmed = tuple(found) if self._smoother is None else self._smoother.update(found, time_s)
        return calmed if self.rests is None else self.rests.update(calmed, time_s)
