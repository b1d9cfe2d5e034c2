"""Draw people who do not exist: faces made of shaded shapes, with any expression.

They are for example images and films, which must not show the faces of third parties. Detectors
find them, and models read most of their expressions as intended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import cv2
import numpy as np

FINER = 3
"""Pixels drawn per pixel of the image, along each side."""

Colour = tuple[int, int, int]
SIDES = (-1, 1)


@dataclass(frozen=True)
class Look:
    """How a person looks: RGB colours, and the length of the hair, 0 (short) ... 1."""

    skin: Colour
    hair: Colour
    shirt: Colour
    long_hair: float = 1.0


LOOKS = (
    Look((224, 180, 150), (60, 40, 30), (60, 90, 140)),
    Look((141, 97, 68), (28, 22, 22), (176, 96, 60), 0.0),
    Look((240, 202, 176), (168, 116, 62), (70, 120, 88)),
    Look((198, 150, 112), (34, 30, 32), (120, 70, 110), 0.0),
)


@dataclass(frozen=True)
class Expression:
    """An expression of a face; 0 is at rest.

    Args:
        smile: Height of the corners of the mouth, positive for up; 1 is a clear smile.
        open: How far the mouth is open.
        wide: Width of the mouth beyond that at rest, as a fraction.
        teeth: How far the upper teeth show in an open mouth, 0...1.
        brow_in: Shift of the inner ends of the brows, positive for down, in fractions of the image.
        brow_out: Shift of their outer ends, likewise.
        lids: How far the eyes are open beyond rest, as a fraction.
        squint: How far the lower lids are raised, 0...1.
    """

    smile: float = 0.0
    open: float = 0.0
    wide: float = 0.0
    teeth: float = 0.0
    brow_in: float = 0.0
    brow_out: float = 0.0
    lids: float = 0.0
    squint: float = 0.0

    def towards(self, other: Expression, share: float) -> Expression:
        """Return the expression a fraction of the way to another."""
        return Expression(
            *(
                (1 - share) * getattr(self, one.name) + share * getattr(other, one.name)
                for one in fields(self)
            )
        )


EXPRESSIONS = {
    "neutral": Expression(),
    "happy": Expression(1.2, 0.5, 0.35, 0.9, lids=-0.15, squint=0.8),
    "sad": Expression(-1.3, wide=-0.1, brow_in=-0.035, brow_out=0.03, lids=-0.4),
    "surprise": Expression(-0.2, 1.3, -0.38, brow_in=-0.05, brow_out=-0.04, lids=0.6),
    "anger": Expression(-1.3, 0.7, 0.2, 1.0, brow_in=0.05, brow_out=-0.03, lids=0.0, squint=0.3),
    "fear": Expression(-0.9, 0.45, 0.2, 0.7, brow_in=-0.06, lids=0.6),
}
"""Intended emotion -> expression."""


def draw_person(ground: np.ndarray, look: Look, expression: Expression) -> np.ndarray:
    """Return a square image with a person drawn on it, head and shoulders.

    Args:
        ground: Background, `(n, n, 3)` uint8 RGB.
        look: Look of the person.
        expression: Expression of the person.
    """
    pen = _Pen(ground)
    _draw_body(pen, look)
    _draw_nose(pen, look)
    for side in SIDES:
        _draw_eye(pen, look, expression, side)
        _draw_brow(pen, look, expression, side)
    _draw_mouth(pen, look, expression)
    return pen.image()


class _Pen:
    """Fills soft-edged shapes whose points are in fractions of the image's side."""

    def __init__(self, ground: np.ndarray) -> None:
        self.side = ground.shape[0]
        size = (self.side * FINER, self.side * FINER)
        self._fine = cv2.resize(ground, size, interpolation=cv2.INTER_LINEAR).astype(np.float32)

    def fill(
        self,
        points: Sequence,
        colour: Sequence[float],
        *,
        soft: float = 0.001,
        share: float = 1.0,
        inside: Sequence = (),
    ) -> None:
        """Fill a shape.

        Args:
            points: Corners, `(n, 2)`.
            colour: RGB colour.
            soft: Softness of its edge.
            share: Opacity, 0...1.
            inside: Another shape, outside which nothing is drawn.
        """
        points = np.asarray(points, float)
        scale, margin = self.side * FINER, 3 * soft
        low = np.floor((points.min(0) - margin) * scale).astype(int).clip(0, scale)
        high = np.ceil((points.max(0) + margin) * scale).astype(int).clip(0, scale)
        if (high <= low).any():
            return
        mask = self._mask(points, low, high, soft)
        if len(inside):
            mask = mask * self._mask(np.asarray(inside, float), low, high, 0.001)
        there = self._fine[low[1] : high[1], low[0] : high[0]]
        there += (np.asarray(colour, np.float32).clip(0, 255) - there) * (share * mask)[..., None]

    def _mask(self, points: np.ndarray, low: np.ndarray, high: np.ndarray, soft: float):
        mask = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
        corners = np.round((points * self.side * FINER - low) * 16).astype(int)
        cv2.fillPoly(mask, [corners], 255, cv2.LINE_AA, 4)
        sigma = max(soft * self.side * FINER, 0.3)
        return cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), sigma)

    def image(self) -> np.ndarray:
        size = (self.side, self.side)
        return np.clip(cv2.resize(self._fine, size, interpolation=cv2.INTER_AREA), 0, 255).astype(
            np.uint8
        )


