"""Which tracks are people: those seen long enough, and confidently enough.

A detector may see faces in a crest or a coat for a few frames; a passer-by shows half a face for a
moment. Both stay in tables, with their tracks, but are not counted or summarised as people.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from builder_tools.detectors import DEFAULT_DETECTOR
from builder_tools.fields import check_types
from builder_tools.tracking.flicker import LONGEST_STEP_S

if TYPE_CHECKING:
    import pandas as pd

LEAST_S = 0.5
LEAST_SCORES = {"mediapipe": 0.67, "yunet": 0.67}
"""Detector -> least score. Those of other detectors say too little: only the time counts."""


@dataclass(frozen=True)
class PersonRule:
    """The rule that decides which tracks are people.

    Args:
        least_s: Least time in which the face was found, in seconds of frames; in a short film,
            half its length is enough.
        least_score: Least mean detection score, in [0, 1]. On the films used to choose the
            default, false faces had 0.60 to 0.66, and the weakest real face 0.68.

    Raises:
        ValueError: If a value is out of range.
    """

    least_s: float = LEAST_S
    least_score: float = LEAST_SCORES[DEFAULT_DETECTOR]

    def __post_init__(self) -> None:
        check_types(self)
        if not (self.least_s >= 0 and 0 <= self.least_score <= 1):
            raise ValueError(
                "Expected least_s >= 0 and least_score in [0, 1]. "
                f"Received: least_s={self.least_s}, least_score={self.least_score}."
            )

    @classmethod
    def for_detector(
        cls, detector: str | None, least_s: float = LEAST_S, least_score: float | None = None
    ) -> PersonRule:
        """Return the rule that suits the scores of a detector.

        Args:
            detector: Its name in `DETECTORS`; None if unknown.
            least_s: See the class.
            least_score: See the class; None uses the detector's own.
        """
        own = LEAST_SCORES.get(detector, 0.0)
        return cls(least_s, own if least_score is None else least_score)

    def is_person(self, found_s: float, score: float, film_s: float) -> bool:
        """Return whether a track is a person.

        Args:
            found_s: Time in which its face was found, in seconds of frames.
            score: Its mean detection score.
            film_s: Duration of the film.
        """
        least_s = min(self.least_s, film_s / 2)
        return found_s >= least_s - 1e-6 and score >= self.least_score - 1e-6


def people_of(table: pd.DataFrame, rule: PersonRule) -> tuple[list[int], int]:
    """Return the people in a timeline, longest seen first, and how many tracks are not people.

    Args:
        table: As returned by `read_timeline`.
        rule: Which tracks are people.
    """
    times = table["time_s"].drop_duplicates().sort_values()
    steps = dict(zip(times, times.diff().fillna(0.0).clip(upper=LONGEST_STEP_S), strict=True))
    seen = table.dropna(subset=["track"])
    found_s = seen["time_s"].map(steps).groupby(seen["track"]).sum()
    score = seen["detection_score"].groupby(seen["track"]).mean()
    film_s = float(times.max() - times.min()) if len(times) else 0.0
    ranked = found_s.sort_values(ascending=False, kind="stable")
    people = [
        int(track)
        for track, seconds in ranked.items()
        if rule.is_person(seconds, score[track], film_s)
    ]
    return people, len(ranked) - len(people)


def count_in_words(people: int, left_out: int) -> str:
    """Return `N people (M short or weak tracks left out)`, without the brackets if M is 0."""
    words = f"{people} {'person' if people == 1 else 'people'}"
    tracks = "track" if left_out == 1 else "tracks"
    return f"{words} ({left_out} short or weak {tracks} left out)" if left_out else words
