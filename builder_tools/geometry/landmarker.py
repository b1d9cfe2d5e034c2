"""MediaPipe's face landmarker, run directly on the faces that a detector has found.

MediaPipe's own task would search each crop for a face again and takes 1.6 times as long
(`reports/geometry.md`); here the two networks of its file run in LiteRT on one thread. A face is
cut out upright with its surroundings; where the landmarks say that it leans, or lies elsewhere
than the box, or no face is seen, it is cut out again by them and looked at a second time; where
still none is seen, a third time without its surroundings.
"""

from __future__ import annotations

import math
import threading
from typing import Any, Self

import cv2
import numpy as np

from builder_tools.detectors.mediapipe_import import quiet_stderr
from builder_tools.geometry.bundle import read_bundle
from builder_tools.geometry.names import BLENDSHAPES
from builder_tools.geometry.pose import head_pose
from builder_tools.media.forks import at_work
from builder_tools.results import Box, FaceGeometry

INPUT_PX = 256
NUM_LANDMARKS = 478
FOUND_FROM = 0.5
"""Presence from which there is a face."""
WINDOW = 1.5
"""Side of what the network looks at over the longer side of the landmarks' box."""
SQUARE_TO_WINDOW = 1.2
"""The same over the side of a face framed as FER2013 frames faces."""
SQUARE_SHIFT_Y = 0.04
"""How much lower its middle is, in sides of that frame."""
SAME_ROLL_DEG = 12.0
SAME_PLACE = 0.12
"""In sides of the window."""
SAME_SIDE = 1.25
"""Landmarks that turn, move or resize the window by more than these are looked for again."""
EYE_CORNERS = (33, 263)
"""The outer ones: of the eye on the left of the image and of the right one."""

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
"""The landmarks that blendshapes are read from, as MediaPipe takes them."""


class FaceLandmarker:
    """Finds the shape of faces. Close it, or use it in a `with`.

    May be shared by threads, one face at a time.

    Raises:
        ImportError: If LiteRT is not installed; says how to install it.
        FileNotFoundError: If the networks' file cannot be had; says what was tried.
    """

    def __init__(self) -> None:
        bundle = read_bundle()
        self._landmarks = _Network(bundle.landmarks)
        self._blendshapes = _Network(bundle.blendshapes)
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
        """Return the shape of a face, or None and why there is none.

        Args:
            image_rgb: `(H, W, 3)` uint8 RGB.
            square: The face, framed as FER2013 frames faces (`inference.face_square`).
            roll_deg: How far the face leans to the right of the image, where that is known: of
                great angles it saves the second look.

        Raises:
            RuntimeError: If it is closed.
        """
        with self._lock:
            if self._landmarks is None:
                raise RuntimeError("This FaceLandmarker is closed. Make a new one.")
            landmarks, presence = self._best(image_rgb, square, roll_deg)
            if presence < FOUND_FROM:
                return None, f"the landmarker sees no face (presence {presence:.2f})"
            (scores,) = self._blendshapes.run(landmarks[None, SUBSET, :2].astype(np.float32))
        blendshapes = dict(zip(BLENDSHAPES, scores.ravel().tolist(), strict=True))
        return FaceGeometry(landmarks, blendshapes, head_pose(landmarks), presence), ""

    def _best(
        self, image_rgb: np.ndarray, square: Box, roll_deg: float
    ) -> tuple[np.ndarray, float]:
        """Return landmarks and presence of the look that a face is found in, one of up to three."""
        centre = square.shift(0, SQUARE_SHIFT_Y * square.height).centre
        window = _Window(centre, square.width * SQUARE_TO_WINDOW, roll_deg)
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
        """Return `(478, 3)` landmarks in pixels of the image, and the presence."""
        to_image = window.to_image()
        found, logit, _ = self._landmarks.run(_cut(image_rgb, to_image))
        points = found.reshape(NUM_LANDMARKS, 3)
        x_y = points[:, :2] @ to_image[:, :2].T + to_image[:, 2]
        depth = points[:, 2:] * (window.side_px / INPUT_PX)
        presence = 1 / (1 + math.exp(-float(logit.item())))
        return np.hstack([x_y, depth]).astype(np.float32), presence


