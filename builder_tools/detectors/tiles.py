"""Search for faces of every size with MediaPipe's two models alone, if YuNet is not available.

1. Short range over the whole image: faces of at least about 8 % of it.
2. Full range over the whole image (at least about 3 %, but unsure of small faces and wrong more
   often), accepting even doubtful candidates; short range then takes a close-up of each and
   decides.
3. The same on overlapping square tiles of 60 % of the shorter side, larger ones if there would be
   more than `max_tiles`; not in images under 240 px. Every step runs whatever the others find, so
   a near face hides no far ones.

A candidate of which full range is sure (0.75 and up) is kept even if short range, which knows no
profiles, does not see it. The score of a face is that of the model that decided. An image without
a face is examined once more with its edge extended around it, as a face may fill it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator

import cv2
import numpy as np

from builder_tools.detectors.base import SAME_FACE_IOU, moved, suppress_overlaps
from builder_tools.detectors.full_range import FullRange
from builder_tools.detectors.short_range import ShortRange
from builder_tools.results import Box, Face

CANDIDATE_SCORE = 0.15
SURE_SCORE = 0.75
MOST_CANDIDATES = 500
LOOK_AROUND = 2.5
"""Side of the square that short range examines, relative to the candidate's side."""
SMALLEST_TILED_PX = 240
TILE, TILE_OVERLAP = 0.6, 0.25
SURROUND = 1 / 3

logger = logging.getLogger(__name__)


def search_tiles(
    short: ShortRange, full: FullRange, image_rgb: np.ndarray, min_score: float, max_tiles: int
) -> list[Face]:
    """Return the faces of an image, each once, best score first.

    Args:
        short: Short range, which decides.
        full: Full range, which returns candidates down to `CANDIDATE_SCORE`.
        image_rgb: `(H, W, 3)` uint8 RGB.
        min_score: Faces with a lower score are left out.
        max_tiles: Maximum number of tiles; 0 uses none.
    """
    height, width = image_rgb.shape[:2]
    near = [face for face in short.find(image_rgb) if face.score >= min_score]
    candidates = full.find(image_rgb)
    if max_tiles and min(height, width) >= SMALLEST_TILED_PX:
        for tile in _tiles(width, height, max_tiles):
            candidates += _find_within(full, image_rgb, tile)
    candidates = suppress_overlaps(candidates, SAME_FACE_IOU)
    new = [one for one in candidates if not any(one.box.holds(f.box.centre) for f in near)]
    if len(new) > MOST_CANDIDATES:
        logger.warning(
            "%d places may show a face; the surest %d are looked at. Cut the image into parts to "
            "have them all.",
            len(new),
            MOST_CANDIDATES,
        )
    decided = [_decide(short, image_rgb, one, min_score) for one in new[:MOST_CANDIDATES]]
    found = suppress_overlaps([*near, *filter(None, decided)], SAME_FACE_IOU)
    return found or _amid_edge(short, image_rgb)


def _decide(short: ShortRange, image_rgb: np.ndarray, candidate: Face, least: float) -> Face | None:
    """Return short range's view of a candidate, or the candidate itself if full range is sure."""
    height, width = image_rgb.shape[:2]
    window = candidate.box.square().scale(LOOK_AROUND).clip(width, height).round()
    seen = [
        face
        for face in _find_within(short, image_rgb, window)
        if candidate.box.holds(face.box.centre) and face.score >= least
    ]
    sure = candidate if candidate.score >= max(SURE_SCORE, least) else None
    return max(seen, key=lambda face: face.score, default=sure)


def _amid_edge(short: ShortRange, image_rgb: np.ndarray) -> list[Face]:
    border = round(max(image_rgb.shape[:2]) * SURROUND)
    wide = cv2.copyMakeBorder(image_rgb, *[border] * 4, cv2.BORDER_REPLICATE)
    return [moved(face, -border, -border) for face in short.find(wide)]


def _find_within(network: ShortRange | FullRange, image_rgb: np.ndarray, window: Box) -> list[Face]:
    """Return the faces in a part of an image, in pixels of the image; [] for an empty part."""
    x1, y1, x2, y2 = (int(value) for value in window.xyxy)
    if x2 <= x1 or y2 <= y1:
        return []
    part = np.ascontiguousarray(image_rgb[y1:y2, x1:x2])
    return [moved(face, x1, y1) for face in network.find(part)]


def _tiles(width: int, height: int, max_tiles: int) -> Iterator[Box]:
    """Yield overlapping squares that cover the image; larger ones if there are too many."""
    side = TILE * min(width, height)
    columns, rows = _count(width, side), _count(height, side)
    while columns * rows > max_tiles and columns * rows > 1:
        side *= 1.1
        columns, rows = _count(width, side), _count(height, side)
    for y in np.linspace(0, max(height - side, 0), rows):
        for x in np.linspace(0, max(width - side, 0), columns):
            yield Box(x, y, x + side, y + side).clip(width, height).round()


def _count(length: float, side: float) -> int:
    step = side * (1 - TILE_OVERLAP)
    return 1 + max(math.ceil((length - side) / step - 1e-9), 0)
