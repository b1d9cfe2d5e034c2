"""Face identities through a video: motion, overlap and the cheapest assignment.

Why our own: of the maintained libraries (as of November 2026), `norfair` 2.3 requires numpy < 2,
`supervision` 0.31 and its successor `trackers` 2.6 require scipy (110 MB) and more, and the latter
also `opencv-python`, which overwrites mediapipe's OpenCV. The runtime has neither room nor need
for them: faces have a score, a box and a time, and a few dozen lines are enough.

The association is ByteTrack's (Zhang et al., 2021, arXiv:2110.06864): boxes with good scores first,
to all tracks; then those with poor scores, to the remaining tracks seen a moment ago, since a face
that blurs or turns scores low before it vanishes. Boxes with poor scores start no track.

If the images are given too, a film's cuts end its tracks, and somebody away for longer keeps their
identity if they come back within the shot (or into a shot seen before) near where they were and
look the same (`looks`); if it could be either of two people, it is neither.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from builder_tools.results import Face
from builder_tools.tracking.assignment import assign
from builder_tools.tracking.clock import elapsed_s
from builder_tools.tracking.looks import likeness, looks_of
from builder_tools.tracking.motion import Motion
from builder_tools.tracking.shots import LIKE, alike, glance, is_cut

NEW, LOST, FOUND = "new", "lost", "found"

LEAST_REACH_SIDES, LARGEST_REACH_SIDES, SPREADS = 0.5, 2.5, 3.0
"""A face may be this many spreads from where it is expected, within these limits in face sides."""
LARGEST_SIZE_RATIO = 2.0
SIZE_WEIGHT = 0.5
GAP_WEIGHT = 0.5
"""Cost of a second of absence: of two tracks that fit, the one seen last wins."""
RECENT_S = 0.3
"""Boxes with poor scores may only continue tracks seen this recently."""

RETURN_S = 10.0
"""Somebody who looks the same may come back up to this long after they were last seen."""
RETURN_SIDES, RETURN_SIDES_PER_S, MOST_RETURN_SIDES = 2.5, 1.0, 6.0
"""How far from where they were, in face sides; how much farther per second away; and at most."""
SAME_LOOKS = 0.75
"""Minimum likeness of somebody who comes back. In a street film, people's likeness to themselves
seconds later is 0.76 (median), and to others at most 0.73 in 95 of 100 pairs; alone in front of a
camera it is 0.8."""
CLEARLY = 0.03
"""How much higher their likeness must be than that of the next candidate."""
LOOK_EVERY_S, LOOKS_KEPT = 0.25, 4
SHOTS_KEPT = 8
"""Number of previous shots to which a film may cut back."""


@dataclass(frozen=True)
class TrackEvent:
    """Something that happened to a track.

    Args:
        kind: `new`, `found` (again, after a gap) or `lost`.
        track: Its identity.
        time_s: When it happened; for `lost`, when it was given up.
        reason: Why, in words.
    """

    kind: str
    track: int
    time_s: float
    reason: str


class _Track:
    """One person who is or was recently in sight."""

    def __init__(self, identity: int, face: Face, time_s: float) -> None:
        self.identity, self.seen_s = identity, time_s
        self.motion = Motion(face.box)
        self.looks: deque[np.ndarray] = deque(maxlen=LOOKS_KEPT)
        self._looked_s = -np.inf

    def see(self, face: Face, time_s: float, image: np.ndarray | None) -> None:
        self.motion.correct(face.box)
        self.seen_s = time_s
        if image is not None and time_s - self._looked_s >= LOOK_EVERY_S:
            self.looks.append(looks_of(image, face.box))
            self._looked_s = time_s

    def could_be(self, face: Face, time_s: float) -> bool:
        """Return whether a face is near enough, and similar enough in size, to be this person."""
        gap_s, side = time_s - self.seen_s, (face.box.width + face.box.height) / 2
        reach = min(RETURN_SIDES + RETURN_SIDES_PER_S * gap_s, MOST_RETURN_SIDES)
        (x, y), larger = face.box.centre, max(side, self.motion.side)
        apart = np.hypot(x - self.motion.x, y - self.motion.y) / larger
        return apart <= reach and larger <= LARGEST_SIZE_RATIO * min(side, self.motion.side)


class FaceTracker:
    """Give each face of a stream the identity of the person it belongs to.

    Identities are 1, 2, 3, ... in order of appearance and are never reused for another person. The
    same faces at the same times always get the same identities. Somebody away for longer than
    `max_gap_s` comes back as a new person, unless the images show that they are the same (see the
    module's docstring).

    Args:
        max_gap_s: How long a face may be unseen (behind another, turned away, missed by the
            detector) and still keep its identity, in seconds, whatever the frame rate.
        start_score: Detection score in [0, 1] from which a face may start a track; faces with a
            lower score only continue one.

    Attributes:
        events: What happened at the last `update`, as `TrackEvent`s.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(self, *, max_gap_s: float = 1.5, start_score: float = 0.5) -> None:
        if not (max_gap_s >= 0 and 0 <= start_score <= 1):
            raise ValueError(
                "Expected max_gap_s >= 0 and start_score in [0, 1]. "
                f"Received: max_gap_s={max_gap_s}, start_score={start_score}."
            )
        self.max_gap_s, self.start_score = max_gap_s, start_score
        self.events: tuple[TrackEvent, ...] = ()
        self._tracks: list[_Track] = []
        self._away: list[_Track] = []
        self._shots: deque[tuple[np.ndarray, list[_Track]]] = deque(maxlen=SHOTS_KEPT)
        self._glance: np.ndarray | None = None
        self._num_tracks = 0
        self._time_s: float | None = None

    @property
    def tracks(self) -> tuple[int, ...]:
        """Identities that are in sight, or may still be where they are expected."""
        return tuple(track.identity for track in self._tracks)

    def update(
        self, faces: Sequence[Face], time_s: float, image: np.ndarray | None = None
    ) -> list[Face]:
        """Identify the faces of the next image.

        Args:
            faces: Faces found by the detector, in any order; may be empty.
            time_s: Time of the image in seconds; never earlier than that of the previous one.
            image: The image, `(H, W, 3)` uint8 RGB; without it, cuts are not noticed and nobody is
                recognised after a longer absence.

        Returns:
            The same faces in the same order with `track` set; None for a face with a poor score
            that continues no track.

        Raises:
            ValueError: If time goes backwards.
        """
        events: list[TrackEvent] = []
        self._advance(time_s, events)
        if image is not None:
            self._look(image, time_s, events)
        owners = self._associate(faces, time_s)
        for index, track in owners.items():
            gap_s = time_s - track.seen_s
            if gap_s > RECENT_S:
                reason = f"seen again after {gap_s:.2f} s where it was expected"
                events.append(TrackEvent(FOUND, track.identity, time_s, reason))
            track.see(faces[index], time_s, image)
        for index, face in enumerate(faces):
            if index not in owners and face.score >= self.start_score:
                owners[index] = self._begin(face, time_s, image, events)
        self.events = tuple(events)
        return [
            replace(face, track=owners[index].identity if index in owners else None)
            for index, face in enumerate(faces)
        ]

    def _advance(self, time_s: float, events: list[TrackEvent]) -> None:
        """Advance every track to the current time; give up those unseen for too long."""
        step_s = elapsed_s(self._time_s, time_s)
        self._time_s, kept = time_s, []
        for track in self._tracks:
            if time_s - track.seen_s > self.max_gap_s + 1e-9:
                reason = f"unseen for more than {self.max_gap_s:g} s"
                events.append(TrackEvent(LOST, track.identity, time_s, reason))
                self._away.append(track)
                continue
            track.motion.predict(step_s)
            kept.append(track)
        self._tracks = kept
        self._away = [track for track in self._away if time_s - track.seen_s <= RETURN_S]

    def _look(self, image: np.ndarray, time_s: float, events: list[TrackEvent]) -> None:
        """End all tracks if the film is cut; resume those of a shot it cuts back to."""
        before, self._glance = self._glance, glance(image)
        if before is None or not is_cut(before, self._glance):
            return
        for track in self._tracks:
            events.append(TrackEvent(LOST, track.identity, time_s, "the shot ended"))
        known = [shot for shot in self._shots if alike(shot[0], self._glance) >= LIKE]
        self._shots.append((before, self._tracks + self._away))
        self._tracks, self._away = [], []
        if known:
            kept = (shot for shot in self._shots if shot is not known[-1])
            self._shots = deque(kept, maxlen=SHOTS_KEPT)
            self._away = known[-1][1]
            for track in self._away:
                track.seen_s = time_s  # time spent in other shots does not count

    def _associate(self, faces: Sequence[Face], time_s: float) -> dict[int, _Track]:
        """Return the track of each face that continues one, by the face's index."""
        if not faces or not self._tracks:
            return {}
        cost = _costs(self._tracks, faces, time_s)
        good = np.array([face.score >= self.start_score for face in faces])
        pairs = assign(np.where(good, cost, np.inf))
        if not good.all():
            cost[[row for row, _ in pairs]] = np.inf
            stale = [time_s - track.seen_s > RECENT_S for track in self._tracks]
            cost[stale] = np.inf
            pairs += assign(np.where(good, np.inf, cost))
        return {column: self._tracks[row] for row, column in pairs}

    def _begin(self, face: Face, time_s: float, image, events: list) -> _Track:
        track = None if image is None else self._returned(face, time_s, image)
        if track is None:
            self._num_tracks += 1
            track = _Track(self._num_tracks, face, time_s)
            reason = "no known face was expected here"
            events.append(TrackEvent(NEW, track.identity, time_s, reason))
        else:
            self._away.remove(track)
            track.motion = Motion(face.box)
            reason = f"seen again after {time_s - track.seen_s:.2f} s near there, looking the same"
            events.append(TrackEvent(FOUND, track.identity, time_s, reason))
        self._tracks.append(track)
        track.see(face, time_s, image)
        return track

    def _returned(self, face: Face, time_s: float, image: np.ndarray) -> _Track | None:
        """Return the lost person a face belongs to; None if it could be nobody or several.

        Somebody who looks like a person in sight cannot be told apart from them by looks.
        """
        near = [track for track in self._away if track.looks and track.could_be(face, time_s)]
        if not near:
            return None
        looks = looks_of(image, face.box)
        ranked = sorted(near, key=lambda track: -likeness(track.looks, looks))
        alike_by = likeness(ranked[0].looks, looks)
        others = [*ranked[1:], *(track for track in self._tracks if track.looks)]
        nearest = max((likeness(track.looks, looks) for track in others), default=0.0)
        sure = alike_by >= SAME_LOOKS and alike_by >= nearest + CLEARLY
        return ranked[0] if sure else None


def _costs(tracks: Sequence[_Track], faces: Sequence[Face], time_s: float) -> np.ndarray:
    """Return costs `(tracks, faces)`: distance + lack of overlap + change in size + absence.

    Infinite if the face is out of reach or its size is too different.
    """
    expected = np.array([track.motion.box.xyxy for track in tracks])[:, None]
    seen = np.array([face.box.xyxy for face in faces])[None]
    expected_size = np.maximum(expected[..., 2:] - expected[..., :2], 1.0)
    seen_size = np.maximum(seen[..., 2:] - seen[..., :2], 1.0)
    side, seen_side = expected_size.mean(axis=2), seen_size.mean(axis=2)
    apart = (expected[..., :2] + expected[..., 2:] - seen[..., :2] - seen[..., 2:]) / 2
    distance = np.hypot(apart[..., 0], apart[..., 1]) / np.maximum(side, seen_side)
    size_change = np.abs(np.log(seen_side / side))
    spreads = (SPREADS * track.motion.spread for track in tracks)
    reach = [[min(max(spread, LEAST_REACH_SIDES), LARGEST_REACH_SIDES)] for spread in spreads]
    gap_s = np.array([[time_s - track.seen_s] for track in tracks])
    low = np.maximum(expected[..., :2], seen[..., :2])
    shared = np.maximum(np.minimum(expected[..., 2:], seen[..., 2:]) - low, 0).prod(axis=2)
    overlap = shared / (expected_size.prod(axis=2) + seen_size.prod(axis=2) - shared)
    cost = distance + (1 - overlap) + SIZE_WEIGHT * size_change + GAP_WEIGHT * gap_s
    impossible = (distance > np.array(reach)) | (size_change > np.log(LARGEST_SIZE_RATIO))
    return np.where(impossible, np.inf, cost)
