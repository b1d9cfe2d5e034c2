"""MediaPipe's face landmarker, run directly on the faces that a detector has found.

MediaPipe's own task would search each crop for a face again and takes 1.6 times as long
(`reports/geometry.md`); here the two networks in its file run in LiteRT on one thread. A face is
first cropped upright with its surroundings. If the landmarks show that it is tilted or not where
the box is, or if no face is found, it is cropped again by the landmarks for a second look; if there
is still none, it gets a third look without its surroundings.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any, Self

import cv2
import numpy as np

from builder_tools.detectors.mediapipe_import import quiet_stderr
from builder_tools.geometry.bundle import read_bundle
from builder_tools.geometry.graph import cheaper_blendshapes, filled
from builder_tools.geometry.names import BLENDSHAPES
from builder_tools.geometry.pose import head_pose
from builder_tools.media.forks import at_work
from builder_tools.results import Box, FaceGeometry

INPUT_PX = 256
NUM_LANDMARKS = 478
FOUND_FROM = 0.5
"""Least presence that counts as a face."""
WINDOW = 1.5
"""Side of the network's view relative to the longer side of the landmarks' box."""
FRAME_TO_WINDOW = 1.4
"""The same relative to the side of a face framed as in FER2013 (reports/geometry.md)."""
IMAGE_TO_WINDOW = 1.2
"""The largest view relative to the shorter side of the image: repeated edges show no face."""
FRAME_SHIFT_Y = 0.04
"""How much lower its centre is, relative to the side of that square."""
SAME_ROLL_DEG = 12.0
SAME_PLACE = 0.12
"""Relative to the side of the window."""
SAME_SIDE = 1.2
"""Landmarks that rotate, move or resize the window by more than this get a second look."""
AVX_512 = 13
"""OpenCV's number for the processor feature AVX-512 (registers of 512 bits)."""
EYE_CORNERS = [33, 263]
"""The outer corners of the eyes on the left and on the right of the image."""

SUBSET = np.array(
    [
        *(0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63),
        *(65, 66, 67, 70, 78, 80, 81, 82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132),
        *(133, 136, 144, 145, 146, 148, 149, 150, 152, 153, 154, 155, 157, 158, 159, 160, 161),
        *(162, 163, 168, 172, 173, 176, 178, 181, 185, 191, 195, 197, 234, 246, 249, 251, 263),
        *(267, 269, 270, 276, 282, 283, 284, 285, 288, 291, 293, 295, 296, 297, 300, 308, 310),
        *(311, 312, 314, 317, 318, 321, 323, 324, 332, 334, 336, 338, 356, 361, 362, 365, 373),
        *(374, 375, 377, 378, 379, 380, 381, 382, 384, 385, 386, 387, 388, 389, 390, 397, 398),
        *(400, 402, 405, 409, 415, 454, 466, 468, 469, 470, 471, 472, 473, 474, 475, 476, 477),
    ]
)
"""The landmarks that blendshapes are computed from, as in MediaPipe."""


class FaceLandmarker:
    """Finds the geometry of faces. Close it, or use it in a `with` statement.

    It may be shared by threads, one face at a time.

    Raises:
        ImportError: If LiteRT is not installed; says how to install it.
        FileNotFoundError: If the networks' file cannot be obtained; says what was tried.
    """

    def __init__(self) -> None:
        bundle = read_bundle()
        is_wide = cv2.checkHardwareSupport(AVX_512)
        self._landmarks = _Network(bundle.landmarks, filled if is_wide else bytes)
        self._blendshapes = _Network(bundle.blendshapes, cheaper_blendshapes)
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the networks. A second call does nothing."""
        with self._lock:
            self._landmarks = self._blendshapes = None

    def look(
        self, image_rgb: np.ndarray, square: Box, *, roll_deg: float = 0.0
    ) -> tuple[FaceGeometry | None, str]:
        """Return the geometry of a face and "", or None and the reason why there is none.

        Args:
            image_rgb: `(H, W, 3)` uint8 RGB.
            square: The face, framed as in FER2013 (`detectors.face_frame`).
            roll_deg: How far the face is tilted to the right of the image, if known; for large
                angles, this saves the second look.

        Raises:
            RuntimeError: If the landmarker is closed.
        """
        with self._lock:
            if self._landmarks is None:
                raise RuntimeError("This FaceLandmarker is closed. Make a new one.")
            landmarks, presence = self._best(image_rgb, square, roll_deg)
            if presence < FOUND_FROM:
                return None, f"the landmarker sees no face (presence {presence:.2f})"
            (scores,) = self._blendshapes.run(landmarks[SUBSET, :2])
        blendshapes = dict(zip(BLENDSHAPES, scores.ravel().tolist(), strict=True))
        return FaceGeometry(landmarks, blendshapes, head_pose(landmarks), presence), ""

    def _best(
        self, image_rgb: np.ndarray, square: Box, roll_deg: float
    ) -> tuple[np.ndarray, float]:
        """Return landmarks and presence from the best of up to three looks."""
        centre = square.shift(0, FRAME_SHIFT_Y * square.height).centre
        side_px = min(FRAME_TO_WINDOW * square.width, IMAGE_TO_WINDOW * min(image_rgb.shape[:2]))
        window = _Window(centre, side_px, roll_deg)
        landmarks, presence = self._find(image_rgb, window)
        better = _window_of(landmarks)
        if presence >= FOUND_FROM and window.is_like(better):
            return landmarks, presence
        again, presence_again = self._find(image_rgb, better)
        if presence_again >= FOUND_FROM:
            return again, presence_again
        if presence >= FOUND_FROM:
            return landmarks, presence
        return self._find(image_rgb, _Window(centre, square.width, roll_deg))

    def _find(self, image_rgb: np.ndarray, window: _Window) -> tuple[np.ndarray, float]:
        """Return landmarks `(478, 3)` in pixels of the image, and the presence."""
        found, logit, _ = self._landmarks.run(_cut(image_rgb, window), times=1 / 255)
        points = found.reshape(NUM_LANDMARKS, 3)
        landmarks = np.empty_like(points)
        landmarks[:, :2] = cv2.transform(points[:, None, :2], window.to_image())[:, 0]
        landmarks[:, 2] = points[:, 2] * (window.side_px / INPUT_PX)
        return landmarks, 1 / (1 + math.exp(-float(logit.item())))


class _Window:
    """The rotated square that the network sees."""

    def __init__(self, centre: tuple[float, float], side_px: float, roll_deg: float) -> None:
        self.centre, self.side_px, self.roll_deg = centre, max(side_px, 1.0), roll_deg

    def is_like(self, other: _Window) -> bool:
        turn = abs((self.roll_deg - other.roll_deg + 180) % 360 - 180)
        ratio = max(self.side_px, other.side_px) / min(self.side_px, other.side_px)
        moved = math.dist(self.centre, other.centre) / self.side_px
        return turn <= SAME_ROLL_DEG and moved <= SAME_PLACE and ratio <= SAME_SIDE

    def to_image(self) -> np.ndarray:
        """Return the `(2, 3)` matrix that maps x, y of the network's input to the image."""
        step, angle = self.side_px / INPUT_PX, math.radians(self.roll_deg)
        cos, sin, half = step * math.cos(angle), step * math.sin(angle), INPUT_PX / 2
        x, y = self.centre
        return np.array([[cos, -sin, x - half * (cos - sin)], [sin, cos, y - half * (sin + cos)]])

    def box(self) -> tuple[float, float, float, float]:
        """Return x1, y1, x2, y2 of the upright box around the square, in pixels of the image."""
        angle = math.radians(self.roll_deg)
        reach = self.side_px / 2 * (abs(math.cos(angle)) + abs(math.sin(angle)))
        x, y = self.centre
        return x - reach, y - reach, x + reach, y + reach


