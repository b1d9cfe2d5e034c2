"""Sound as samples: those of a file at their true times, at any rate, in one or two channels."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from builder_tools.media.pipes import Pipe
from builder_tools.media.pyav import (
    decode_past_damage,
    explained,
    first_image_s,
    import_av,
    known_streams,
    open_input,
)
from builder_tools.media.restarts import (
    has_restarted,
    longest_gap_s,
    restart_shift_s,
    sound_packets,
)

if TYPE_CHECKING:
    from av import AudioStream, Packet

_LAYOUTS = {1: "mono", 2: "stereo"}
_EARLIER_S = 1.0
"""Seek this much before the wanted time, as sound codecs need a run-up."""

_logger = logging.getLogger(__name__)


def has_sound(source: str | Path) -> bool:
    """Return whether a file has a sound stream."""
    with open_input(str(source)) as container:
        return bool(known_streams(container.streams.audio))


def sound_rate_hz(source: str | Path) -> int | None:
    """Return the sample rate of a file's sound in Hz, or None if it has none."""
    with open_input(str(source)) as container:
        streams = known_streams(container.streams.audio)
        return streams[0].codec_context.sample_rate if streams else None


def sound_blocks(
    source: str | Path | Pipe,
    rate_hz: int,
    *,
    channels: int = 1,
    start_s: float = 0.0,
    zero_s: float | None = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield a file's sound block by block, in constant memory.

    Damaged parts are left out; the blocks after them keep their place. If the rate or channels
    of the sound change midway, it is still yielded as requested.

    Args:
        source: A file with a sound stream.
        rate_hz: Samples per second to yield.
        channels: 1 or 2.
        start_s: Approximate start (a block or two before it may come first).
        zero_s: Place 0 on the file's own clock, in seconds; None to find it.

    Yields:
        (place, samples): index of the first sample, 0 at the first image (or the first sound in
        a file without images; negative before it); `(channels, n)` float32 in [-1, 1].

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a media file or has no sound.
    """
    with open_input(source if isinstance(source, Pipe) else str(source)) as container:
        streams = known_streams(container.streams.audio)
        if not streams:
            raise ValueError(f"{str(source)!r} has no sound.")
        stream = streams[0]
        zero_s = time_zero_s(source, stream) if zero_s is None else zero_s
        packets, shifts_s = sound_packets(container, stream, source)
        longest_s = longest_gap_s(container)
        if start_s > _EARLIER_S and not shifts_s:
            place = round((start_s - _EARLIER_S + zero_s) / stream.time_base)
            with explained(str(source)):
                container.seek(place, stream=stream)
        expected, kind, resampler, place, shift_s = None, None, None, 0, 0.0
        for frame in _decoded(packets, str(source)):
            jumped = False
            if frame.time is not None:
                time_s = frame.time + shift_s
                if expected is not None and has_restarted(time_s - expected, longest_s):
                    shift_s = restart_shift_s(shifts_s, expected - frame.time)
                    time_s = frame.time + shift_s
                jumped = expected is None or abs(time_s - expected) > 0.005
                expected = time_s + frame.samples / frame.sample_rate
            changed, kind = kind, (frame.sample_rate, frame.layout.name, frame.format.name)
            if jumped or changed != kind:
                resampler = import_av().AudioResampler("fltp", _LAYOUTS[channels], rate_hz)
            if jumped:
                place = round((time_s - zero_s) * rate_hz)
            frame.pts = None
            try:
                with explained(str(source)):
                    blocks = [block.to_ndarray() for block in resampler.resample(frame)]
            except ValueError as error:
                _logger.debug("A part of the sound of %s is left out: %s", source, error)
                kind = None
                continue
            for samples in blocks:
                yield place, samples
                place += samples.shape[1]


def time_zero_s(source: str | Path | Pipe, sound: AudioStream) -> float:
    """Return when a file's first image is shown; if it has none, when its first sound is heard.

    Args:
        source: The file.
        sound: Its sound, for a file without images.

    Returns:
        Seconds on the file's own clock.
    """
    shown_s = first_image_s(source if isinstance(source, Pipe) else str(source))
    return float((sound.start_time or 0) * sound.time_base) if shown_s is None else shown_s


def _decoded(packets: Iterator[Packet], source: str) -> Iterator:
    damaged: list[int] = []
    try:
        yield from decode_past_damage(packets, damaged.append, source)
    except OSError as error:
        _logger.warning("The sound of %s ends early: %s", source, error)
    if damaged:
        _logger.warning("%s: %d damaged parts of its sound left out.", source, sum(damaged))


def read_sound(
    source: str | Path, rate_hz: int, *, start_s: float, num_samples: int, channels: int = 2
) -> np.ndarray:
    """Return a section of a file's sound, silent where there is none.

    Args:
        source: A file with a sound stream.
        rate_hz: Samples per second to return.
        start_s: Start of the section, in seconds from the first image.
        num_samples: Length of the section.
        channels: 1 or 2.

    Returns:
        `(channels, num_samples)` float32 in [-1, 1].

    Raises:
        ValueError: If the file has no sound.
    """
    cut = np.zeros((channels, num_samples), np.float32)
    begin = round(start_s * rate_hz)
    for place, samples in sound_blocks(source, rate_hz, channels=channels, start_s=start_s):
        at = place - begin
        if at >= num_samples:
            break
        first, last = max(at, 0), min(at + samples.shape[1], num_samples)
        if last > first:
            cut[:, first:last] = samples[:, first - at : last - at]
    return cut
