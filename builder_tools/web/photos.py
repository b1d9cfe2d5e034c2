"""One picture: its bytes in, who shows what out. Nothing is written."""

from __future__ import annotations

import numpy as np

from builder_tools.media import PICTURE_ERRORS, read_image
from builder_tools.results import FrameResult
from builder_tools.web.engine import OWN, Choice, Engine
from builder_tools.web.limits import Limits, Refused, check_picture


def answer_photo(
    data: bytes, name: str, engine: Engine, limits: Limits, choice: Choice = OWN
) -> FrameResult:
    """Gives the faces in a picture; the picture itself is `image`, without anything drawn.

    Args:
        data: The bytes of a picture file.
        name: What to call it.
        engine: The models.
        limits: What is taken.
        choice: Model and detector.

    Raises:
        Refused: If the picture is not taken, or cannot be read.
    """
    image = decode(data, limits)
    return FrameResult(name, 0, 0.0, engine.read(image, choice), image)


def decode(data: bytes, limits: Limits) -> np.ndarray:
    """Gives a picture file as `(H, W, 3)` uint8 RGB, its header checked first.

    Raises:
        Refused: If it is not taken, or cannot be read.
    """
    check_picture(data, limits)
    try:
        return read_image(data, max_pixels=limits.max_pixels, max_side=limits.max_side)
    except PICTURE_ERRORS as error:
        raise Refused("corrupt_picture") from error
