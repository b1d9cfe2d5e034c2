"""The valence-arousal dial: where a face lies on the circumplex, and the way it came."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from builder_tools.drawing.pen import WHITE, Colour, mixed
from builder_tools.emotions import EmotionSet
from builder_tools.results import FaceEmotion

DIAL_LETTERS = 8
"""Diameter of the dial, in letter heights."""

Place = tuple[float, float]
"""Valence and arousal."""


@dataclass(frozen=True)
class Dial:
    """A circle with the circumplex: valence to the right, arousal up.

    Args:
        way: Places in the order of time, the last is now.
        colour: Of the shown emotion.
        emotions: Whose anchors are marked.
    """

    way: tuple[Place, ...]
    colour: Colour
    emotions: EmotionSet

    def size(self, letter: int) -> tuple[int, int]:
        """Return width and height beside a label of that letter height."""
        side = DIAL_LETTERS * letter
        return side, side

    def draw(self, region: np.ndarray, letter: int) -> None:
        """Draw axes, anchors and the way, oldest place first.

        Args:
            region: A part of an image, dark, in whose middle the dial lies.
            letter: Height of the label's capitals.
        """
        stroke, side = max(round(letter / 12), 1), self.size(letter)[0]
        centre = (region.shape[1] // 2, region.shape[0] // 2)
        radius = side // 2 - stroke - 1
        grey = mixed(WHITE, 0.45)

        def pixel(place: Sequence[float]) -> tuple[int, int]:
            """What lies outside the circle is drawn on its edge."""
            reach = 0.9 * radius / max(math.hypot(*place), 1)
            return round(centre[0] + reach * place[0]), round(centre[1] - reach * place[1])

        cv2.line(region, pixel((-1, 0)), pixel((1, 0)), grey, stroke)
        cv2.line(region, pixel((0, -1)), pixel((0, 1)), grey, stroke)
        cv2.circle(region, centre, radius, grey, stroke, cv2.LINE_AA)
        dot = max(round(radius / 14), 1)
        for emotion, anchor in zip(self.emotions, self.emotions.anchors, strict=True):
            if not np.isnan(anchor).any():
                shade = mixed(self.emotions.colour_rgb(emotion), 0.7)
                cv2.circle(region, pixel(anchor), max(dot // 2, 1), shade, -1, cv2.LINE_AA)
        steps = list(pairwise(self.way))
        for number, (start, end) in enumerate(steps, start=1):  # the younger, the brighter
            ink = mixed(WHITE, 0.2 + 0.6 * number / len(steps))
            cv2.line(region, pixel(start), pixel(end), ink, stroke, cv2.LINE_AA)
        cv2.circle(region, pixel(self.way[-1]), 2 * dot + 1, WHITE, -1, cv2.LINE_AA)
        cv2.circle(region, pixel(self.way[-1]), 2 * dot, self.colour, -1, cv2.LINE_AA)


def place_of(face: FaceEmotion) -> Place | None:
    """Return a face's valence and arousal, or None where one is not known or not finite."""
    if face.valence is None or face.arousal is None:
        return None
    place = float(face.valence), float(face.arousal)
    return place if all(map(math.isfinite, place)) else None