def _oval(x: float, y: float, wide: float, high: float, begin=0, end=360) -> np.ndarray:
    turn = np.radians(np.linspace(begin, end, 80))
    return np.c_[x + wide * np.cos(turn), y + high * np.sin(turn)]


def _between(upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    return np.vstack([upper, lower[::-1]])


def _down(line: np.ndarray, by: float) -> np.ndarray:
    return line + np.array([0.0, by])


def _head() -> np.ndarray:
    turn = np.radians(np.linspace(0, 360, 200))
    down = np.sin(turn)
    wide = 0.225 * (1 - 0.17 * np.clip(down, 0, 1) ** 2)
    return np.c_[0.5 + wide * np.cos(turn), 0.485 + np.where(down > 0, 0.325, 0.30) * down]


def _draw_body(pen: _Pen, look: Look) -> None:
    """Draw hair, shoulders, neck, ears and the head with its light and shade."""
    skin, head = np.array(look.skin, float), _head()
    pen.fill(_oval(0.5, 0.36 + 0.06 * look.long_hair, 0.28, 0.25 + 0.1 * look.long_hair), look.hair)
    pen.fill(_oval(0.5, 1.12, 0.42, 0.28), look.shirt, soft=0.006)
    neck = [(0.41, 0.7), (0.59, 0.7), (0.61, 0.9), (0.5, 0.95), (0.39, 0.9)]
    pen.fill(neck, 0.82 * skin, soft=0.008)
    for side in SIDES:
        pen.fill(_oval(0.5 + 0.235 * side, 0.5, 0.035, 0.065), 0.86 * skin, soft=0.004)
    pen.fill(head, 0.8 * skin, soft=0.003)
    pen.fill(_oval(0.5, 0.47, 0.16, 0.26), skin, soft=0.05, inside=head)
    pen.fill(_oval(0.5, 0.30, 0.1, 0.06), 1.12 * skin, soft=0.04, share=0.6, inside=head)
    for side in SIDES:
        cheek = _oval(0.5 + 0.11 * side, 0.57, 0.045, 0.035)
        pen.fill(cheek, skin * (1.12, 1.0, 0.98), soft=0.025, share=0.6)
    pen.fill(_oval(0.5, 0.745, 0.05, 0.03), 1.08 * skin, soft=0.02, share=0.5)
    along = np.linspace(0, 1, 60)
    wave = 0.14 * np.sin(np.pi * along) ** 0.55 + 0.018 * np.sin(2 * np.pi * along)
    fringe = np.c_[0.762 - 0.524 * along, 0.40 - wave]
    pen.fill(np.vstack([_oval(0.5, 0.40, 0.262, 0.27, 180, 360), fringe]), look.hair, soft=0.004)


def _draw_nose(pen: _Pen, look: Look) -> None:
    skin = np.array(look.skin, float)
    ridge = [(0.485, 0.44), (0.515, 0.44), (0.53, 0.59), (0.47, 0.59)]
    pen.fill(ridge, 1.13 * skin, soft=0.012, share=0.8)
    pen.fill(_oval(0.5, 0.615, 0.045, 0.012), 0.62 * skin, soft=0.01, share=0.7)
    for side in SIDES:
        x = 0.5 + 0.032 * side
        shade = [(x + 0.008 * side, 0.45), (x, 0.45), (x - 0.008 * side, 0.60), (x, 0.60)]
        pen.fill(shade, 0.62 * skin, soft=0.01, share=0.35)
        nostril = _oval(0.5 + 0.02 * side, 0.608, 0.011, 0.007)
        pen.fill(nostril, 0.35 * skin, soft=0.003, share=0.8)


def _draw_eye(pen: _Pen, look: Look, expression: Expression, side: int) -> None:
    skin, x, y = np.array(look.skin, float), 0.5 + 0.093 * side, 0.455
    along = np.linspace(-1, 1, 40)
    arch = 1 - along**2
    upper = np.c_[x + 0.042 * along, y - 0.021 * (1 + expression.lids) * arch]
    lower = np.c_[x + 0.042 * along, y + 0.016 * (1 - 0.6 * expression.squint) * arch]
    eye = _between(upper, lower)
    pen.fill(_oval(x, y - 0.008, 0.062, 0.04), 0.62 * skin, soft=0.02, share=0.45)
    pen.fill(eye, (240, 236, 230))
    pen.fill(_oval(x, y - 0.002, 0.0195, 0.0195), (88, 66, 42), inside=eye)
    pen.fill(_oval(x, y - 0.002, 0.009, 0.009), (12, 10, 10), inside=eye)
    pen.fill(_oval(x + 0.006, y - 0.009, 0.004, 0.004), (255, 255, 255), inside=eye)
    pen.fill(_between(_down(upper, -0.006), _down(upper, 0.001)), (35, 24, 20))
    crease = 0.020 + 0.004 * (1 + expression.lids)
    fold = _between(_down(upper, -crease), _down(upper, 0.004 - crease))
    pen.fill(fold, 0.62 * skin, soft=0.003, share=0.7)
    pen.fill(_between(lower, _down(lower, 0.004)), 0.62 * skin, soft=0.002, share=0.8)
    bag = _between(_down(lower, 0.018), _down(lower, 0.024))
    pen.fill(bag, 0.62 * skin, soft=0.004, share=0.5 * expression.squint)


def _draw_brow(pen: _Pen, look: Look, expression: Expression, side: int) -> None:
    along = np.linspace(0, 1, 30)
    x = 0.5 + side * (0.045 + 0.105 * along)
    y = 0.395 - 0.02 * np.sin(0.9 * np.pi * along)
    y = y + expression.brow_in * (1 - along) ** 1.5 + expression.brow_out * along
    half = 0.010 * (1 - 0.65 * along)
    brow = _between(np.c_[x, y - half], np.c_[x, y + half])
    pen.fill(brow, 0.9 * np.array(look.hair, float), soft=0.003, share=0.95)
    knit = np.clip(expression.brow_in / 0.04, 0, 1)
    line = [(0.5 + side * dx, y) for dx, y in ((0.018, 0.36), (0.022, 0.36), (0.026, 0.415))]
    pen.fill(line, 0.62 * np.array(look.skin, float), soft=0.004, share=0.8 * knit)


def _draw_mouth(pen: _Pen, look: Look, expression: Expression) -> None:
    skin, half, y = np.array(look.skin, float), 0.075 * (1 + expression.wide), 0.70
    along = np.linspace(-1, 1, 60)
    arch, none = 1 - along**2, np.zeros(60)
    line = np.c_[0.5 + half * along, y - 0.03 * expression.smile * (along**2 - 0.5)]
    gap = np.c_[none, 0.06 * expression.open * arch**0.6]
    upper, lower = line - 0.35 * gap, line + 0.65 * gap
    bow = 1 - 0.35 * np.exp(-((along / 0.18) ** 2))
    upper_edge = upper - np.c_[none, 0.017 * arch**0.8 * bow]
    lower_edge = lower + np.c_[none, 0.023 * arch**0.8]
    lip = skin * (0.86, 0.55, 0.55)
    _draw_folds(pen, skin, expression)
    pen.fill(_between(upper_edge, lower_edge), lip, soft=0.002)
    shine = _between(_down(lower, 0.006), _down(lower_edge, -0.006))[15:-15]
    pen.fill(shine, 1.2 * lip, soft=0.006, share=0.4)
    inside = _between(_down(upper, -0.0015), _down(lower, 0.0015))
    pen.fill(inside, (60, 20, 22))
    if expression.open > 0.05:
        teeth = upper + np.c_[none, np.minimum(gap[:, 1], 0.03) * expression.teeth]
        pen.fill(_between(upper, teeth), (238, 232, 222), inside=inside)
    for side in SIDES:
        corner = _oval(0.5 + side * (half + 0.004), line[0, 1], 0.008, 0.008)
        pen.fill(corner, 0.62 * skin, soft=0.005, share=0.7)
    chin = _oval(0.5, y + 0.045 + 0.03 * expression.open, 0.05, 0.008)
    pen.fill(chin, 0.62 * skin, soft=0.008, share=0.45)


def _draw_folds(pen: _Pen, skin: np.ndarray, expression: Expression) -> None:
    """Draw the folds from the nose to the corners of the mouth."""
    along = np.linspace(0, 1, 20)
    share = 0.25 + 0.35 * np.clip(expression.smile, 0, 1)
    for side in SIDES:
        x = 0.5 + side * (0.05 + 0.05 * along + 0.02 * np.sin(3 * along))
        fold = np.c_[x, 0.60 + 0.1 * along]
        pen.fill(
            _between(fold, np.c_[x + 0.008 * side, fold[:, 1]]),
            0.62 * skin,
            soft=0.006,
            share=share,
        )
