"""Decoded images of films and cameras in RGB: upright, with square pixels, as bright as usual."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from builder_tools.media.arrays import over_white
from builder_tools.media.hdr10 import PQ, usual_of_pq
from builder_tools.media.pyav import check_video_size, explained, import_av, square_size

if TYPE_CHECKING:
    from av import VideoFrame
    from av.video.stream import VideoStream

_QUARTER = np.array([[0, -1], [1, 0]])
"""Matrix of 90 degrees counterclockwise."""
_CRASHING_CODECS = frozenset({"png", "apng"})
"""Codecs whose side data PyAV frees twice, if there is a colour profile: that ends the process."""
_TURNED_ONE_BY_ONE = frozenset({"mjpeg"})
"""Codecs each of whose images says how it is turned (Exif); with others, the first speaks for all:
H.264 may say it once, with the first image alone."""


class Upright:
    """Converts the images of a stream.

    Args:
        first: Its first image.
        stream: The stream, which is not kept.
        name: Of the source, for messages.

    Attributes:
        size: (width, height) of the first image, in square pixels, upright.

    Raises:
        ValueError: If it is too large.
    """

    def __init__(self, first: VideoFrame, stream: VideoStream, name: str) -> None:
        self._name, self._codec = name, stream.codec_context.name
        self._reformatter = import_av().video.reformatter.VideoReformatter()
        self._first_deg = first.rotation
        self._matrices = {self._first_deg: _display_matrix(first, self._codec)}
        size = square_size(first, stream)
        check_video_size(size, name)
        self.size = size[::-1] if self._matrices[self._first_deg][0, 0] == 0 else size

    def to_rgb(self, decoded: VideoFrame, stream: VideoStream) -> np.ndarray:
        """Return an image as `(H, W, 3)` uint8 RGB.

        The image is converted in FFmpeg's buffer, which is reused for the next one, then copied.
        Returning that buffer would cost a new one per image: half the speed at 720p.

        Raises:
            ValueError: If it cannot be converted.
        """
        size = square_size(decoded, stream)
        kind = "rgba" if any(part.is_alpha for part in decoded.format.components) else "rgb24"
        with explained(self._name):
            converted = self._reformatter.reformat(decoded, *size, kind, threads=1).to_ndarray()
        image = converted.copy() if kind == "rgb24" else over_white(converted)
        if decoded.color_trc == PQ:
            image = cv2.LUT(image, usual_of_pq())
        return _turn(image, self._matrix_of(decoded))

    def _matrix_of(self, image: VideoFrame) -> np.ndarray:
        turned_deg = image.rotation if self._codec in _TURNED_ONE_BY_ONE else self._first_deg
        if turned_deg not in self._matrices:
            self._matrices[turned_deg] = _display_matrix(image, self._codec)
        return self._matrices[turned_deg]


def _display_matrix(image: VideoFrame, codec: str) -> np.ndarray:
    """Return the matrix that turns the coded image for display: `(2, 2)` of -1, 0, 1.

    Only quarter turns and mirrorings: a matrix of another angle becomes the nearest of them, and
    its scale is ignored. PNG, and images with side data that PyAV does not know, such as Exif, are
    only turned: one that should also be mirrored can end upside down.

    Call it for few images only: PyAV creates a reference cycle for each image whose side
    data is accessed, and a whole video of them takes gigabytes until garbage is collected.

    FFmpeg's matrix maps a point to x' = a x + c y, y' = b x + d y; here it is [[a, b], [c, d]].
    """
    turn = np.linalg.matrix_power(_QUARTER, round(image.rotation / 90) % 4)
    if codec in _CRASHING_CODECS:
        return turn
    try:
        data: Any = image.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV lists all side data or none of it
        return turn
    if data is None:
        return np.eye(2, dtype=int)
    given = np.frombuffer(data, np.int32)[:9].reshape(3, 3)[:2, :2].astype(float)
    straight = abs(given[0, 0]) + abs(given[1, 1]) >= abs(given[0, 1]) + abs(given[1, 0])
    signs = np.where(given < 0, -1, 1)
    return signs * (np.eye(2, dtype=int) if straight else 1 - np.eye(2, dtype=int))


def _turn(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    (a, b), (c, d) = matrix
    if a == 0 and b and c:
        image, flip_x, flip_y = cv2.transpose(image), c < 0, b < 0
    else:
        flip_x, flip_y = a < 0, d < 0
    if flip_x and flip_y:
        return cv2.flip(image, -1)
    return cv2.flip(image, int(flip_x)) if flip_x or flip_y else image