class _Window:
    """The turned square that the network looks at."""

    def __init__(self, centre: tuple[float, float], side_px: float, roll_deg: float) -> None:
        self.centre, self.side_px, self.roll_deg = centre, max(side_px, 1.0), roll_deg

    def is_like(self, other: _Window) -> bool:
        turn = abs((self.roll_deg - other.roll_deg + 180) % 360 - 180)
        ratio = max(self.side_px, other.side_px) / min(self.side_px, other.side_px)
        moved = math.dist(self.centre, other.centre) / self.side_px
        return turn <= SAME_ROLL_DEG and moved <= SAME_PLACE and ratio <= SAME_SIDE

    def to_image(self) -> np.ndarray:
        """Return the `(2, 3)` matrix from x, y of the network's input to those of the image."""
        step, angle = self.side_px / INPUT_PX, math.radians(self.roll_deg)
        cos, sin = step * math.cos(angle), step * math.sin(angle)
        turn = np.array([[cos, -sin], [sin, cos]])
        return np.column_stack([turn, self.centre - turn @ (INPUT_PX / 2, INPUT_PX / 2)])


def _window_of(landmarks: np.ndarray) -> _Window:
    """Return the window around landmarks, upright with the eyes."""
    left, right = landmarks[list(EYE_CORNERS), :2].astype(float)
    angle = math.atan2(right[1] - left[1], right[0] - left[0])
    cos, sin = math.cos(angle), math.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]])
    upright = landmarks[:, :2] @ turn
    low, high = upright.min(axis=0), upright.max(axis=0)
    centre = tuple((turn @ ((low + high) / 2)).tolist())
    return _Window(centre, WINDOW * float((high - low).max()), math.degrees(angle))


def _cut(image_rgb: np.ndarray, to_image: np.ndarray) -> np.ndarray:
    """Return what the network sees, `(1, 256, 256, 3)` float32 0...1; edges are repeated."""
    corners = np.array([[0, 0, 1], [0, 256, 1], [256, 0, 1], [256, 256, 1]]) @ to_image.T
    height, width = image_rgb.shape[:2]
    x1, y1 = np.clip(np.floor(corners.min(axis=0)).astype(int) - 2, 0, [width - 1, height - 1])
    x2, y2 = np.clip(
        np.ceil(corners.max(axis=0)).astype(int) + 2, [x1 + 1, y1 + 1], [width, height]
    )
    part, matrix = image_rgb[y1:y2, x1:x2], to_image.copy()
    matrix[:, 2] -= x1, y1
    times = math.hypot(*to_image[:, 0])
    if times > 2:  # so that no pixel is skipped
        small = [max(round(side / times), 1) for side in part.shape[1::-1]]
        factors = np.array(small) / part.shape[1::-1]
        part = cv2.resize(np.ascontiguousarray(part), small, interpolation=cv2.INTER_AREA)
        matrix *= factors[:, None]
    matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5  # OpenCV counts from the middle of a pixel
    seen = cv2.warpAffine(
        np.ascontiguousarray(part),
        matrix,
        (INPUT_PX, INPUT_PX),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.multiply(seen[None], np.float32(1 / 255), dtype=np.float32)


class _Network:
    """A LiteRT network on one thread."""

    def __init__(self, content: bytes) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise ImportError(
                "The geometry of faces needs LiteRT. Try: pip install 'builder-tools[geometry]'"
            ) from error
        with quiet_stderr():
            self._interpreter = Interpreter(model_content=content, num_threads=1)
            self._interpreter.allocate_tensors()
        self._entry = self._interpreter.get_input_details()[0]["index"]
        self._outputs = [one["index"] for one in self._interpreter.get_output_details()]

    def run(self, given: np.ndarray) -> list[Any]:
        """Return the outputs for one input, each a float32 array."""
        with at_work():
            self._interpreter.set_tensor(self._entry, given)
            self._interpreter.invoke()
            return [self._interpreter.get_tensor(index) for index in self._outputs]
