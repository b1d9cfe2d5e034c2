"""MediaPipe's BlazeFace models (Tasks API): the default detector.

Two models: short range (2 ms; faces of about 8 % of the frame and more) and full range (5 ms;
about 3 % and more, but unsure of small faces and wrong more often). `range="auto"` goes up a
ladder and stops at the first rung that is good enough:

1. Short range over the whole frame. Good enough if it found a face and the frame's longer side
   is at most 640 px or the largest face is at least 20 % of it: webcams, selfies, portraits.
2. Full range over the whole frame, taking even doubtful candidates (score 0.15 and up); short
   range then looks at each one from near by, and its word decides. Good enough if it found a
   face and the longer side is at most 640 px or the largest face is at least 8 % of it.
3. The same on overlapping square tiles of 60 % of the shorter side, at most `max_tiles` of them,
   where that side is at least 240 px.
   In 640x480 scenes tiles find 97 % of faces of 160 px in place of 88 %, 93 % in place of 57 % at
   80 px, 72 % in place of 33 % at 24 px (FER+ valid, 120 faces a size).

4. Where no rung found a face and the frame is noisy, rungs 1 and 2 on the smoothed frame: the
   models' own downsizing skips pixels, and noise hides faces from it. Not on tiles, where
   smoothed noise makes more false faces. `benchmarks/robustness.py` has rows for noise.

A candidate that full range is sure of (0.75 and up) stays even if short range, which knows no
profiles, does not see it. The score of a face is that of the model that decided. Costs and recall
are measured by `benchmarks/detectors.py`, in `reports/detectors.md`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np

from builder_tools.assets import asset_path
from builder_tools.detectors.base import SAME_FACE_IOU, BaseDetector, moved, suppress_overlaps
from builder_tools.detectors.mediapipe_import import (
    close_at_exit,
    import_mediapipe,
    quiet_stderr,
    without_reports,
)
from builder_tools.results import Box, Face

RANGES = ("auto", "short", "full")
SHORT_RANGE = "face_detection_short_range.tflite"
FULL_RANGE = "face_detection_full_range_sparse.tflite"

SMALL_FRAME_PX = 640
NEAR_FACE = 0.20
MIDDLE_FACE = 0.08
CANDIDATE_SCORE = 0.15
SURE_SCORE = 0.75
MAX_CANDIDATES = 64
LOOK_AROUND = 2.5
"""Side of the square short range looks at over the candidate's side."""
FULL_RANGE_SCALE = 0.95
"""Full range frames faces a little wider; its boxes are scaled to short range's."""
SMALLEST_TILED_PX = 240
"""The shorter side of frames that are cut into tiles: what full range does not see whole in
smaller ones is no face of a useful size."""
TILE = 0.6
TILE_OVERLAP = 0.25
NOISY = 5.0
"""Standard deviation of the noise in grey levels from which a frame counts as noisy."""
SMOOTHING_PX = 2.5
"""Standard deviation of the Gaussian that smooths such a frame."""
NOISE_WINDOW_PX = 320
TALKATIVE_RUNS = 5
"""The native library warns once, in one of its first runs; these are kept quiet."""


