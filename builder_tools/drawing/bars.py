"""Draws the probability of every emotion as bars."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from builder_tools.drawing.letters import tag, text_width
from builder_tools.drawing.pen import PANEL, WHITE, Colour, gap_of, line_height, mixed

BAR_LETTERS = 5
"""Length of a full probability bar, in letter heights."""
SMALLER = 0.85
"""Text size of the bars, relative to that of the label."""

RAIL: Colour = mixed(WHITE, 0.3)
"""The background colour of a bar, over its whole length."""


@dataclass(frozen=True)
class Bars:
    """Rows of names and bars, the first at the top.

    Args:
        rows: Name, probability in [0, 1] and colour of each row.
    """

    rows: tuple[tuple[str, float, Colour], ...]

    def size(self, letter: int) -> tuple[int, int]:
        """Return the width and height that go with a label of this letter height."""
        small = round(SMALLER * letter)
        width = self._names_width(small) + BAR_LETTERS * small + 3 * gap_of(small)
        return width, len(self.rows) * line_height(small)

    def draw(self, region: np.ndarray, letter: int) -> None:
        """Draw into a dark region of an image, as large as `size` returns."""
        small = round(SMALLER * letter)
        gap, height, names = gap_of(small), line_height(small), self._names_width(small)
        start, full = names + 2 * gap, BAR_LETTERS * small
        for index, (name, probability, colour) in enumerate(self.rows):
            top = index * height
            region[top : top + height, : names + gap] = tag(
                name, small, names + gap, height, gap, PANEL, WHITE
            )
            end = start + round(full * min(max(probability, 0.0), 1.0))
            rows = slice(top + gap, top + gap + small)
            region[rows, start : start + full] = RAIL
            region[rows, start:end] = WHITE  # gives dark colours a light edge
            edge = max(small // 12, 1)
            region[top + gap + edge : top + gap + small - edge, start : max(end - edge, start)] = (
                colour
            )

    def _names_width(self, letter: int) -> int:
        return max(text_width(name, letter) for name, _, _ in self.rows)
