"""The faces of images and what they show: of one, of every frame, or of the newest ones.

Of a video every so many frames may be looked at only (`detect_every`), searched or followed; in
between, the faces move on their way from one frame looked at to the next.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import TYPE_CHECKING

import numpy as np

from builder_tools.inference.parts import (
    GROUP_BYTES,
    Part,
    groups_of,
    parts_of,
    singles_of,
)
from builder_tools.inference.reader import (
    EmotionModel,
    face_emotions,
    face_shapes,
    read_faces,
)
from builder_tools.inference.search import Search, find_faces
from builder_tools.inference.stream import StreamState
from builder_tools.inference.threads import DetectorPool, Stage, awaited, ordered_map
from builder_tools.media import Frame
from builder_tools.results import Box, Face, FaceEmotion

if TYPE_CHECKING:
    from builder_tools.geometry import FaceLandmarker
    from builder_tools.media import CameraReader

GROUPS_AHEAD = 2
"""Groups of frames of a video in work per thread; one of what has no known length, as a pipe, which
may come slowly: its results wait for what is read after them."""
BYTES_AHEAD = 200_000_000
"""At most about so many bytes of frames are in work, however many threads there are."""
ROUNDING = 1e-9
"""The middle of the way, from times in seconds, may come out a little under a half."""

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

    def one(self, image_rgb: np.ndarray, rotate: str | int = 0) -> tuple[FaceEmotion, ...]:
        """Return the faces in one `(H, W, 3)` uint8 RGB image, largest first.

        Args:
            image_rgb: The image.
            rotate: "auto" finds faces at any turn, 0 upright ones.
        """
        with self.detectors.lend() as detector:
            faces = find_faces(detector, image_rgb, rotate)
        return self._classify(image_rgb, faces, self.detectors.cut(image_rgb, faces))

    def every(
        self,
        frames: Iterable[Frame],
        state: StreamState,
        *,
        rotate: str | int = 0,
        workers: int = 1,
        detect_every: int = 1,
        max_frames: int | None = None,
    ) -> Generator[Analysed]:
        """Yield every frame with its faces; close `frames` at the end, where they can be closed.

        Args:
            frames: In their order.
            state: Names faces, calms emotions.
            rotate: "auto" finds faces at any turn, 0 upright ones.
            workers: Threads that detect.
            detect_every: Look at every so many frames only.
            max_frames: Ends after so many.
        """
        with ExitStack() as stack:
            if hasattr(frames, "close"):
                stack.enter_context(closing(frames))
            ahead = GROUPS_AHEAD if getattr(frames, "duration_s", None) else 1
            frames = islice(frames, max_frames)
            groups: deque[list[Frame]] = deque()
            looked_at = first_ones(groups_of(frames, detect_every), groups)
            if hasattr(self.detectors.framing, "follow"):
                parts = parts_of(looked_at, most_bytes=GROUP_BYTES // detect_every)
            else:
                parts = singles_of(looked_at)

            def search(part: Part) -> list[tuple[Frame, list[Face], list[np.ndarray]]]:
                with self.detectors.lend() as detector:
                    found = part.find(detector, rotate)
                cut = self.detectors.cut
                return [(frame, faces, cut(frame.image, faces)) for frame, faces in found]

            if workers > 1:
                given = ordered_map(
                    search,
                    parts,
                    workers=workers,
                    ahead=ahead * workers,
                    weigh=lambda part: detect_every * sum(one.image.nbytes for one in part.frames),
                    most_weight=BYTES_AHEAD,
                )
                stack.enter_context(closing(given))
            else:
                given = map(search, parts)
            found = chain.from_iterable(given)
            grouped = ((groups.popleft(), faces, images) for _, faces, images in found)
            for frame, faces, images in named_frames(grouped, state, self.detectors.cut):
                told = self._classify(frame.image, faces, images)
                yield frame, state.steady(told, frame.time_s)

    def newest(
        self,
        camera: CameraReader,
        state: StreamState,
        goes_on: Callable[[], bool],
        *,
        rotate: str | int = 0,
        max_frames: int | None = None,
    ) -> Generator[Analysed]:
        """Yield the newest image with its faces; close `camera` at the end.

        The camera, the detector, the model and whoever takes the images are each on a thread
        of their own and go at their own pace.

        Args:
            camera: Gives the images.
            state: Names faces, calms emotions.
            goes_on: Asked while the camera gives nothing; False ends it.
            rotate: "auto" finds faces at any turn, 0 upright ones.
            max_frames: Ends after so many.
        """

        search = Search(rotate)

        def find(frame: Frame) -> tuple[Frame, list[Face], list[np.ndarray]]:
            with self.detectors.lend() as detector:
                faces = search.find(detector, frame)
            images = self.detectors.cut(frame.image, faces)
            return frame, state.name(faces, frame.time_s, frame.image), images

        def tell(found: tuple[Frame, list[Face], list[np.ndarray]]) -> Analysed:
            frame, faces, images = found
            told = self._classify(frame.image, faces, images)
            return frame, state.steady(told, frame.time_s)

        with closing(Stage(Stage(camera, find, "detector"), tell, "classifier")) as stage:
            yield from islice(awaited(stage, goes_on), max_frames)

    def _classify(
        self, image_rgb: np.ndarray, faces: list[Face], images: list[np.ndarray]
    ) -> tuple[FaceEmotion, ...]:
        readings = read_faces(self.model, images, self.img_size)
        shapes = face_shapes(self.landmarker, image_rgb, faces, self.detectors.framing)
        return face_emotions(self.model, faces, readings, shapes)


def first_ones(coming: Iterable[list[Frame]], groups: deque[list[Frame]]) -> Iterator[Frame]:
    """Yield the first frame of each group; append the group to `groups`."""
    for group in coming:
        groups.append(group)
        yield group[0]


def faces_between(before: Sequence[Face], after: Sequence[Face], share: float) -> list[Face]:
    """Return the faces part of the way between two searched frames, largest first.

    A person seen in both moves evenly from one place to the other. A face seen in one of them
    only stays where it is, in the half of the way that is nearer to its frame.

    Args:
        before: Faces with tracks of the searched frame before.
        after: Those of the one after.
        share: How far between them, in (0, 1).
    """
    is_early = share < 0.5 - ROUNDING
    named = {face.track: face for face in after if face.track is not None}
    moved = [
        _moved(face, named.pop(face.track), share)
        if face.track in named
        else (face if is_early else None)
        for face in before
    ]
    appeared = [] if is_early else list(named.values())
    faces = [face for face in (*moved, *appeared) if face is not None]
    return sorted(faces, key=lambda face: face.box.area, reverse=True)


def named_frames(
    searched: Iterable[tuple[list[Frame], list[Face], list[np.ndarray]]],
    state: StreamState,
    cut: Callable[[np.ndarray, Sequence[Face]], list[np.ndarray]],
) -> Iterator[tuple[Frame, list[Face], list[np.ndarray]]]:
    """Yield every frame with its faces, named, and their images.

    Args:
        searched: Groups of frames, with the faces and their images of each first frame.
        state: Names faces.
        cut: Cuts the images of faces out of a frame that was not searched.
    """
    group: list[Frame] = []
    before: list[Face] = []
    for coming, faces, images in searched:
        named = state.name(faces, coming[0].time_s, coming[0].image)
        yield from _between(group, before, named, coming[0].time_s, cut)
        yield coming[0], named, images
        group, before = coming, named
    yield from _between(group, before, before, math.inf, cut)


def _between(group: Sequence[Frame], before, after, end_s: float, cut) -> Iterator:
    """Yield the frames of a group but its first, with faces on their way to the next group."""
    for frame in group[1:]:
        share = (frame.time_s - group[0].time_s) / (end_s - group[0].time_s)
        faces = faces_between(before, after, share)
        yield frame, faces, cut(frame.image, faces)


def _moved(before: Face, after: Face, share: float) -> Face:
    def mean(first, second):
        return (1 - share) * np.asarray(first) + share * np.asarray(second)

    keypoints = None
    if before.keypoints is not None and after.keypoints is not None:
        keypoints = mean(before.keypoints, after.keypoints)
    box = Box(*mean(before.box.xyxy, after.box.xyxy).tolist())
    return replace(
        before, box=box, score=float(mean(before.score, after.score)), keypoints=keypoints
    )
