"""The moments that moved most viewers most: ranked peaks of their common reaction."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from builder_tools.fields import check_seed, check_types
from builder_tools.timeline.chance import chance_of, common_reaction, highest_by_chance
from builder_tools.timeline.people import PersonRule
from builder_tools.timeline.seats import viewers_in
from builder_tools.timeline.signals import SignalSettings, reaction, sample

USUAL_SECONDS = 6.0
"""Length of a segment; in a film shorter than five of them, a fifth of the film."""
LONGEST_REACTION_S = 60.0
"""A face that reacts later than this reacts to something else."""
INTERVAL = (2.5, 97.5)
AGREED, DOUBTFUL, ONE_VIEWER = "agreed", "doubtful", "one viewer"
"""How far to trust a highlight: enough viewers reacted together; they did not; there was only one
viewer, who has nobody to agree with."""
MOST_CHANCE = 0.05
"""From more chance on, a highlight may be of viewers who reacted each for themselves."""


@dataclass(frozen=True)
class HighlightSettings:
    """What counts as a highlight.

    Args:
        count: Most segments to return.
        seconds: Length of a segment; None for `USUAL_SECONDS`, less in a short film.
        prominence: How far a peak must rise above its surroundings, in sigmas.
        reaction_s: How long after its cause a face reacts; segments are centred on the cause.
        least_share: Share of viewers whose faces must be visible for a time to count.
        clear_sigmas: A viewer reacts clearly if this far above their usual face.
        least_agreement: Share of the visible viewers who must react clearly for them to agree;
            the interval of their median must also lie above zero. A single viewer cannot agree
            with anybody: such a peak is kept, and labelled so.
        only_agreed: Whether to leave out peaks without agreement.
        resamples: Number of bootstrap resamples over viewers.
        seed: Seed of the bootstrap, and of the times by which viewers are moved.
        signal: How to read reactions.

    Raises:
        ValueError: If a number is out of range.
    """

    count: int = 5
    seconds: float | None = None
    prominence: float = 1.0
    reaction_s: float = 1.0
    least_share: float = 0.5
    clear_sigmas: float = 1.0
    least_agreement: float = 0.5
    only_agreed: bool = True
    resamples: int = 1000
    seed: int = 0
    signal: SignalSettings = field(default_factory=SignalSettings)

    def __post_init__(self) -> None:
        check_types(self)
        check_seed(seed=self.seed)
        if not isinstance(self.signal, SignalSettings):
            raise ValueError(f"Expected signal as SignalSettings. Received: {self.signal!r}.")
        good = (
            self.count >= 1
            and (self.seconds is None or self.seconds > 0)
            and self.prominence > 0
            and 0 <= self.reaction_s <= LONGEST_REACTION_S
            and 0 < self.least_share <= 1
            and self.clear_sigmas > 0
            and 0 < self.least_agreement <= 1
            and self.resamples >= 1
        )
        if not good:
            raise ValueError(
                "Expected count >= 1, seconds > 0, prominence > 0, reaction_s in "
                f"[0, {LONGEST_REACTION_S:g}], least_share and least_agreement in (0, 1], "
                "clear_sigmas > 0 and resamples >= 1. "
                f"Received: {self}."
            )

    def for_film(self, duration_s: float) -> HighlightSettings:
        """Return these settings with a segment length that suits the film."""
        if self.seconds is not None:
            return self
        return replace(self, seconds=min(USUAL_SECONDS, max(duration_s / 5, 0.5)))


@dataclass(frozen=True)
class Highlight:
    """A segment of the film.

    Args:
        rank: 1 is the strongest.
        start_s: Start of the segment, in seconds of the film.
        end_s: End of the segment.
        peak_s: When the viewers reacted most.
        score: The median viewer's reaction then, in sigmas.
        score_low: Lower end of its 95 % interval over viewers, which says nothing of having been
            chosen among all moments; None with one viewer.
        score_high: Upper end of the interval.
        viewers: How many viewers were visible then.
        agreeing: How many of them reacted clearly.
        chance: How often the viewers' mean is as high anywhere in a film in which nobody reacts
            together (`timeline.chance`); None with one viewer.
        trust: `agreed`, `doubtful` or `one viewer`.
    """

    rank: int
    start_s: float
    end_s: float
    peak_s: float
    score: float
    score_low: float | None
    score_high: float | None
    viewers: int
    agreeing: int
    chance: float | None
    trust: str


def reactions(
    tables: Mapping[str, pd.DataFrame],
    offsets_s: Mapping[str, float],
    duration_s: float,
    settings: SignalSettings,
    *,
    from_s: float = 0.0,
) -> pd.DataFrame:
    """Return every viewer's reaction over the film: a column per viewer, indexed by `time_s`.

    Args:
        tables: Timelines by viewer.
        offsets_s: When each recording began, in seconds of the film.
        duration_s: Duration of the film.
        settings: How to read reactions.
        from_s: When the first recording began, if nothing is known of the film before.
    """
    times_s = film_times(duration_s, settings, from_s)
    columns = {
        name: reaction(sample(table, settings, times_s, offsets_s[name]), settings)
        for name, table in tables.items()
    }
    return pd.DataFrame(columns, index=pd.Index(times_s, name="time_s"))


def film_times(duration_s: float, settings: SignalSettings, from_s: float = 0.0) -> np.ndarray:
    """Return the times at which reactions are read: `(n,)` seconds of the film."""
    first, end = (math.floor(time_s / settings.step_s + 1e-9) for time_s in (from_s, duration_s))
    return np.arange(first, max(end, first + 1)) * settings.step_s


def find_highlights(
    viewers: pd.DataFrame,
    duration_s: float,
    settings: HighlightSettings,
    *,
    from_s: float = 0.0,
) -> list[Highlight]:
    """Return the strongest segments, best first, without overlap.

    The list is empty if nothing stands out, or if the viewers do not agree on what does.

    Args:
        viewers: From `reactions`.
        duration_s: Duration of the film, which contains all segments.
        settings: What counts as a highlight.
        from_s: Segments begin no earlier, as if that were the beginning of the film.
    """
    settings = settings.for_film(duration_s - from_s)
    common = common_reaction(viewers.to_numpy(), settings.least_share)
    peaks, chosen = _peaks(common, settings), list[Highlight]()
    by_chance = None
    if len(peaks) and viewers.shape[1] > 1:
        every = max(round(settings.signal.smooth_s / 2 / settings.signal.step_s), 1)
        seen = viewers.to_numpy()[::every]
        by_chance = highest_by_chance(seen, settings.least_share, seed=settings.seed)
    for peak in peaks:
        # Centred on the cause of the reaction, shifted to lie inside the film.
        length_s = min(settings.seconds, duration_s - from_s)
        start_s = float(viewers.index[peak]) - settings.reaction_s - length_s / 2
        start_s = min(max(start_s, from_s), duration_s - length_s)
        end_s = start_s + length_s
        if any(start_s < one.end_s - 1e-9 and end_s > one.start_s + 1e-9 for one in chosen):
            continue
        at_peak = viewers.to_numpy()[peak]
        at_peak = at_peak[np.isfinite(at_peak)]
        low, high = bootstrap_median(at_peak, settings.resamples, settings.seed)
        agreeing = int((at_peak >= settings.clear_sigmas).sum())
        enough = agreeing >= settings.least_agreement * len(at_peak) - 1e-9
        trust = AGREED if enough and low is not None and low > 1e-6 else DOUBTFUL
        one = Highlight(
            rank=len(chosen) + 1,
            start_s=start_s,
            end_s=end_s,
            peak_s=float(viewers.index[peak]),
            score=float(common[peak]),
            score_low=low,
            score_high=high,
            viewers=len(at_peak),
            agreeing=agreeing,
            chance=None if by_chance is None else chance_of(at_peak.mean(), by_chance),
            trust=ONE_VIEWER if viewers.shape[1] == 1 else trust,
        )
        if one.trust != DOUBTFUL or not settings.only_agreed:
            chosen.append(one)
        if len(chosen) == settings.count:
            break
    return chosen


def highlights_of(
    table: pd.DataFrame, duration_s: float, rule: PersonRule | None
) -> list[Highlight]:
    """Return the moments of a video at which the people in it reacted most, best first.

    They are those of `builder-tools highlights VIDEO` without a film, except that segments are
    centred on the reaction itself, not on a cause before it.

    Args:
        table: Timeline of the video, with at least one face.
        duration_s: Duration of the video.
        rule: Who is a viewer; see `viewers_in`.
    """
    settings = HighlightSettings(reaction_s=0.0)
    seats = viewers_in(table, rule)
    tables = {str(number): seat for number, seat in enumerate(seats, start=1)}
    if not tables:
        return []
    viewers = reactions(tables, dict.fromkeys(tables, 0.0), duration_s, settings.signal)
    return find_highlights(viewers, duration_s, settings)


def _peaks(common: np.ndarray, settings: HighlightSettings) -> np.ndarray:
    """Return the indices of the peaks, highest first; the film is padded with its lowest value."""
    from scipy.signal import find_peaks

    if not np.isfinite(common).any():
        return np.array([], int)
    lowest = min(float(np.nanmin(common)), 0.0)
    padded = np.pad(np.where(np.isfinite(common), common, lowest), 1, constant_values=lowest)
    places, _ = find_peaks(padded, prominence=settings.prominence)
    places = places - 1
    places = places[common[places] > 0]
    return places[np.argsort(-common[places], kind="stable")]


def bootstrap_median(
    values: np.ndarray, resamples: int, seed: int
) -> tuple[float, float] | tuple[None, None]:
    """Return the 95 % bootstrap interval of the median over viewers; None for one value.

    Of fewer than six values it is their range, which holds the median of all viewers in less than
    95 % of cases: 1 - 2 / 2**n for n values.
    """
    if len(values) < 2:
        return None, None
    draws = np.random.default_rng(seed).integers(0, len(values), (resamples, len(values)))
    low, high = np.percentile(np.median(values[draws], axis=1), INTERVAL)
    return float(low), float(high)
