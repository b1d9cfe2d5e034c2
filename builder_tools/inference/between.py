"""Faces in the frames of a video that were not searched: between two that were."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np

from builder_tools.inference.stream_state import StreamState
from builder_tools.media import Frame
from builder_tools.results import Box, Face

ROUNDING = 1e-9
"""The middle of the way, from times in seconds, may come out a little under a half."""


def groups_of(frames: Iterable[Frame], size: int) -> Iterator[list[Frame]]:
    """Yield the frames in groups of `size`, the last one maybe shorter."""
    source = iter(frames)
    while group := list(islice(source, size)):
        yield group


def faces_between(before: Sequence[Face], after: Sequence[Face], share: float) -> list[Face]:
    """Return the faces part of the way between two searched frames, largest first.

    A person seen in both moves evenly from one place to the other. A face seen in one of them
    only stays where it is, in the half of the way that is nearer to its frame.

    Args:
        before: Faces with tracks of the searched frame before.
        after: Those of the one after.
        share: How far between them, in (0, 1).
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
    faces = [face for face in (*moved, *appeared) if face is not None]
    return sorted(faces, key=lambda face: face.box.area, reverse=True)


def named_frames(
    searched: Iterable[tuple[list[Frame], list[Face], list[np.ndarray]]],
    state: StreamState,
    cut: Callable[[np.ndarray, Sequence[Face]], list[np.ndarray]],
) -> Iterator[tuple[Frame, list[Face], list[np.ndarray]]]:
    """Yield every frame with its faces, named, and their images.

    Args:
        searched: Groups of frames, with the faces and their images of each first frame.
        state: Names faces.
        cut: Cuts the images of faces out of a frame that was not searched.
    """
    group: list[Frame] = []
    before: list[Face] = []
    for coming, faces, images in searched:
        named = state.name(faces, coming[0].time_s, coming[0].image)
        yield from _between(group, before, named, coming[0].time_s, cut)
        yield coming[0], named, images
        group, before = coming, named
    yield from _between(group, before, before, math.inf, cut)


def _between(group: Sequence[Frame], before, after, end_s: float, cut) -> Iterator:
    """Yield the frames of a group but its first, with faces on their way to the next group."""
    for frame in group[1:]:
        share = (frame.time_s - group[0].time_s) / (end_s - group[0].time_s)
        faces = faces_between(before, after, share)
        yield frame, faces, cut(frame.image, faces)


def _moved(before: Face, after: Face, share: float) -> Face:
    def mean(first, second):
        return (1 - share) * np.asarray(first) + share * np.asarray(second)

    keypoints = None
    if before.keypoints is not None and after.keypoints is not None:
        keypoints = mean(before.keypoints, after.keypoints)
    box = Box(*mean(before.box.xyxy, after.box.xyxy).tolist())
    return replace(
        before, box=box, score=float(mean(before.score, after.score)), keypoints=keypoints
    )
