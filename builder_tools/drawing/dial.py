"""The valence-arousal dial: where a face lies on the circumplex, and the way it came."""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from builder_tools.drawing.pen import WHITE, Colour, Pen, darken, mixed
from builder_tools.emotions import EmotionSet
from builder_tools.results import Box, FaceEmotion

DIAL_LETTERS = 6
"""Diameter of the dial, in letter heights."""
SMALLEST_DIAL_PX = 17
TRACKS_KEPT = 32
ABSENT_DRAWS = 90
"""A track that was not drawn for so many images starts a new trail."""

Place = tuple[float, float]
"""Valence and arousal."""


@dataclass(frozen=True)
class Dial:
    """A disc with the circumplex: valence to the right, arousal up."""

    box: Box
    stroke: int

    @classmethod
    def beside(cls, face: Box, canvas: np.ndarray, taken: list[Box], pen: Pen) -> Dial | None:
        """Place the dial on what is free, near the foot of the face first; None: no room."""
        height, width = canvas.shape[:2]
        side = min(round(DIAL_LETTERS * pen.letter), height, width)
        right, left, gap = face.x2 + pen.gap, face.x1 - pen.gap - side, pen.gap
        corners = [
            *((x, y) for y in (face.y2 - side, face.y1) for x in (right, left)),
            *((face.x1, y) for y in (face.y2 + gap, face.y1 - gap - side - pen.tag_height)),
            *((x, y) for y in (height - side, 0) for x in (width - side, 0)),
        ]
        boxes = (Box(x, y, x + side, y + side).round() for x, y in corners)
        inside = (box for box in boxes if box == box.clip(width, height).round())
        free = (box for box in inside if not any(box.iou(other) for other in taken))
        found = next(free, None)
        return None if found is None or side < SMALLEST_DIAL_PX else cls(found, pen.stroke)

    def draw(
        self, canvas: np.ndarray, way: Sequence[Place], colour: Colour, emotions: EmotionSet
    ) -> None:
        """Draw disc, axes, anchors and the way, oldest place first."""
        x1, y1, x2, y2 = (int(value) for value in self.box.xyxy)
        region = canvas[y1:y2, x1:x2]
        self._draw_ground(region)
        dot = max(round(self._radius / 14), 1)
        for emotion, anchor in zip(emotions, emotions.anchors, strict=True):
            if not np.isnan(anchor).any():
                small = max(dot // 2, 1)
                shade = mixed(emotions.colour_rgb(emotion), 0.7)
                cv2.circle(region, self._pixel(anchor), small, shade, -1, cv2.LINE_AA)
        for share, (start, end) in _ageing(way):
            ink = mixed(colour, 0.3 + 0.7 * share)
            ends = self._pixel(start), self._pixel(end)
            cv2.line(region, *ends, ink, self.stroke, cv2.LINE_AA)
        cv2.circle(region, self._pixel(way[-1]), 2 * dot + 1, WHITE, -1, cv2.LINE_AA)
        cv2.circle(region, self._pixel(way[-1]), 2 * dot, colour, -1, cv2.LINE_AA)

    @property
    def _radius(self) -> float:
        return (self.box.width - 1) / 2

    def _draw_ground(self, region: np.ndarray) -> None:
        middle, radius = self._pixel((0, 0)), round(self._radius)
        shade, inside = region.copy(), np.zeros(region.shape[:2], np.uint8)
        darken(shade, Box(0, 0, region.shape[1], region.shape[0]))
        cv2.circle(inside, middle, radius, 255, -1)
        np.copyto(region, shade, where=inside[..., None] > 0)
        grey = mixed(WHITE, 0.35)
        cv2.line(region, self._pixel((-0.95, 0)), self._pixel((0.95, 0)), grey, self.stroke)
        cv2.line(region, self._pixel((0, -0.95)), self._pixel((0, 0.95)), grey, self.stroke)
        cv2.circle(region, middle, radius - self.stroke // 2, grey, self.stroke, cv2.LINE_AA)

    def _pixel(self, place: Sequence[float]) -> tuple[int, int]:
        """Return a place's column and row; what lies outside the disc is drawn on its edge."""
        valence, arousal = place
        reach = 0.9 * self._radius / max(math.hypot(valence, arousal), 1)
        return round(self._radius + reach * valence), round(self._radius - reach * arousal)


@dataclass
class Trails:
    """Recent places by track, for a bounded number of tracks."""

    places: OrderedDict[int, deque[Place]] = field(default_factory=OrderedDict)
    drawn: dict[int, int] = field(default_factory=dict)
    now: int = 0

    def tick(self) -> None:
        """Count an image."""
        self.now += 1

    def clear(self) -> None:
        """Forget all tracks."""
        self.places.clear()
        self.drawn.clear()

    def extended(self, track: int | None, place: Place, length: int) -> Sequence[Place]:
        """Return the track's places with this one as the last, at most `length`."""
        if track is None:
            return [place]
        if self.now - self.drawn.get(track, self.now) > ABSENT_DRAWS:
            del self.places[track]
        way = self.places.setdefault(track, deque(maxlen=length))
        way.append(place)
        self.places.move_to_end(track)
        self.drawn[track] = self.now
        while len(self.places) > TRACKS_KEPT:
            oldest, _ = self.places.popitem(last=False)
            del self.drawn[oldest]
        return way


def place_of(face: FaceEmotion) -> Place | None:
    """Return a face's valence and arousal, or None where one is not known or not finite."""
    if face.valence is None or face.arousal is None:
        return None
    place = float(face.valence), float(face.arousal)
    return place if all(map(math.isfinite, place)) else None


def _ageing(way: Sequence[Place]) -> Iterator[tuple[float, tuple[Place, Place]]]:
    """Return each step of a way with how young it is, 0...1."""
    steps = list(zip(list(way)[:-1], list(way)[1:], strict=True))
    return (((number + 1) / len(steps), step) for number, step in enumerate(steps))
