"""Basics of all drawings: sizes that depend on the faces and the image, frames, colours."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from builder_tools.results import Box

Colour = tuple[int, int, int]

BLACK: Colour = (0, 0, 0)
WHITE: Colour = (255, 255, 255)
PANEL: Colour = (24, 24, 24)
PANEL_OPACITY = 0.8
LINES_PER_SIDE = 250
LETTERS_PER_FACE = 7
SMALLEST_LETTER_PX = 8
SMALLEST_PER_SIDE, LARGEST_PER_SIDE = 1 / 100, 1 / 32
"""Heights of capitals relative to the side of the image (geometric mean of width and height)."""
LETTER_STEP = 1.1
"""Ratio between text sizes: a few fixed sizes keep the text steady while a face comes nearer."""


@dataclass(frozen=True)
class Pen:
    """Sizes in pixels: of lines by the image, of letters by the face."""

    line: int
    smallest: int
    largest: int

    @classmethod
    def for_image(cls, image: np.ndarray, line: int | None) -> Pen:
        """Return the pen for an image; `line` is a fixed line width in pixels, or None."""
        side = (image.shape[0] * image.shape[1]) ** 0.5
        smallest = max(round(side * SMALLEST_PER_SIDE), SMALLEST_LETTER_PX)
        largest = max(round(side * LARGEST_PER_SIDE), smallest)
        return cls(line or max(round(side / LINES_PER_SIDE), 1), smallest, largest)

    @property
    def edge(self) -> int:
        """Width of the dark or light line along each side of another one."""
        return max(round(self.line / 2), 1)

    def letter_for(self, face: Box) -> int:
        """Return the height of a capital letter beside a face."""
        wanted = min(max(face.width / LETTERS_PER_FACE, self.smallest), self.largest)
        steps = math.floor(math.log(wanted / self.smallest) / math.log(LETTER_STEP) + 1e-9)
        return round(self.smallest * LETTER_STEP**steps)


def gap_of(letter: int) -> int:
    """Return the space around a line of text."""
    return max(round(letter * 0.45), 1)


def line_height(letter: int) -> int:
    """Return the height of a line of text including the space around it."""
    return letter + 2 * gap_of(letter)


def draw_frame(canvas: np.ndarray, box: Box, colour: Colour, pen: Pen, *, dashed: bool) -> None:
    """Draw a frame inside a box, between two edges that make it visible on any background.

    Args:
        canvas: Image to draw into, in place.
        box: Box in whole pixels, inside the image.
        colour: Colour of the frame.
        pen: Gives the line widths.
        dashed: Break it into dashes, with the edges' colour between them.
    """
    x1, y1, x2, y2 = (int(value) for value in box.xyxy)
    ink = ink_on(colour)
    _fill_frame(canvas, (x1, y1, x2, y2), pen.line + 2 * pen.edge, ink)
    inset = min(pen.edge, (x2 - x1) // 3, (y2 - y1) // 3)
    inner = x1 + inset, y1 + inset, x2 - inset, y2 - inset
    _fill_frame(canvas, inner, pen.line, colour)
    if dashed:
        (x1, y1, x2, y2), line = inner, pen.line
        for start, end in _gaps(x1, x2, line):
            canvas[y1 : y1 + line, start:end] = canvas[y2 - line : y2, start:end] = ink
        for start, end in _gaps(y1, y2, line):
            canvas[start:end, x1 : x1 + line] = canvas[start:end, x2 - line : x2] = ink


def darken(region: np.ndarray) -> None:
    """Overlay a region of an image with the dark panel colour, in place."""
    if region.size:
        region[:] = cv2.convertScaleAbs(
            region, alpha=1 - PANEL_OPACITY, beta=PANEL_OPACITY * PANEL[0]
        )


@cache
def mixed(colour: Colour, share: float) -> Colour:
    """Return a colour blended with the dark panel colour."""
    mixed = (round(share * c + (1 - share) * p) for c, p in zip(colour, PANEL, strict=True))
    return tuple(mixed)


def luminance(colour: Colour) -> float:
    """Return the relative luminance of an sRGB colour, 0 (black) ... 1 (white), as in WCAG 2."""
    share = np.array(colour) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


@cache
def ink_on(colour: Colour) -> Colour:
    """Return black or white, whichever reads better on a colour (contrast at least 4.5 : 1)."""
    light = luminance(colour)
    return BLACK if (light + 0.05) / 0.05 > 1.05 / (light + 0.05) else WHITE


def _fill_frame(
    canvas: np.ndarray, corners: tuple[int, int, int, int], line: int, colour: Colour
) -> None:
    x1, y1, x2, y2 = corners
    line = max(min(line, (x2 - x1) // 2, (y2 - y1) // 2), 1)
    canvas[y1 : y1 + line, x1:x2] = colour
    canvas[y2 - line : y2, x1:x2] = colour
    canvas[y1:y2, x1 : x1 + line] = colour
    canvas[y1:y2, x2 - line : x2] = colour


def _gaps(start: int, end: int, line: int) -> list[tuple[int, int]]:
    """Return the gaps of a dashed side: an odd number of equal parts, the first and last drawn."""
    stretches = max((end - start) // (4 * max(line, 2)), 3) // 2 * 2 + 1
    places = [start + round(i * (end - start) / stretches) for i in range(stretches + 1)]
    return list(zip(places[1::2], places[2::2], strict=False))
