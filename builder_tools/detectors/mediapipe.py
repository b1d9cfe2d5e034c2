"""The default detector: MediaPipe's BlazeFace for near faces, YuNet for all others.

Short range alone (1 ms) is enough for an image of at most 512 px whose faces are upright, at least
15 % of its size and beyond doubt: webcams, selfies, small portraits. All others are searched for
faces of every size by YuNet (`scales`), which `benchmarks/detectors.py` finds better and faster
than tiles, or, if its file is not available, by MediaPipe's two models in tiles (`tiles`).

If nothing is found and the image is noisy, a smoothed copy is searched, as noise hides faces.
`benchmarks/robustness.py` has rows for noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import ClassVar

import cv2
import numpy as np

from builder_tools.assets import asset_path
from builder_tools.detectors.base import (
    LONGEST_SIDE_PX,
    SAME_FACE_IOU,
    BaseDetector,
    check_image,
    moved,
)
from builder_tools.detectors.full_range import FULL_RANGE, FullRange
from builder_tools.detectors.places import search_places
from builder_tools.detectors.scales import (
    UNSURER_BY,
    search_and_doubt,
    search_large,
    search_near,
    search_scales,
    yunet,
)
from builder_tools.detectors.short_range import SHORT_RANGE, ShortRange
from builder_tools.detectors.tiles import CANDIDATE_SCORE, search_tiles
from builder_tools.fields import check_whole
from builder_tools.media.forks import at_work
from builder_tools.results import Box, Face, crop

SearchAndDoubt = Callable[..., tuple[list[Face], list[Face]]]

RANGES = ("auto", "short", "full", "tiles")

QUICK_PX = 512
NEAR_FACE = 0.15
QUICK_SCORE = 0.88
QUICK_ROLL_DEG = 30.0
NOISY = 5.0
"""Standard deviation of noise, in grey levels, from which an image counts as noisy."""
SMOOTHING_PX = 2.5
"""Standard deviation of the Gaussian used to smooth such an image."""
NOISE_WINDOW_PX = 320
LOOK_AROUND = 2.0
"""Size of the window short range examines around another network's face, relative to the face."""


