"""A camera that the service watches, and how its images are searched."""

from __future__ import annotations

from dataclasses import replace

from builder_tools.detectors import FaceDetector
from builder_tools.inference.search import Search
from builder_tools.media import Frame
from builder_tools.results import Face
from builder_tools.tracking import FaceTracker
from builder_tools.watch.config import Camera
from builder_tools.watch.feeds import Feed
from builder_tools.watch.visits import Visit, VisitKeeper

SEARCH_STEP_S = 0.1
"""Most by which the clock of a camera's search advances per image. So even on a busy machine faces
are only tracked in most images, without a full search; otherwise delays would raise its cost."""


class Watched:
    """A camera and the state of its stream: its tracks and open visits."""

    def __init__(self, camera: Camera, feed: Feed, keeper: VisitKeeper) -> None:
        self.camera, self.feed, self.keeper = camera, feed, keeper
        self.tracker, self._search = FaceTracker(), Search()
        self._seen_s = self._search_s = 0.0
        self.ended: list[Visit] = []
        self.in_sight = 0
        self.answers = 0
        self.answers_per_s = 0.0

    def find(self, detector: FaceDetector, frame: Frame) -> list[Face]:
        """Return the faces of the camera's next image, largest first."""
        passed_s, self._seen_s = frame.time_s - self._seen_s, frame.time_s
        self._search_s += min(max(passed_s, 0.0), SEARCH_STEP_S)
        return self._search.find(detector, replace(frame, time_s=self._search_s))
