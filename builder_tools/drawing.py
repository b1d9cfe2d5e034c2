"""Drawing what was found: a box, a label, probability bars and the speed, on an RGB picture.

Sizes follow the picture: letters are about 1/40 of its mean side high, lines about 1/200 wide.
OpenCV's letters are ASCII: other characters lose their accents or become "?".
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from builder_tools.emotions import NINE_EMOTIONS, EmotionSet
from builder_tools.results import Box, FaceEmotion

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
_BAR_LETTERS = 5
"""Length of a full probability bar, in letter heights."""


@dataclass(frozen=True)
class DrawBox:
    """Draws faces with their emotions; each emotion has its own colour.

    Args:
        show_label: Draw the emotion's name on a tag over the box.
        show_probability: Draw its probability in per cent on the tag.
        show_bars: Draw every emotion's probability as bars beside the box, largest face first;
            left out where they would cover another face or its bars.
        line_width: Of the box in pixels; by default it follows the picture's size.
        emotions: The set whose colours to use; the nine emotions by default.

    Raises:
        ValueError: If `line_width` is below 1.
    """

    show_label: bool = True
    show_probability: bool = True
    show_bars: bool = False
    line_width: int | None = None
    emotions: EmotionSet | None = None

    def __post_init__(self) -> None:
        if self.line_width is not None and self.line_width < 1:
            raise ValueError(f"Expected line_width >= 1. Received: {self.line_width}.")

    def draw(
        self, image_rgb: np.ndarray, faces: Sequence[FaceEmotion], fps: float | None = None
    ) -> np.ndarray:
        """Gives a new picture with the faces drawn; the one given stays as it is.

        Args:
            image_rgb: `(H, W, 3)` uint8 RGB.
            faces: What was found in it. Small faces are drawn last, so they stay visible.
            fps: Pictures a second, written in the upper left corner.

        Raises:
            ValueError: If the picture is not `(H, W, 3)` uint8.
        """
        _check_image(image_rgb)
        canvas = np.array(image_rgb, order="C")
        pen = _Pen.for_image(canvas, self.line_width)
        visible = _visible_boxes(canvas, faces)
        if self.show_bars:
            self._draw_all_bars(canvas, visible, pen)
        for face, box in visible:
            _draw_rectangle(canvas, box, self._colour(face.emotion), pen)
        if fps is not None:
            _draw_tag(canvas, f"{fps:.1f} fps", (pen.gap, pen.gap), PANEL, pen)
        for face, box in visible:
            self._draw_label(canvas, face, box, pen.for_face(box))
        return canvas

    def _colour(self, emotion: str) -> Colour:
        return (self.emotions or NINE_EMOTIONS).colour_rgb(emotion)

    def _draw_label(self, canvas: np.ndarray, face: FaceEmotion, box: Box, pen: _Pen) -> None:
        name = face.emotion if self.show_label else ""
        percent = f"{face.probability:.0%}" if self.show_probability else ""
        text = f"{name} {percent}".strip()
        if text:
            above = int(box.y1) - pen.tag_height
            corner = int(box.x1), above if above >= 0 else int(box.y1)
            _draw_tag(canvas, text, corner, self._colour(face.emotion), pen)

    def _draw_all_bars(
        self, canvas: np.ndarray, visible: list[tuple[FaceEmotion, Box]], pen: _Pen
    ) -> None:
        """Draws bars from the largest face on, where they cover no other face and no bars."""
        taken = [box for _, box in visible]
        for face, box in visible:
            names = [_ascii(name) for name in face.probabilities]
            panel = _Panel.beside(box, canvas, names, pen.for_face(box))
            if not any(panel.box.iou(other) for other in taken if other is not box):
                taken.append(panel.box)
                self._draw_bars(canvas, face, panel)

    def _draw_bars(self, canvas: np.ndarray, face: FaceEmotion, panel: _Panel) -> None:
        _darken(canvas, panel.box)
        for index, (name, probability) in enumerate(face.probabilities.items()):
            colour = self._colour(name)
            panel.draw_row(canvas, index, _ascii(name), float(probability), colour)


@dataclass(frozen=True)
class _Pen:
    """Sizes in pixels that follow the picture."""

    line: int
    letter: float

    @classmethod
    def for_image(cls, image: np.ndarray, line: int | None) -> _Pen:
        side = (image.shape[0] * image.shape[1]) ** 0.5
        return cls(
            line or max(round(side / LINES_PER_SIDE), 1),
            max(side / LETTERS_PER_SIDE, SMALLEST_LETTER_PX),
        )

    def for_face(self, face: Box) -> _Pen:
        """Gives a pen whose letters are not too large for a small face."""
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

    def shrunk(self, factor: float) -> _Pen:
        return self if factor >= 1 else replace(self, letter=self.letter * factor)

    def text_width(self, text: str) -> int:
        return cv2.getTextSize(text, _FONT, self.scale, self.stroke)[0][0]

    def write(self, canvas: np.ndarray, text: str, left: int, base: int, colour: Colour) -> None:
        cv2.putText(canvas, text, (left, base), _FONT, self.scale, colour, self.stroke, cv2.LINE_AA)


@dataclass(frozen=True)
class _Panel:
    """The place of the probability bars: one row an emotion."""

    box: Box
    pen: _Pen
    names_width: int

    @classmethod
    def beside(cls, face: Box, canvas: np.ndarray, names: list[str], pen: _Pen) -> _Panel:
        """Places the panel where it covers the least of the face.

        Tried in turn: right of it, left of it, the lower and the upper corners of the picture.
        The panel shrinks to fit into the picture.
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
            _moved_inside(Box(x, y, x + panel_width, y + panel_height), width, height)
            for x, y in corners
        ]
        box = min(boxes, key=face.iou)
        return cls(box, pen, cls._names_width(names, pen))

    @staticmethod
    def _names_width(names: list[str], pen: _Pen) -> int:
        return max(pen.text_width(name) for name in names)

    @classmethod
    def _size(cls, names: list[str], pen: _Pen) -> tuple[int, int]:
        bar = round(_BAR_LETTERS * pen.letter)
        return cls._names_width(names, pen) + bar + 3 * pen.gap, len(names) * pen.tag_height

    def draw_row(
        self, canvas: np.ndarray, index: int, name: str, probability: float, colour: Colour
    ) -> None:
        left, top = int(self.box.x1) + self.pen.gap, int(self.box.y1) + index * self.pen.tag_height
        base = top + self.pen.gap + round(self.pen.letter)
        self.pen.write(canvas, name, left, base, WHITE)
        start = left + self.names_width + self.pen.gap
        full = round(_BAR_LETTERS * self.pen.letter)
        end = start + round(full * min(max(probability, 0.0), 1.0))
        canvas[top + self.pen.gap : base, start : start + full] //= 2
        canvas[top + self.pen.gap : base, start:end] = colour


