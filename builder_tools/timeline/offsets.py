"""Finds when a viewer's recording began from its sound, in which the film can be heard.

Waveforms from two microphones differ in echoes and loudness; what they share is when sounds begin.
So the sound is reduced to how much louder it got every 10 ms in each of 16 bands; each band is
normalised, and the two recordings are cross-correlated at all shifts at once by FFT. The best shift
is refined by a parabola; it counts only if it stands out from all others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from builder_tools.media.sound_samples import sound_blocks

RATE_HZ = 8000
HOP = 80
WINDOW = 256
NUM_BANDS = 16
LOWEST_HZ, HIGHEST_HZ = 150.0, 3600.0
LEAST_OVERLAP_S = 2.0
LEAST_OVERLAP_SHARE = 1 / 3
"""Least overlap, as a share of the shorter recording; less matches by chance too often."""
CLEAR_SIGMAS = 8.0
LEAST_LEAD = 2.5
"""A shift is accepted if its correlation is `CLEAR_SIGMAS` above the others and `LEAST_LEAD` times
as high as the next best: in speech-like sound the right shift led by a factor of at least 6, the
best shift of unrelated sounds by at most 1.7 (reports/tracking.md). Repetitive music is rejected
rather than guessed at."""
QUIET_SHARE = 0.1
"""Energy well below this share of the mean does not count as an onset."""
LOUDEST_STEP = 2.0
"""Most that an onset counts for (natural logarithm of the energy)."""
LONGEST_GAP_S = 3600.0
"""Longest gap in the sound: a longer one is a clock that jumps, and would take long to match."""
_NEIGHBOURS_S = 0.25
_SILENCE = 10 * RATE_HZ
"""Most samples of silence at a time."""


@dataclass(frozen=True)
class Offset:
    """When a recording began.

    Args:
        seconds: In the film's time; add it to a time in the recording to get that in the film.
        clarity: How far the best shift is above all others, in their sigmas.
        runner_up: The same for the next best shift.
    """

    seconds: float
    clarity: float
    runner_up: float

    @property
    def is_clear(self) -> bool:
        """Whether it can be trusted."""
        return self.clarity >= max(CLEAR_SIGMAS, LEAST_LEAD * self.runner_up)


def find_offset(recording: str | Path, film: str | Path) -> Offset:
    """Return when a recording began in the film's time, from the sound of both.

    Raises:
        FileNotFoundError: If one of the files does not exist.
        ValueError: If one of them has no sound or less than 2 s of it.
    """
    return match_onsets(read_onsets(recording), read_onsets(film))


def read_onsets(source: str | Path) -> np.ndarray:
    """Return how much louder a file's sound gets in each band: `(steps of 10 ms, bands)` float32.

    Raises:
        ValueError: If it has no sound, less than 2 s of it, or a gap of more than an hour.
    """
    # Which frequencies belong to which band: `(WINDOW / 2 + 1, NUM_BANDS)` of 0 and 1.
    edges = np.geomspace(LOWEST_HZ, HIGHEST_HZ, NUM_BANDS + 1)
    frequencies = np.fft.rfftfreq(WINDOW, 1 / RATE_HZ)[:, None]
    inside = (frequencies >= edges[:-1]) & (frequencies < edges[1:])
    nearest = np.abs(frequencies - (edges[:-1] + edges[1:]) / 2).argmin(axis=0)
    inside[nearest, np.arange(NUM_BANDS)] = True
    bands, rest, energies = inside.astype(float), np.zeros(0, np.float32), []
    for mono in _without_gaps(sound_blocks(source, RATE_HZ), str(source)):
        energy, rest = _energies(np.concatenate([rest, mono]), bands)
        energies.append(energy)
    energy = np.concatenate(energies) if energies else np.zeros((0, NUM_BANDS), np.float32)
    if len(energy) * HOP < LEAST_OVERLAP_S * RATE_HZ:
        raise ValueError(f"{str(source)!r} has less than {LEAST_OVERLAP_S:g} s of sound.")
    floor = np.maximum(QUIET_SHARE * energy.mean(axis=0), 1e-9)
    louder = np.diff(np.log(energy + floor), axis=0, prepend=np.log(energy[:1] + floor))
    louder = np.clip(louder, 0, LOUDEST_STEP)
    louder -= louder.mean(axis=0)
    return louder / np.maximum(louder.std(axis=0), 1e-6)


def match_onsets(recording: np.ndarray, film: np.ndarray) -> Offset:
    """Return the shift at which a recording's onsets match the film's best.

    Args:
        recording: `(n, bands)`, from `read_onsets`.
        film: `(m, bands)`, likewise.
    """
    size = 1 << (len(recording) + len(film) - 1).bit_length()
    spectrum = np.fft.rfft(film, size, axis=0) * np.fft.rfft(recording, size, axis=0).conj()
    correlation = np.fft.irfft(spectrum.sum(axis=1), size)
    shifts = np.arange(-len(recording) + 1, len(film))
    overlap = np.minimum(shifts + len(recording), len(film)) - np.maximum(shifts, 0)
    shorter = min(len(recording), len(film))
    usable = overlap >= max(LEAST_OVERLAP_S * RATE_HZ / HOP, LEAST_OVERLAP_SHARE * shorter)
    strength = np.where(usable, correlation[shifts] / np.sqrt(np.maximum(overlap, 1)), 0.0)
    best = int(strength.argmax())
    between = 0.0  # where between shifts the parabola through the best three peaks
    if 0 < best < len(strength) - 1:
        before, top, after = strength[best - 1 : best + 2]
        bend = before - 2 * top + after
        between = 0.5 * float((before - after) / bend) if bend < 0 else 0.0
    seconds = float(shifts[best] + between) * HOP / RATE_HZ
    return Offset(seconds, *_clarity(strength, best))


def _without_gaps(blocks: Iterator[tuple[int, np.ndarray]], source: str) -> Iterator[np.ndarray]:
    """Yield all samples in order, with silence in gaps, in short pieces.

    Raises:
        ValueError: If there is a gap longer than `LONGEST_GAP_S`.
    """
    end = 0
    for place, samples in blocks:
        gap_s = (place - end) / RATE_HZ
        if gap_s > LONGEST_GAP_S:
            raise ValueError(f"The sound of {source!r} jumps by {gap_s:.0f} s.")
        for begin in range(end, place, _SILENCE):
            yield np.zeros(min(place - begin, _SILENCE), np.float32)
        yield samples[0, max(end - place, 0) :]
        end = max(place + samples.shape[1], end)


def _energies(samples: np.ndarray, bands: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return `(steps, bands)` energies, and the samples left over for the next block."""
    steps = max((len(samples) - WINDOW) // HOP + 1, 0)
    if not steps:
        return np.zeros((0, NUM_BANDS), np.float32), samples
    windows = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[: steps * HOP : HOP]
    power = np.abs(np.fft.rfft(windows * np.hanning(WINDOW), axis=1)) ** 2
    return (power @ bands).astype(np.float32), samples[steps * HOP :]


def _clarity(strength: np.ndarray, best: int) -> tuple[float, float]:
    """Return how far the best shift and the next best, excluding neighbours, stand out."""
    reach = round(_NEIGHBOURS_S * RATE_HZ / HOP)
    near = np.arange(max(best - reach, 0), min(best + reach, len(strength)))
    others = np.delete(strength, near)
    others = others[others != 0]
    if not len(others):
        return 0.0, 0.0
    middle = np.median(others)
    sigma = 1.4826 * np.median(np.abs(others - middle))
    if not sigma > 0:
        return 0.0, 0.0
    return float((strength[best] - middle) / sigma), float((others.max() - middle) / sigma)
