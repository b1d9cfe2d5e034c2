"""Opening things with PyAV: one import, one set of error sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

_NOT_VIDEO_FORMATS = frozenset({"tty", "bin", "xbin", "idf", "adf", "image2"})
"""What FFmpeg calls text art and still pictures, which it would gladly play as videos."""


def import_av() -> ModuleType:
    """Gives PyAV, or an ImportError that says what to install."""
    try:
        import av
    except ImportError as error:
        raise ImportError("Videos and network cameras need PyAV. Try: pip install av") from error
    return av


def open_input(source: str, **options: Any) -> InputContainer:
    """Opens a file or an address for reading.

    Args:
        source: Path or address.
        **options: What `av.open` takes (`timeout`, `options`, ...).

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If FFmpeg cannot make out what it is.
        OSError: If an address does not answer.
    """
    av = import_av()
    try:
        return av.open(source, metadata_errors="replace", **options)
    except av.error.FileNotFoundError as error:
        raise FileNotFoundError(f"No video at {source!r}. Check the spelling.") from error
    except (av.error.InvalidDataError, av.error.EOFError) as error:
        raise ValueError(
            f"Cannot read {source!r} as a video: damaged, cut short before its index, or no video "
            f"at all ({error.strerror}). Try to play it, or to convert it to MP4."
        ) from error


def video_stream_of(container: InputContainer, source: str) -> VideoStream:
    """Gives the first moving-picture stream, set to decode on several threads.

    Raises:
        ValueError: If there is none, or `source` is text or a still picture.
    """
    kind = container.format.name
    if kind in _NOT_VIDEO_FORMATS or kind.endswith("_pipe"):
        raise ValueError(
            f"Expected a video. Received: {source!r}, which is text or a still picture "
            f"(FFmpeg format {kind}). Try img for pictures."
        )
    attached = import_av().stream.Disposition.attached_pic
    moving = [stream for stream in container.streams.video if not stream.disposition & attached]
    if not moving:
        kinds = sorted({stream.type for stream in container.streams}) or ["nothing"]
        raise ValueError(f"Expected a video stream. {source!r} holds {', '.join(kinds)} only.")
    moving[0].thread_type = "AUTO"
    return moving[0]


def decode_past_damage(
    container: InputContainer, stream: VideoStream, report: Callable[[int], None]
) -> Iterator[VideoFrame]:
    """Decodes a stream to its end, going on after damaged parts.

    Args:
        container: What to read from.
        stream: One of its video streams.
        report: Called with the number of damaged parts just met.

    Raises:
        OSError: If the source stops answering.
    """
    errors = import_av().error
    packets = container.demux(stream)
    while True:
        try:
            pictures = next(packets).decode()
        except StopIteration:
            return
        except (errors.InvalidDataError, errors.PatchWelcomeError):
            report(1)
            continue
        damaged = sum(picture.is_corrupt for picture in pictures)
        if damaged:
            report(damaged)
        yield from pictures
