"""What every drawing stands on: sizes that follow the image, frames, tags, colours.

Letters are about 1/40 of the image's mean side high, lines about 1/200 wide. OpenCV's letters
are ASCII: other characters lose their accents or become "?".
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, replace

import cv2
import numpy as np

from builder_tools.results import Box

Colour = tuple[int, int, int]

BLACK: Colour = (0, 0, 0)
WHITE: Colour = (255, 255, 255)
PANEL: Colour = (24, 24, 24)
PANEL_OPACITY = 0.7
LETTERS_PER_SIDE = 40
LINES_PER_SIDE = 200
LETTERS_PER_FACE = 4
SMALLEST_LETTER_PX = 8

_FONT = cv2.FONT_HERSHEY_DUPLEX
_FONT_HEIGHT_PX = 22
"""Height of a capital letter of that font at scale 1."""


@dataclass(frozen=True)
class Pen:
    """Sizes in pixels that follow the image."""

    line: int
    letter: float

    @classmethod
    def for_image(cls, image: np.ndarray, line: int | None) -> Pen:
        """Return the pen for an image; `line` is a width in pixels to keep to."""
        side = (image.shape[0] * image.shape[1]) ** 0.5
        return cls(
            line or max(round(side / LINES_PER_SIDE), 1),
            max(side / LETTERS_PER_SIDE, SMALLEST_LETTER_PX),
        )

    def for_face(self, face: Box) -> Pen:
        """Return a pen whose letters are not too large for a small face."""
        fitting = max(face.width / LETTERS_PER_FACE, SMALLEST_LETTER_PX)
        return replace(self, letter=min(self.letter, fitting))

    @property
    def gap(self) -> int:
        return max(round(self.letter * 0.45), 1)

    @property
    def tag_height(self) -> int:
        return round(self.letter) + 2 * self.gap

    @property
    def scale(self) -> float:
        return self.letter / _FONT_HEIGHT_PX

    @property
    def stroke(self) -> int:
        return max(round(self.letter / 16), 1)

    def shrunk(self, factor: float) -> Pen:
        """Return a pen with smaller letters; a factor above 1 changes nothing."""
        return self if factor >= 1 else replace(self, letter=self.letter * factor)

    def text_width(self, text: str) -> int:
        """Return the width of a line of text in pixels."""
        return cv2.getTextSize(text, _FONT, self.scale, self.stroke)[0][0]

    def write(self, canvas: np.ndarray, text: str, left: int, base: int, colour: Colour) -> None:
        """Write text from a left edge on a base line, in pixels."""
        cv2.putText(canvas, text, (left, base), _FONT, self.scale, colour, self.stroke, cv2.LINE_AA)


def draw_rectangle(canvas: np.ndarray, box: Box, colour: Colour, pen: Pen) -> None:
    """Draw a frame that lies inside the box, with a thin edge that shows on any ground."""
    x1, y1, x2, y2 = (int(value) for value in box.xyxy)
    _draw_frame(canvas, (x1, y1, x2, y2), pen.line + 2 * pen.stroke, ink_on(colour))
    inset = min(pen.stroke, (x2 - x1) // 3, (y2 - y1) // 3)
    _draw_frame(canvas, (x1 + inset, y1 + inset, x2 - inset, y2 - inset), pen.line, colour)


def draw_tag(
    canvas: np.ndarray, text: str, corner: tuple[int, int], colour: Colour, pen: Pen
) -> None:
    """Write text on a filled tag, shrunk and moved to lie inside the image."""
    height, width = canvas.shape[:2]
    text = ascii_only(text)
    needed = pen.text_width(text) + 2 * pen.gap
    pen = pen.shrunk(min(width / needed, height / pen.tag_height))
    x, y = corner
    size = pen.text_width(text) + 2 * pen.gap, pen.tag_height
    tag = moved_inside(Box(x, y, x + size[0], y + size[1]), width, height)
    x1, y1, x2, y2 = (int(value) for value in tag.xyxy)
    canvas[y1:y2, x1:x2] = colour
    base = y1 + pen.gap + round(pen.letter)
    pen.write(canvas, text, x1 + pen.gap, base, ink_on(colour))


def moved_inside(box: Box, width: int, height: int) -> Box:
    """Move a box into an image; what is larger than the image is cut."""
    x = min(max(box.x1, 0), max(width - box.width, 0))
    y = min(max(box.y1, 0), max(height - box.height, 0))
    return box.shift(x - box.x1, y - box.y1).clip(width, height).round()


def darken(canvas: np.ndarray, box: Box) -> None:
    """Lay the panel's dark over a box, in place."""
    x1, y1, x2, y2 = (int(value) for value in box.xyxy)
    if x2 > x1 and y2 > y1:
        region = canvas[y1:y2, x1:x2]
        shade = np.full_like(region, PANEL)
        region[:] = cv2.addWeighted(region, 1 - PANEL_OPACITY, shade, PANEL_OPACITY, 0)


def mixed(colour: Colour, share: float) -> Colour:
    """Return a colour with the panel's dark shining through."""
    mixed = (round(share * c + (1 - share) * p) for c, p in zip(colour, PANEL, strict=True))
    return tuple(mixed)


def luminance(colour: Colour) -> float:
    """Return the relative luminance of an sRGB colour, 0 (black) ... 1 (white), as in WCAG 2."""
    share = np.array(colour) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def ink_on(colour: Colour) -> Colour:
    """Return black or white, whichever reads better on a colour (contrast at least 4.5 : 1)."""
    light = luminance(colour)
    return BLACK if (light + 0.05) / 0.05 > 1.05 / (light + 0.05) else WHITE


def ascii_only(text: str) -> str:
    """Return text without accents, other alphabets as question marks."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return "".join(c if " " <= c <= "~" else "?" for c in plain)


def _draw_frame(
    canvas: np.ndarray, corners: tuple[int, int, int, int], line: int, colour: Colour
) -> None:
    x1, y1, x2, y2 = corners
    line = max(min(line, (x2 - x1) // 2, (y2 - y1) // 2), 1)
    canvas[y1 : y1 + line, x1:x2] = colour
    canvas[y2 - line : y2, x1:x2] = colour
    canvas[y1:y2, x1 : x1 + line] = colour
    canvas[y1:y2, x2 - line : x2] = colour
