"""The brightness of HDR10 films, which store it as PQ, in that of usual ones."""

from __future__ import annotations

from functools import cache

import numpy as np

PQ = 16
"""HDR10's transfer, as numbered by ITU-T H.273."""
_BRIGHTEST, _PAPER_WHITE = 10_000.0, 203.0
"""Its brightest white, and paper (ITU-R BT.2408), in cd/m2."""


@cache
def usual_of_pq() -> np.ndarray:
    """Return the usual value of each value in PQ (SMPTE ST 2084), `(256,)` uint8.

    What is brighter than paper stays white. Gamuts are left as they are: changing that costs ten
    times as much, and changed answers no further.
    """
    power = (np.arange(256) / 255) ** (1 / 78.84375)
    share = np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)
    luminance = _BRIGHTEST / _PAPER_WHITE * share ** (1 / 0.1593017578125)
    return np.rint(255 * np.clip(luminance, 0, 1) ** (1 / 2.4)).astype(np.uint8)
