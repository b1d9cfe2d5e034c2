"""Face identities through a video: motion, overlap and the cheapest assignment.

Why our own: of the kept libraries (looked at in November 2026) `norfair` 2.3 wants numpy < 2,
`supervision` 0.31 and its successor `trackers` 2.6 want scipy (110 MB) and more, the latter
`opencv-python` too, which overwrites mediapipe's OpenCV. The use wing has neither room nor need
for them: faces have a score, a box and a time, and a few dozen lines do.

The association is ByteTrack's (Zhang et al., 2021, arXiv:2110.06864): well-scored boxes first,
to all tracks; then the poorly scored ones, to what is left of the tracks seen a moment ago, since
a face that blurs or turns scores low before it vanishes. Poorly scored boxes begin no track.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from builder_tools.results import Face
from builder_tools.tracking.assignment import assign
from builder_tools.tracking.motion import Motion

NEW, LOST, FOUND = "new", "lost", "found"

LEAST_REACH_SIDES, LARGEST_REACH_SIDES, SPREADS = 0.5, 2.5, 3.0
"""A face may be this many spreads from where it is expected, within these limits in face sides."""
LARGEST_SIZE_RATIO = 2.0
SIZE_WEIGHT = 0.5
GAP_WEIGHT = 0.5
"""Cost of a second of absence: of two tracks that fit, the one seen last wins."""
RECENT_S = 0.3
"""Poorly scored boxes may go on with tracks seen this lately only."""


@dataclass(frozen=True)
class TrackEvent:
    """Something that happened to a track.

    Args:
        kind: `new`, `found` (again, after a gap) or `lost` (for good).
        track: Its identity.
        time_s: When; for `lost`, when it was given up.
        reason: Why, in words.
    """

    kind: str
    track: int
    time_s: float
    reason: str


class _Track:
    """One person in sight or lately so."""

    def __init__(self, identity: int, face: Face, time_s: float) -> None:
        self.identity, self.seen_s = identity, time_s
        self.motion = Motion(face.box)

    def see(self, face: Face, time_s: float) -> None:
        self.motion.correct(face.box)
        self.seen_s = time_s


class FaceTracker:
    """Give each face of a stream the identity of the person it belongs to.

    Identities are 1, 2, 3, ... in the order of appearance and never used again. The same faces at
    the same times always get the same identities. Somebody away for longer than `max_gap_s` comes
    back as a new person: nobody is recognised by their looks.

    Args:
        max_gap_s: How long a face may be unseen (behind another, turned away, missed by the
            detector) and still keep its identity, in seconds, whatever the frame rate.
        start_score: Detection score in [0, 1] from which a face may begin a track; faces scored
            lower only continue one.

    Attributes:
        events: What happened at the last `update`, as `TrackEvent`s.

    Raises:
        ValueError: If an argument is out of its range.
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
        self._num_tracks = 0
        self._time_s: float | None = None

    @property
    def tracks(self) -> tuple[int, ...]:
        """Identities that are in sight or may still come back."""
        return tuple(track.identity for track in self._tracks)

    def update(self, faces: Sequence[Face], time_s: float) -> list[Face]:
        """Name the faces of the next image.

        Args:
            faces: What the detector found, in any order; none is an image without a face.
            time_s: When the image is shown, seconds; never earlier than the one before.

        Returns:
            The same faces in the same order with `track` set; None for a poorly scored face that
            continues no track.

        Raises:
            ValueError: If time goes back.
        """
        events: list[TrackEvent] = []
        self._advance(time_s, events)
        owners = self._associate(faces, time_s)
        for index, face in enumerate(faces):
            if index in owners:
                self._continue(owners[index], face, time_s, events)
            elif face.score >= self.start_score:
                owners[index] = self._begin(face, time_s, events)
        self.events = tuple(events)
        return [
            replace(face, track=owners[index].identity if index in owners else None)
            for index, face in enumerate(faces)
        ]

    def _advance(self, time_s: float, events: list[TrackEvent]) -> None:
        """Move every track on to now; give up those unseen for too long."""
        step_s = 0.0 if self._time_s is None else time_s - self._time_s
        if not step_s >= 0:
            raise ValueError(f"Expected a time >= {self._time_s} s. Received: {time_s} s.")
        self._time_s, kept = time_s, []
        for track in self._tracks:
            if time_s - track.seen_s > self.max_gap_s + 1e-9:
                reason = f"unseen for more than {self.max_gap_s:g} s"
                events.append(TrackEvent(LOST, track.identity, time_s, reason))
                continue
            track.motion.predict(step_s)
            kept.append(track)
        self._tracks = kept

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

    def _continue(self, track: _Track, face: Face, time_s: float, events: list) -> None:
        gap_s = time_s - track.seen_s
        if gap_s > RECENT_S:
            reason = f"seen again after {gap_s:.2f} s where it was expected"
            events.append(TrackEvent(FOUND, track.identity, time_s, reason))
        track.see(face, time_s)

    def _begin(self, face: Face, time_s: float, events: list) -> _Track:
        self._num_tracks += 1
        track = _Track(self._num_tracks, face, time_s)
        self._tracks.append(track)
        events.append(TrackEvent(NEW, track.identity, time_s, "no known face was expected here"))
        return track


def _costs(tracks: Sequence[_Track], faces: Sequence[Face], time_s: float) -> np.ndarray:
    """Return `(tracks, faces)`: distance + missing overlap + change of size + absence.

    Infinite where the face lies out of reach or is of another size.
    """
    expected = np.array([track.motion.box.xyxy for track in tracks])[:, None]
    seen = np.array([face.box.xyxy for face in faces])[None]
    expected_size = np.maximum(expected[..., 2:] - expected[..., :2], 1.0)
    seen_size = np.maximum(seen[..., 2:] - seen[..., :2], 1.0)
    side, seen_side = expected_size.mean(axis=2), seen_size.mean(axis=2)
    apart = (expected[..., :2] + expected[..., 2:] - seen[..., :2] - seen[..., 2:]) / 2
    distance = np.hypot(apart[..., 0], apart[..., 1]) / np.maximum(side, seen_side)
    size_change = np.abs(np.log(seen_side / side))
    reach, gap_s = np.array([_reach_and_gap(track, time_s) for track in tracks]).T[..., None]
    overlap = _overlap(expected, seen, expected_size.prod(axis=2), seen_size.prod(axis=2))
    cost = distance + (1 - overlap) + SIZE_WEIGHT * size_change + GAP_WEIGHT * gap_s
    impossible = (distance > reach) | (size_change > np.log(LARGEST_SIZE_RATIO))
    return np.where(impossible, np.inf, cost)


def _reach_and_gap(track: _Track, time_s: float) -> tuple[float, float]:
    reach = min(max(SPREADS * track.motion.spread, LEAST_REACH_SIDES), LARGEST_REACH_SIDES)
    return reach, time_s - track.seen_s


def _overlap(a: np.ndarray, b: np.ndarray, a_area: np.ndarray, b_area: np.ndarray) -> np.ndarray:
    """Return intersection over union of boxes `(n, 1, 4)` and `(1, m, 4)`: `(n, m)`."""
    size = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = np.maximum(size, 0).prod(axis=2)
    return shared / (a_area + b_area - shared)
