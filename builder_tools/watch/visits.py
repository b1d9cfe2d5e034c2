"""Turns tracked faces into visits, bridging gaps.

A visit is what one person shows in front of one exhibit. The tracker's identities end after a
second or two; here a visit whose face disappeared waits for `gap_s`, and a new identity that begins
near its last place continues it. Nobody is recognised by their looks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from builder_tools.emotions import NINE_EMOTIONS, own_word
from builder_tools.results import Box, FaceEmotion
from builder_tools.timeline.affect import affect_values, mean_affect, sight_weight
from builder_tools.watch.tables import SHARES, UNIT

REACH_SIDES = 1.5
"""A returning face must be within this many face sides of its last place ..."""
LARGEST_SIZE_RATIO = 1.6
"""... and its size within this factor of the last one."""
SILENT_S = 5.0
"""Longest time between two images in which whoever is in both counts as in sight in between."""


@dataclass(frozen=True)
class Place:
    """Where a face is: its centre and longer side in px."""

    x_px: float
    y_px: float
    side_px: float

    @classmethod
    def of(cls, box: Box) -> Place:
        """Return the place of a box."""
        x1, y1, x2, y2 = box.x1, box.y1, box.x2, box.y2
        return cls((x1 + x2) / 2, (y1 + y2) / 2, max(x2 - x1, y2 - y1))

    def sides_to(self, other: Place) -> float:
        """Return the distance to another place in sides of the larger face; inf if sizes differ."""
        larger, smaller = sorted((self.side_px, other.side_px), reverse=True)
        if not smaller or larger / smaller > LARGEST_SIZE_RATIO:
            return math.inf
        return math.hypot(self.x_px - other.x_px, self.y_px - other.y_px) / larger


@dataclass
class Visit:
    """One visitor's visit to one exhibit, so far.

    Args:
        number: Number of the visit within a run of a camera.
        started_s: First sighting, in seconds of the run; negative if an earlier run saw it.
        seen_s: Last sighting.
        place: Where the face was then.
        run: The earlier run that began the visit; "" for this run.
    """

    number: int
    started_s: float
    seen_s: float
    place: Place
    run: str = ""
    sights: int = 0
    weight: float = 0.0
    score: float = 0.0
    shares: np.ndarray = field(default_factory=lambda: np.zeros(len(SHARES)))
    affect: np.ndarray = field(default_factory=lambda: np.zeros(4))

    @property
    def dwell_s(self) -> float:
        """Seconds from first to last sighting."""
        return self.seen_s - self.started_s

    def see(self, face: FaceEmotion, time_s: float) -> None:
        """Add a sighting."""
        weight = sight_weight(time_s - self.seen_s)
        for name, share in face.probabilities.items():
            self.shares[_column(name)] += weight * share
        self.affect += weight * affect_values(face)
        self.weight += weight
        self.score += face.face.score
        self.sights += 1
        self.seen_s, self.place = time_s, Place.of(face.face.box)

    def measures(self) -> dict[str, int | None]:
        """Return the dwell time in centiseconds and everything else in ten-thousandths."""
        valence, arousal, intensity = mean_affect(self.affect, self.weight)
        shares = self.shares / self.shares.sum()
        return {
            "dwell": round(self.dwell_s * 100),
            "intensity": round(UNIT * intensity),
            "valence": None if valence is None else round(UNIT * valence),
            "arousal": None if arousal is None else round(UNIT * arousal),
            **{name: round(UNIT * share) for name, share in zip(SHARES, shares, strict=True)},
        }

    @property
    def quality(self) -> float:
        """Mean detection score."""
        return self.score / self.sights


def _column(name: str) -> int:
    word = own_word(name)
    return NINE_EMOTIONS.label(word) if word in NINE_EMOTIONS else len(NINE_EMOTIONS)


class VisitKeeper:
    """Turns the faces of one camera into visits.

    Args:
        gap_s: How long a visitor may be out of view, or lost by the tracker.
        resumed: Visits that were open when an earlier run ended, with `seen_s` on this run's clock
            (negative); a face that returns near their place within the gap continues them.

    Attributes:
        open: Visits whose visitor is in view or may come back.
    """

    def __init__(self, gap_s: float, resumed: Iterable[Visit] = ()) -> None:
        self.gap_s = gap_s
        self.open: list[Visit] = list(resumed)
        self._by_track: dict[int, Visit] = {}
        self._num_visits = 0
        self._image_s = -math.inf

    def update(self, faces: Sequence[FaceEmotion], time_s: float) -> list[Visit]:
        """Add the faces in an image; return the visits that ended.

        Args:
            faces: Faces with tracks; those without are ignored.
            time_s: Seconds of the run; never earlier than in the previous call.
        """
        ended = self.wait(time_s)
        tracks = {face.face.track for face in faces}
        for face in faces:
            if face.face.track is None:
                continue
            visit = self._by_track.get(face.face.track)
            if visit is None:
                visit = self._waiting_near(Place.of(face.face.box), tracks, time_s)
            if visit is None:
                self._num_visits += 1
                visit = Visit(self._num_visits, time_s, time_s, Place.of(face.face.box))
                self.open.append(visit)
            self._by_track[face.face.track] = visit
            visit.see(face, time_s)
        self._image_s = time_s
        return ended + self.wait(time_s)

    def wait(self, time_s: float) -> list[Visit]:
        """Return the visits that have ended meanwhile, before the next image.

        Nobody who was in the last image is out of sight before the next one shows that, if it
        comes within `SILENT_S`.
        """
        last_s = self._image_s if time_s - self._image_s <= SILENT_S else math.inf
        away = [one for one in self.open if time_s - one.seen_s > self.gap_s]
        ended = [one for one in away if one.seen_s != last_s]
        over = {id(one) for one in ended}
        self.open = [one for one in self.open if id(one) not in over]
        self._by_track = {t: one for t, one in self._by_track.items() if id(one) not in over}
        return ended

    def finish(self) -> list[Visit]:
        """End all visits and return them."""
        ended, self.open = self.open, []
        self._by_track.clear()
        return ended

    def _waiting_near(self, place: Place, tracks: set, time_s: float) -> Visit | None:
        """Return the nearest visit whose visitor is out of view, if near enough."""
        busy = {id(visit) for track, visit in self._by_track.items() if track in tracks}
        waiting = [v for v in self.open if id(v) not in busy and v.seen_s < time_s]
        nearest = min(waiting, key=lambda visit: visit.place.sides_to(place), default=None)
        if nearest is None or nearest.place.sides_to(place) > REACH_SIDES:
            return None
        self._by_track = {t: v for t, v in self._by_track.items() if v is not nearest}
        return nearest


def resumed_visit(row: Mapping[str, Any], seen_s: float) -> Visit:
    """Return the visit of an open row, to be continued.

    Args:
        row: Row of the table of visits.
        seen_s: When it was last seen, on the clock of the run that continues it.
    """
    dwell_s = row["dwell"] / 100
    weight = max(dwell_s, 1e-3)
    known = row["valence"] is not None
    affect = [row["valence"] or 0, row["arousal"] or 0, UNIT * known, row["intensity"]]
    return Visit(
        row["number"],
        seen_s - dwell_s,
        seen_s,
        Place(row["x_px"], row["y_px"], row["side_px"]),
        run=row["run"],
        sights=row["sights"],
        weight=weight,
        score=row["quality"] / UNIT * row["sights"],
        shares=weight * np.array([row[name] for name in SHARES]) / UNIT,
        affect=weight * np.array(affect) / UNIT,
    )
