"""Faces and their emotions in a single image, in every frame, or in the newest frames.

In a video, faces may be looked for in only every n-th frame (`detect_every`), by search or by
following; in between, they are moved evenly from one examined frame to the next. The first frame
after a cut is examined, too.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING

import numpy as np

from builder_tools.inference.motion import faces_between
from builder_tools.inference.parts import (
    GROUP_BYTES,
    Part,
    groups_of,
    is_cut,
    parts_of,
    singles_of,
)
from builder_tools.inference.reader import (
    EmotionModel,
    face_emotions,
    face_shapes,
    read_faces,
)
from builder_tools.inference.search import Orientation, Search, find_faces
from builder_tools.inference.stream import StreamState
from builder_tools.inference.threads import DetectorPool, Stage, awaited, run_now
from builder_tools.media import Frame
from builder_tools.parallel import ordered_map
from builder_tools.results import Face, FaceEmotion, Readings

if TYPE_CHECKING:
    from builder_tools.geometry import FaceLandmarker
    from builder_tools.media import CameraReader

BYTES_AHEAD, BYTES_A_WORKER = 200_000_000, 75_000_000
"""Approximate limits on the bytes of frames in progress: in all threads, and per thread."""

Awaited = Future[Readings]
Analysed = tuple[Frame, tuple[FaceEmotion, ...]]


@dataclass(frozen=True)
class Analyser:
    """Detect faces and classify them.

    Args:
        model: Predicts emotions.
        detectors: Lends detectors.
        img_size: Side in px to which faces are resized first; None leaves it to the model.
        landmarker: Finds the geometry of faces; None if it was not requested.
    """

    model: EmotionModel
    detectors: DetectorPool
    img_size: int | None
    landmarker: FaceLandmarker | None = None

    def one(self, image_rgb: np.ndarray, view: Orientation) -> tuple[FaceEmotion, ...]:
        """Return the faces in one `(H, W, 3)` uint8 RGB image, largest first.

        Args:
            image_rgb: The image.
            view: How it is turned first, and whether faces are found at any rotation; boxes are of
                the turned image.
        """
        image_rgb = view.applied(image_rgb)
        with self.detectors.lend() as detector:
            faces = find_faces(detector, image_rgb, view.search)
        return self._told(image_rgb, faces, self._read(image_rgb, faces).result())

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
        """Yield every frame with its faces; close `frames` at the end, if it can be closed.

        Args:
            frames: In order.
            state: Tracks faces and smooths their emotions.
            rotate: "auto" finds faces at any rotation, 0 only upright ones.
            workers: Number of threads that detect.
            detect_every: Look for faces in only every n-th frame, and in the first after a cut.
            max_frames: Stop after this many frames.
        """
        with ExitStack() as stack:
            if hasattr(frames, "close"):
                stack.enter_context(closing(frames))
            # A source of unknown length, such as a pipe, may be slow, and its results would wait
            # for the frames read after them. So nothing is read before a thread is free for it.
            has_end = bool(getattr(frames, "duration_s", None))
            ahead = workers + has_end
            most_bytes = GROUP_BYTES if has_end and workers > 1 else 0
            coming = ReadAhead(islice(frames, max_frames), most_bytes)
            groups: deque[list[Frame]] = deque()
            looked_at = first_ones(groups_of(coming, detect_every), groups)
            if hasattr(self.detectors.framing, "follow"):
                parts = parts_of(looked_at, most_bytes=GROUP_BYTES // detect_every)
            else:
                parts = singles_of(looked_at)

            read = self._read
            if workers > 1:  # the model gets a thread of its own: it may not be thread-safe
                classifier = ThreadPoolExecutor(1, thread_name_prefix="classifier")
                stack.callback(classifier.shutdown, cancel_futures=True)
                read = partial(self._read, run=classifier.submit)

            how = {"rotate": rotate, "workers": workers, "ahead": ahead, "shown": detect_every}
            found = stack.enter_context(closing(self._searched(parts, read, **how)))
            grouped = ((groups.popleft(), *told) for told in found)
            for frame, faces, readings in named_frames(grouped, state, read):
                coming.read_one()
                told = self._told(frame.image, faces, readings.result())
                yield frame, state.steady(told, frame.time_s)

    def _searched(
        self,
        parts: Iterable[Part],
        read: Callable[[np.ndarray, list[Face]], Awaited],
        *,
        rotate: str | int,
        workers: int,
        ahead: int,
        shown: int,
    ) -> Generator[tuple[list[Face], Awaited]]:
        """Yield the faces of each frame of the parts, and their future readings.

        Args:
            parts: Frames that one thread examines together.
            read: Starts reading the emotions of an image's faces.
            rotate: See `every`.
            workers: Number of threads.
            ahead: Number of parts examined before they are requested.
            shown: Frames per examined frame, all of which are kept meanwhile.
        """

        def search(part: Part) -> list[tuple[list[Face], Awaited]]:
            with self.detectors.lend() as detector:
                found = part.find(detector, rotate)
            return [(faces, read(frame.image, faces)) for frame, faces in found]

        if workers == 1:
            yield from chain.from_iterable(map(search, parts))
            return
        given = ordered_map(
            search,
            parts,
            workers=workers,
            ahead=ahead,
            weigh=lambda part: shown * sum(one.image.nbytes for one in part.frames),
            most_weight=min(BYTES_AHEAD, BYTES_A_WORKER * workers),
        )
        with closing(given):
            yield from chain.from_iterable(given)

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

        The camera, the detector, the model and the consumer of the images each run on their own
        thread and at their own pace.

        Args:
            camera: Provides the images.
            state: Tracks faces and smooths their emotions.
            goes_on: Called while the camera provides nothing; False ends the loop.
            rotate: "auto" finds faces at any rotation, 0 only upright ones.
            max_frames: Stop after this many frames.
        """

        search = Search(rotate)

        def find(frame: Frame) -> tuple[Frame, list[Face], list[np.ndarray]]:
            with self.detectors.lend() as detector:
                faces = search.find(detector, frame)
            images = self.detectors.cut(frame.image, faces)
            return frame, state.name(faces, frame.time_s, frame.image), images

        def tell(found: tuple[Frame, list[Face], list[np.ndarray]]) -> Analysed:
            frame, faces, images = found
            readings = read_faces(self.model, images, self.img_size)
            return frame, state.steady(self._told(frame.image, faces, readings), frame.time_s)

        with closing(Stage(Stage(camera, find, "detector"), tell, "classifier")) as stage:
            yield from islice(awaited(stage, goes_on), max_frames)

    def _read(
        self, image_rgb: np.ndarray, faces: Sequence[Face], run: Callable[..., Awaited] = run_now
    ) -> Awaited:
        images = self.detectors.cut(image_rgb, faces)
        return run(read_faces, self.model, images, self.img_size)

    def _told(
        self, image_rgb: np.ndarray, faces: list[Face], readings: Readings
    ) -> tuple[FaceEmotion, ...]:
        shapes = face_shapes(self.landmarker, image_rgb, faces, self.detectors.framing)
        return face_emotions(self.model, faces, readings, shapes)


