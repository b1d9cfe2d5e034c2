"""Opens and decodes with PyAV: one import, one set of errors.

Whatever FFmpeg or PyAV raise becomes an OSError (the source stopped answering) or a ValueError (it
cannot be decoded) with a clear message, so that no other module needs to know their exceptions.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from functools import cache
from itertools import chain, islice, pairwise
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from builder_tools.media.addresses import camera_name
from builder_tools.media.animations import animation_as_video, is_animated_png
from builder_tools.media.pipes import Interrupted, Pipe

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

VIDEO_MEGAPIXELS_VARIABLE = "BUILDER_TOOLS_MAX_VIDEO_MEGAPIXELS"
DEFAULT_VIDEO_MEGAPIXELS = 68.0
"""8192 x 8192: less than for photos, as several images of a video are in memory at a time."""
MOST_SQUEEZED = 4
"""Pixels with an aspect ratio of this or more, either way, are taken to be square."""

_NOT_VIDEO_FORMATS = frozenset({"tty", "bin", "xbin", "idf", "adf", "image2"})
"""FFmpeg's formats for text art and still images, which it would readily play as videos."""
_NAMES_OTHER_FILES = {
    *("concat", "dash", "hds", "hls", "imf", "mlv", "rtp", "rtsp", "sap", "sdp", "vobsub"),
    *("smoothstreaming", "webm_dash_manifest", "avisynth", "lavfi", "vapoursynth"),
}
"""Scripts, and formats whose files name other files or addresses, which FFmpeg would open."""
_DECODING_TIMES = frozenset({"avi", "asf"})
"""Formats that tell when images are decoded, not when they are shown."""
_GUESSED_CODECS = frozenset({"h264", "hevc"})
"""Codecs of whose images FFmpeg cannot tell, without decoding, in which order they are shown."""
_MOST_LOOKED_AT, _PIXELS_LOOKED_AT = 8, 64_000_000
"""Most images, and pixels, to decode first to find out whether their times are in order."""
_OUT_OF_ORDER_S = 1.0
"""Times that go back by more are those of a clock that restarts."""


def import_av() -> ModuleType:
    """Return PyAV, or raise an ImportError that says what to install."""
    try:
        import av
    except ImportError as error:
        raise ImportError("Videos and network cameras need PyAV. Try: pip install av") from error
    return av


