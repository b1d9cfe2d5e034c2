"""Which tracks are people: those seen for long enough, and surely enough, to be one.

A detector sees faces in a crest, in a coat, for a few frames; a passer-by is half a face for a
moment. Both stay in tables, with their tracks, but nobody is counted or summed up by them.
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
"""By detector. The scores of the others say too little: only the time counts."""


@dataclass(frozen=True)
class PersonRule:
    """What makes a track a person.

    Args:
        least_s: Seconds of the frames in which the face was found, at least; of a shorter film
            half of its length is enough.
        least_score: Mean detection score in [0, 1], at least. On the films the default was chosen
            on, what is no face had 0.60 to 0.66, and the weakest face 0.68.

    Raises:
        ValueError: If one is out of its range.
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
        """Return the rule for a detector's scores, by its name; None is an unknown detector.

        Args:
            detector: Its name in `DETECTORS`.
            least_s: See the class.
            least_score: Likewise; None takes the detector's own.
        """
        own = LEAST_SCORES.get(detector, 0.0)
        return cls(least_s, own if least_score is None else least_score)

    def is_person(self, found_s: float, score: float, film_s: float) -> bool:
        """Return whether a track is a person.

        Args:
            found_s: Seconds of the frames in which its face was found.
            score: Its mean detection score.
            film_s: Seconds of the film.
        """
        least_s = min(self.least_s, film_s / 2)
        return found_s >= least_s - 1e-6 and score >= self.least_score - 1e-6


def people_of(table: pd.DataFrame, rule: PersonRule) -> tuple[list[int], int]:
    """Return the people of a timeline, those seen longest first, and how many tracks are none.

    Args:
        table: As `read_timeline` gives it.
        rule: What makes a track a person.
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
    """Return `N people (M short or weak tracks left out)`; nothing in brackets for none."""
    words = f"{people} {'person' if people == 1 else 'people'}"
    tracks = "track" if left_out == 1 else "tracks"
    return f"{words} ({left_out} short or weak {tracks} left out)" if left_out else words