class ReadAhead(Iterator[Frame]):
    """Frames, some of which are read ahead so that threads do not wait for them.

    Args:
        frames: In order.
        most_bytes: Limit on the bytes of waiting images.
    """

    def __init__(self, frames: Iterator[Frame], most_bytes: float) -> None:
        self._frames, self._most_bytes = frames, most_bytes
        self._waiting: deque[Frame] = deque()
        self._end: Exception | None = None

    def read_one(self) -> None:
        """Read the next frame if there is room for it; an error is raised in its turn."""
        if self._end is None and sum(one.image.nbytes for one in self._waiting) < self._most_bytes:
            try:
                self._waiting.append(next(self._frames))
            except Exception as error:  # raised later, to the consumer
                self._end = error

    def __next__(self) -> Frame:
        if self._waiting:
            return self._waiting.popleft()
        if self._end is not None:
            raise self._end
        return next(self._frames)


def first_ones(coming: Iterable[list[Frame]], groups: deque[list[Frame]]) -> Iterator[Frame]:
    """Yield the first frame of each group; append the group to `groups`."""
    for group in coming:
        groups.append(group)
        yield group[0]


def named_frames(
    searched: Iterable[tuple[list[Frame], list[Face], Awaited]],
    state: StreamState,
    read: Callable[[np.ndarray, Sequence[Face]], Awaited],
) -> Iterator[tuple[Frame, list[Face], Awaited]]:
    """Yield every frame with its tracked faces and their readings.

    Args:
        searched: Groups of frames, with the faces and readings of each first frame.
        state: Tracks faces.
        read: Reads the faces of a frame that was not searched.
    """
    group: list[Frame] = []
    before: list[Face] = []
    for coming, faces, readings in searched:
        named = state.name(faces, coming[0].time_s, coming[0].image)
        if len(group) > 1 and is_cut(group[-1], coming[0]):
            yield from _between(group, before, before, math.inf, read)
        else:
            yield from _between(group, before, named, coming[0].time_s, read)
        yield coming[0], named, readings
        group, before = coming, named
    yield from _between(group, before, before, math.inf, read)


def _between(group: Sequence[Frame], before, after, end_s: float, read) -> Iterator:
    """Yield all but the first frame of a group, with faces on their way to the next group."""
    for frame in group[1:]:
        share = (frame.time_s - group[0].time_s) / (end_s - group[0].time_s)
        faces = faces_between(before, after, share)
        yield frame, faces, read(frame.image, faces)
