"""A viewer's reaction over the time of the film, relative to their own habits.

Some people always look cheerful, others never move a muscle: what counts is the difference from
the viewer's own usual face in the surrounding minute, in units of their own usual variation. The
emotions used are those shown, not those relative to the resting face: that would be a second
baseline, which was measured to add nothing (reports/rest_viewers.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from builder_tools.fields import check_types
from builder_tools.timeline.reading import measure_column

MAD_TO_SIGMA = 1.4826
LEAST_SIGMA = 0.05
"""Variation below this (in units of probability or affect) is noise of the model."""
LARGEST_REACTION = 10.0
"""In sigmas; larger reactions are clipped to this."""


@dataclass(frozen=True)
class SignalSettings:
    """How to read reactions from timelines.

    Args:
        measure: `arousal`, `valence`, `intensity` or an emotion.
        step_s: Time between samples, in seconds.
        smooth_s: Standard deviation of the (centred) smoothing, in seconds.
        baseline_s: Width of the running window that defines what is usual, in seconds.
        bridge_s: Gaps without a face up to this long are bridged, as is the time from one image to
            the next of a slow recording; longer ones stay gaps.

    Raises:
        ValueError: If a number is not positive.
    """

    measure: str = "arousal"
    step_s: float = 0.1
    smooth_s: float = 0.4
    baseline_s: float = 60.0
    bridge_s: float = 0.5

    def __post_init__(self) -> None:
        check_types(self)
        numbers = {k: v for k, v in vars(self).items() if k != "measure"}
        wrong = {name: value for name, value in numbers.items() if not value > 0}
        if wrong:
            raise ValueError(f"Expected numbers above 0. Received: {wrong}.")


def largest_faces(table: pd.DataFrame) -> pd.DataFrame:
    """Return the row of the largest face in each frame: the viewer, not somebody passing behind.

    Frames without a face keep their empty row.
    """
    order = table.sort_values(["frame", "face_px"], na_position="first", kind="stable")
    return order.drop_duplicates("frame", keep="last").sort_values("time_s", ignore_index=True)


def sample(
    table: pd.DataFrame, settings: SignalSettings, times_s: np.ndarray, offset_s: float = 0.0
) -> np.ndarray:
    """Return a viewer's measure at evenly spaced times of the film, NaN where no face was seen.

    Args:
        table: The viewer's timeline.
        settings: What to read.
        times_s: `(n,)` times in the film, `settings.step_s` apart.
        offset_s: When the recording began, in seconds of the film.
    """
    rows = largest_faces(table)
    values = rows[measure_column(table, settings.measure)].to_numpy(float)
    places = np.rint((rows["time_s"].to_numpy(float) + offset_s - times_s[0]) / settings.step_s)
    usable = np.isfinite(values) & (places >= 0) & (places < len(times_s))
    index = places[usable].astype(int)
    sums = np.bincount(index, values[usable], len(times_s))
    counts = np.bincount(index, minlength=len(times_s))
    sampled = np.divide(sums, counts, out=np.full(len(times_s), np.nan), where=counts > 0)
    passed_s = rows["time_s"].diff() / rows["frame"].diff()
    image_s = float(passed_s.median()) if len(rows) > 1 else 0.0
    bridged = _bridged(sampled, max(settings.bridge_s, 1.5 * image_s) / settings.step_s)
    return _smoothed(bridged, settings)


def _bridged(values: np.ndarray, most: float) -> np.ndarray:
    """Fill gaps of at most so many samples by linear interpolation; longer ones stay gaps."""
    known = np.flatnonzero(np.isfinite(values))
    if not len(known):
        return values
    between = np.interp(np.arange(len(values)), known, values[known], np.nan, np.nan)
    longest = int(most + 1e-9)
    for start, end in pairwise(known):
        if end - start - 1 > longest:
            between[start + 1 : end] = np.nan
    return between


def _smoothed(values: np.ndarray, settings: SignalSettings) -> np.ndarray:
    """Return the Gaussian mean over the known values; gaps stay gaps."""
    reach = int(np.ceil(3 * settings.smooth_s / settings.step_s))
    kernel = np.exp(
        -0.5 * (np.arange(-reach, reach + 1) * settings.step_s / settings.smooth_s) ** 2
    )
    known = np.isfinite(values)
    total = np.convolve(np.where(known, values, 0.0), kernel, "full")[reach : reach + len(values)]
    weight = np.convolve(known.astype(float), kernel, "full")[reach : reach + len(values)]
    return np.divide(total, weight, out=np.full(len(values), np.nan), where=known)


def reaction(values: np.ndarray, settings: SignalSettings) -> np.ndarray:
    """Return how far a viewer is from their usual face, in units of their usual variation.

    What is usual is the running median; the variation is the running median of the distance from
    it (as a standard deviation, at least 0.05); both ignore gaps.

    Args:
        values: `(n,)`, from `sample`.
        settings: Gives the width of the window.

    Returns:
        `(n,)` in sigmas, within 10 of zero; NaN where `values` is NaN.
    """
    width = max(round(settings.baseline_s / settings.step_s), 1)
    apart = values - _running_median(values, width)
    sigma = np.fmax(MAD_TO_SIGMA * _running_median(np.abs(apart), width), LEAST_SIGMA)
    return np.clip(apart / sigma, -LARGEST_REACTION, LARGEST_REACTION)


def _running_median(values: np.ndarray, width: int) -> np.ndarray:
    return pd.Series(values).rolling(width, center=True, min_periods=1).median().to_numpy()
