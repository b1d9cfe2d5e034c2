"""Animations that FFmpeg does not recognise.

Animated WebP is read by Pillow; of an animated PNG, FFmpeg has to be told that it is one.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from typing import IO

import numpy as np

from builder_tools.media.pipes import Interrupted, Pipe

SHORTEST_MS, INSTEAD_MS = 10, 100
"""As in browsers: images with a duration of at most the first are shown for the second."""


_PNG = b"\x89PNG\r\n\x1a\n"
_MOST_CHUNKS = 1000
"""Chunks of a PNG looked at before its first image."""


def is_animated_png(source: str | Pipe, start: bytes) -> bool:
    """Return whether a source is a PNG of several images.

    FFmpeg takes it for a still image if that is not said in the first 2 kB, as behind a colour
    profile.

    Args:
        source: Path or pipe.
        start: Its first 16 bytes or more.

    Raises:
        OSError: If it cannot be read.
    """
    if not start.startswith(_PNG):
        return False
    raw, place = source.view() if isinstance(source, Pipe) else io.FileIO(source), len(_PNG)
    try:
        with io.BufferedReader(raw) as file:
            for _ in range(_MOST_CHUNKS):
                file.seek(place)
                length, kind = file.read(4), file.read(4)
                if kind in (b"", b"acTL", b"IDAT"):
                    return kind == b"acTL"
                place += 12 + int.from_bytes(length, "big")
    except Interrupted as error:
        raise error.__cause__ from None
    return False


def animation_as_video(source: str | Pipe, start: bytes) -> IO[bytes] | None:
    """Return a temporary video with the images and times of an animated WebP.

    The video is lossless; transparent pixels are composited over white, as on a web page.

    Args:
        source: Path or pipe.
        start: Its first 16 bytes or more.

    Returns:
        A file object that is removed when closed, or None if the source is not a WebP.

    Raises:
        ValueError: If it cannot be decoded, or is a still image.
    """
    if start[:4] != b"RIFF" or start[8:12] != b"WEBP":
        return None
    import av
    from PIL import Image

    file = tempfile.TemporaryFile(prefix="builder_tools_")  # noqa: SIM115
    try:
        with Image.open(source if isinstance(source, str) else source.view()) as animation:
            if getattr(animation, "n_frames", 1) < 2:
                raise ValueError("it is a still image (try img for images)")
            with av.open(file, "w", format="matroska") as output:
                durations_ms = list(_durations_ms(animation))
                rate = Fraction(1000 * len(durations_ms), sum(durations_ms))
                stream = output.add_stream("ffv1", rate=rate.limit_denominator(1001))
                stream.width, stream.height = animation.size
                stream.pix_fmt, stream.codec_context.time_base = "bgr0", Fraction(1, 1000)
                shown_ms = 0
                for index, duration_ms in enumerate(durations_ms):
                    image = av.VideoFrame.from_ndarray(_over_white(animation, index))
                    image.pts, image.time_base = shown_ms, Fraction(1, 1000)
                    output.mux(stream.encode(image))
                    shown_ms += duration_ms
                output.mux(stream.encode(None))
    except Interrupted as error:
        raise error.__cause__ from None
    except Exception as error:  # whatever a decoder raises is the file's fault
        file.close()
        raise ValueError(f"Cannot read {str(source)!r} as a video: {error}.") from error
    file.seek(0)
    return file


def _durations_ms(animation) -> Iterator[int]:
    for index in range(animation.n_frames):
        animation.seek(index)
        animation.load()  # its duration is known only then
        duration_ms = round(animation.info.get("duration", 0))
        yield duration_ms if duration_ms > SHORTEST_MS else INSTEAD_MS


def _over_white(animation, index: int) -> np.ndarray:
    """Return one image of an animation over white, `(H, W, 3)` uint8 RGB."""
    from PIL import Image

    animation.seek(index)
    rgba = animation.convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    return np.asarray(Image.alpha_composite(white, rgba).convert("RGB"))
