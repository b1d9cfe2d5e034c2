"""The faces of a video: searched for in some frames, followed through those between.

A video is split into parts of `PART_S`, and at scene cuts. The first frame of each part is
searched, and so is the frame after its last. Each face of the former is then looked for near its
last place (`follow`). If all are found each time, and end up as exactly the faces of the latter,
the frames between are done: a face that hardly moves is looked for every `LOOK_EVERY_S` and
interpolated in between; one that moves far is looked for in each frame. Otherwise the middle frame
is searched too, and each half tried again. So a new face is found in the frame in which it appears,
and many frames are searched only where faces come, go or are doubtful. A face that comes and goes
between two searches is found if a quick look (`detect_large`), taken every `UNSEEN_S`, shows it:
that frame is then searched.

The parts depend on each other only for the frame they share, so several threads can search a
video, with the same results as one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from builder_tools.detectors import FaceDetector
from builder_tools.detectors.base import SAME_FACE_IOU
from builder_tools.inference.motion import ROUNDING, between_looks
from builder_tools.inference.search import (
    MOST_FOLLOWED,
    Glance,
    find_faces,
    new_large,
)
from builder_tools.media import Frame
from builder_tools.results import Face

PART_S = 1.0
UNSEEN_S = 0.35
LOOK_EVERY_S = 0.1
GROUP_BYTES = 90_000_000
MOST_GROUP_BYTES = 200_000_000
"""Limit on the frames between two searched ones, which wait in memory."""


class SearchedFrame:
    """A frame that is searched for faces once, by whichever thread asks first."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self._lock = threading.Lock()
        self._faces: list[Face] | None = None

    def faces(self, detector: FaceDetector, rotate: str | int) -> list[Face]:
        """Return its faces, largest first; with "auto", at any rotation."""
        with self._lock:
            if self._faces is None:
                self._faces = find_faces(detector, self.frame.image, rotate)
            return self._faces


@dataclass(frozen=True)
class Part:
    """Consecutive frames of one scene.

    Args:
        first: The first frame.
        frames: All of them.
        after: The first frame of the next part; None if the scene ends.
    """

    first: SearchedFrame
    frames: list[Frame]
    after: SearchedFrame | None = None

    def find(self, detector: FaceDetector, rotate: str | int = 0) -> list[tuple[Frame, list[Face]]]:
        """Return each frame with its faces, largest first.

        Args:
            detector: Finds faces; if it has `follow`, also finds known faces again.
            rotate: "auto" finds faces at any rotation.
        """
        shared = self.frames if self.after is None else [*self.frames, self.after.frame]
        found: list[list[Face]] = [[]] * len(shared)
        found[0] = self.first.faces(detector, rotate)
        if self.after is not None:
            found[-1] = self.after.faces(detector, rotate)
        elif len(shared) > 1:
            found[-1] = find_faces(detector, shared[-1].image, rotate)
        between = [(0, len(found) - 1)]
        while between:
            start, end = between.pop()
            if end - start < 2:
                continue
            steps = followed(detector, shared[start : end + 1], found[start], found[end])
            if steps is None:
                doubtful = (start + end) // 2
            else:
                doubtful = _with_new_face(detector, shared, start, end, steps)
            if doubtful is None:
                found[start + 1 : end] = steps
                continue
            found[doubtful] = find_faces(detector, shared[doubtful].image, rotate)
            between += [(start, doubtful), (doubtful, end)]
        return list(zip(self.frames, found, strict=False))


def singles_of(frames: Iterable[Frame]) -> Iterator[Part]:
    """Yield each frame as a part of its own, so that all are searched."""
    return (Part(SearchedFrame(frame), [frame]) for frame in frames)


def groups_of(frames: Iterable[Frame], size: int) -> Iterator[list[Frame]]:
    """Yield frames in groups of `size`, or as many as fit or as a scene has left."""
    group: list[Frame] = []
    last_seen = None
    try:
        for frame in frames:
            seen = Glance(frame.image) if size > 1 else None
            if group and seen.is_cut_from(last_seen):
                yield group
                group = []
            group.append(frame)
            last_seen = seen
            is_full = (len(group) + 1) * frame.image.nbytes > MOST_GROUP_BYTES
            if len(group) == size or is_full:
                yield group
                group = []
    except Exception:  # frames that came before the error still count
        if group:
            yield group
        raise
    if group:
        yield group


def is_cut(before: Frame, after: Frame) -> bool:
    """Return whether two consecutive frames are of different scenes."""
    return Glance(after.image).is_cut_from(Glance(before.image))


def parts_of(frames: Iterable[Frame], *, most_bytes: int = GROUP_BYTES) -> Iterator[Part]:
    """Yield a video in parts of at least one frame and otherwise at most `most_bytes`."""
    group: list[Frame] = []
    first = last_seen = None
    try:
        for frame in frames:
            seen = Glance(frame.image)
            cut = last_seen is not None and seen.is_cut_from(last_seen)
            if cut:
                yield Part(first, group)
            is_full = (len(group) + 1) * frame.image.nbytes > most_bytes
            if cut or not group or is_full or not 0 <= frame.time_s - group[0].time_s < PART_S:
                searched = SearchedFrame(frame)
                if first is not None and not cut:
                    yield Part(first, group, searched)
                first, group = searched, []
            group.append(frame)
            last_seen = seen
    except Exception:  # frames that came before the error still count
        if first is not None:
            yield Part(first, group)
        raise
    if first is not None:
        yield Part(first, group)


def followed(
    detector: FaceDetector, frames: Sequence[Frame], before: list[Face], after: list[Face]
) -> list[list[Face]] | None:
    """Return the faces of the frames between two, if the first and the last show the same faces.

    Returns None otherwise, or if a face is lost on the way.

    Args:
        detector: Finds them again; without `follow`, the result is None if there are any faces.
        frames: Consecutive frames; the first and the last have been searched.
        before: Faces of the first, none overlapping another.
        after: Faces of the last.
    """
    last = len(frames) - 1
    if not before and not after:
        return [[]] * (last - 1)
    look_near = getattr(detector, "follow", None)
    if look_near is None or len(before) != len(after) or len(before) > MOST_FOLLOWED:
        return None
    found, most = [before], last
    while len(found) < last:
        at = len(found) - 1
        ahead, until_s = at + 1, frames[at].time_s + LOOK_EVERY_S + ROUNDING
        while ahead < min(at + most, last) and frames[ahead + 1].time_s <= until_s:
            ahead += 1
        seen = after if ahead == last else look_near(frames[ahead].image, found[at])
        step = frames[at : ahead + 1]
        between = between_looks(step, found[at], seen or []) if len(step) > 2 else []
        if between is None:
            most = (ahead - at) // 2
        elif seen is None or len(seen) != len(after):
            return None
        else:
            found += [*between, seen]
            most += 1
    found = found[:last]
    pairs = ((found[-1], after), (after, found[-1]))
    same = all(
        any(face.box.iou(other.box) > SAME_FACE_IOU for other in others)
        for faces, others in pairs
        for face in faces
    )
    return found[1:] if same else None


def _with_new_face(
    detector: FaceDetector, frames: Sequence[Frame], start: int, end: int, steps: list[list[Face]]
) -> int | None:
    """Return the index of a frame between two that shows a large face not yet known, or None."""
    lasts_s = frames[end - 1].time_s - frames[start].time_s
    looks = min(int(lasts_s / UNSEEN_S), end - start - 1)
    for number in range(1, looks + 1):
        at = start + (end - start) * number // (looks + 1)
        if new_large(detector, frames[at].image, steps[at - start - 1]):
            return at
    return None
