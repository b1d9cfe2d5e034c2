"""Films of high dynamic range are seen as the same films of usual range are."""

from fractions import Fraction

import av
import numpy as np
from odd_videos import read

PAPER_WHITE, BRIGHTEST = 203.0, 10_000.0
GREYS = (30, 80, 128, 200, 250)
BT_2020, PQ = 9, 16


def as_pq(share):
    power = (share * PAPER_WHITE / BRIGHTEST) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def stripes(path, count=3):
    """Write a film of grey stripes, as bright as those of `GREYS` are on a usual screen."""
    size = 32 * len(GREYS), 48
    luma = [round(64 + 876 * as_pq((grey / 255) ** 2.4)) for grey in GREYS]
    planes = [np.repeat(luma, 32), np.full(size[0], 512), np.full(size[0], 512)]
    with av.open(str(path), "w") as output:
        quiet = {"x265-params": "log-level=none", "crf": "5"}
        stream = output.add_stream("libx265", rate=25, options=quiet)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv444p10le"
        codec = stream.codec_context
        codec.color_range, codec.colorspace = 1, BT_2020
        codec.color_primaries, codec.color_trc = BT_2020, PQ
        for number in range(count):
            image = av.VideoFrame(*size, "yuv444p10le")
            for plane, row in zip(image.planes, planes, strict=True):
                padded = np.pad(row.astype("<u2"), (0, plane.line_size // 2 - size[0]))
                plane.update(np.tile(padded, size[1]).tobytes())
            image.pts, image.time_base = number, Fraction(1, 25)
            output.mux(stream.encode(image))
        output.mux(stream.encode(None))
    return path


def test_greys_of_hdr10(tmp_path):
    """They were shown as coded: dark greys too light, light ones too dark."""
    film = stripes(tmp_path / "film.mkv")
    _, frames = read(film)
    assert len(frames) == 3
    for frame in frames:
        seen = frame.image[24, 16::32].astype(int)
        assert np.abs(seen - np.array(GREYS)[:, None]).max() <= 6
