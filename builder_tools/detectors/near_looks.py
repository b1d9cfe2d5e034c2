"""Looks from near by: YuNet at parts of an image around what it is not sure of, enlarged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import TypeVar

import cv2
import numpy as np

from builder_tools.detectors.base import enlarge, moved
from builder_tools.detectors.resizing import resized
from builder_tools.detectors.yunet import YuNet
from builder_tools.results import Box, Face, crop

LEAST_SCORE = 0.2
"""What is seen less surely from near by is nothing."""
LOOK_AROUND = 1.6
"""Side of what is looked at over that of the face."""
NEAR_AT_ONCE = 4
"""So many are looked at in one run: more need more memory than the processor has at hand."""
ON_TWO_THREADS_PIXELS = 2_100_000
"""Of images larger than 1080p, several places are looked at on two threads."""
MIRRORED_PX = 128
"""Size of a face in the mirror."""


@dataclass(frozen=True)
class Look:
    """How a place is looked at: the size of a face, the view's side over it, the image's turn."""

    face_px: int
    around: float = LOOK_AROUND
    clockwise_deg: float = 0.0


CLOSE_LOOK, BENT_LOOKS = Look(137, 1.12), (Look(137, 1.12, -20.0), Look(137, 1.12, 20.0))
BENT_SCORE, CLOSE_SURE = 0.4, 0.8
"""What is seen from near by, but not surely enough, is looked at once more, larger and without its
surroundings; what then is not sure yet, but so sure, with the head bent either way, too. So 12 of
64 faces missed in made galleries and crowds are found, and nothing in 1,461 images without one."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def seen_from_near(
    network: YuNet, image_rgb: np.ndarray, faces: Sequence[Face], px: int, min_score: float
) -> list[Face]:
    """Return the surest face that is seen from near by in the middle of each candidate, if any.

    Its own box, not the candidate's: that may lie between two faces and have the score of one.
    What is not sure is looked at more closely and bent, and given again where it is a face.

    Args:
        network: Looks.
        image_rgb: `(H, W, 3)` uint8 RGB.
        faces: Candidates, in the image.
        px: How large they are shown.
        min_score: What is scored so is sure.
    """
    found = _all_seen(network, image_rgb, faces, Look(px))
    unsure = [face for face in found if face.score < min_score]
    close = _all_seen(network, image_rgb, unsure, CLOSE_LOOK)
    least = max(CLOSE_SURE, min_score)
    nearly = [face for face in close if BENT_SCORE <= face.score < least]
    bent = [face for look in BENT_LOOKS for face in _all_seen(network, image_rgb, nearly, look)]
    return found + [face for face in [*close, *bent] if face.score >= least]


def mirrored_score(network: YuNet, image_rgb: np.ndarray, face: Face) -> float:
    """Return how sure the network is of a face from near by in the mirror; 0 where it sees none.

    A face is one there, too. Lamps, hands and spots that look like one from one side often do not.
    """
    window = face.box.square().scale(LOOK_AROUND).round()
    view, factor = resized(crop(image_rgb, window), round(MIRRORED_PX * LOOK_AROUND))
    place = moved(face, -window.x1, -window.y1).box
    for one in network.find(np.ascontiguousarray(view[:, ::-1]), LEAST_SCORE):
        x, y = enlarge(one, factor).box.centre
        if place.holds((window.width - x, y)):
            return one.score
    return 0.0


def on_two_threads(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Return what a function gives for each item, in order; two are at work at once."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(function, items))


def _all_seen(
    network: YuNet, image_rgb: np.ndarray, faces: Sequence[Face], look: Look
) -> list[Face]:
    few = [faces[start : start + NEAR_AT_ONCE] for start in range(0, len(faces), NEAR_AT_ONCE)]
    is_large = image_rgb[..., 0].size > ON_TWO_THREADS_PIXELS
    each = on_two_threads if is_large and len(few) > 1 else map
    return list(chain.from_iterable(each(partial(_few_seen, network, image_rgb, look), few)))


def _few_seen(
    network: YuNet, image_rgb: np.ndarray, look: Look, faces: Sequence[Face]
) -> list[Face]:
    windows = [face.box.square().scale(look.around).round() for face in faces]
    sides = round(look.face_px * look.around)
    views = [resized(crop(image_rgb, window), sides) for window in windows]
    turn = cv2.getRotationMatrix2D((sides / 2, sides / 2), -look.clockwise_deg, 1)
    if look.clockwise_deg:
        views = [(_turned(view, turn), factor) for view, factor in views]
    seen = network.find_each([view for view, _ in views], LEAST_SCORE)
    found = []
    for face, window, (_, factor), each in zip(faces, windows, views, seen, strict=True):
        upright = (_turned_back(one, turn) for one in each) if look.clockwise_deg else each
        placed = (moved(enlarge(one, factor), window.x1, window.y1) for one in upright)
        found += [one for one in placed if face.box.holds(one.box.centre)][:1]
    return found


def _turned(view: np.ndarray, turn: np.ndarray) -> np.ndarray:
    return cv2.warpAffine(view, turn, view.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)


def _turned_back(face: Face, turn: np.ndarray) -> Face:
    """Return a face of a turned view where it lies in the view: its box stays as large."""
    back = cv2.invertAffineTransform(turn)
    (x, y), half_width, half_height = face.box.centre, face.box.width / 2, face.box.height / 2
    x, y = back @ (x, y, 1)
    points = face.keypoints
    keypoints = None if points is None else points @ back[:, :2].T + back[:, 2]
    box = Box(x - half_width, y - half_height, x + half_width, y + half_height)
    return replace(face, box=box, keypoints=keypoints)
