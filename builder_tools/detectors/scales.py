"""Search for faces of every size with YuNet: a coarse look, a fine one, and a close-up.

YuNet sees faces of 16 to 256 px well. So an image is examined at 320 px, for faces that fill it,
and at its own size up to 1,920 px, for all others; faces seen by both looks are merged. Candidates
of which the fine look is unsure are examined again in a close-up, at 96 px, whose box and score
then count: this finds 90 of 111 faces of 27 px, against 79 without, and rejects more traps; what is
then nearly sure is examined once more. If there are few faces, one that is not quite sure must also
be seen in a mirrored view. If there are several, places that the fine look hardly notices are
examined too, as most missed small faces are among them. If YuNet remains unsure, as with tilted,
covered and dark faces, another network is consulted: what both see is a face. If there is no face,
the image is examined once more with its edge pixels extended by a third around it, as a face may
fill it.

Boxes and key points are returned in the form of MediaPipe's short range: a square from brows to
chin; eyes, nose tip, mouth centre.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import cv2
import numpy as np

from builder_tools.assets import asset_path
from builder_tools.detectors.base import (
    SAME_FACE_IOU,
    apart_from,
    enlarge,
    moved,
    suppress_overlaps,
)
from builder_tools.detectors.near_looks import (
    CLOSE_SURE,
    mirrored_score,
    on_two_threads,
    seen_from_near,
)
from builder_tools.detectors.resizing import resized
from builder_tools.detectors.turning import as_turned, turned_back
from builder_tools.detectors.yunet import FILE, YuNet
from builder_tools.results import Box, Face, crop

LEAST_PX, COARSE_PX, FINE_PX = 128, 320, 1920
"""Longer side of an image: the minimum, in the coarse look, and the maximum."""
LARGEST_PX = 256
"""Larger faces in the fine look are left to the coarse one: YuNet is inaccurate on large faces."""
HALVED_PIXELS, PAST_MIDDLE_PX, ON_MIDDLE_PX = 2_100_000, 64, 8
"""Images larger than 1080p are examined on two threads in halves, which extend this far past the
middle; faces this close to it are taken from both."""
SINGLE_LOOK_PX = 400
"""Smaller images need no coarse look."""
CANDIDATE_SCORE = 0.2
MIDDLE_PX, MIDDLE, SURE_SCORE = 128, 0.2, 0.85
"""Faces below `min_score` and `MIDDLE_PX` in the fine look are examined in a close-up, as are faces
between `MIDDLE_PX` and `MIDDLE` of the image's size that score below `SURE_SCORE`."""
NEAR_PX = 96
"""Size of a doubtful face in a close-up."""
FAINT_SCORE, FAINT_PX, FAINT_NEAR_PX, NEW_FACE_IOU = 0.02, 16, 80, 0.1
"""Places with at least this score and size, and no more overlap with others, are examined too: the
best ones, as many as there are faces. In a close-up at 80 px (96 px finds no more, at one and a
half times the cost), the first half must reach `CLOSE_SURE`, the others `SURE_SCORE`."""
SEVERAL, LONE_SHARE, MIRRORED_SCORE = 4, 0.5, 0.6
"""If there are fewer faces, those that are unsure and smaller than this share of the image must
reach this score when mirrored: in 3,909 images without a face, this leaves 24 of 38 false ones."""
FOLLOW_PX, FOLLOW_AROUND = 128, 2.8
"""A known face is looked for in a square this many times its box, resized to this: of six face
sizes from 30 to 115 px, YuNet is surest at 46 px, and among those this look costs least."""
SECOND_PX, SECOND_SCORE, UNSURER_BY = 64, 0.2, 0.2
"""The other network is consulted on candidates of at least this size and score; the mean of both
scores may be this much lower than `min_score`, and the other network's own half as much."""
MOST_CANDIDATES = 2000
SURROUND = 1 / 3
"""Width of the extended edge, relative to the longer side of the image."""
SHORT_RANGE_SIZE, SHORT_RANGE_SHIFT = 0.85, 0.03
"""Short range's box relative to YuNet's longer side, and its downward shift in its own heights: as
short range frames the faces that both see, and the most accurate of nine tried on two data sets."""

logger = logging.getLogger(__name__)


_FIRST = threading.Lock()


def yunet() -> YuNet | None:
    """Return this process's network, or None, after one warning, if its file is not available."""
    if not _opened.cache_info().currsize:
        with _FIRST:  # threads that begin together fetch it, or are warned, once
            return _opened()
    return _opened()


