"""Search certain places of an image as `scales` searches all of it, at lower cost.

YuNet looks at a window around each place, at the scale of the fine look and on the same grid of
cells, so it sees there what it sees in the whole image; unsure candidates are judged the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from builder_tools.detectors.base import SAME_FACE_IOU, enlarge, moved, suppress_overlaps
from builder_tools.detectors.resizing import resized
from builder_tools.detectors.scales import (
    CANDIDATE_SCORE,
    FINE_PX,
    LARGEST_PX,
    judged,
)
from builder_tools.detectors.yunet import YuNet
from builder_tools.detectors.yunet_network import CELLS_PX
from builder_tools.results import Box, Face, crop

AROUND_PX = 128
"""Margin on each side of a place. YuNet's score for a face depends on its surroundings: in a street
scene, this margin gives 99.3 % of the boxes found in whole images; 96 px gives 98.5 %, and 64 px
97.1 %."""
MOST_OF_IMAGE = 0.6
"""If the windows cover more of an image than this, all of it might as well be searched."""


def search_places(
    network: YuNet,
    image_rgb: np.ndarray,
    faces: Sequence[Face],
    doubts: Sequence[Face],
    min_score: float,
    second: Callable[[np.ndarray, Box], Face | None],
) -> tuple[list[Face], list[Face]] | None:
    """Return the faces and doubts that `scales.search_and_doubt` would find in certain places.

    Returns None if one of the faces cannot be looked for in this way, or if the whole image might
    as well be searched.

    Args:
        network: Finds faces.
        image_rgb: `(H, W, 3)` uint8 RGB.
        faces: Previous faces, whose places are searched.
        doubts: Other places; large or turned ones are skipped.
        min_score: See `scales.search_scales`, also for `second`.
    """
    longer, area = max(image_rgb.shape[:2]), image_rgb.shape[0] * image_rgb.shape[1]
    factor = min(FINE_PX / longer, 1.0)
    windows: list[Box] = []
    for number, place in enumerate([*faces, *doubts]):
        more = _merged(windows, _window(place.box, image_rgb, factor))
        if sum(window.area for window in more) > MOST_OF_IMAGE * area:
            return None
        if place.size_px * factor <= LARGEST_PX and not place.turned_deg:
            windows = more
        elif number < len(faces):
            return None
    seen: list[Face] = []
    for window in windows:
        part = crop(image_rgb, window)
        small, by = resized(part, max(round(max(part.shape[:2]) * factor), 1))
        found = network.find(small, min(CANDIDATE_SCORE, min_score))
        seen += [moved(enlarge(face, by), window.x1, window.y1) for face in found]
    candidates = suppress_overlaps(seen, SAME_FACE_IOU)
    return judged(network, image_rgb, candidates, min_score, second)


def _window(box: Box, image_rgb: np.ndarray, factor: float) -> Box:
    """Return the window around a box, in whole cells of the image shrunk by a factor."""
    cell, around = CELLS_PX[-1] / factor, AROUND_PX / factor
    low = np.floor((np.array(box.xyxy[:2]) - around) / cell) * cell
    high = np.ceil((np.array(box.xyxy[2:]) + around) / cell) * cell
    return Box(*low.tolist(), *high.tolist()).clip(*image_rgb.shape[1::-1]).round()


def _merged(apart: Sequence[Box], window: Box) -> list[Box]:
    """Return non-overlapping windows that cover some that already are, and one more."""
    for one in apart:
        if min(one.x2, window.x2) > max(one.x1, window.x1) and (
            min(one.y2, window.y2) > max(one.y1, window.y1)
        ):
            corners = np.array([one.xyxy, window.xyxy])
            both = Box(*corners[:, :2].min(axis=0).tolist(), *corners[:, 2:].max(axis=0).tolist())
            return _merged([other for other in apart if other is not one], both)
    return [*apart, window] if window.area > 0 else [*apart]
