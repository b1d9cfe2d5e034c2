"""Looks from near by: YuNet at parts of an image around what it is not sure of, enlarged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from typing import TypeVar

import numpy as np

from builder_tools.detectors.base import enlarge, moved
from builder_tools.detectors.resizing import resized
from builder_tools.detectors.yunet import YuNet
from builder_tools.results import Face, crop

LEAST_SCORE = 0.2
"""What is seen less surely from near by is nothing."""
LOOK_AROUND = 1.6
"""Side of what is looked at over that of the face."""
NEAR_AT_ONCE = 4
"""So many are looked at in one run: more need more memory than the processor has at hand."""
ON_TWO_THREADS_PIXELS = 2_100_000
"""Of images larger than 1080p, several places are looked at on two threads."""
AGAIN_SCORE, AGAIN_PX, AGAIN_SURE = 0.4, 128, 0.8
"""What is seen so surely from near by, but not surely enough, is looked at once more, so large, and
must then be so sure: 9 of 666 faces of 27 and 34 px more are found, no trap."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def seen_from_near(
    network: YuNet, image_rgb: np.ndarray, faces: Sequence[Face], px: int, min_score: float
) -> list[Face]:
    """Return the surest face that is seen from near by in the middle of each candidate, if any.

    Its own box, not the candidate's: that may lie between two faces and have the score of one.
    What is nearly sure is looked at from nearer still, and given twice where it is a face.

    Args:
        network: Looks.
        image_rgb: `(H, W, 3)` uint8 RGB.
        faces: Candidates, in the image.
        px: How large they are shown.
        min_score: What is scored so is sure.
    """
    found = _all_seen(network, image_rgb, faces, px)
    nearly = [face for face in found if AGAIN_SCORE <= face.score < min_score]
    again = _all_seen(network, image_rgb, nearly, AGAIN_PX)
    return found + [face for face in again if face.score >= max(AGAIN_SURE, min_score)]


def mirrored_score(network: YuNet, image_rgb: np.ndarray, face: Face) -> float:
    """Return how sure the network is of a face from near by in the mirror; 0 where it sees none.

    A face is one there, too. Lamps, hands and spots that look like one from one side often do not.
    """
    window = face.box.square().scale(LOOK_AROUND).round()
    view, factor = resized(crop(image_rgb, window), round(AGAIN_PX * LOOK_AROUND))
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


def _all_seen(network: YuNet, image_rgb: np.ndarray, faces: Sequence[Face], px: int) -> list[Face]:
    few = [faces[start : start + NEAR_AT_ONCE] for start in range(0, len(faces), NEAR_AT_ONCE)]
    is_large = image_rgb[..., 0].size > ON_TWO_THREADS_PIXELS
    each = on_two_threads if is_large and len(few) > 1 else map
    return list(chain.from_iterable(each(partial(_few_seen, network, image_rgb, px), few)))


def _few_seen(network: YuNet, image_rgb: np.ndarray, px: int, faces: Sequence[Face]) -> list[Face]:
    windows = [face.box.square().scale(LOOK_AROUND).round() for face in faces]
    views = [resized(crop(image_rgb, window), round(px * LOOK_AROUND)) for window in windows]
    seen = network.find_each([view for view, _ in views], LEAST_SCORE)
    found = []
    for face, window, (_, factor), each in zip(faces, windows, views, seen, strict=True):
        placed = (moved(enlarge(one, factor), window.x1, window.y1) for one in each)
        found += [one for one in placed if face.box.holds(one.box.centre)][:1]
    return found