def _check_image(image: np.ndarray) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ValueError(
            "Expected a picture (H, W, 3) uint8 RGB. "
            f"Received: shape={image.shape}, dtype={image.dtype}. Try media.read_image(picture)."
        )


def _visible_boxes(
    canvas: np.ndarray, faces: Sequence[FaceEmotion]
) -> list[tuple[FaceEmotion, Box]]:
    """Gives the faces that reach into the picture with their clipped boxes, largest first."""
    height, width = canvas.shape[:2]
    clipped = [(face, face.face.box.clip(width, height).round()) for face in faces]
    visible = [(face, box) for face, box in clipped if box.area > 0]
    return sorted(visible, key=lambda pair: -pair[1].area)


def _draw_rectangle(canvas: np.ndarray, box: Box, colour: Colour, pen: _Pen) -> None:
    """Draws a frame that lies inside the box, with a thin edge that shows on any ground."""
    x1, y1, x2, y2 = (int(value) for value in box.xyxy)
    _draw_frame(canvas, (x1, y1, x2, y2), pen.line + 2 * pen.stroke, ink_on(colour))
    inset = min(pen.stroke, (x2 - x1) // 3, (y2 - y1) // 3)
    _draw_frame(canvas, (x1 + inset, y1 + inset, x2 - inset, y2 - inset), pen.line, colour)


def _draw_frame(
    canvas: np.ndarray, corners: tuple[int, int, int, int], line: int, colour: Colour
) -> None:
    x1, y1, x2, y2 = corners
    line = max(min(line, (x2 - x1) // 2, (y2 - y1) // 2), 1)
    canvas[y1 : y1 + line, x1:x2] = colour
    canvas[y2 - line : y2, x1:x2] = colour
    canvas[y1:y2, x1 : x1 + line] = colour
    canvas[y1:y2, x2 - line : x2] = colour


def _draw_tag(
    canvas: np.ndarray, text: str, corner: tuple[int, int], colour: Colour, pen: _Pen
) -> None:
    """Writes text on a filled tag, shrunk and moved to lie inside the picture."""
    height, width = canvas.shape[:2]
    text = _ascii(text)
    needed = pen.text_width(text) + 2 * pen.gap
    pen = pen.shrunk(min(width / needed, height / pen.tag_height))
    x, y = corner
    size = pen.text_width(text) + 2 * pen.gap, pen.tag_height
    tag = _moved_inside(Box(x, y, x + size[0], y + size[1]), width, height)
    x1, y1, x2, y2 = (int(value) for value in tag.xyxy)
    canvas[y1:y2, x1:x2] = colour
    base = y1 + pen.gap + round(pen.letter)
    pen.write(canvas, text, x1 + pen.gap, base, ink_on(colour))


def _moved_inside(box: Box, width: int, height: int) -> Box:
    """Moves a box into a picture; what is larger than the picture is cut."""
    x = min(max(box.x1, 0), max(width - box.width, 0))
    y = min(max(box.y1, 0), max(height - box.height, 0))
    return box.shift(x - box.x1, y - box.y1).clip(width, height).round()


def _darken(canvas: np.ndarray, box: Box) -> None:
    x1, y1, x2, y2 = (int(value) for value in box.xyxy)
    if x2 > x1 and y2 > y1:
        region = canvas[y1:y2, x1:x2]
        shade = np.full_like(region, PANEL)
        region[:] = cv2.addWeighted(region, 1 - PANEL_OPACITY, shade, PANEL_OPACITY, 0)


def luminance(colour: Colour) -> float:
    """Gives the relative luminance of an sRGB colour, 0 (black) ... 1 (white), as in WCAG 2."""
    share = np.array(colour) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def ink_on(colour: Colour) -> Colour:
    """Gives black or white, whichever reads better on a colour (contrast at least 4.5 : 1)."""
    light = luminance(colour)
    return BLACK if (light + 0.05) / 0.05 > 1.05 / (light + 0.05) else WHITE


def _ascii(text: str) -> str:
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return "".join(c if " " <= c <= "~" else "?" for c in plain)
