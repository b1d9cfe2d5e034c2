"""Draws results on an RGB image: a box around each face and a card beside it with its emotion.

Sizes depend on the faces and the image.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Self

import cv2
import numpy as np

from builder_tools.drawing.bars import Bars
from builder_tools.drawing.card import Card, Line
from builder_tools.drawing.dial import Dial, place_of
from builder_tools.drawing.hiding import hide_face
from builder_tools.drawing.letters import one_line
from builder_tools.drawing.memory import Memory, Seen
from builder_tools.drawing.mesh import draw_mesh
from builder_tools.drawing.pen import (
    BLACK,
    PANEL,
    SMALLEST_LETTER_PX,
    WHITE,
    Pen,
    draw_frame,
    ink_on,
    luminance,
)
from builder_tools.drawing.placing import Corners, Spot, Wish, leader, overlap, place_cards
from builder_tools.emotions import NINE_EMOTIONS, EmotionSet
from builder_tools.fields import check_positive, check_types
from builder_tools.languages import check_language, emotion_word, said
from builder_tools.results import Box, FaceEmotion

__all__ = ["BLACK", "WHITE", "DrawBox", "ink_on", "luminance"]

SCALES = (1.0, 0.8, 0.64, 0.5, 0.4, 0.32)
"""Text sizes tried until there is room for all cards, the last about the smallest that is easy to
read. Text below that is used only if no other fits."""
STAY_SCALE = 0.6
"""Text is not made smaller than this only to bring cards nearer that have room elsewhere."""
FEW_BARS = 3
"""Bars per face, the most probable ones, if there is no room for all."""
LABEL_LETTER_PX = 6
"""Smallest text of labels without panels, before cards cover faces and each other."""
LEAST_LETTER_PX = 4
"""Text that would have to be smaller is left out."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Known:
    """A face in the image: its clipped box, and what is remembered of it."""

    face: FaceEmotion
    box: Box
    number: int | None
    seen: Seen

    @property
    def corners(self) -> Corners:
        return tuple(int(value) for value in self.box.xyxy)


