"""The faces of images and what they show: of one, of every frame, or of the newest ones."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING

import numpy as np

from builder_tools.inference.between import groups_of, named_frames
from builder_tools.inference.live import Stage, awaited
from builder_tools.inference.models import EmotionModel
from builder_tools.inference.ordered import ordered_map
from builder_tools.inference.pool import DetectorPool
from builder_tools.inference.reader import cut_faces, face_emotions, face_shapes, read_faces
from builder_tools.inference.stream_state import StreamState
from builder_tools.media import CameraReader, Frame
from builder_tools.results import Face, FaceEmotion

if TYPE_CHECKING:
    from builder_tools.geometry import FaceLandmarker

FRAMES_AHEAD = 2
"""Frames of a video in work per thread; bounds the memory (a 4K frame takes 25 MB)."""
BYTES_AHEAD = 400_000_000
"""Of larger frames so many bytes are in work, however many threads there are."""

Analysed = tuple[Frame, tuple[FaceEmotion, ...]]


@dataclass(frozen=True)
class Analyser:
    """Detects faces and classifies them.

    Args:
        model: Tells emotions.
        detectors: Lends detectors.
        img_size: Side in px faces are resized to before the model; None leaves it to the model.
        landmarker: Finds the geometry of faces; None where nobody asked for it.
    """

    model: EmotionModel
    detectors: DetectorPool
    img_size: int | None
    landmarker: FaceLandmarker | None = None

    def one(self, image_rgb: np.ndarray) -> tuple[FaceEmotion, ...]:
        """Return the faces in one `(H, W, 3)` uint8 RGB image, largest first."""
        return self._classify(image_rgb, *self._detect(image_rgb))

    def every(
        self,
        frames: Iterable[Frame],
        state: StreamState,
        *,
        workers: int = 1,
        detect_every: int = 1,
        max_frames: int | None = None,
    ) -> Generator[Analysed]:
        """Yield every frame with its faces; close `frames` at the end, where they can be closed.

        Args:
            frames: In their order.
            state: Names faces, calms emotions.
            workers: Threads that detect.
            detect_every: Search every so many frames only.
            max_frames: Ends after so many.
        """
        with ExitStack() as stack:
            if hasattr(frames, "close"):
                stack.enter_context(closing(frames))
            groups = groups_of(islice(frames, max_frames), detect_every)
            first = next(groups, [])
            ahead = _groups_ahead(first, workers)
            groups = chain([first] if first else [], groups)
            searched = stack.enter_context(closing(self._search(groups, workers, ahead)))
            for frame, faces, images in named_frames(searched, state, self.detectors.cut):
                told = self._classify(frame.image, faces, images)
                yield frame, state.steady(told, frame.time_s)

    def newest(
        self,
        camera: CameraReader,
        state: StreamState,
        goes_on: Callable[[], bool],
        *,
        max_frames: int | None = None,
    ) -> Generator[Analysed]:
        """Yield the newest image with its faces; close `camera` at the end.

        The camera, the detector, the model and whoever takes the images are each on a thread
        of their own and go at their own pace.

        Args:
            camera: Gives the images.
            state: Names faces, calms emotions.
            goes_on: Asked while the camera gives nothing; False ends it.
            max_frames: Ends after so many.
        """

        def find(frame: Frame) -> tuple[Frame, list[Face], list[np.ndarray]]:
            faces, images = self._detect(frame.image)
            return frame, state.name(faces, frame.time_s, frame.image), images

        def tell(found: tuple[Frame, list[Face], list[np.ndarray]]) -> Analysed:
            frame, faces, images = found
            told = self._classify(frame.image, faces, images)
            return frame, state.steady(told, frame.time_s)

        with closing(Stage(Stage(camera, find, "detector"), tell, "classifier")) as stage:
            yield from islice(awaited(stage, goes_on), max_frames)

    def _search(self, groups: Iterable[list[Frame]], workers: int, ahead: int) -> Generator:
        """Return each group of frames with the faces of its first and their images, in order."""

        def search(group: list[Frame]):
            return group, *self._detect(group[0].image)

        if workers == 1:
            return (search(group) for group in groups)
        return ordered_map(search, groups, workers=workers, ahead=ahead)

    def _detect(self, image_rgb: np.ndarray) -> tuple[list[Face], list[np.ndarray]]:
        with self.detectors.lend() as detector:
            faces = detector.detect(image_rgb)
            return faces, cut_faces(image_rgb, faces, detector)

    def _classify(
        self, image_rgb: np.ndarray, faces: list[Face], images: list[np.ndarray]
    ) -> tuple[FaceEmotion, ...]:
        readings = read_faces(self.model, images, self.img_size)
        shapes = face_shapes(self.landmarker, image_rgb, faces, self.detectors.framing)
        return face_emotions(self.model, faces, readings, shapes)


def _groups_ahead(group: list[Frame], workers: int) -> int:
    """Return how many groups like this one may be in work at a time."""
    needed = sum(frame.image.nbytes for frame in group) or 1
    return max(min(FRAMES_AHEAD * workers, BYTES_AHEAD // needed), 1)
