"""Copies the sound of one file to another, in sync with the images."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from builder_tools.media.pipes import Pipe
from builder_tools.media.pyav import (
    explained,
    explained_writing,
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
from builder_tools.media.sound_samples import sound_blocks, time_zero_s

if TYPE_CHECKING:
    from av import AudioStream, Packet
    from av.container import OutputContainer

COPIED_CODECS = frozenset({"aac", "mp3"})
"""Sound that every browser plays inside MP4; any other codec becomes AAC."""
FIXED_SOUND_FORMATS = ("mov", "matroska")
"""Containers that describe their AAC once; in others it may change midway, so it is decoded."""
AAC_RATES_HZ = (48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
"""Sample rates that AAC supports and browsers play; any other rate becomes the first."""
SOUND_TAIL_S = 1.0
"""How long sound may continue after the last image."""
_AAC_FRAME = 1024
_LONGEST_SILENCE_S = 60.0
"""Gaps up to this length are filled with silence, which keeps every player in sync."""
_LONGEST_GAP_S = 3600.0
"""At a longer gap the sound ends: MP4 cannot hold gaps of many hours."""

_logger = logging.getLogger(__name__)


class SoundTrack:
    """The sound of a file, written progressively to an open container.

    Of several streams, the default one is written, else the first.
    Time 0 is the first image of the file, as in `VideoReader`; earlier sound is left out.
    Damaged sound is left out too, whatever its fault, and never affects the images.

    Args:
        source: A file or pipe; if it has no sound, none is written.
        output: The container to write to; the stream is added to it at once.
        start_s: Time 0 on the source's own clock, in seconds, if known: a live stream cannot be
            asked for it, as its first image is another in each connection.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a media file.
    """

    def __init__(
        self, source: str | Pipe, output: OutputContainer, start_s: float | None = None
    ) -> None:
        self._source, self._output = source, output
        self._input = open_input(source)
        self._waiting: Packet | None = None
        self._last_dts: int | None = None
        self._packets: Iterator[Packet] = iter(())
        for stream in known_streams(self._input.streams.audio)[:1]:
            self._start_s = time_zero_s(source, stream) if start_s is None else start_s
            self._open(stream)

    def _open(self, stream: AudioStream) -> None:
        codec = stream.codec_context
        name, is_whole = codec.codec.canonical_name, bool(codec.sample_rate and codec.channels)
        if name == "aac":
            container = self._input.format.name
            is_fixed = any(kind in container for kind in FIXED_SOUND_FORMATS)
            is_whole = is_whole and bool(codec.extradata) and is_fixed
        if is_whole and name in COPIED_CODECS:
            self._stream = self._output.add_stream_from_template(stream)
            self._packets = self._copied(stream)
        else:
            rate = codec.sample_rate
            layout = "mono" if codec.channels == 1 else "stereo"
            self._stream = self._output.add_stream(
                "aac", rate=rate if rate in AAC_RATES_HZ else AAC_RATES_HZ[0], layout=layout
            )
            self._packets = self._encoded(1 if layout == "mono" else 2)

    def write_until(self, time_s: float) -> None:
        """Write the sound up to a time in seconds from the first image."""
        while self._waiting is not None or self._take():
            packet = self._waiting
            if packet.pts * packet.time_base > time_s:
                return
            self._waiting = None
            try:
                with explained_writing("its sound"):
                    self._output.mux(packet)
            except ValueError as error:
                _logger.warning("The sound of %s ends early: %s", self._source, error)
                self._packets = iter(())

    def close(self) -> None:
        """Close the source; may be called twice."""
        self._packets = iter(())
        self._input.close()

    def _take(self) -> bool:
        """Take the next packet that can be written."""
        while True:
            try:
                with explained(str(self._source)):
                    packet = next(self._packets, None)
            except (OSError, ValueError) as error:
                _logger.warning("The sound ends early: %s", error)
                packet = None
            if packet is not None:
                gap_s = (packet.dts - (self._last_dts or 0)) * packet.time_base
                if gap_s > _LONGEST_GAP_S:
                    what = "%s: its sound jumps by %.0f s and ends there."
                    _logger.warning(what, self._source, gap_s)
                    packet = None
            if packet is None:
                self._packets, self._waiting = iter(()), None
                return False
            if packet.size and (self._last_dts is None or packet.dts > self._last_dts):
                self._last_dts, self._waiting = packet.dts, packet
                packet.pts = max(packet.pts, packet.dts)
                return True

    def _copied(self, stream: AudioStream) -> Iterator[Packet]:
        packets, shifts_s = sound_packets(self._input, stream, self._source)
        tick_s, longest_s = float(stream.time_base), longest_gap_s(self._input)
        start, shift, end = round(self._start_s / tick_s), 0, None
        for packet in packets:
            if packet.dts is None or packet.pts is None:
                continue
            if end is not None and has_restarted((packet.dts - end) * tick_s, longest_s):
                own = shift + end - packet.dts
                shift = round(restart_shift_s(shifts_s, own * tick_s) / tick_s)
            end = packet.dts + (packet.duration or 0)
            packet.pts += shift - start
            packet.dts += shift - start
            if packet.pts + (packet.duration or 0) >= 0:
                packet.stream = self._stream
                yield packet

    def _encoded(self, channels: int) -> Iterator[Packet]:
        rate = self._stream.rate
        blocks = sound_blocks(self._source, rate, channels=channels, zero_s=self._start_s)
        for place, samples in _frames(blocks, rate):
            sound = import_av().AudioFrame.from_ndarray(
                samples, format="fltp", layout=self._stream.layout.name
            )
            sound.sample_rate, sound.time_base, sound.pts = rate, Fraction(1, rate), place
            yield from self._stream.encode(sound)
        yield from self._stream.encode(None)


def _frames(
    blocks: Iterator[tuple[int, np.ndarray]], rate: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Cut blocks of sound into frames of 1024 samples, in order, with silence in short gaps.

    Args:
        blocks: From `sound_blocks`; samples before place 0 are left out.
        rate: Samples per second.

    Yields:
        (place, samples): increasing place; `(channels, 1024)` float32, the last one before a
        long gap or the end padded.
    """
    waiting, begin = None, 0
    for place, samples in blocks:
        end = begin if waiting is None else begin + waiting.shape[1]
        skipped = max(end - place, 0)
        place, samples = place + skipped, samples[:, skipped:]
        if not samples.shape[1]:
            continue
        if waiting is not None and place - end > _LONGEST_SILENCE_S * rate:
            yield begin, _padded(waiting)
            waiting = None
        if waiting is None:
            waiting, begin, end = samples[:, :0], place, place
        silence = np.zeros((samples.shape[0], place - end), np.float32)
        waiting = np.concatenate([waiting, silence, samples], axis=1)
        while waiting.shape[1] >= _AAC_FRAME:
            yield begin, np.ascontiguousarray(waiting[:, :_AAC_FRAME])
            waiting, begin = waiting[:, _AAC_FRAME:], begin + _AAC_FRAME
    if waiting is not None and waiting.shape[1]:
        yield begin, _padded(waiting)


def _padded(samples: np.ndarray) -> np.ndarray:
    return np.pad(samples, ((0, 0), (0, _AAC_FRAME - samples.shape[1])))