@contextmanager
def explained(source: str) -> Iterator[None]:
    """Turn whatever FFmpeg or PyAV raise in the `with` block into an OSError or a ValueError.

    The block should contain nothing but calls to them.

    Args:
        source: Name of the file or address for messages.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it cannot be reached, or stops answering.
        ValueError: If it cannot be decoded.
        KeyboardInterrupt: If it came while a pipe was being read.
    """
    av = import_av()
    try:
        yield
    except Interrupted as error:
        raise error.__cause__ from None
    except av.error.FileNotFoundError as error:
        raise FileNotFoundError(f"No video at {source!r}. Check the spelling.") from error
    except (av.error.ExitError, av.error.HTTPError, av.error.HTTPClientError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise OSError(f"Cannot read {source!r}: {reason}.") from error
    except Exception as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ValueError(
            f"Cannot read {source!r} as a video: damaged, cut short before its index, a playlist, "
            f"or no video at all ({reason}). Try to play it, or to convert it to MP4."
        ) from error


@contextmanager
def explained_writing(what: str | Path) -> Iterator[None]:
    """Turn whatever PyAV raises while it encodes or writes into an OSError or a ValueError."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, f"Cannot write {what}: {error.strerror or error}.") from error
    except Exception as error:
        raise ValueError(f"Cannot write {what} as a video: {error}.") from error


def open_input(source: str | Pipe, **options: Any) -> InputContainer:
    """Open a file, a pipe or an address for reading.

    A file cannot make FFmpeg open other files or addresses: playlists are refused. Animated WebP
    and PNG, which FFmpeg does not always recognise, are opened all the same.

    Args:
        source: Path, address or pipe.
        **options: Further arguments of `av.open` (`timeout`, `options`, ...).

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If FFmpeg cannot recognise the format.
        OSError: If an address does not answer.
    """
    av = import_av()
    asked = options.pop("options", {})
    if isinstance(source, str) and "://" in source:
        with explained(camera_name(source)):
            own = {"rtsp_transport": "tcp", **asked}  # packets of UDP get lost
            return av.open(source, metadata_errors="replace", options=own, **options)
    options["options"] = {"format_whitelist": _whitelist(), **asked}
    if isinstance(source, Pipe):
        start = source.start()
    elif not os.path.exists(source):
        raise FileNotFoundError(f"No video at {source!r}. Check the spelling and the folder.")
    else:
        with Path(source).open("rb") as file:
            start = file.read(16)
    if is_animated_png(source, start):
        options["format"] = "apng"
    opened = animation_as_video(source, start)
    if opened is None and isinstance(source, Pipe):
        if not source.has_late_index():
            # A live stream has no end to seek to.
            with suppress(ValueError), explained(str(source)):
                return av.open(source.forward(), metadata_errors="replace", **options)
        opened = source.view()
    with explained(str(source)):
        return av.open(opened or f"file:{source}", metadata_errors="replace", **options)


@cache
def _whitelist() -> str:
    """Return FFmpeg's formats except those that name other files."""
    return ",".join(sorted(import_av().formats_available - _NAMES_OTHER_FILES))


def video_stream_of(container: InputContainer, source: str) -> VideoStream:
    """Return the default moving-image stream, else the first, set to decode on several threads.

    Raises:
        ValueError: If there is none, `source` is text or a still image, or its images are
            too large.
    """
    kind = container.format.name
    if kind in _NOT_VIDEO_FORMATS or kind.endswith("_pipe"):
        raise ValueError(
            f"Expected a video. Received: {source!r}, which is text or a still image "
            f"(FFmpeg format {kind}). Try img for images."
        )
    known, moving = known_streams(container.streams.video), moving_streams(container)
    if not moving and len(known) < len(container.streams.video):
        raise ValueError(f"Expected a video of a codec that is known. {source!r} is of none.")
    if not moving:
        kinds = ", ".join(sorted({stream.type for stream in container.streams}))
        held = f"{kinds} only" if kinds else "none"
        raise ValueError(f"Expected a video stream. {source!r} holds {held}.")
    # An animated AVIF has a still image before its animation.
    stream = next((stream for stream in moving if stream.frames != 1), moving[0])
    codec = stream.codec_context
    check_video_size((codec.width, codec.height), source)
    with explained(source):
        codec.options = {"max_pixels": str(most_video_pixels())}  # in case images grow later
        stream.thread_type = "AUTO"
    return stream


def moving_streams(container: InputContainer) -> list[VideoStream]:
    """Return the streams of moving images; the picture on the cover of a recording is none."""
    attached = import_av().stream.Disposition.attached_pic
    known = known_streams(container.streams.video)
    return [stream for stream in known if not stream.disposition & attached]


def first_image_s(source: str | Pipe) -> float | None:
    """Return when the first image of a file is shown, in seconds on the file's own clock.

    That is time 0 of `VideoReader`. The clock may begin earlier: with sound, or with images that
    cannot be decoded because the recording began between two key frames. None if it has no image
    that can be decoded.

    Raises:
        FileNotFoundError, ValueError, OSError: As `VideoReader`.
    """
    with open_input(source) as container:
        if not moving_streams(container):
            return None
        stream = video_stream_of(container, str(source))
        packets = container.demux(stream)
        images, _ = shown_images(packets, stream, lambda parts: None, str(source))
        return next((image.time or 0.0 for image in images), None)


def known_streams(streams: Iterable[Any]) -> list[Any]:
    """Return the streams whose codec FFmpeg knows, the default ones first, as players choose.

    A damaged header may name any codec.
    """
    default = import_av().stream.Disposition.default
    known = [stream for stream in streams if stream.codec_context is not None]
    return sorted(known, key=lambda stream: not stream.disposition & default)


def square_size(image: VideoFrame, stream: VideoStream) -> tuple[int, int]:
    """Return the (width, height) of an image, unrotated, after making its pixels square."""
    width, height = image.width, image.height
    aspect = stream.sample_aspect_ratio or Fraction(1)
    if not Fraction(1, MOST_SQUEEZED) < aspect < MOST_SQUEEZED:
        return width, height
    return (round(width * aspect), height) if aspect >= 1 else (width, round(height / aspect))


def most_video_pixels() -> int:
    """Return the most pixels that an image of a video may have.

    Raises:
        ValueError: If the limit in the environment is not a number of at least 0.01.
    """
    text = os.environ.get(VIDEO_MEGAPIXELS_VARIABLE, "").strip()
    try:
        megapixels = float(text or DEFAULT_VIDEO_MEGAPIXELS)
        if not 0.01 <= megapixels <= 500:
            raise ValueError
    except ValueError:
        raise ValueError(
            f"Expected 0.01...500 in the environment's {VIDEO_MEGAPIXELS_VARIABLE}. "
            f"Received: {text!r}."
        ) from None
    return round(megapixels * 1e6)


def check_video_size(size: tuple[int, int], source: str) -> None:
    """Refuse a video whose images, (width, height), are too large to be held in memory.

    Raises:
        ValueError: If they are.
    """
    if size[0] * size[1] > most_video_pixels():
        raise ValueError(
            f"Expected images of at most {most_video_pixels() / 1e6:g} megapixels. Received: "
            f"{source!r} with {size[0]} x {size[1]}. Try a smaller copy, or a higher limit "
            f"(environment: {VIDEO_MEGAPIXELS_VARIABLE})."
        )


def decode_past_damage(
    packets: Iterator[Packet], report: Callable[[int], None], source: str
) -> Iterator[Any]:
    """Decode a stream of images or sound to its end, skipping damaged parts.

    Args:
        packets: The packets of the stream.
        report: Called with the number of damaged parts just skipped.
        source: Name of the source for error messages.

    Yields:
        `av.VideoFrame` or `av.AudioFrame`.

    Raises:
        OSError: If the source stops answering.
    """
    while True:
        try:
            with explained(source):
                packet = next(packets, None)
        except ValueError:
            report(1)
            return
        if packet is None:
            return
        try:
            with explained(source):
                decoded = packet.decode()
        except ValueError:
            report(1)
            continue
        damaged = sum(frame.is_corrupt for frame in decoded)
        if damaged:
            report(damaged)
        yield from decoded


def shown_images(
    packets: Iterator[Packet], stream: VideoStream, report: Callable[[int], None], source: str
) -> tuple[Iterator[VideoFrame], bool]:
    """Decode images from the beginning, past damage, each with the time at which it is shown.

    Images may be stored in another order than they are shown in (B-frames). Raw streams and some
    formats tell only when images are decoded, and so do files converted from them without encoding
    anew; FFmpeg guesses when they are shown, wrong by some images. They leave the decoder in the
    order, and as far apart, as they are shown: that is the time they get.

    Args:
        packets: The packets of the images, from the first.
        stream: The images.
        report: As for `decode_past_damage`, as are the errors.
        source: Name of the source for error messages.

    Returns:
        The images, and whether the file tells when they are shown.
    """
    images = decode_past_damage(packets, report, source)
    codec, format = stream.codec_context, stream.container.format
    is_told = not format.flags & import_av().format.Flags.no_timestamps.value
    if not (is_told and codec.name in _GUESSED_CODECS and codec.has_b_frames):
        return _with_times([], images, is_told), is_told
    most = min(_MOST_LOOKED_AT, _PIXELS_LOOKED_AT // max(codec.width * codec.height, 1))
    first: list[VideoFrame] = []
    try:
        for image in islice(images, most):
            first.append(image)
    except OSError:
        if not first:
            raise
        report(1)
    times_s = [image.time for image in first if image.time is not None]
    passed_s = [after - before for before, after in pairwise(times_s)]
    is_told = format.name not in _DECODING_TIMES
    is_told = is_told and not any(-_OUT_OF_ORDER_S < passed < 0 for passed in passed_s)
    return _with_times(first, images, is_told), is_told


def _with_times(
    first: list[VideoFrame], rest: Iterator[VideoFrame], is_told: bool
) -> Iterator[VideoFrame]:
    while first:
        rest = chain([first.pop()], rest)
    for image in rest:
        if not is_told:
            image.pts = image.dts
        yield image
