"""The time of a stream's images, which may stand still but not go back."""

from __future__ import annotations


def passed_s(before_s: float | None, time_s: float) -> float:
    """Return the seconds from the previous image to this one, 0 for the first.

    Args:
        before_s: Time of the previous image; None if there is none.
        time_s: Time of this one.

    Raises:
        ValueError: If time goes backwards, or is no number.
    """
    step_s = 0.0 if before_s is None else time_s - before_s
    if not step_s >= 0:
        raise ValueError(f"Expected a time >= {before_s} s. Received: {time_s} s.")
    return step_s
