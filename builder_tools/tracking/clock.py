"""The time of a stream's images, which may stand still but not go back."""

from __future__ import annotations

import math


def elapsed_s(before_s: float | None, time_s: float) -> float:
    """Return the seconds from the previous image to this one, 0 for the first.

    Args:
        before_s: Time of the previous image; None if there is none.
        time_s: Time of this one.

    Raises:
        ValueError: If time goes backwards, or is no finite number.
    """
    step_s = time_s - (time_s if before_s is None else before_s)
    if not 0 <= step_s < math.inf:
        least = "in seconds" if before_s is None else f">= {before_s} s"
        raise ValueError(f"Expected a time {least}. Received: {time_s} s.")
    return step_s