@functools.cache
def _opened() -> YuNet | None:
    try:
        return YuNet(asset_path(FILE))
    except FileNotFoundError:
        logger.warning(
            "YuNet's file (232 KB) is not at hand, so faces under about 3 % of the image and "
            "dense crowds are found less surely, by MediaPipe alone. 'builder-tools assets' says "
            "where it is looked for."
        )
        return None


def search_scales(
    network: YuNet,
    image_rgb: np.ndarray,
    min_score: float,
    second: Callable[[np.ndarray, Box], Face | None] = lambda image_rgb, box: None,
) -> list[Face]:
    """Return the faces of an image, each once, best score first.

    Args:
        network: Finds faces.
        image_rgb: `(H, W, 3)` uint8 RGB.
        min_score: Faces with a lower score are left out.
        second: Returns what another network, framing like short range, sees in a box.
    """
    plain, faint = _candidates(network, image_rgb, min_score, min(FAINT_SCORE, min_score))
    faces, _ = _judged_or_amid_edge(network, image_rgb, plain, min_score, second)
    if len(faces) < 2 or not faint:
        return faces
    apart = apart_from(plain, faint, NEW_FACE_IOU)
    found = _faint_faces(network, image_rgb, apart, faces, min_score)
    return suppress_overlaps([*faces, *found], SAME_FACE_IOU)


def search_and_doubt(
    network: YuNet,
    image_rgb: np.ndarray,
    min_score: float,
    second: Callable[[np.ndarray, Box], Face | None],
) -> tuple[list[Face], list[Face]]:
    """Return the faces of an image, except faint ones, and the other candidates."""
    candidates, _ = _candidates(network, image_rgb, min_score, min(CANDIDATE_SCORE, min_score))
    return _judged_or_amid_edge(network, image_rgb, candidates, min_score, second)


def _candidates(
    network: YuNet, image_rgb: np.ndarray, min_score: float, lowest: float
) -> tuple[list[Face], list[Face]]:
    """Return what both looks show, best score first, each once; and everything they hardly see."""
    whole, factor = _not_too_large(image_rgb)
    seen = [enlarge(face, factor) for face in _seen_at_both_sizes(network, whole, lowest)]
    least = min(CANDIDATE_SCORE, min_score)
    plain = suppress_overlaps([face for face in seen if face.score >= least], SAME_FACE_IOU)
    if len(plain) > MOST_CANDIDATES:
        logger.warning(
            "%d places may show a face; the surest %d are looked at. Cut the image into parts to "
            "have them all.",
            len(plain),
            MOST_CANDIDATES,
        )
        return plain[:MOST_CANDIDATES], []
    return plain, [face for face in seen if face.score < least]


def _not_too_large(image_rgb: np.ndarray) -> tuple[np.ndarray, float]:
    """Return an image at the size at which it is examined whole, and the factor applied."""
    is_large = max(image_rgb.shape[:2]) > FINE_PX
    return resized(image_rgb, FINE_PX) if is_large else (image_rgb, 1.0)


def _judged_or_amid_edge(
    network: YuNet,
    image_rgb: np.ndarray,
    candidates: Sequence[Face],
    min_score: float,
    second: Callable[[np.ndarray, Box], Face | None],
) -> tuple[list[Face], list[Face]]:
    """Return the faces among the candidates, or those filling the image, and other candidates."""
    faces, doubts = judged(network, image_rgb, candidates, min_score, second)
    if not faces:
        amid = [_as_short_range(face) for face in _amid_edge(network, image_rgb)]
        faces = suppress_overlaps([f for f in amid if f.score >= min_score], SAME_FACE_IOU)
    return faces, doubts


def judged(
    network: YuNet,
    image_rgb: np.ndarray,
    candidates: Sequence[Face],
    min_score: float,
    second: Callable[[np.ndarray, Box], Face | None],
) -> tuple[list[Face], list[Face]]:
    """Return which candidates are faces, each once, best score first, and which are not.

    Args:
        network: Takes close-ups of doubtful ones.
        image_rgb: `(H, W, 3)` uint8 RGB.
        candidates: As returned by the network, best score first.
        min_score: See `search_scales`, also for the other arguments.
    """
    looked_at = _looked_at_again(network, image_rgb, candidates, min_score)
    looked_at = _looked_at_mirrored(network, image_rgb, looked_at, min_score)
    faces = suppress_overlaps(_sure_faces(image_rgb, looked_at, min_score, second), SAME_FACE_IOU)
    placed = map(_as_short_range, candidates)
    return faces, [
        one for one in placed if not any(one.box.iou(face.box) > SAME_FACE_IOU for face in faces)
    ]


