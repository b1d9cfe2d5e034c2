"""Drawing what was found: a box, a label, probability bars, a valence-arousal dial and the speed,
on an RGB image. Sizes follow the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from builder_tools.drawing.dial import Dial, Trails, place_of
from builder_tools.drawing.panel import Panel
from builder_tools.drawing.pen import (
    BLACK,
    PANEL,
    WHITE,
    Colour,
    Pen,
    ascii_only,
    darken,
    draw_rectangle,
    draw_tag,
    ink_on,
    luminance,
)
from builder_tools.emotions import NINE_EMOTIONS, EmotionSet
from builder_tools.results import Box, FaceEmotion

__all__ = ["BLACK", "WHITE", "DrawBox", "ink_on", "luminance"]


@dataclass(frozen=True)
class DrawBox:
    """Draws faces with their emotions; each emotion has its own colour.

    Args:
        show_label: Draw the emotion's name on a tag over the box, with a question mark where it
            is doubtful.
        show_probability: Draw its probability in per cent on the tag.
        show_bars: Draw every emotion's probability as bars beside the box, largest face first;
            left out where they would cover another face or its bars.
        line_width: Of the box in pixels; by default it follows the image's size.
        emotions: The set whose colours to use; the nine emotions by default.
        show_dial: Draw where the face lies on the circumplex (valence to the right, arousal up,
            the emotions' anchors as small dots), beside the box of every face whose model gives
            valence and arousal; left out where it would cover another face, bars or dial.
        trail: Recent places of a tracked face drawn on its dial, the older the fainter; 1 draws
            the present one only. They are kept here, for the last few tracks; `forget` clears
            them, between two videos.
        show_relative: Draw what a face shows compared with its rest on a second tag, at the foot
            of the box, where it was compared.

    Raises:
        ValueError: If `line_width` or `trail` is below 1.
    """

    show_label: bool = True
    show_probability: bool = True
    show_bars: bool = False
    line_width: int | None = None
    emotions: EmotionSet | None = None
    show_dial: bool = True
    trail: int = 30
    show_relative: bool = True
    _trails: Trails = field(default_factory=Trails, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.line_width is not None and self.line_width < 1:
            raise ValueError(f"Expected line_width >= 1. Received: {self.line_width}.")
        if self.trail < 1:
            raise ValueError(f"Expected trail >= 1. Received: {self.trail}.")

    def forget(self) -> None:
        """Forget the trails of all faces, as a new video needs whose tracks count from 1 again."""
        self._trails.clear()

    def draw(
        self,
        image_rgb: np.ndarray,
        faces: Sequence[FaceEmotion],
        fps: float | None = None,
        *,
        dropped: int | None = None,
    ) -> np.ndarray:
        """Return a new image with the faces drawn; the one given stays as it is.

        Args:
            image_rgb: `(H, W, 3)` uint8 RGB.
            faces: What was found in it. Small faces are drawn last, so they stay visible.
            fps: Frames a second, written in the upper left corner.
            dropped: Images left out so far to stay live; written behind `fps`.

        Raises:
            ValueError: If the image is not `(H, W, 3)` uint8.
        """
        _check_image(image_rgb)
        canvas = np.array(image_rgb, order="C")
        pen = Pen.for_image(canvas, self.line_width)
        visible = _visible_boxes(canvas, faces)
        taken = [box for _, box in visible]
        if self.show_bars:
            taken += self._draw_all_bars(canvas, visible, pen)
        if self.show_dial:
            self._draw_all_dials(canvas, visible, taken, pen)
        for face, box in visible:
            draw_rectangle(canvas, box, self._colour(face.emotion), pen)
        if fps is not None:
            pace = f"{fps:.1f} fps" + (f", {dropped} dropped" if dropped else "")
            draw_tag(canvas, pace, (pen.gap, pen.gap), PANEL, pen)
        for face, box in visible:
            self._draw_label(canvas, face, box, pen.for_face(box))
        return canvas

    def _colour(self, emotion: str) -> Colour:
        return (self.emotions or NINE_EMOTIONS).colour_rgb(emotion)

    def _draw_label(self, canvas: np.ndarray, face: FaceEmotion, box: Box, pen: Pen) -> None:
        mark = "?" if face.doubtful else ""
        name = face.emotion + mark if self.show_label else ""
        percent = f"{face.probability:.0%}" if self.show_probability else ""
        text = f"{name} {percent}".strip()
        if text:
            above = int(box.y1) - pen.tag_height
            corner = int(box.x1), above if above >= 0 else int(box.y1)
            draw_tag(canvas, text, corner, self._colour(face.emotion), pen)
        if self.show_relative and face.relative_emotion is not None:
            below = int(box.y2)
            corner = int(box.x1), min(below, max(canvas.shape[0] - pen.tag_height, 0))
            text = f"from rest: {face.relative_emotion} {face.relative_probability:.0%}"
            draw_tag(canvas, text, corner, self._colour(face.relative_emotion), pen)

    def _draw_all_bars(
        self, canvas: np.ndarray, visible: list[tuple[FaceEmotion, Box]], pen: Pen
    ) -> list[Box]:
        """Draw bars from the largest face on, where they cover no other face and no bars.

        Returns:
            What they cover.
        """
        taken = [box for _, box in visible]
        for face, box in visible:
            names = [ascii_only(name) for name in face.probabilities]
            panel = Panel.beside(box, canvas, names, pen.for_face(box))
            if not any(panel.box.iou(other) for other in taken if other is not box):
                taken.append(panel.box)
                self._draw_bars(canvas, face, panel)
        return taken[len(visible) :]

    def _draw_bars(self, canvas: np.ndarray, face: FaceEmotion, panel: Panel) -> None:
        darken(canvas, panel.box)
        for index, (name, probability) in enumerate(face.probabilities.items()):
            colour = self._colour(name)
            panel.draw_row(canvas, index, ascii_only(name), float(probability), colour)

    def _draw_all_dials(
        self,
        canvas: np.ndarray,
        visible: list[tuple[FaceEmotion, Box]],
        taken: list[Box],
        pen: Pen,
    ) -> None:
        """Draw dials from the largest face on, where they cover nothing that is drawn."""
        self._trails.tick()
        for face, box in visible:
            place = place_of(face)
            if place is None:
                continue
            way = self._trails.extended(face.face.track, place, self.trail)
            dial = Dial.beside(box, canvas, taken, pen.for_face(box))
            if dial is not None:
                taken = [*taken, dial.box]
                dial.draw(canvas, way, self._colour(face.emotion), self.emotions or NINE_EMOTIONS)


def _check_image(image: np.ndarray) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ValueError(
            "Expected an image (H, W, 3) uint8 RGB. "
            f"Received: shape={image.shape}, dtype={image.dtype}. Try media.read_image(image)."
        )


def _visible_boxes(
    canvas: np.ndarray, faces: Sequence[FaceEmotion]
) -> list[tuple[FaceEmotion, Box]]:
    """Return the faces that reach into the image with their clipped boxes, largest first."""
    height, width = canvas.shape[:2]
    clipped = [(face, face.face.box.clip(width, height).round()) for face in faces]
    visible = [(face, box) for face, box in clipped if box.area > 0]
    return sorted(visible, key=lambda pair: -pair[1].area)
