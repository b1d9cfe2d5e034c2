"""Videos encoded without the package's writer, and what is read back from them."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np

from builder_tools.media import VideoReader, VideoWriter


def grey(value: int, size: tuple[int, int] = (64, 48)) -> np.ndarray:
    return np.full((size[1], size[0], 3), value, np.uint8)


def encode(path, images, *, times=None, sar=None, codec="libx264", sound=None, trc=None, **options):
    """Encode images without our writer; times in ms, sound as (codec, rate, hz)."""
    with av.open(str(path), "w", **options) as output:
        stream = output.add_stream(codec, rate=25)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if sar:
            stream.codec_context.sample_aspect_ratio = sar
        if trc:
            stream.codec_context.color_trc = trc
        if times:
            stream.codec_context.time_base = Fraction(1, 1000)
        voice = output.add_stream(sound[0], rate=sound[1], layout="mono") if sound else None
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if times:
                frame.pts, frame.time_base = times[index], Fraction(1, 1000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        if voice:
            _, rate, hz = sound
            tone = np.sin(2 * np.pi * hz * np.arange(rate * len(images) // 25) / rate)
            samples = (8000 * tone).astype(np.int16)[None]
            heard = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            heard.sample_rate = rate
            output.mux(voice.encode(heard))
            output.mux(voice.encode(None))
    return path


def read(source) -> tuple[VideoReader, list]:
    with VideoReader(source) as reader:
        return reader, list(reader)


def record(source, out):
    """Write the images of a video again, with its sound, as `video-rec` does."""
    with (
        VideoReader(source) as reader,
        VideoWriter(out, reader.fps, reader.size, audio_from=reader) as writer,
    ):
        for frame in reader:
            writer.write(frame.image, frame.time_s)
    return out


def tone_of(path) -> tuple[float, float]:
    """The loudest frequency of a file's sound and its length in seconds."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        samples = np.concatenate([f.to_ndarray()[0] for f in container.decode(stream)])
        rate = stream.codec_context.sample_rate
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return spectrum.argmax() * rate / len(samples), len(samples) / rate