class MediaPipeDetector(BaseDetector):
    """Find faces from 1 % of the image's longer side up, with key points.

    Key points: eyes (in an upright face, the one on the left of the image first), nose tip, mouth
    centre; with "short" and "full" also the ears. May be shared by threads, one image at a time;
    for speed, make one per thread. Close it, or use it in a `with`; if left open, it is closed at
    the end of the process.

    Args:
        min_score: Faces with a lower score are left out. With 0.7, false faces appear in under
            1 % of images without any (`reports/detectors.md`).
        min_size_px: Faces smaller than this are left out.
        range: "auto" searches as described in the module's docstring; "short" and "full" run that
            model alone, once over the whole image; "tiles" runs both, in tiles, without YuNet.
        max_tiles: Maximum number of tiles; 0 never cuts an image into tiles.

    Raises:
        ImportError: If MediaPipe is not installed.
        FileNotFoundError: If the model file is not available; says what was tried.
    """

    frame: ClassVar[tuple[float, float]] = 1.12, -0.02  # as in FER2013 (crop_margin.py)
    # Most accurate on three data sets, by a narrow margin (crop_accuracy.py, reports/crops.md):
    crop_scale: ClassVar[float] = 1.06
    crop_shift_y: ClassVar[float] = -0.1
    # Upright faces of photographs have it; upside down, they have at most 0.909 (detectors.md):
    sure_score: ClassVar[float | None] = 0.91

    def __init__(
        self,
        *,
        min_score: float = 0.7,
        min_size_px: float = 0.0,
        range: str = "auto",
        max_tiles: int = 12,
    ) -> None:
        super().__init__(min_score=min_score, min_size_px=min_size_px)
        if range not in list(RANGES):
            raise ValueError(f"Expected one of {list(RANGES)}. Received: range={range!r}.")
        check_whole(0, max_tiles=max_tiles)
        self.range = range
        self.max_tiles = max_tiles
        self._short: ShortRange | None = None
        self._full: FullRange | None = None
        if range == "full":
            self._full_range()
        else:
            self._short_range()

    def follow(self, image_rgb: np.ndarray, faces: Sequence[Face]) -> list[Face] | None:
        """Return the faces, largest first, found again near where they were a moment ago.

        Returns None if the whole image has to be searched: without YuNet, or if it is small.

        Args:
            image_rgb: `(H, W, 3)` uint8 RGB, of the same size as the previous image.
            faces: Faces of the previous image.
        """
        check_image(image_rgb)
        network = yunet() if self.range == "auto" else None
        if network is None:
            return None
        with at_work():
            found = search_near(network, image_rgb, faces, self.min_score)
        return None if found is None else self._tidy(found, image_rgb)

    def detect_and_doubt(self, image_rgb: np.ndarray) -> tuple[list[Face], list[Face]]:
        """Return the faces that `detect` finds, and places where one may be seen a moment later.

        Faint faces are left out, as they cost a stream more than they are worth.

        Args:
            image_rgb: `(H, W, 3)` uint8 RGB.
        """
        if max(image_rgb.shape[:2]) > LONGEST_SIDE_PX:
            return self.detect(image_rgb), []
        with self._working_on(image_rgb):
            found, doubts = self._find_and_doubt(np.ascontiguousarray(image_rgb))
        return self._tidy(found, image_rgb), doubts

    def detect_at(
        self, image_rgb: np.ndarray, faces: Sequence[Face], doubts: Sequence[Face]
    ) -> tuple[list[Face], list[Face]] | None:
        """Return the faces and doubts that `detect_and_doubt` would find in certain places.

        Returns None if the whole image has to be searched, or might as well be.

        Args:
            image_rgb: `(H, W, 3)` uint8 RGB, of the same size as the previous image.
            faces: Faces of the previous image.
            doubts: Its doubts; large or turned ones are skipped.
        """
        network = yunet() if self.range == "auto" else None
        if network is None or max(image_rgb.shape[:2]) <= QUICK_PX:
            return None
        with self._working_on(image_rgb):
            seen = search_places(network, image_rgb, faces, doubts, self.min_score, self._seen_in)
        return None if seen is None else (self._tidy(seen[0], image_rgb), seen[1])

    def detect_large(self, image_rgb: np.ndarray) -> list[Face] | None:
        """Return what one quick look shows: faces of at least about 5 % of an image, largest first.

        Returns None, not [], without YuNet.

        Args:
            image_rgb: `(H, W, 3)` uint8 RGB.
        """
        check_image(image_rgb)
        network = yunet() if self.range == "auto" else None
        if network is None:
            return None
        with at_work():
            found = search_large(network, image_rgb, self.min_score)
        return self._tidy(found, image_rgb)

    def detect_near(self, image_rgb: np.ndarray) -> list[Face]:
        """Return the faces of an image that is almost filled by a face, largest first.

        Uses short range alone: on a tilted face it places the eyes more accurately than YuNet.

        Args:
            image_rgb: `(H, W, 3)` uint8 RGB.

        Raises:
            ValueError: If the image has the wrong shape or type.
        """
        with self._working_on(image_rgb):
            found = self._near(image_rgb)
        return self._tidy(found, image_rgb)

    def _find(self, image_rgb: np.ndarray) -> list[Face]:
        return self._find_and_doubt(image_rgb, lambda *given: (search_scales(*given), []))[0]

    def _find_and_doubt(
        self, image_rgb: np.ndarray, search: SearchAndDoubt = search_and_doubt
    ) -> tuple[list[Face], list[Face]]:
        if self.range == "full":
            return self._full_range().find(image_rgb), []
        if self.range == "short":
            return self._near(image_rgb), []
        if max(image_rgb.shape[:2]) <= QUICK_PX:
            near = self._near(image_rgb)
            if near and all(_is_plain(face, image_rgb) for face in near):
                return near, []
        found, doubts = self._search(image_rgb, search)
        if found or _noise(image_rgb) < NOISY:
            return found, doubts
        smoothed = cv2.GaussianBlur(image_rgb, (0, 0), SMOOTHING_PX)
        return self._search(smoothed, search)[0], doubts

    def _search(
        self, image_rgb: np.ndarray, search: SearchAndDoubt
    ) -> tuple[list[Face], list[Face]]:
        network = yunet() if self.range == "auto" else None
        if network is not None:
            return search(network, image_rgb, self.min_score, self._seen_in)
        short, full = self._short_range(), self._full_range()
        return search_tiles(short, full, image_rgb, self.min_score, self.max_tiles), []

    def _near(self, image_rgb: np.ndarray) -> list[Face]:
        found = self._short_range().find(image_rgb)
        return [face for face in found if face.score >= self.min_score]

    def _seen_in(self, image_rgb: np.ndarray, box: Box) -> Face | None:
        """Return the best face that short range sees where another network saw one, or None."""
        window = box.scale(LOOK_AROUND).round()
        seen = self._short_range().find(crop(image_rgb, window))
        placed = [moved(face, window.x1, window.y1) for face in seen]
        return next((face for face in placed if face.box.iou(box) > SAME_FACE_IOU), None)

    def _short_range(self) -> ShortRange:
        if self._short is None:
            least = max(self.min_score - UNSURER_BY / 2, 0.0)
            self._short = ShortRange(asset_path(SHORT_RANGE), least)
        return self._short

    def _full_range(self) -> FullRange:
        if self._full is None:
            least = min(CANDIDATE_SCORE, self.min_score)
            self._full = FullRange(asset_path(FULL_RANGE), least)
        return self._full

    def _leave_to_parent(self) -> None:
        self._full = None  # its threads are in the parent: running it would hang forever

    def _release(self) -> None:
        if self._full is not None:
            self._full.close()
            self._full = None


def _is_plain(face: Face, image_rgb: np.ndarray) -> bool:
    """Return whether a face is near, upright and beyond doubt."""
    return (
        face.score >= QUICK_SCORE
        and face.size_px >= NEAR_FACE * max(image_rgb.shape[:2])
        and abs(face.roll_deg or 0.0) <= QUICK_ROLL_DEG
    )


def _noise(image_rgb: np.ndarray) -> float:
    """Estimate the noise in the middle of an image, in grey levels (Immerkaer, 1996)."""
    height, width = image_rgb.shape[:2]
    top, left = max((height - NOISE_WINDOW_PX) // 2, 0), max((width - NOISE_WINDOW_PX) // 2, 0)
    middle = image_rgb[top : top + NOISE_WINDOW_PX, left : left + NOISE_WINDOW_PX]
    if min(middle.shape[:2]) < 3:
        return 0.0
    grey = cv2.cvtColor(middle, cv2.COLOR_RGB2GRAY).astype(np.float32)
    step = np.array([[1, -2, 1]], np.float32)
    curved = cv2.filter2D(grey, -1, step.T @ step)[1:-1, 1:-1]
    return float(np.abs(curved).mean() * math.sqrt(math.pi / 2) / 6)