class MediaPipeDetector(BaseDetector):
    """Faces by MediaPipe BlazeFace, with six key points.

    Key points: eyes (left of the image first), nose tip, mouth centre, ears (the same way).
    May be shared by threads, one image at a time; for speed make one a thread. Close it, or
    use it in a `with`; one left open is closed at the end of the process.

    Args:
        min_score: Faces scored lower are left out.
        min_size_px: Faces smaller than this are left out.
        range: "auto" climbs the ladder of the module's docstring; "short" and "full" run that
            model alone, once over the whole frame.
        max_tiles: With "auto", at most this many tiles; 0 never cuts a frame into tiles (what
            that costs: faces under 3 % of the frame). A frame without any face pays for all.

    Raises:
        ImportError: If MediaPipe is not installed.
        FileNotFoundError: If the model file cannot be had; says what was tried.
    """

    # Framed as FER2013: 1.17 and -0.10 (crop_margin.py); most accurate: 1.25 and 0, with little
    # between them (crop_accuracy.py, reports/crops.md).
    crop_scale: ClassVar[float] = 1.25
    crop_shift_y: ClassVar[float] = -0.05

    def __init__(
        self,
        *,
        min_score: float = 0.6,
        min_size_px: float = 0.0,
        range: str = "auto",
        max_tiles: int = 12,
    ) -> None:
        super().__init__(min_score=min_score, min_size_px=min_size_px)
        if range not in RANGES:
            raise ValueError(f"Expected one of {list(RANGES)}. Received: range={range!r}.")
        if max_tiles < 0:
            raise ValueError(f"Expected max_tiles >= 0. Received: {max_tiles}.")
        self.range = range
        self.max_tiles = max_tiles
        self._models: dict[str, _Model] = {}
        with self._lock:
            self._model(FULL_RANGE if range == "full" else SHORT_RANGE)

    def _find(self, image_rgb: np.ndarray) -> list[Face]:
        if self.range == "full":
            return [_as_short_range(face) for face in self._model(FULL_RANGE).find(image_rgb)]
        if self.range == "short":
            return self._model(SHORT_RANGE).find(image_rgb)
        found = self._climb(image_rgb, tiled=self.max_tiles > 0)
        if found or _noise(image_rgb) < NOISY:
            return found
        return self._climb(cv2.GaussianBlur(image_rgb, (0, 0), SMOOTHING_PX), tiled=False)

    def _climb(self, image_rgb: np.ndarray, *, tiled: bool) -> list[Face]:
        """Go up the ladder until a rung is good enough."""
        near = self._model(SHORT_RANGE).find(image_rgb)
        if _is_enough(near, image_rgb, NEAR_FACE):
            return near
        middle = _merge([*near, *self._look_closer(image_rgb)])
        if not tiled or _is_enough(middle, image_rgb, MIDDLE_FACE):
            return middle
        if min(image_rgb.shape[:2]) < SMALLEST_TILED_PX:
            return middle
        return _merge([*middle, *self._look_at_tiles(image_rgb, middle)])

    def _look_closer(self, image_rgb: np.ndarray) -> list[Face]:
        """Find candidates with full range and have short range decide on each."""
        return self._decide_all(image_rgb, self._model(FULL_RANGE).find(image_rgb))

    def _look_at_tiles(self, image_rgb: np.ndarray, known: list[Face]) -> list[Face]:
        """Do the same tile by tile, but for candidates that are faces known already."""
        tiles = _tiles(image_rgb.shape[1], image_rgb.shape[0], self.max_tiles)
        seen = (self._find_within(FULL_RANGE, image_rgb, tile) for tile in tiles)
        candidates = _merge(candidate for faces in seen for candidate in faces)
        new = [
            candidate
            for candidate in candidates
            if not any(_holds(candidate.box, face.box.centre) for face in known)
        ]
        return self._decide_all(image_rgb, new)

    def _decide_all(self, image_rgb: np.ndarray, candidates: list[Face]) -> list[Face]:
        decided = (self._decide(image_rgb, one) for one in candidates[:MAX_CANDIDATES])
        return [face for face in decided if face is not None]

    def _decide(self, image_rgb: np.ndarray, candidate: Face) -> Face | None:
        height, width = image_rgb.shape[:2]
        window = candidate.box.square().scale(LOOK_AROUND).clip(width, height).round()
        seen = [
            face
            for face in self._find_within(SHORT_RANGE, image_rgb, window)
            if _holds(candidate.box, face.box.centre) and face.score >= self.min_score
        ]
        if seen:
            return max(seen, key=lambda face: face.score)
        return _as_short_range(candidate) if candidate.score >= SURE_SCORE else None

    def _find_within(self, name: str, image_rgb: np.ndarray, window: Box) -> list[Face]:
        x1, y1, x2, y2 = (int(value) for value in window.xyxy)
        if x2 <= x1 or y2 <= y1:
            return []
        part = np.ascontiguousarray(image_rgb[y1:y2, x1:x2])
        return [moved(face, x1, y1) for face in self._model(name).find(part)]

    def _model(self, name: str) -> _Model:
        if name not in self._models:
            lowest = CANDIDATE_SCORE if name == FULL_RANGE else self.min_score
            self._models[name] = _Model(asset_path(name), min(lowest, self.min_score))
        return self._models[name]

    def _leave_to_parent(self) -> None:
        self._models = {}  # the threads of those are in the parent: to run them hangs for ever

    def _release(self) -> None:
        for model in self._models.values():
            model.close()
        self._models.clear()


