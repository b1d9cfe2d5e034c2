"""Answers for one image: bytes in, the emotions of its faces out. Nothing is stored."""

from __future__ import annotations

import numpy as np

from builder_tools.media import IMAGE_ERRORS, read_image
from builder_tools.results import FrameResult
from builder_tools.web.engine import OWN, Choice, Engine
from builder_tools.web.limits import Limits, Refused, check_photo


def answer_photo(
    data: bytes, name: str, engine: Engine, limits: Limits, choice: Choice = OWN
) -> FrameResult:
    """Return the faces in an image; `image` of the result is the image with nothing drawn on it.

    Call it in a turn of the engine (`Engine.turn`), held until the image is no longer needed.

    Args:
        data: The bytes of an image file.
        name: Name of the image.
        engine: The models and detectors.
        limits: What is accepted.
        choice: Model, detector and decision.

    Raises:
        Refused: If the image is not accepted, or cannot be read.
    """
    image = decode(data, limits)
    return FrameResult(name, 0, 0.0, engine.read(image, choice), image)


def decode(data: bytes, limits: Limits) -> np.ndarray:
    """Return an image file as `(H, W, 3)` uint8 RGB, after checking its header.

    Raises:
        Refused: If it is not accepted, or cannot be read.
    """
    check_photo(data, limits)
    try:
        return read_image(data, max_pixels=limits.max_pixels, max_side=limits.max_side)
    except IMAGE_ERRORS as error:
        raise Refused("corrupt_picture") from error
