"""Every emotion's probability as bars beside a face."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from builder_tools.drawing.pen import WHITE, Colour, Pen, moved_inside
from builder_tools.results import Box

BAR_LETTERS = 5
"""Length of a full probability bar, in letter heights."""


@dataclass(frozen=True)
class Panel:
    """The place of the probability bars: one row an emotion."""

    box: Box
    pen: Pen
    names_width: int

    @classmethod
    def beside(cls, face: Box, canvas: np.ndarray, names: list[str], pen: Pen) -> Panel:
        """Place the panel where it covers the least of the face.

        Tried in turn: right of it, left of it, the lower and the upper corners of the image.
        The panel shrinks to fit into the image.
        """
        height, width = canvas.shape[:2]
        pen = pen.shrunk(0.8)
        size = cls._size(names, pen)
        pen = pen.shrunk(min(width / size[0], height / size[1]))
        panel_width, panel_height = cls._size(names, pen)
        corners = [
            (face.x2 + pen.gap, face.y1),
            (face.x1 - pen.gap - panel_width, face.y1),
            *((x, y) for y in (height, 0) for x in (0, width)),
        ]
        boxes = [
            moved_inside(Box(x, y, x + panel_width, y + panel_height), width, height)
            for x, y in corners
        ]
        box = min(boxes, key=face.iou)
        return cls(box, pen, cls._names_width(names, pen))

    @staticmethod
    def _names_width(names: list[str], pen: Pen) -> int:
        return max(pen.text_width(name) for name in names)

    @classmethod
    def _size(cls, names: list[str], pen: Pen) -> tuple[int, int]:
        bar = round(BAR_LETTERS * pen.letter)
        return cls._names_width(names, pen) + bar + 3 * pen.gap, len(names) * pen.tag_height

    def draw_row(
        self, canvas: np.ndarray, index: int, name: str, probability: float, colour: Colour
    ) -> None:
        """Draw one emotion's name and bar, in place."""
        left, top = int(self.box.x1) + self.pen.gap, int(self.box.y1) + index * self.pen.tag_height
        base = top + self.pen.gap + round(self.pen.letter)
        self.pen.write(canvas, name, left, base, WHITE)
        start = left + self.names_width + self.pen.gap
        full = round(BAR_LETTERS * self.pen.letter)
        end = start + round(full * min(max(probability, 0.0), 1.0))
        canvas[top + self.pen.gap : base, start : start + full] //= 2
        canvas[top + self.pen.gap : base, start:end] = colour
