"""Positions of faces in the frames between two that were examined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from builder_tools.media import Frame
from builder_tools.results import Box, Face, crop

STEADY_IOU = 0.5
"""A face whose boxes in two frames overlap less may have taken any path between them."""
HIDDEN, LOOK_PX = 30.0, 12
"""A face counts as hidden above this mean difference in grey levels, at this size in pixels."""
ROUNDING = 1e-9
"""The midpoint, computed from times in seconds, may come out a little under a half."""


def faces_between(before: Sequence[Face], after: Sequence[Face], share: float) -> list[Face]:
    """Return the faces part of the way between two searched frames, largest first.

    A person seen in both moves evenly from one place to the other. A face seen in only one of
    them stays where it is, in the half of the interval nearer to its frame.

    Args:
        before: Tracked faces of the searched frame before.
        after: Those of the one after.
        share: Position between the two, in (0, 1).
    """
    is_early = share < 0.5 - ROUNDING
    named = {face.track: face for face in after if face.track is not None}
    moved = [
        _moved(face, named.pop(face.track), share)
        if face.track in named
        else (face if is_early else None)
        for face in before
    ]
    appeared = [] if is_early else list(named.values())
    return _largest_first([face for face in (*moved, *appeared) if face is not None])


def between_looks(
    frames: Sequence[Frame], before: Sequence[Face], after: Sequence[Face]
) -> list[list[Face]] | None:
    """Return the faces of the frames between two, largest first, moved evenly.

    Returns None if the positions are uncertain: a face is not seen in both, has moved far
    (`STEADY_IOU`), or something else appears in its place on the way (`HIDDEN`).

    Args:
        frames: Consecutive frames; the faces of the first and the last are known.
        before: Those of the first, none overlapping another.
        after: Those of the last.
    """
    if len(before) != len(after):
        return None
    pairs = [(face, max(after, key=lambda other: face.box.iou(other.box))) for face in before]
    are_steady = all(
        face.box.iou(other.box) > STEADY_IOU and face.turned_deg == other.turned_deg
        for face, other in pairs
    )
    if not are_steady or len({id(other) for _, other in pairs}) < len(pairs):
        return None
    first, last = frames[0], frames[-1]
    looks = [_look(first.image, face) for face, _ in pairs]
    found = []
    for frame in frames[1:-1]:
        share = (frame.time_s - first.time_s) / (last.time_s - first.time_s)
        faces = [_moved(*pair, share) for pair in pairs]
        for face, look in zip(faces, looks, strict=True):
            if cv2.absdiff(_look(frame.image, face), look).mean() > HIDDEN:
                return None
        found.append(_largest_first(faces))
    return found


def _look(image_rgb: np.ndarray, face: Face) -> np.ndarray:
    """Return a tiny image of a face, to compare it with itself a moment later."""
    return cv2.resize(crop(image_rgb, face.box), (LOOK_PX, LOOK_PX), interpolation=cv2.INTER_AREA)


def _largest_first(faces: list[Face]) -> list[Face]:
    return sorted(faces, key=lambda face: face.box.area, reverse=True)


def _moved(before: Face, after: Face, share: float) -> Face:
    def mean(first, second):
        return (1 - share) * np.asarray(first) + share * np.asarray(second)

    keypoints = None
    if before.keypoints is not None and after.keypoints is not None:
        both = min(len(before.keypoints), len(after.keypoints))  # one may also have ears
        keypoints = mean(before.keypoints[:both], after.keypoints[:both])
    box = Box(*mean(before.box.xyxy, after.box.xyxy).tolist())
    return replace(
        before, box=box, score=float(mean(before.score, after.score)), keypoints=keypoints
    )
