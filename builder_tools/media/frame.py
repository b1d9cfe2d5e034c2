"""One picture of a video or a camera, and when it is shown."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Frame:
    """A picture of a stream.

    Args:
        index: Position among the pictures the stream delivered, from 0.
        time_s: When it is shown, seconds from the first picture of the source.
        image: `(H, W, 3)` uint8 RGB.
    """

    index: int
    time_s: float
    image: np.ndarray = field(compare=False, repr=False)
