"""Text in images: DejaVu Sans by FreeType (Latin, Cyrillic, Greek and more), on filled tags.

OpenCV's own font is a stroke font limited to ASCII, and its wheels come without FreeType; Pillow
is part of the base install. Letters are rendered once per size and then copied: a tag takes some
ten microseconds.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from pathlib import Path

import numpy as np

from builder_tools.drawing.pen import Colour

FONT_FILE = Path(__file__).parent / "fonts" / "DejaVuSans.ttf"
MOST_LETTERS = 32
"""Longer names are truncated."""
CAPITAL_EMS = 0.729
"""Height of a capital letter of that font, in ems."""


def one_line(text: str) -> str:
    """Return text that can be drawn: NFC, without control characters, at most `MOST_LETTERS`."""
    composed = unicodedata.normalize("NFC", text)
    plain = "".join(c for c in composed if unicodedata.category(c)[0] != "C")
    return plain if len(plain) <= MOST_LETTERS else plain[: MOST_LETTERS - 1] + "\u2026"


@lru_cache(maxsize=1024)
def text_width(text: str, letter: int) -> int:
    """Return the width of a line of text in pixels; `letter` is the height of a capital."""
    return sum(_glyph(char, letter)[2] for char in text)


@lru_cache(maxsize=256)
def tag(
    text: str, letter: int, width: int, height: int, left: int, ground: Colour, ink: Colour
) -> np.ndarray:
    """Return a filled rectangle with a line of text, `(height, width, 3)` uint8, cached: read-only.

    Args:
        text: From `one_line`.
        letter: Height of a capital letter in pixels.
        width: Width of the rectangle in pixels; wider text is cut off.
        height: Height of the rectangle in pixels; the capitals are centred in it.
        left: Where the text begins.
        ground: Colour of the rectangle.
        ink: Colour of the text.
    """
    cover, base = np.zeros((height, width), np.uint8), (height + letter) // 2
    for char in text:
        mask, (x, y), advance = _glyph(char, letter)
        top, start = max(base + y, 0), max(left + x, 0)
        place = cover[top : base + y + mask.shape[0], start : left + x + mask.shape[1]]
        np.maximum(
            place,
            mask[top - base - y :, start - left - x :][tuple(map(slice, place.shape))],
            out=place,
        )
        left += advance
    return _shades(ground, ink)[cover]


@lru_cache(maxsize=64)
def _shades(ground: Colour, ink: Colour) -> np.ndarray:
    """Return the colour for each coverage 0...255, `(256, 3)` uint8."""
    share = np.linspace(0, 1, 256)[:, None]
    return np.rint(share * np.array(ink) + (1 - share) * np.array(ground)).astype(np.uint8)


@lru_cache(maxsize=2048)
def _glyph(char: str, letter: int) -> tuple[np.ndarray, tuple[int, int], int]:
    """Return a letter's coverage 0...255, its offset from the baseline origin, and its width."""
    font = _font(letter)
    image, place = font.getmask2(char, mode="L", anchor="ls")
    mask = np.array(image, np.uint8).reshape(image.size[::-1])
    return mask, place, round(font.getlength(char))


@lru_cache(maxsize=32)
def _font(letter: int):
    from PIL import ImageFont

    size = max(round(letter / CAPITAL_EMS), 1)
    return ImageFont.truetype(FONT_FILE, size, layout_engine=ImageFont.Layout.BASIC)