@dataclass(frozen=True)
class DrawBox:
    """Draw faces with their emotions; each emotion has its own colour besides its name.

    A card covers no face and no other card, and stays inside the image: it is beside its face, or
    on free space with a line to it, with smaller text if there is little room. If there is no room
    even for the smallest text, the card is on the upper edge of its face's box. A doubtful emotion
    has a question mark, a dashed box and a dark card.

    Args:
        show_label: Draw the emotion's name.
        show_probability: Draw its probability in per cent.
        show_bars: Draw every emotion's probability as bars, for all faces; if there is no room,
            only the three most probable ones of each face, or none.
        line_width: Line width of the box in pixels; by default it depends on the image's size.
        emotions: The set whose colours to use; by default each face's own; the nine on the dial.
        show_dial: Draw where each face lies on the circumplex (valence to the right, arousal up,
            the emotions' anchors as small dots), if the model predicts valence and arousal; for
            all such faces or none.
        trail: How many recent places of a tracked face to draw on its dial, older ones fainter;
            1 draws only the current one. They are kept here, for the last few tracks: call
            `forget` between two videos, or draw each with a copy (`anew`), as `Inference` does.
        show_relative: Draw the emotion relative to the resting face as a second line, if the face
            was compared with it.
        show_numbers: Draw each face's number: its track or, in a still image of several faces, its
            position among them, as in tables and on the command line.
        language: Language of the text, one of `LANGUAGES`.
        blur_faces: Make every detected face and its surroundings unrecognisable; a tracked one
            stays hidden for 15 more images (half a second at 30 fps) once it is lost.
        show_mesh: Draw the mesh of the landmarks on faces with a geometry.

    Raises:
        ValueError: If `line_width` or `trail` is below 1, or the language is unknown.
    """

    show_label: bool = True
    show_probability: bool = True
    show_bars: bool = False
    line_width: int | None = None
    emotions: EmotionSet | None = None
    show_dial: bool = False
    trail: int = 30
    show_relative: bool = True
    show_numbers: bool = True
    language: str = "en"
    blur_faces: bool = False
    show_mesh: bool = False
    _memory: Memory = field(default_factory=Memory, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_types(self)
        if not isinstance(self.emotions, EmotionSet | None):
            raise ValueError(
                f"Expected emotions as an EmotionSet or None. Received: {self.emotions!r}."
            )
        check_positive(line_width=self.line_width, trail=self.trail)
        check_language(self.language)

    def forget(self) -> None:
        """Forget all faces; call before a new video, whose tracks count from 1 again."""
        self._memory.clear()

    def anew(self) -> Self:
        """Return a copy that remembers nothing, for a video drawn at the same time as others."""
        other = copy(self)
        object.__setattr__(other, "_memory", Memory())
        return other

    def draw(
        self,
        image_rgb: np.ndarray,
        faces: Sequence[FaceEmotion],
        fps: float | None = None,
        *,
        dropped: int | None = None,
    ) -> np.ndarray:
        """Return a new image with the faces drawn; the given one is not changed.

        Args:
            image_rgb: `(H, W, 3)` uint8 RGB.
            faces: The faces in it. Small faces are drawn last, so they stay visible.
            fps: Frames per second, drawn in a corner without a face.
            dropped: Images skipped so far to stay live; drawn after `fps`.

        Raises:
            ValueError: If the image is not `(H, W, 3)` uint8.
        """
        is_rgb = image_rgb.ndim == 3 and image_rgb.shape[2] == 3 and image_rgb.dtype == np.uint8
        if not is_rgb or image_rgb.size == 0:
            raise ValueError(
                "Expected an image (H, W, 3) uint8 RGB. Received: "
                f"shape={image_rgb.shape}, dtype={image_rgb.dtype}. Try media.read_image(image)."
            )
        canvas = np.array(image_rgb, order="C")
        pen = Pen.for_image(canvas, self.line_width)
        self._memory.tick()
        known = self._known(canvas, faces)
        if self.blur_faces:
            for box in [*(one.face.face.box for one in known), *self._memory.just_lost()]:
                hide_face(canvas, box)
        for one in known:
            colour = self._colour(one.face, one.face.emotion)
            if self.show_mesh and one.face.geometry is not None:
                draw_mesh(canvas, one.face.geometry, colour, pen.line)
            draw_frame(canvas, one.box, colour, pen, dashed=one.face.doubtful)
        taken = []
        if fps is not None:
            pace = said("pace", self.language, fps=fps)
            if dropped:
                pace += ", " + said("dropped", self.language, count=dropped)
            taken = self._draw_pace(canvas, pace, known, pen)
        self._draw_cards(canvas, known, taken, pen)
        return canvas

    def _colour(self, face: FaceEmotion, emotion: str) -> tuple[int, int, int]:
        return (self.emotions or EmotionSet(tuple(face.probabilities))).colour_rgb(emotion)

    def _known(self, canvas: np.ndarray, faces: Sequence[FaceEmotion]) -> list[_Known]:
        """Return the faces at least partly inside the image, largest first."""
        height, width = canvas.shape[:2]
        tracked = any(face.face.track is not None for face in faces)
        known = []
        for place, face in enumerate(faces, start=1):
            box = face.face.box.clip(width, height).round()
            if box.area > 0:
                number = face.face.track if tracked else place if len(faces) > 1 else None
                seen = self._memory.see(face.face.track, face.face.box, self.trail)
                where = place_of(face)
                if where is not None:
                    seen.way.append(where)
                known.append(_Known(face, box, number, seen))
        return sorted(known, key=lambda one: -one.box.area)

    def _draw_pace(
        self, canvas: np.ndarray, pace: str, known: Sequence[_Known], pen: Pen
    ) -> list[Corners]:
        """Draw the speed in the first corner without a face; return the corners it covers."""
        height, width = canvas.shape[:2]
        card, letter = Card((Line(pace, PANEL),)), (pen.smallest + pen.largest) // 2
        letter = _fitting(card, letter, width, height)
        if letter is None:
            return []
        across, down = card.size(letter)
        gap = min(pen.smallest // 2, width - across, height - down)
        corners = [
            (x, y, x + across, y + down)
            for y in (gap, height - down - gap)
            for x in (gap, width - across - gap)
        ]
        free = [c for c in corners if not any(overlap(c, one.corners) for one in known)]
        card.draw(canvas, (free or corners)[0], letter)
        return (free or corners)[:1]

    def _draw_cards(
        self, canvas: np.ndarray, known: Sequence[_Known], taken: Sequence[Corners], pen: Pen
    ) -> None:
        """Place and draw all cards, with as much detail as there is room for on all of them."""
        is_stream = any(one.face.face.track is not None for one in known)
        details = self._details(known)
        held = self._memory.first_tried() if is_stream else None
        first = min(held[0], len(details) - 1) if held else 0
        for level in range(first, len(details)):
            few, panels = details[level]
            cards = [self._card(one, few=few, panels=panels) for one in known]
            scale = held[1] if held and level == held[0] else None
            letters, spots, scale = _placed(
                canvas, known, cards, taken, pen, all_or_none=panels, held=scale
            )
            if None not in spots:
                break
        if is_stream:
            self._memory.keep_tried(level, scale)
        elif level:
            where = f"{len(known)} faces" if len(known) > 1 else "the face"
            left = f"all but the {FEW_BARS} most probable emotions" if few else "bars and dials"
            logger.warning("There is too little room beside %s: %s are left out", where, left)
        for one, spot in zip(known, spots, strict=True):
            if spot is not None and spot.slot is None:
                ends, colour = (
                    leader(spot.corners, one.corners),
                    self._colour(one.face, one.face.emotion),
                )
                cv2.line(canvas, *ends, ink_on(colour), pen.line + 2 * pen.edge, cv2.LINE_AA)
                cv2.line(canvas, *ends, colour, pen.line, cv2.LINE_AA)
        for one, card, letter, spot in zip(known, cards, letters, spots, strict=True):
            if spot is None:
                _draw_on_edge(canvas, card, one.box, letter)
                continue
            card.draw(canvas, spot.corners, letter)
            one.seen.slot = spot.slot
            x, y = spot.corners[0] - one.corners[0], spot.corners[1] - one.corners[1]
            one.seen.offset = (x, y) if spot.slot is None else None

    def _details(self, known: Sequence[_Known]) -> list[tuple[bool, bool]]:
        """Return the levels to try, from most to least detail: (few bars, any panels)."""
        if not known or not (self.show_bars or self.show_dial):
            return [(False, False)]
        few = self.show_bars and len(known[0].face.probabilities) > FEW_BARS
        return [(False, True), *([(True, True)] if few else []), (False, False)]

    def _card(self, one: _Known, *, few: bool, panels: bool) -> Card:
        face, language = one.face, self.language
        number = f"#{one.number}" if self.show_numbers and one.number is not None else ""
        mark = "?" if face.doubtful else ""
        name = one_line(emotion_word(face.emotion, language)) + mark if self.show_label else ""
        percent = f"{face.probability:.0%}" if self.show_probability else ""
        text = " ".join(filter(None, (number, name, percent)))
        lines = [Line(text, self._colour(face, face.emotion), face.doubtful)] if text else []
        if self.show_relative and face.relative_emotion is not None:
            word = one_line(emotion_word(face.relative_emotion, language))
            shown = f"{word} {face.relative_probability:.0%}"
            line = Line(
                said("from_rest", language, shown=shown), self._colour(face, face.relative_emotion)
            )
            lines.append(line)
        drawn = []
        if panels and self.show_bars:
            pairs = list(face.probabilities.items())
            if few:
                pairs = sorted(pairs, key=lambda pair: -pair[1])[:FEW_BARS]
            drawn.append(
                Bars(
                    tuple(
                        (one_line(emotion_word(name, language)), float(p), self._colour(face, name))
                        for name, p in pairs
                    )
                )
            )
        if panels and self.show_dial and place_of(face) is not None:
            emotions = self.emotions or NINE_EMOTIONS
            drawn.append(Dial(tuple(one.seen.way), self._colour(face, face.emotion), emotions))
        return Card(tuple(lines), tuple(drawn))


def _placed(
    canvas: np.ndarray,
    known: Sequence[_Known],
    cards: Sequence[Card],
    taken: Sequence[Corners],
    pen: Pen,
    *,
    all_or_none: bool,
    held: int | None,
) -> tuple[list[int], list[Spot | None], int]:
    """Return the text sizes, the places and the index of the scale.

    It is the largest scale with all cards beside their faces, else the largest with a place for
    all, else the smallest. A held scale is used as soon as it has a place for all.
    """
    height, width = canvas.shape[:2]
    complete, letters = None, None
    sizes = [(scale, pen.smallest) for scale in SCALES]
    sizes.append((SCALES[-1], max(pen.smallest // 2, SMALLEST_LETTER_PX)))
    if not all_or_none:
        sizes.append((0.0, LABEL_LETTER_PX))
    for number, (scale, least) in list(enumerate(sizes))[min(held or 0, len(sizes) - 1) :]:
        if scale < STAY_SCALE and complete is not None:
            break
        tried, letters = letters, [max(round(scale * pen.letter_for(o.box)), least) for o in known]
        if letters == tried:
            continue
        wishes = [
            Wish(one.corners, card.size(letter), one.seen.slot, one.seen.offset)
            for one, card, letter in zip(known, cards, letters, strict=True)
        ]
        spots = place_cards(wishes, taken, (width, height), all_or_none=all_or_none)
        if all(spot is not None and spot.slot is not None for spot in spots):
            return letters, spots, number
        if complete is None and None not in spots:
            complete = letters, spots, number
            if held is not None:
                break
    return complete or (letters, spots, number)


def _draw_on_edge(canvas: np.ndarray, card: Card, face: Box, letter: int) -> None:
    """Draw a card for which there is no other room on the upper edge of its own face."""
    height, width = canvas.shape[:2]
    card = Card(card.lines)
    fitting = _fitting(card, letter, width, height)
    if fitting is not None and card.lines:
        across, down = card.size(fitting)
        x, y = min(int(face.x1), width - across), min(int(face.y1), height - down)
        card.draw(canvas, (x, y, x + across, y + down), fitting)


def _fitting(card: Card, letter: int, width: int, height: int) -> int | None:
    """Return the largest text size, up to the given one, with which a card fits in an image."""
    for smaller in range(letter, LEAST_LETTER_PX - 1, -1):
        across, down = card.size(smaller)
        if across <= width and down <= height:
            return smaller
    return None
