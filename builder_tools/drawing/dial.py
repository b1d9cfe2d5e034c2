"""The valence-arousal dial: where a face lies on the circumplex, and its recent path."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import cv2
import numpy as np

from builder_tools.drawing.pen import PANEL, WHITE, Colour, mixed
from builder_tools.emotions import EmotionSet
from builder_tools.results import FaceEmotion

DIAL_LETTERS = 8
"""Diameter of the dial, in letter heights."""

SHADES = 6
"""Number of shades of the path, from its beginning to now."""

Place = tuple[float, float]
"""Valence and arousal."""


@dataclass(frozen=True)
class Dial:
    """A circle with the circumplex: valence to the right, arousal up.

    Args:
        way: Places in order of time; the last is the current one.
        colour: Colour of the shown emotion.
        emotions: Emotions whose anchors are marked.
    """

    way: tuple[Place, ...]
    colour: Colour
    emotions: EmotionSet

    def size(self, letter: int) -> tuple[int, int]:
        """Return the width and height that go with a label of this letter height."""
        side = DIAL_LETTERS * letter
        return side, side

    def draw(self, region: np.ndarray, letter: int) -> None:
        """Draw the axes, the anchors and the path, oldest place first.

        Args:
            region: A dark region of an image; the dial is drawn at its centre.
            letter: Height of the label's capitals.
        """
        side = self.size(letter)[0]
        top, left = (region.shape[0] - side) // 2, (region.shape[1] - side) // 2
        square = region[top : top + side, left : left + side]
        ground, drawn = _ground(side, self.emotions)
        cv2.copyTo(ground, drawn, square)
        radius, stroke = _radius_of(side), _stroke_of(side)
        way = _pixels(np.array(self.way), side)
        steps = max(len(way) - 1, 1)
        pieces = np.linspace(0, len(way) - 1, min(SHADES, steps) + 1).round().astype(int).tolist()
        for start, end in pairwise(pieces):  # the more recent, the brighter
            ink = mixed(WHITE, 0.2 + 0.6 * end / steps)
            cv2.polylines(square, [way[start : end + 1]], False, ink, stroke, cv2.LINE_AA)
        dot, now = _dot_of(radius), way[-1].tolist()
        cv2.circle(square, now, 2 * dot + 1, WHITE, -1, cv2.LINE_AA)
        cv2.circle(square, now, 2 * dot, self.colour, -1, cv2.LINE_AA)


@lru_cache(maxsize=64)
def _ground(side: int, emotions: EmotionSet) -> tuple[np.ndarray, np.ndarray]:
    """Return the background shared by all dials of a size, and a mask of its drawn pixels."""
    ground = np.full((side, side, 3), PANEL, np.uint8)
    radius, stroke, grey = _radius_of(side), _stroke_of(side), mixed(WHITE, 0.45)
    west, east, south, north = _pixels(np.array([(-1, 0), (1, 0), (0, -1), (0, 1)]), side).tolist()
    cv2.line(ground, west, east, grey, stroke)
    cv2.line(ground, south, north, grey, stroke)
    cv2.circle(ground, (side // 2, side // 2), radius, grey, stroke, cv2.LINE_AA)
    size = max(_dot_of(radius) // 2, 1)
    for name, anchor in zip(emotions, emotions.anchors, strict=True):
        if not np.isnan(anchor).any():
            place = _pixels(np.array([anchor]), side)[0].tolist()
            shade = mixed(emotions.colour_rgb(name), 0.7)
            cv2.circle(ground, place, size, shade, -1, cv2.LINE_AA)
    drawn = (ground != PANEL).any(axis=2).astype(np.uint8)
    return ground, drawn


def _pixels(places: np.ndarray, side: int) -> np.ndarray:
    """Return pixels `(n, 2)` int32 of places `(n, 2)` on a dial; outside ones are on its edge."""
    reach = 0.9 * _radius_of(side) / np.maximum(np.hypot(*places.T), 1)
    return np.rint(side // 2 + places * reach[:, None] * (1, -1)).astype(np.int32)


def _radius_of(side: int) -> int:
    return side // 2 - _stroke_of(side) - 1


def _stroke_of(side: int) -> int:
    return max(round(side / DIAL_LETTERS / 12), 1)


def _dot_of(radius: int) -> int:
    return max(round(radius / 14), 1)


def place_of(face: FaceEmotion) -> Place | None:
    """Return a face's valence and arousal, or None if either is unknown or not finite."""
    if face.valence is None or face.arousal is None:
        return None
    place = float(face.valence), float(face.arousal)
    return place if all(map(math.isfinite, place)) else None
