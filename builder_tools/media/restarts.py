"""Files whose clock restarts midway: recordings joined end to end, playlists with discontinuities.

Images go on after a restart one step after the last; sound must be moved by as much.
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from builder_tools.media.pipes import Pipe
from builder_tools.media.pyav import (
    explained,
    import_av,
    known_streams,
    moving_streams,
    open_input,
    video_stream_of,
)

if TYPE_CHECKING:
    from av import AudioStream, Packet
    from av.container import InputContainer
    from av.stream import Stream
    from av.video.stream import VideoStream

CLOCK_RESTARTS_S = 1.0
"""A clock that jumps back by more has restarted; by less, some images are out of order."""
LONGEST_GAP_S = 3e7
"""About a year: a clock that jumps forward by more has restarted, or the time is invalid."""
_LONGEST_IN_PLAYLIST_S = 10.0
"""The same for playlists (HLS), whose parts may have clocks of their own; so does FFmpeg."""
_HALF_ROUND_S = 2**32 / 90_000
"""The same for transport streams, which count to 26.5 hours: FFmpeg takes a step back by more than
a minute for the next round."""
_DEFAULT_STEP_S = 0.04
_TOGETHER_S = 5.0
"""Images and sound restart together if no further apart."""
_MOST_WAITING = 1000
"""Most packets of sound that wait for the images to restart with it, too."""


def longest_gap_s(container: InputContainer) -> float:
    """Return by how many seconds a file's clock may jump forward without having restarted.

    From playlists with sound, `image_packets` and `sound_packets` take out shorter jumps before.
    """
    return _HALF_ROUND_S if _may_restart(container) else LONGEST_GAP_S


def has_restarted(passed_s: float, longest_s: float) -> bool:
    """Return whether a clock has restarted, by what it says has passed, in seconds.

    Args:
        passed_s: Time since the image, or sound, before.
        longest_s: From `longest_gap_s`.
    """
    return not -CLOCK_RESTARTS_S <= passed_s < longest_s


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
    if _is_read_once(source):
        return ()
    found = os.stat(source)
    return _shifts_s(os.path.abspath(source), found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=16)
def _shifts_s(source: str, size: int, changed_ns: int) -> tuple[float, ...]:
    """Return the shifts of a file while it has this size and time of change."""
    with open_input(source) as container:
        if not _may_restart(container) or not moving_streams(container):
            return ()
        stream = video_stream_of(container, source)
        restarts = _Restarts(longest_gap_s(container), stream)
        for packet in _packets(container.demux(stream), source):
            restarts.add(packet)
    return tuple(restarts.shifts_s)


def image_packets(container: InputContainer, images: VideoStream) -> Iterator[Packet]:
    """Return the packets of a file's images; those of a playlist with sound without restarts.

    Sound tells them from pauses of the images, as in a slideshow: then it goes on.
    """
    sounds = known_streams(container.streams.audio)
    if not sounds or not _is_playlist(container):
        return container.demux(images)
    return _without_restarts(container, images, sounds[0], images)


def sound_packets(
    container: InputContainer, sound: AudioStream, source: str | Path | Pipe
) -> tuple[Iterator[Packet], Sequence[float]]:
    """Return the packets of a file's sound, and the shifts of its images (`clock_shifts_s`).

    Those of a pipe or an address are already shifted, as they cannot be read twice.

    Args:
        container: The opened source.
        sound: One of its streams.
        source: A file, pipe or address.
    """
    is_alone = not _may_restart(container) or not moving_streams(container)
    if is_alone or not _is_read_once(source):
        return container.demux(sound), clock_shifts_s(source)
    images = video_stream_of(container, str(source))
    return _without_restarts(container, images, sound, sound), ()


def _without_restarts(
    container: InputContainer, images: VideoStream, sound: AudioStream, wanted: Stream
) -> Iterator[Packet]:
    """Yield the packets of images or of sound, those after a restart shifted as the images are.

    Sound that restarts before the images waits until they do.
    """
    longest_s = _LONGEST_IN_PLAYLIST_S if _is_playlist(container) else longest_gap_s(container)
    seen, heard = _Restarts(longest_s, images), _Clock(longest_s)
    waiting, restarted = deque[tuple[int, "Packet"]](), 0
    for packet in container.demux(images, sound):
        if packet.stream.index == images.index:
            seen.add(packet, heard)
        elif packet.dts is not None and heard.has_restarted(
            float(packet.dts * packet.time_base), seen.clock
        ):
            restarted = seen.number_of(heard.place_s, restarted)
        if packet.stream.index == wanted.index:
            number = len(seen.shifts_s) if wanted is images else restarted
            waiting.append((number, packet))
        if len(waiting) > _MOST_WAITING:  # the sound restarts alone
            restarted = len(seen.shifts_s)
            waiting = deque((restarted, one) for _, one in waiting)
        while waiting and waiting[0][0] <= len(seen.shifts_s):
            yield _shifted(*waiting.popleft(), seen.shifts_s)
    for number, packet in waiting:
        yield _shifted(number, packet, seen.shifts_s)


def _shifted(number: int, packet: Packet, shifts_s: Sequence[float]) -> Packet:
    """Return a packet after so many restarts, shifted as the images after them."""
    if shifts_s and number and packet.pts is not None and packet.dts is not None:
        ticks = round(shifts_s[min(number, len(shifts_s)) - 1] / packet.time_base)
        packet.pts += ticks
        packet.dts += ticks
    return packet


class _Clock:
    """Follows the clock of a stream, packet by packet.

    Attributes:
        place_s: What it would show if it had never restarted, in seconds.
    """

    def __init__(self, longest_s: float) -> None:
        self.place_s = -math.inf
        self._longest_s, self._before_s = longest_s, None

    def has_restarted(self, time_s: float, beside: _Clock | None = None) -> bool:
        """Return whether the clock has restarted when it shows this time.

        Args:
            time_s: The time.
            beside: Clock of the sound of these images, or the other way round. If that is ahead
                by most of a jump forward, this stream paused.
        """
        if self._before_s is None:
            self._before_s = self.place_s = time_s
        step_s, beside_s = time_s - self._before_s, beside.place_s if beside else -math.inf
        paused = 0 < step_s < 2 * (beside_s - self.place_s)
        restarted = has_restarted(step_s, self._longest_s) and not paused
        self._before_s = time_s
        self.place_s = max(self.place_s, beside_s) if restarted else self.place_s + step_s
        return restarted


class _Restarts:
    """Notes the restarts of a stream of images, packet by packet.

    Attributes:
        shifts_s: What to add to times after each restart so far, in seconds.
        clock: Of the images.
    """

    def __init__(self, longest_s: float, images: VideoStream) -> None:
        self.shifts_s: list[float] = []
        self.clock = _Clock(longest_s)
        rate = images.average_rate
        self._step_s = float(1 / rate) if rate else _DEFAULT_STEP_S
        self._shift_s, self._end_s, self._place_s = 0.0, -math.inf, -math.inf

    def add(self, packet: Packet, heard: _Clock | None = None) -> None:
        if packet.pts is None or packet.dts is None:
            return
        time_s, decoded_s = (float(ticks * packet.time_base) for ticks in (packet.pts, packet.dts))
        if self.clock.has_restarted(decoded_s, heard):
            self._shift_s = self._end_s - time_s
            self.shifts_s.append(self._shift_s)
            self._place_s = self.clock.place_s
        self._end_s = max(self._end_s, time_s + self._shift_s + self._step_s)

    def number_of(self, place_s: float, before: int) -> int:
        """Return the number, from 1, of the restart with which sound restarts: the last or next.

        Args:
            place_s: From the clock of the sound.
            before: Number of the restart with which it restarted before.
        """
        last = len(self.shifts_s)
        is_last = last > before and place_s - self._place_s < _TOGETHER_S
        return last if is_last else max(last, before) + 1


def _is_playlist(container: InputContainer) -> bool:
    return container.format.name == "hls"


def _may_restart(container: InputContainer) -> bool:
    return bool(container.format.flags & import_av().format.Flags.ts_discont.value)


def _is_read_once(source: str | Path | Pipe) -> bool:
    return isinstance(source, Pipe) or "://" in str(source)


def restart_shift_s(shifts_s: Sequence[float], own_s: float) -> float:
    """Return by how much to shift sound after a restart: as its images, if any restart with it.

    Args:
        shifts_s: From `clock_shifts_s` or `sound_packets`.
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
