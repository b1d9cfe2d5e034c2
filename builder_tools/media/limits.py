"""How large an image may be: one limit on input for web pages, programs and the command line.

Without it, a file of a few kilobytes could claim gigabytes. The limits can be changed by the
environment variables `BUILDER_TOOLS_MAX_MEGAPIXELS` and `BUILDER_TOOLS_MAX_SIDE`, or by argument.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from builder_tools.fields import check_types

MEGAPIXELS_VARIABLE = "BUILDER_TOOLS_MAX_MEGAPIXELS"
SIDE_VARIABLE = "BUILDER_TOOLS_MAX_SIDE"
MOST_BYTES = 2**31 - 1
"""Larger images crash the libraries that decode and process them."""
MOST_PIXELS = 500_000_000
"""The highest possible limit: at four bytes each, these pixels are just under `MOST_BYTES`."""
MOST_SIDE = 1_000_000
_BYTES_PER_PIXEL = 4
_LEAST_FILE_BYTES = 64_000_000


class ImageError(ValueError):
    """Why an image cannot be read; the reason given in its row."""


@dataclass(frozen=True)
class ImageLimits:
    """How large an image may be.

    Args:
        max_pixels: Width times height; 200 million by default, as in the largest phone cameras.
        max_side: Longer side in px; 100,000 by default, for long screenshots.

    Raises:
        ValueError: If a limit is below 1 or beyond what can be processed safely.
    """

    max_pixels: int = 200_000_000
    max_side: int = 100_000

    def __post_init__(self) -> None:
        check_types(self)
        if not 1 <= self.max_pixels <= MOST_PIXELS or not 1 <= self.max_side <= MOST_SIDE:
            raise ValueError(
                f"Expected limits of 1...{MOST_PIXELS} pixels and sides of 1...{MOST_SIDE} px. "
                f"Received: {self.max_pixels} pixels, {self.max_side} px."
            )

    @property
    def max_bytes(self) -> int:
        """Most bytes of an image file; larger files are not read."""
        return max(self.max_pixels * _BYTES_PER_PIXEL, _LEAST_FILE_BYTES)

    def check_bytes(self, size: int, name: str) -> None:
        """Refuse a file that is too large.

        Raises:
            ImageError: If it is.
        """
        if size > self.max_bytes:
            raise ImageError(
                f"Expected an image's file of at most {self.max_bytes / 1e6:.0f} MB. "
                f"Received: {name} with {size / 1e6:.0f} MB. Try a smaller copy{_OR_MORE}."
            )

    def check(self, size: Sequence[int], name: str) -> None:
        """Refuse an image that is too large.

        Args:
            size: `(height, width)` in px.
            name: Name of the image for the message.

        Raises:
            ImageError: If it is.
        """
        height, width = (int(side) for side in size[:2])
        if height * width > self.max_pixels:
            what = f"{self.max_pixels} pixels"
        elif max(height, width) > self.max_side:
            what = f"{self.max_side} px a side"
        else:
            return
        raise ImageError(
            f"Expected at most {what}. Received: {name} with {width} x {height}. "
            f"Try a smaller copy{_OR_MORE}."
        )


LIMITS_IN_WORDS = (
    f"at most {ImageLimits.max_pixels // 1_000_000} megapixels and {ImageLimits.max_side} px a "
    f"side each (environment: {MEGAPIXELS_VARIABLE}, {SIDE_VARIABLE})"
)
_OR_MORE = f", or a higher limit (environment: {MEGAPIXELS_VARIABLE}, {SIDE_VARIABLE})"


def image_limits(max_pixels: int | None = None, max_side: int | None = None) -> ImageLimits:
    """Return the given limits, else those from the environment, else the defaults.

    Raises:
        ValueError: If a given one is below 1 or too high.
        RuntimeError: If one from the environment is, or is not a number. It is not an error of an
            image, as it would make every image unreadable.
    """
    pixels, side = max_pixels, max_side
    if pixels is None:
        pixels = _of_environment("max_pixels", MEGAPIXELS_VARIABLE, 1e6)
    if side is None:
        side = _of_environment("max_side", SIDE_VARIABLE, 1)
    given = {"max_pixels": pixels, "max_side": side}
    return ImageLimits(**{name: value for name, value in given.items() if value is not None})


def _of_environment(limit: str, variable: str, unit: float) -> int | None:
    text = os.environ.get(variable, "").strip()
    if not text:
        return None
    try:
        value = int(float(text) * unit)
    except (ValueError, OverflowError) as error:
        raise RuntimeError(
            f"Expected a number in the environment's {variable}. Received: {text!r}."
        ) from error
    try:
        ImageLimits(**{limit: value})
    except ValueError as error:
        raise RuntimeError(f"In the environment's {variable}: {error}") from error
    return value
