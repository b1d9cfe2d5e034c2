"""How good a tracker is, against ground truth: the CLEAR-MOT and identity measures.

CLEAR-MOT: Bernardin and Stiefelhagen (2008, "Evaluating multiple object tracking performance").
IDF1: Ristani et al. (2016, arXiv:1609.01775).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from builder_tools.results import Box, Face
from builder_tools.tracking.assignment import assign


@dataclass(frozen=True)
class TrackScores:
    """What a tracker got right.

    Args:
        num_truths: Number of boxes that should have been found, over all frames.
        misses: Number of those that were not found.
        false_alarms: Number of boxes found where nobody was.
        switches: Number of times a person's identity changed to another one.
        fragmentations: Number of times a person was lost and found again while in sight.
        identity_matches: Number of boxes with the right identity under the best assignment of
            tracks to people for the whole video.
        num_found: Number of boxes found and tracked, over all frames.
    """

    num_truths: int
    misses: int
    false_alarms: int
    switches: int
    fragmentations: int
    identity_matches: int
    num_found: int

    @property
    def mota(self) -> float:
        """1 - (misses + false alarms + switches) / truths; 1 is perfect, below 0 possible."""
        wrong = self.misses + self.false_alarms + self.switches
        return 1 - wrong / self.num_truths if self.num_truths else float("nan")

    @property
    def idf1(self) -> float:
        """The F1 score of boxes with the right identity over the whole video, 0...1."""
        total = self.num_truths + self.num_found
        return 2 * self.identity_matches / total if total else float("nan")


def score_tracks(
    truth: Sequence[Mapping[str, Box]], found: Sequence[Sequence[Face]], *, least_iou: float = 0.3
) -> TrackScores:
    """Compare tracked faces with the truth, frame by frame.

    Args:
        truth: For each frame, who is where.
        found: For each frame, the faces with their tracks; those without a track are left out.
        least_iou: Minimum overlap for a box to be the person's.

    Raises:
        ValueError: If the numbers of frames differ.
    """
    if len(truth) != len(found):
        raise ValueError(f"Expected as many frames. Received: {len(truth)} and {len(found)}.")
    last: dict[str, int] = {}
    missing: dict[str, bool] = {}
    together: Counter[tuple[str, int]] = Counter()
    switches = fragmentations = misses = false_alarms = 0
    named = [[face for face in frame if face.track is not None] for frame in found]
    for people, faces in zip(truth, named, strict=True):
        owners = _owners(people, faces, last, least_iou)
        misses += len(people) - len(owners)
        false_alarms += len(faces) - len(owners)
        for person in people:
            if person not in owners:
                missing[person] = True
                continue
            switches += person in last and last[person] != owners[person]
            fragmentations += person in last and missing.get(person, False)
            last[person], missing[person] = owners[person], False
        for person in [name for name in missing if name not in people]:
            missing[person] = False
        together.update((name, face.track) for name, face in _pairs(people, faces, least_iou))
    # How many boxes agree if each track is assigned to one person, and vice versa.
    people = sorted({person for person, _ in together})
    tracks = sorted({track for _, track in together})
    counts = np.array([[together[person, track] for track in tracks] for person in people])
    named_so = assign(counts.max() - counts) if together else []
    return TrackScores(
        num_truths=sum(map(len, truth)),
        misses=misses,
        false_alarms=false_alarms,
        switches=switches,
        fragmentations=fragmentations,
        identity_matches=int(sum(counts[pair] for pair in named_so)),
        num_found=sum(map(len, named)),
    )


def _owners(
    people: Mapping[str, Box], faces: Sequence[Face], last: Mapping[str, int], least_iou: float
) -> dict[str, int]:
    """Return the track of each person found: the previous one while it fits, else the best."""
    pairs = [(name, face.track) for name, face in _pairs(people, faces, least_iou)]
    owners = {name: track for name, track in pairs if last.get(name) == track}
    names = [name for name in people if name not in owners]
    free = [face for face in faces if face.track not in owners.values()]
    cost = np.full((len(names), len(free)), np.inf)
    for row, name in enumerate(names):
        for column, face in enumerate(free):
            iou = people[name].iou(face.box)
            cost[row, column] = 1 - iou if iou >= least_iou else np.inf
    return owners | {names[row]: free[column].track for row, column in assign(cost)}


def _pairs(people: Mapping[str, Box], faces: Sequence[Face], least_iou: float):
    return [
        (name, face)
        for name, box in people.items()
        for face in faces
        if box.iou(face.box) >= least_iou
    ]