class _Model:
    """One BlazeFace model: an array in, faces in its pixels out, best score first."""

    def __init__(self, path: Path, min_score: float) -> None:
        self._mediapipe = import_mediapipe()
        tasks = self._mediapipe.tasks
        options = tasks.vision.FaceDetectorOptions(
            base_options=without_reports(tasks.BaseOptions(model_asset_path=str(path))),
            min_detection_confidence=min_score,
        )
        with quiet_stderr():
            self._task = tasks.vision.FaceDetector.create_from_options(options)
        close_at_exit(self._task)
        self._talkative_runs = TALKATIVE_RUNS

    def find(self, image_rgb: np.ndarray) -> list[Face]:
        height, width = image_rgb.shape[:2]
        faces = [_face(found, width, height) for found in self._run(image_rgb).detections]
        return sorted(faces, key=lambda face: face.score, reverse=True)

    def _run(self, image_rgb: np.ndarray) -> Any:
        image = self._mediapipe.Image(self._mediapipe.ImageFormat.SRGB, image_rgb)
        if self._talkative_runs == 0:
            return self._task.detect(image)
        self._talkative_runs -= 1
        with quiet_stderr():
            return self._task.detect(image)

    def close(self) -> None:
        with quiet_stderr():
            self._task.close()


def _face(found: Any, width: int, height: int) -> Face:
    box = found.bounding_box
    x2, y2 = box.origin_x + box.width, box.origin_y + box.height
    keypoints = np.array([(point.x * width, point.y * height) for point in found.keypoints])
    corners = Box(float(box.origin_x), float(box.origin_y), float(x2), float(y2))
    return Face(corners, float(found.categories[0].score), keypoints)


def _merge(faces: Iterable[Face]) -> list[Face]:
    return suppress_overlaps(faces, SAME_FACE_IOU)


def _as_short_range(face: Face) -> Face:
    return Face(face.box.scale(FULL_RANGE_SCALE), face.score, face.keypoints)


def _holds(box: Box, point: tuple[float, float]) -> bool:
    return box.x1 <= point[0] <= box.x2 and box.y1 <= point[1] <= box.y2


def _is_enough(faces: list[Face], image_rgb: np.ndarray, part: float) -> bool:
    """Return whether a face was found and the frame is small or the largest face is not."""
    longer_px = max(image_rgb.shape[:2])
    largest_px = max((max(face.box.width, face.box.height) for face in faces), default=0.0)
    return bool(faces) and (longer_px <= SMALL_FRAME_PX or largest_px >= part * longer_px)


def _noise(image_rgb: np.ndarray) -> float:
    """Estimate the noise in the middle of a frame, in grey levels (Immerkaer, 1996)."""
    height, width = image_rgb.shape[:2]
    top, left = max((height - NOISE_WINDOW_PX) // 2, 0), max((width - NOISE_WINDOW_PX) // 2, 0)
    middle = image_rgb[top : top + NOISE_WINDOW_PX, left : left + NOISE_WINDOW_PX]
    if min(middle.shape[:2]) < 3:
        return 0.0
    grey = cv2.cvtColor(middle, cv2.COLOR_RGB2GRAY).astype(np.float32)
    step = np.array([[1, -2, 1]], np.float32)
    curved = cv2.filter2D(grey, -1, step.T @ step)[1:-1, 1:-1]
    return float(np.abs(curved).mean() * math.sqrt(math.pi / 2) / 6)


def _tiles(width: int, height: int, max_tiles: int) -> Iterator[Box]:
    """Yield overlapping squares that cover the frame; larger ones if there are too many."""
    side = TILE * min(width, height)
    columns, rows = _count(width, side), _count(height, side)
    while columns * rows > max_tiles and columns * rows > 1:
        side *= 1.1
        columns, rows = _count(width, side), _count(height, side)
    for y in np.linspace(0, max(height - side, 0), rows):
        for x in np.linspace(0, max(width - side, 0), columns):
            yield Box(x, y, x + side, y + side).clip(width, height).round()


def _count(length: float, side: float) -> int:
    step = side * (1 - TILE_OVERLAP)
    return 1 + max(math.ceil((length - side) / step - 1e-9), 0)
