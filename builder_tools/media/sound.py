"""Carrying the sound of one file over to another, in step with the pictures."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

from builder_tools.media.pyav import import_av, open_input

if TYPE_CHECKING:
    from av import AudioStream, Packet
    from av.container import OutputContainer

COPIED_CODECS = frozenset({"aac", "mp3"})
"""Sound that every browser plays inside MP4; any other codec becomes AAC."""
AAC_RATES_HZ = (48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
"""What AAC can hold and browsers play; other rates become the first."""
SOUND_TAIL_S = 1.0
"""How long sound may run on after the last picture."""

_logger = logging.getLogger(__name__)


class SoundTrack:
    """The first sound stream of a file, written into an open container as time goes on.

    Time 0 is the first picture of the file, as in `VideoReader`; earlier sound is left out.

    Args:
        source: Path of a file with sound (a file without any gives no sound).
        output: The container to write to; the stream is added to it at once.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no media file.
    """

    def __init__(self, source: str, output: OutputContainer) -> None:
        self._input = open_input(source)
        self._output = output
        self._waiting: Packet | None = None
        self._packets: Iterator[Packet] = iter(())
        if self._input.streams.audio:
            self._open(self._input.streams.audio[0])

    def _open(self, stream: AudioStream) -> None:
        self._start_s = _start_s(self._input.streams.video or [stream])
        if stream.codec_context.codec.canonical_name in COPIED_CODECS:
            self._stream = self._output.add_stream_from_template(stream)
            self._packets = self._copied(stream)
        else:
            self._stream = self._add_aac(stream)
            self._packets = self._transcoded(stream)

    def _add_aac(self, stream: AudioStream) -> AudioStream:
        rate = stream.codec_context.sample_rate
        layout = "mono" if stream.codec_context.channels == 1 else "stereo"
        return self._output.add_stream(
            "aac", rate=rate if rate in AAC_RATES_HZ else AAC_RATES_HZ[0], layout=layout
        )

    def write_until(self, time_s: float) -> None:
        """Writes the sound up to a time in seconds from the first picture."""
        while self._waiting is not None or self._take():
            packet = self._waiting
            if packet.pts * packet.time_base > time_s:
                return
            self._output.mux(packet)
            self._waiting = None

    def close(self) -> None:
        self._packets = iter(())
        self._input.close()

    def _take(self) -> bool:
        try:
            self._waiting = next(self._packets, None)
        except import_av().error.FFmpegError as error:
            _logger.warning("The sound of %s ends early: %s", self._input.name, error)
            self._packets = iter(())
        return self._waiting is not None

    def _copied(self, stream: AudioStream) -> Iterator[Packet]:
        shift = round(self._start_s / stream.time_base)
        for packet in self._input.demux(stream):
            if packet.dts is None or packet.pts is None:
                continue
            packet.pts -= shift
            packet.dts -= shift
            if packet.pts + (packet.duration or 0) >= 0:
                packet.stream = self._stream
                yield packet

    def _transcoded(self, stream: AudioStream) -> Iterator[Packet]:
        shift = round(self._start_s / stream.time_base)
        for sound in self._input.decode(stream):
            if sound.pts is not None:
                sound.pts -= round(shift * stream.time_base / sound.time_base)
                if sound.pts < 0:
                    continue
            yield from self._stream.encode(sound)
        yield from self._stream.encode(None)


def _start_s(streams: list) -> Fraction:
    return (streams[0].start_time or 0) * streams[0].time_base
