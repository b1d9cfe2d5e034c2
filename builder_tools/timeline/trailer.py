"""The trailer: the highlights cut from the film, frame-accurate, with their sound."""

from __future__ import annotations

import logging
import tempfile
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from builder_tools.media import VideoWriter
from builder_tools.media.clips import ClipReader
from builder_tools.media.partial import naming_full
from builder_tools.media.sound import AAC_RATES_HZ
from builder_tools.media.sound_samples import read_sound, sound_rate_hz
from builder_tools.media.video import EARLY_END_S
from builder_tools.timeline.cuts import Cut

FADE_S = 0.01
"""Duration of the sound's fade-in and fade-out at each cut, which prevents clicks."""

_logger = logging.getLogger(__name__)


def cut_trailer(film: str | Path, cuts: Sequence[Cut], out: str | Path) -> Path:
    """Cut sections out of a film and join them: H.264 and AAC in MP4.

    Everything is re-encoded, so cuts may fall on any frame, not only on key frames; the length is
    that of the cuts to the frame, and sound starts and ends with its images to the sample. A
    film with a variable frame rate gets its mean rate. Where the film breaks off, its last image
    is repeated, and a warning says so.

    Args:
        film: The film to cut from.
        cuts: Cuts in the wanted order.
        out: File to write, ending in .mp4, .m4v or .mov; it appears when complete.

    Raises:
        FileNotFoundError, ValueError, OSError: If the film cannot be read, there is no cut, or
            `out` cannot be written.
    """
    if not cuts:
        raise ValueError("Expected at least one cut. Received: none.")
    with tempfile.TemporaryDirectory(prefix="builder_tools_") as folder, ClipReader(film) as reader:
        sound = _write_sound(Path(folder) / "sound.wav", film, cuts, reader.fps)
        with VideoWriter(out, reader.fps, reader.size, audio_from=sound) as writer:
            for cut in cuts:
                times_s = (cut.first + np.arange(cut.count)) / reader.fps
                for image in reader.images_at(times_s.tolist()):
                    writer.write(image)
        until_s = max(cut.end_s(reader.fps) for cut in cuts)
        if reader.ends_s is not None and until_s - reader.ends_s > EARLY_END_S:
            _logger.warning(
                "%s: only the images up to %.1f s could be read; in the trailer, the last one "
                "stands for those up to %.1f s.",
                *(film, reader.ends_s, until_s),
            )
    return Path(out)


def _write_sound(path: Path, film: str | Path, cuts: Sequence[Cut], fps: float) -> Path | None:
    """Write the cuts' sound as a WAV file; return None for a silent film."""
    rate = sound_rate_hz(film)
    if rate is None:
        return None
    rate = rate if rate in AAC_RATES_HZ else AAC_RATES_HZ[0]
    with wave.open(str(path), "wb") as output:
        output.setnchannels(2)
        output.setsampwidth(2)
        output.setframerate(rate)
        shown = 0
        for cut in cuts:
            begin, end = (round(place / fps * rate) for place in (shown, shown + cut.count))
            samples = read_sound(
                film, rate, start_s=cut.start_s(fps), num_samples=end - begin, channels=2
            )
            num_faded = min(round(FADE_S * rate), samples.shape[1] // 2)
            ramp = np.linspace(0, 1, num_faded, dtype=np.float32)
            samples[:, :num_faded] *= ramp
            samples[:, samples.shape[1] - num_faded :] *= ramp[::-1]
            heard = np.clip(samples, -1, 1)
            with naming_full(path):  # of the temporary folder
                output.writeframes(np.rint(heard * 32767).astype("<i2").T.tobytes())
            shown += cut.count
    return path