def _seen_at_both_sizes(network: YuNet, whole: np.ndarray, lowest: float) -> list[Face]:
    """Return what the fine look and, if needed, the coarse look show, from a given score."""
    fine = _fine_px(whole)
    if whole.shape[0] * whole.shape[1] > HALVED_PIXELS:
        seen = _in_halves(network, whole, lowest)
    else:
        seen = _at_size(network, whole, fine, lowest)
    if fine <= SINGLE_LOOK_PX:
        return seen
    largest = LARGEST_PX * max(whole.shape[:2]) / fine
    small = [face for face in seen if face.size_px <= largest]
    return small + _at_size(network, whole, COARSE_PX, lowest)


def _fine_px(image_rgb: np.ndarray) -> int:
    """Return the length of an image's longer side in the fine look."""
    return min(max(*image_rgb.shape[:2], LEAST_PX), FINE_PX)


def _looked_at_again(
    network: YuNet, image_rgb: np.ndarray, candidates: Sequence[Face], min_score: float
) -> list[Face]:
    """Return candidates, replacing doubtful and unsure mid-sized ones by what close-ups show."""
    fine, longer = _fine_px(image_rgb), max(image_rgb.shape[:2])

    def is_in_doubt(face: Face) -> bool:
        size_px = face.size_px * fine / longer
        doubtful = face.score < min_score and size_px < MIDDLE_PX
        return doubtful or (face.score < SURE_SCORE and MIDDLE_PX < size_px <= MIDDLE * fine)

    in_doubt = [face for face in candidates if is_in_doubt(face)]
    others = [face for face in candidates if not is_in_doubt(face)]
    return others + seen_from_near(network, image_rgb, in_doubt, NEAR_PX, min_score)


def _looked_at_mirrored(
    network: YuNet, image_rgb: np.ndarray, seen: Sequence[Face], min_score: float
) -> list[Face]:
    """Return what was seen; if faces are few, those not confirmed mirrored get that score."""
    if sum(face.score >= min_score for face in seen) >= SEVERAL:
        return list(seen)
    most_px, least = LONE_SHARE * max(image_rgb.shape[:2]), min(MIRRORED_SCORE, min_score)
    checked = []
    for face in seen:
        if min_score <= face.score < SURE_SCORE and face.size_px < most_px:
            score = mirrored_score(network, image_rgb, face)
            face = face if score >= least else replace(face, score=score)
        checked.append(face)
    return checked


def _faint_faces(
    network: YuNet,
    image_rgb: np.ndarray,
    candidates: Sequence[Face],
    faces: Sequence[Face],
    min_score: float,
) -> list[Face]:
    """Return the small faces among faint candidates: those that are new, and sure in a close-up."""
    fine, longer = _fine_px(image_rgb), max(image_rgb.shape[:2])
    small = [one for one in candidates if FAINT_PX <= one.size_px * fine / longer < MIDDLE_PX]
    new = apart_from(faces, small, NEW_FACE_IOU)
    surest = sorted(new, key=lambda one: -one.score)[: 2 * len(faces)]
    apart, half = suppress_overlaps(surest, SAME_FACE_IOU)[: len(faces)], len(faces) // 2
    sure = []
    for places, score in ((apart[:half], CLOSE_SURE), (apart[half:], SURE_SCORE)):
        least = max(score, min_score)
        near = seen_from_near(network, image_rgb, places, FAINT_NEAR_PX, least)
        sure += [_as_short_range(face) for face in near if face.score >= least]
    return apart_from(faces, sure, NEW_FACE_IOU)


def _sure_faces(
    image_rgb: np.ndarray,
    seen: Sequence[Face],
    min_score: float,
    second: Callable[[np.ndarray, Box], Face | None],
) -> list[Face]:
    """Return the faces that are sure enough, alone or combined with another network's score."""
    faces: list[Face] = []
    for face in suppress_overlaps(map(_as_short_range, seen), SAME_FACE_IOU):
        if face.score >= min_score:
            faces.append(face)
        elif face.score >= SECOND_SCORE and face.size_px >= SECOND_PX:
            faces += _agreed(face, second(image_rgb, face.box), min_score)
    return faces


