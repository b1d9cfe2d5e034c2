"""The card of a face: a rectangle with lines of text, and below them bars and a dial."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from builder_tools.drawing.bars import Bars
from builder_tools.drawing.dial import Dial
from builder_tools.drawing.letters import tag, text_width
from builder_tools.drawing.pen import PANEL, WHITE, Colour, darken, gap_of, ink_on, line_height
from builder_tools.drawing.placing import Corners


@dataclass(frozen=True)
class Line:
    """A line of text in an emotion's colour.

    Args:
        text: From `letters.one_line`.
        colour: Fills the line; if doubtful, it is only the edge of a dark line.
        doubtful: Whether the emotion is too uncertain to rely on.
    """

    text: str
    colour: Colour
    doubtful: bool = False


@dataclass(frozen=True)
class Card:
    """The card beside a face.

    Args:
        lines: Lines of text, from the top.
        panels: Panels below them, from the left.
    """

    lines: tuple[Line, ...]
    panels: tuple[Bars | Dial, ...] = ()

    def size(self, letter: int) -> tuple[int, int]:
        """Return the width and height in pixels; `letter` is the height of a capital."""
        widths = [text_width(line.text, letter) + 2 * gap_of(letter) for line in self.lines]
        sizes = [panel.size(letter) for panel in self.panels]
        width = max([*widths, sum(width for width, _ in sizes)], default=0)
        height = len(self.lines) * line_height(letter)
        return width, height + max((height for _, height in sizes), default=0)

    def draw(self, canvas: np.ndarray, corners: Corners, letter: int) -> None:
        """Draw into an image, in place.

        Args:
            canvas: `(H, W, 3)` uint8 RGB.
            corners: Inside the image, as large as `size` returns.
            letter: Height of a capital.
        """
        x1, y1, x2, y2 = corners
        gap, height, edge = gap_of(letter), line_height(letter), max(letter // 9, 1)
        top = y1
        for line in self.lines:
            ground = PANEL if line.doubtful else line.colour
            ink = WHITE if line.doubtful else ink_on(line.colour)
            rectangle = canvas[top : top + height, x1:x2]
            rectangle[:] = tag(line.text, letter, x2 - x1, height, gap, ground, ink)
            if line.doubtful:
                rectangle[:edge] = rectangle[-edge:] = line.colour
                rectangle[:, :edge] = rectangle[:, -edge:] = line.colour
            top += height
        darken(canvas[top:y2, x1:x2])
        left = x1
        for panel in self.panels:
            width = panel.size(letter)[0]
            panel.draw(canvas[top:y2, left : left + width], letter)
            left += width
