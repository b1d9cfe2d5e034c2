"""People and videos in a few figures, gathered frame by frame.

Each sighting of a face is weighted by the time since the previous one, at most `LONGEST_STEP_S`;
the first hardly counts (`affect.FIRST_SIGHT_S`). Memory grows only with the number of tracks. Short
or weak tracks are not people (`people.PersonRule`): they are counted but otherwise left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from builder_tools.results import FrameResult
from builder_tools.timeline.affect import affect_values, mean_affect, sight_weight
from builder_tools.timeline.people import PersonRule, count_in_words
from builder_tools.tracking.flicker import LONGEST_STEP_S


@dataclass(frozen=True)
class Summary:
    """What one person, or everybody in a video, showed.

    Args:
        track: The person's identity, or None for the whole video.
        first_s: When first seen, in seconds.
        last_s: When last seen, in seconds.
        seen_s: Seconds in view (for the video: person-seconds).
        probabilities: Mean probability of each emotion; they sum to 1.
        shown: Share of the time in view in which each emotion was the one shown.
        valence: Mean valence, or None if unknown.
        arousal: Mean arousal, or None if unknown.
        intensity: Mean intensity, 0...1.
        changes: How often the shown emotion changed; 0 without tracks, as nobody knows whose.
        turned_away: Share of the time with geometry requested in which the face was turned away by
            more than `AWAY_DEG`; None if it was not requested.
        not_seen: Share of that time in which the landmarker found no face: mostly profiles.
        eyes_closed: Share of the time with a geometry in which the eyes were closed; None if
            there was none.
    """

    track: int | None
    first_s: float
    last_s: float
    seen_s: float
    probabilities: dict[str, float]
    shown: dict[str, float]
    valence: float | None
    arousal: float | None
    intensity: float
    changes: int
    turned_away: float | None = None
    not_seen: float | None = None
    eyes_closed: float | None = None

    @property
    def emotion(self) -> str:
        """The emotion with the highest mean probability."""
        return max(self.probabilities, key=self.probabilities.__getitem__)

    @property
    def changes_per_minute(self) -> float | None:
        """Changes of the shown emotion per minute in view."""
        return 60 * self.changes / self.seen_s if self.seen_s else None


@dataclass
class _Sums:
    """Weighted sums of one person."""

    first_s: float
    last_s: float
    emotion: str
    weight: float = 0.0
    seen_s: float = 0.0
    found_s: float = 0.0
    sights: int = 0
    scores: float = 0.0
    changes: int = 0
    probabilities: np.ndarray | None = None
    shown: dict[str, float] = field(default_factory=dict)
    affect: np.ndarray = field(default_factory=lambda: np.zeros(4))
    shape: np.ndarray = field(default_factory=lambda: np.zeros(4))

    def add(self, other: _Sums) -> None:
        self.first_s = min(self.first_s, other.first_s)
        self.last_s = max(self.last_s, other.last_s)
        self.weight += other.weight
        self.seen_s += other.seen_s
        self.changes += other.changes
        self.probabilities = self.probabilities + other.probabilities
        self.affect = self.affect + other.affect
        self.shape = self.shape + other.shape
        for name, share in other.shown.items():
            self.shown[name] = self.shown.get(name, 0.0) + share


AWAY_DEG = 30.0
"""Faces turned by more (`HeadPose.turned_deg`) are not looking at the screen or exhibit next to the
camera."""


class SummaryMaker:
    """Gathers the results of a stream.

    Args:
        emotions: Class order of the model.
        rule: Which tracks are people.

    Attributes:
        num_frames: Number of frames so far.
        with_face: Number of frames with a face.
    """

    def __init__(self, emotions: Sequence[str], rule: PersonRule = PersonRule()) -> None:  # noqa: B008
        self.emotions, self.rule = tuple(emotions), rule
        self.num_frames = self.with_face = 0
        self._tracks: dict[int | None, _Sums] = {}
        self._first_s = self._time_s = 0.0

    def add(self, result: FrameResult) -> None:
        """Add the result of a frame."""
        if not self.num_frames:
            self._first_s = self._time_s = result.time_s
        self.num_frames += 1
        self.with_face += bool(result.faces)
        time_s = result.time_s
        frame_s = min(time_s - self._time_s, LONGEST_STEP_S)
        self._time_s = time_s
        for face in result.faces:
            sums = self._tracks.get(face.face.track)
            if sums is None:
                none = np.zeros(len(self.emotions))
                sums = _Sums(time_s, time_s, face.emotion, probabilities=none)
                self._tracks[face.face.track] = sums
            sums.found_s += frame_s
            sums.sights += 1
            sums.scores += float(face.face.score)
            # Without tracks, nobody knows whose the previous sighting was.
            is_known = face.face.track is not None
            step_s = min(time_s - sums.last_s, LONGEST_STEP_S) if is_known else frame_s
            weight = sight_weight(step_s)
            sums.probabilities += weight * np.array([face.probabilities[n] for n in self.emotions])
            sums.affect += weight * affect_values(face)
            if face.geometry is not None:
                away = face.geometry.pose_deg.turned_deg > AWAY_DEG
                sums.shape += weight * np.array([away, face.geometry.are_eyes_closed, 1, 0])
            elif face.no_geometry:
                sums.shape += weight * np.array([0, 0, 0, 1])
            sums.shown[face.emotion] = sums.shown.get(face.emotion, 0.0) + weight
            sums.changes += is_known and face.emotion != sums.emotion
            sums.weight += weight
            sums.seen_s += step_s
            sums.last_s, sums.emotion = time_s, face.emotion

    def people(self) -> list[Summary]:
        """Return every person seen, in the order of their tracks."""
        return [self._summary(track, sums) for track, sums in self._people()]

    @property
    def left_out(self) -> int:
        """Number of tracks too short or weak to be a person."""
        return len(self._tracks.keys() - {None}) - len(self._people())

    def whole(self) -> Summary | None:
        """Return the summary of all people together, or None if nobody was seen.

        If faces have no tracks, because tracking was off, it covers all faces, each weighted by the
        time since the previous frame.
        """
        sums = [sums for _, sums in self._people()]
        if self._tracks.keys() == {None}:
            sums = list(self._tracks.values())
        if not sums:
            return None
        size = len(self.emotions)
        total = _Sums(sums[0].first_s, sums[0].last_s, "", probabilities=np.zeros(size))
        for other in sums:
            total.add(other)
        return self._summary(None, total)

    def _people(self) -> list[tuple[int, _Sums]]:
        film_s = self._time_s - self._first_s
        tracks = sorted(track for track in self._tracks if track is not None)
        named = ((track, self._tracks[track]) for track in tracks)
        return [
            (track, sums)
            for track, sums in named
            if self.rule.is_person(sums.found_s, sums.scores / sums.sights, film_s)
        ]

    def _summary(self, track: int | None, sums: _Sums) -> Summary:
        valence, arousal, intensity = mean_affect(sums.affect, sums.weight)
        away, closed, seen, not_seen = sums.shape.tolist()
        asked = seen + not_seen
        shares = sums.probabilities / sums.probabilities.sum()
        return Summary(
            track=track,
            first_s=sums.first_s,
            last_s=sums.last_s,
            seen_s=sums.seen_s,
            probabilities=dict(zip(self.emotions, shares.tolist(), strict=True)),
            shown={name: sums.shown.get(name, 0.0) / sums.weight for name in self.emotions},
            valence=valence,
            arousal=arousal,
            intensity=intensity,
            changes=sums.changes,
            turned_away=away / asked if asked else None,
            not_seen=not_seen / asked if asked else None,
            eyes_closed=closed / seen if seen else None,
        )


def describe_people(people: Sequence[Summary], *, most: int = 20) -> list[str]:
    """Return a line per person, longest in view first."""
    longest = sorted(people, key=lambda person: -person.seen_s)
    lines = [_line(f"person {person.track}", person) for person in longest[:most]]
    if len(longest) > most:
        lines.append(f"... and {len(longest) - most} people seen more briefly")
    return lines


def describe_video(maker: SummaryMaker) -> str:
    """Return a line for the whole video."""
    whole, count = maker.whole(), count_in_words(len(maker.people()), maker.left_out)
    if whole is None and not maker.left_out:
        return f"0 people: no face in {maker.num_frames} frames"
    share = f"faces in {maker.with_face / max(maker.num_frames, 1):.0%} of frames"
    return f"{count}; {share}" if whole is None else _line(f"{count}; {share}; everybody", whole)


def _line(who: str, summary: Summary) -> str:
    ranked = sorted(summary.probabilities.items(), key=lambda pair: -pair[1])[:3]
    emotions = ", ".join(f"{name} {share:.0%}" for name, share in ranked)
    place = (
        ""
        if summary.valence is None
        else f"; valence {summary.valence:+.2f}, arousal {summary.arousal:+.2f}"
    )
    shape = ""
    if summary.turned_away is not None:
        shape = f"; turned away (over {AWAY_DEG:.0f} degrees) {summary.turned_away:.0%} of the time"
        shape += f", in profile or hidden {summary.not_seen:.0%}"
    if summary.eyes_closed is not None:
        shape += f", eyes closed {summary.eyes_closed:.0%}"
    seen = f"{summary.seen_s:.1f} {'s' if summary.track is not None else 'person-seconds'}"
    return (
        f"{who}: {summary.first_s:.1f}-{summary.last_s:.1f} s, {seen} in sight; "
        f"{emotions}{place}; intensity {summary.intensity:.2f}{shape}"
    )
