"""Files whose clock restarts midway: recordings joined end to end (transport and program streams).

Images go on after a restart one step after the last; sound must be moved by as much.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from builder_tools.media.pipes import Pipe
from builder_tools.media.pyav import (
    explained,
    import_av,
    moving_streams,
    open_input,
    video_stream_of,
)

if TYPE_CHECKING:
    from av import Packet

CLOCK_RESTARTS_S = 1.0
"""A clock that jumps back by more has restarted; by less, some images are out of order."""
_DEFAULT_STEP_S = 0.04


def clock_shifts_s(source: str | Path | Pipe) -> tuple[float, ...]:
    """Return what to add to times after each restart, so that images go on where they were.

    Reads all of a file of a format whose clock may restart, without decoding, but only once for
    all of its sections. Pipes and addresses can be read only once: nothing is known of theirs.

    Args:
        source: A file, pipe or address.

    Returns:
        Seconds; empty if the clock runs through.

    Raises:
        FileNotFoundError, ValueError, OSError: As `VideoReader`.
    """
    if isinstance(source, Pipe) or "://" in str(source):
        return ()
    found = os.stat(source)
    return _shifts_s(os.path.abspath(source), found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=16)
def _shifts_s(source: str, size: int, changed_ns: int) -> tuple[float, ...]:
    """Return the shifts of a file while it has this size and time of change."""
    with open_input(source) as container:
        may_restart = container.format.flags & import_av().format.Flags.ts_discont.value
        if not may_restart or not moving_streams(container):
            return ()
        stream = video_stream_of(container, source)
        step_s = float(1 / stream.average_rate) if stream.average_rate else _DEFAULT_STEP_S
        shifts_s, shift_s, end_s, before = list[float](), 0.0, None, None
        for packet in _packets(container.demux(stream), source):
            if packet.pts is None or packet.dts is None:
                continue
            time_s = float(packet.pts * packet.time_base)
            if before is not None and (before - packet.dts) * packet.time_base > CLOCK_RESTARTS_S:
                shift_s = end_s - time_s
                shifts_s.append(shift_s)
            before, end_s = packet.dts, max(end_s or 0.0, time_s + shift_s + step_s)
    return tuple(shifts_s)


def restart_shift_s(shifts_s: Sequence[float], own_s: float) -> float:
    """Return by how much to shift sound after a restart: as its images, if any restart with it.

    Args:
        shifts_s: From `clock_shifts_s`.
        own_s: Shift with which it would go on where it was.
    """
    nearest_s = min(shifts_s, key=lambda shift_s: abs(shift_s - own_s), default=own_s)
    return nearest_s if abs(nearest_s - own_s) < CLOCK_RESTARTS_S else own_s


def _packets(packets: Iterator[Packet], source: str) -> Iterator[Packet]:
    """Yield packets up to the end, or to where nothing more can be read."""
    while True:
        try:
            with explained(source):
                packet = next(packets, None)
        except (OSError, ValueError):
            return
        if packet is None:
            return
        yield packet
