"""The viewers in one recording: a family on a sofa is several.

Identities end when a face is lost, so one viewer may have many. People who are visible at the same
time are different viewers; somebody who appears after another has left takes over their seat.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from builder_tools.timeline.people import PersonRule, people_of
from builder_tools.timeline.signals import largest_faces

LEAST_SEAT = 0.2
"""Share of the frames with a face in which a seat must be taken; below it, they just passed by."""


@dataclass
class _Seat:
    tracks: list[int]
    until_s: float


def viewers_in(table: pd.DataFrame, rule: PersonRule | None) -> list[pd.DataFrame]:
    """Return the rows of each viewer in a recording, in order of first appearance.

    Args:
        table: Its timeline. If no face has an identity, the largest face is the only viewer.
        rule: Which tracks are people. None uses only the largest face of each frame.
    """
    faces = table[table["face_px"].notna()]
    if rule is None or faces["track"].isna().all():
        largest = largest_faces(faces)
        return [largest] if len(largest) else []
    people, _ = people_of(table, rule)
    times = faces[faces["track"].isin(people)].groupby("track")["time_s"].agg(["min", "max"])
    seats: list[_Seat] = []
    for track, first_s, last_s in times.sort_values(["min", "max"]).itertuples():
        free = [seat for seat in seats if seat.until_s < first_s]
        seat = max(free, key=lambda one: one.until_s, default=None)
        if seat is None:
            seats.append(_Seat([track], last_s))
        else:
            seat.tracks.append(track)
            seat.until_s = last_s
    rows = [faces[faces["track"].isin(seat.tracks)] for seat in seats]
    frames = faces["frame"].nunique()
    return [seat for seat in rows if seat["frame"].nunique() >= LEAST_SEAT * frames]
