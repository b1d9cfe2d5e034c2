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
from builder_tools.inference.search import Search, parts_of
from builder_tools.inference.stream_state import StreamState
from builder_tools.media import CameraReader, Frame
from builder_tools.results import Face, FaceEmotion

if TYPE_CHECKING:
    from builder_tools.geometry import FaceLandmarker

GROUPS_AHEAD = 2
"""Groups of frames of a video in work per thread."""
BYTES_AHEAD = 200_000_000
"""At most about so many bytes of frames are in work, however many threads there are."""

Analysed = tuple[Frame, tuple[FaceEmotion, ...]]


@dataclass(frozen=True)
class Analyser:
    """Detects faces and classifies them.

    Args:
        model: Tells emotions.
        detectors: Lends detectors.
        img_size: Side in px faces are resized to before the model; None leaves it to the model.
        landmarker: Finds the geometry of faces; None where nobody asked for it.
        rotate: "auto" finds faces at any turn.
    """

    model: EmotionModel
    detectors: DetectorPool
    img_size: int | None
    landmarker: FaceLandmarker | None = None
    rotate: str | int = 0

    def one(self, image_rgb: np.ndarray) -> tuple[FaceEmotion, ...]:
        """Return the faces in one `(H, W, 3)` uint8 RGB image, largest first."""
        ((_, faces, images),) = self._look([Frame(0, 0.0, image_rgb)], Search(self.rotate))
        return self._classify(image_rgb, faces, images)

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
            frames = islice(frames, max_frames)
            apart = detect_every > 1
            followed = not apart and hasattr(self.detectors.framing, "follow")
            groups = parts_of(frames) if followed else groups_of(frames, detect_every)
            first = next(groups, [])
            ahead = _groups_ahead(first, workers)
            groups = chain([first] if first else [], groups)

            def search(group: list[Frame]) -> list:
                looked_at = self._look(group[:1] if apart else group, Search(self.rotate))
                return [
                    (group if apart else [frame], faces, images)
                    for frame, faces, images in looked_at
                ]

            parts = map(search, groups)
            if workers > 1:
                parts = ordered_map(search, groups, workers=workers, ahead=ahead)
                stack.enter_context(closing(parts))
            searched = chain.from_iterable(parts)
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

        search = Search(self.rotate)

        def find(frame: Frame) -> tuple[Frame, list[Face], list[np.ndarray]]:
            ((_, faces, images),) = self._look([frame], search)
            return frame, state.name(faces, frame.time_s, frame.image), images

        def tell(found: tuple[Frame, list[Face], list[np.ndarray]]) -> Analysed:
            frame, faces, images = found
            told = self._classify(frame.image, faces, images)
            return frame, state.steady(told, frame.time_s)

        with closing(Stage(Stage(camera, find, "detector"), tell, "classifier")) as stage:
            yield from islice(awaited(stage, goes_on), max_frames)

    def _look(
        self, frames: list[Frame], search: Search
    ) -> list[tuple[Frame, list[Face], list[np.ndarray]]]:
        """Return each frame of a part of a stream with its faces and their images."""
        with self.detectors.lend() as detector:
            found = [(frame, search.find(detector, frame)) for frame in frames]
            return [(each, faces, cut_faces(each.image, faces, detector)) for each, faces in found]

    def _classify(
        self, image_rgb: np.ndarray, faces: list[Face], images: list[np.ndarray]
    ) -> tuple[FaceEmotion, ...]:
        readings = read_faces(self.model, images, self.img_size)
        shapes = face_shapes(self.landmarker, image_rgb, faces, self.detectors.framing)
        return face_emotions(self.model, faces, readings, shapes)


def _groups_ahead(group: list[Frame], workers: int) -> int:
    """Return how many groups like this one may be in work at a time."""
    needed = sum(frame.image.nbytes for frame in group) or 1
    return max(min(GROUPS_AHEAD * workers, BYTES_AHEAD // needed), 1)