def _window_of(landmarks: np.ndarray) -> _Window:
    """Return the window around landmarks, aligned with the line of the eyes."""
    (left_x, left_y), (right_x, right_y) = landmarks[EYE_CORNERS, :2].tolist()
    angle = math.atan2(right_y - left_y, right_x - left_x)
    cos, sin = math.cos(angle), math.sin(angle)
    x, y = landmarks[:, 0], landmarks[:, 1]
    across, down = cos * x + sin * y, cos * y - sin * x
    low_x, high_x = float(across.min()), float(across.max())
    low_y, high_y = float(down.min()), float(down.max())
    middle_x, middle_y = (low_x + high_x) / 2, (low_y + high_y) / 2
    centre = cos * middle_x - sin * middle_y, sin * middle_x + cos * middle_y
    side = max(high_x - low_x, high_y - low_y)
    return _Window(centre, WINDOW * side, math.degrees(angle))


def _cut(image_rgb: np.ndarray, window: _Window) -> np.ndarray:
    """Return the network's view, `(256, 256, 3)` uint8 RGB; edges are repeated."""
    height, width = image_rgb.shape[:2]
    left, top, right, bottom = window.box()
    x1 = min(max(math.floor(left) - 2, 0), width - 1)
    y1 = min(max(math.floor(top) - 2, 0), height - 1)
    x2 = max(min(math.ceil(right) + 2, width), x1 + 1)
    y2 = max(min(math.ceil(bottom) + 2, height), y1 + 1)
    part, matrix = image_rgb[y1:y2, x1:x2], window.to_image()
    matrix[:, 2] -= x1, y1
    times = window.side_px / INPUT_PX
    if times > 2:  # shrink first, so that no pixel is skipped
        small = [max(round(side / times), 1) for side in part.shape[1::-1]]
        factors = np.array(small) / part.shape[1::-1]
        part = cv2.resize(part, small, interpolation=cv2.INTER_AREA)
        matrix *= factors[:, None]
    matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5  # OpenCV counts from pixel centres
    return cv2.warpAffine(
        part,
        matrix,
        (INPUT_PX, INPUT_PX),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )


class _Network:
    """A LiteRT network on one thread, in a cheaper form."""

    def __init__(self, content: bytes, cheaper: Callable[[bytes], bytes]) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise ImportError(
                "The geometry of faces needs LiteRT. Try: pip install 'builder-tools[geometry]'"
            ) from error
        with quiet_stderr():
            self._interpreter = Interpreter(model_content=cheaper(content), num_threads=1)
            self._interpreter.allocate_tensors()
        self._entry = self._interpreter.get_input_details()[0]["index"]
        self._outputs = [one["index"] for one in self._interpreter.get_output_details()]

    def run(self, given: np.ndarray, times: float = 1.0) -> list[Any]:
        """Return the outputs for one input, each a float32 array.

        Args:
            given: The input without its first axis.
            times: Factor that its numbers are multiplied by.
        """
        with at_work():
            # Write directly into the input tensor: no copy of the image, no new memory.
            np.multiply(given, np.float32(times), out=self._interpreter.tensor(self._entry)()[0])
            self._interpreter.invoke()
            return [self._interpreter.get_tensor(index) for index in self._outputs]
