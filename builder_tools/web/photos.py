"""One image: its bytes in, who shows what out. Nothing is written."""

from __future__ import annotations

import numpy as np

from builder_tools.media import IMAGE_ERRORS, read_image
from builder_tools.results import FrameResult
from builder_tools.web.engine import OWN, Choice, Engine
from builder_tools.web.limits import Limits, Refused, check_photo


def answer_photo(
    data: bytes, name: str, engine: Engine, limits: Limits, choice: Choice = OWN
) -> FrameResult:
    """Return the faces in an image; the image itself is `image`, without anything drawn.

    Args:
        data: The bytes of an image file.
        name: What to call it.
        engine: The models.
        limits: What is taken.
        choice: Model and detector.

    Raises:
        Refused: If the image is not taken, or cannot be read.
    """
    image = decode(data, limits)
    return FrameResult(name, 0, 0.0, engine.read(image, choice), image)


def decode(data: bytes, limits: Limits) -> np.ndarray:
    """Return an image file as `(H, W, 3)` uint8 RGB, its header checked first.

    Raises:
        Refused: If it is not taken, or cannot be read.
    """
    check_photo(data, limits)
    try:
        return read_image(data, max_pixels=limits.max_pixels, max_side=limits.max_side)
    except IMAGE_ERRORS as error:
        raise Refused("corrupt_picture") from error