def _agreed(face: Face, other: Face | None, min_score: float) -> list[Face]:
    """Return the other network's face if both together are sure enough of it, else none."""
    if other is None or other.score < min_score - UNSURER_BY / 2:
        return []
    if (face.score + other.score) / 2 < min_score - UNSURER_BY:
        return []
    return [replace(other, score=max(face.score, other.score, min_score))]


def search_near(
    network: YuNet, image_rgb: np.ndarray, faces: Sequence[Face], min_score: float
) -> list[Face] | None:
    """Return faces found again near where they were a moment ago.

    Returns None if the image is so small that it might as well be searched.

    Args:
        network: Finds faces.
        image_rgb: `(H, W, 3)` uint8 RGB.
        faces: Those of a previous image, as returned by `search_scales`.
        min_score: Faces with a lower score are not found.
    """
    if max(image_rgb.shape[:2]) <= SINGLE_LOOK_PX:
        return None
    found = []
    for face in faces:
        window = face.box.square().scale(FOLLOW_AROUND).round()
        part = turned_back(crop(image_rgb, window), face.turned_deg)
        small, factor = resized(part, FOLLOW_PX)
        seen = [
            as_turned(_as_short_range(enlarge(one, factor)), face.turned_deg, part.shape)
            for one in network.find(small, min_score)
        ]
        placed = [moved(one, window.x1, window.y1) for one in seen]
        near = [one for one in placed if one.box.iou(face.box) > SAME_FACE_IOU]
        if near:
            found.append(max(near, key=lambda one: one.box.iou(face.box)))
    return suppress_overlaps(found, SAME_FACE_IOU)


def search_large(network: YuNet, image_rgb: np.ndarray, min_score: float) -> list[Face]:
    """Return the faces that the coarse look shows: those of at least about 5 % of the image."""
    small, factor = resized(image_rgb, COARSE_PX)
    return [_as_short_range(enlarge(one, factor)) for one in network.find(small, min_score)]


def _at_size(network: YuNet, image_rgb: np.ndarray, size_px: int, min_score: float) -> list[Face]:
    small, factor = resized(image_rgb, size_px)
    return [enlarge(face, factor) for face in network.find(small, min_score)]


def _in_halves(network: YuNet, image_rgb: np.ndarray, min_score: float) -> list[Face]:
    """Return the faces of an image, up to about `LARGEST_PX` large, from its two halves.

    A face belongs to the half that holds its centre; the other half's view of it is left out. The
    centre is not located exactly, so a face on the border may be returned by both halves.
    """
    axis = 0 if image_rgb.shape[0] >= image_rgb.shape[1] else 1
    middle = image_rgb.shape[axis] // 2
    if axis == 0:
        halves = image_rgb[: middle + PAST_MIDDLE_PX], image_rgb[middle - PAST_MIDDLE_PX :]
    else:
        halves = image_rgb[:, : middle + PAST_MIDDLE_PX], image_rgb[:, middle - PAST_MIDDLE_PX :]
    first, second = on_two_threads(partial(network.find, min_score=min_score), halves)
    start = middle - PAST_MIDDLE_PX
    shift = (0, start) if axis == 0 else (start, 0)
    placed = [moved(face, *shift) for face in second]
    along = 1 - axis
    return [face for face in first if face.box.centre[along] < middle + ON_MIDDLE_PX] + [
        face for face in placed if face.box.centre[along] >= middle - ON_MIDDLE_PX
    ]


def _amid_edge(network: YuNet, image_rgb: np.ndarray) -> list[Face]:
    """Return the faces of an image with its edge extended around it, as a face may fill it."""
    small, factor = resized(image_rgb, min(COARSE_PX, 4 * max(image_rgb.shape[:2])))
    border = round(max(small.shape[:2]) * SURROUND)
    wide = cv2.copyMakeBorder(small, *[border] * 4, cv2.BORDER_REPLICATE)
    found = network.find(wide, CANDIDATE_SCORE)
    return [enlarge(moved(face, -border, -border), factor) for face in found]


def _as_short_range(face: Face) -> Face:
    """Convert YuNet's face to the box and key points that short range would return."""
    (x, y), size = face.box.centre, SHORT_RANGE_SIZE * max(face.box.width, face.box.height)
    y += SHORT_RANGE_SHIFT * size
    box = Box(x - size / 2, y - size / 2, x + size / 2, y + size / 2)
    mouth = face.keypoints[3:].mean(axis=0)
    return Face(box, face.score, np.vstack([face.keypoints[:3], mouth]))
