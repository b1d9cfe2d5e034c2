"""A video or camera from frame to frame: its state so far, and its results one by one."""

from __future__ import annotations

import logging
import math
import pickle
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from builder_tools.fields import check_range
from builder_tools.inference.search import Orientation, Search, oriented
from builder_tools.inference.sinks import FrameRate, Sink, closer
from builder_tools.media import Frame
from builder_tools.media.own_process import OwnProcess
from builder_tools.media.partial import append
from builder_tools.rest import RestingFace
from builder_tools.results import Face, FaceEmotion, FrameResult

if TYPE_CHECKING:
    from builder_tools.media import CameraReader, VideoReader
    from builder_tools.tracking import RestTracker

TELL_EVERY_S = 10.0

logger = logging.getLogger(__name__)


class StreamState:
    """Track faces and smooth their emotions, as requested.

    Args:
        track: Whether faces keep their identity.
        smooth_s: Time constant of the smoothing in seconds; 0 or None for none.
        rest: What faces are compared with, as taken by `RestTracker`; None for nothing.
        model: The model, whose natural decision rests are of; None for any.

    Attributes:
        rests: What is known of each person's rest; None if not requested.
        search: Finds faces in the next image, near their last place.

    Raises:
        ValueError: If `smooth_s` is negative, or if `smooth_s` or a rest that has to be estimated
            is given without `track`.
    """

    def __init__(
        self,
        *,
        track: bool,
        smooth_s: float | None,
        rest: RestingFace | str | float | None = None,
        model: Any = None,
    ) -> None:
        if smooth_s is not None:
            check_range(0, smooth_s=smooth_s)
        if smooth_s and not track:
            raise ValueError("Expected track=True with smooth_s: emotions are smoothed per person.")
        if rest is not None and not isinstance(rest, RestingFace) and not track:
            raise ValueError("Expected track=True with rest: it is estimated per person.")
        self.search = Search()
        self._tracker, self._smoother, self.rests = None, None, None
        if track or rest is not None:  # Imported here, as images without either need none of it.
            from builder_tools.tracking import EmotionSmoother, FaceTracker, RestTracker

            self._tracker = FaceTracker() if track else None
            self._smoother = EmotionSmoother(smooth_s) if smooth_s else None
            natural = getattr(model, "natural", None)
            self.rests = None if rest is None else RestTracker(rest, natural=natural)

    @property
    def is_auto(self) -> bool:
        """Whether rests are estimated automatically."""
        return self.rests is not None and self.rests.is_auto

    def look_neutral(self) -> None:
        """Take everybody's next three seconds as their rest, if faces are compared with it."""
        if self.rests is not None:
            logger.warning("Look neutral for three seconds")
            self.rests.look_neutral()

    def name(self, faces: list[Face], time_s: float, image: np.ndarray) -> list[Face]:
        """Return the faces of the next image with their tracks."""
        return faces if self._tracker is None else self._tracker.update(faces, time_s, image)

    def steady(self, found: Sequence[FaceEmotion], time_s: float) -> tuple[FaceEmotion, ...]:
        """Return the faces of the next image, smoothed and compared with their rest."""
        calmed = tuple(found) if self._smoother is None else self._smoother.update(found, time_s)
        return calmed if self.rests is None else self.rests.update(calmed, time_s)


def check_rest(rest: RestingFace | str | float | None, mode: str, model: Any) -> None:
    """Refuse a rest that a mode cannot use, or that is from another model.

    Raises:
        ValueError: If so; the message says what to do.
    """
    if isinstance(rest, RestingFace):
        rest.check_model(model.emotions, getattr(model, "identity", None))
    if mode == "img_batch" and rest is not None:
        raise ValueError(
            "Expected no rest with inference_mode='img_batch', whose images are of many people. "
            "Use inference_mode='img' for the images of one, or EmotionClassifier.predict."
        )
    if mode == "img" and not (rest is None or isinstance(rest, RestingFace)):
        raise ValueError(
            f"Expected a RestingFace for images (inference_mode='img'). Received: rest={rest!r}, "
            "which is learned from a stream."
        )


def open_ends(
    open_show: Callable[[], Sink],
    open_reader: Callable[[], VideoReader | CameraReader],
    view: Orientation,
    record: Callable[[Any], Sink] | None,
) -> tuple[Any, list[Sink]]:
    """Open window, source and file; if one cannot be opened, none stays open.

    Args:
        open_show: Opens the sink that shows results.
        open_reader: Opens the source.
        view: How its frames are turned.
        record: Opens the file for an open source; None for no file.

    Returns:
        The source, and the sinks: the one that shows results, then the file.
    """
    with ExitStack() as opened:
        sinks = [open_show()]
        opened.push(closer(sinks[0]))
        reader = oriented(opened.enter_context(closing(open_reader())), view)
        sinks += [record(reader)] if record else []
        opened.pop_all()
    return reader, sinks


class Drawer(Protocol):
    """Anything that draws what was found; `DrawBox` is one."""

    def draw(
        self, image_rgb: np.ndarray, faces: Sequence[FaceEmotion], fps: float | None, /
    ) -> np.ndarray:
        """Return a new image, `(H, W, 3)` uint8 RGB; `fps` is None for still images and films."""
        ...


def frame_loop(
    analysed: Generator[tuple[Frame, tuple[FaceEmotion, ...]]],
    source: str,
    sinks: Sequence[Sink],
    draw_box: Drawer | None,
    rate: FrameRate | None = None,
) -> Generator[FrameResult]:
    """Draw what was found, pass it to the sinks and yield it: the one frame loop.

    Args:
        analysed: Frames with their faces; closed at the end.
        source: Name of the source.
        sinks: Where results go; closed at the end. The loop ends when any of them returns False.
        draw_box: Draws (see `Inference`); None if nobody sees the images.
        rate: Counts the frames of a live source, whose rate is then drawn too.
    """
    if draw_box is not None:
        from builder_tools.drawing import DrawBox

        if isinstance(draw_box, DrawBox):
            draw_box = draw_box.anew()  # others may be drawn with it meanwhile
    with ExitStack() as stack:
        stack.enter_context(closing(analysed))
        for sink in sinks:
            stack.push(closer(sink))
        for shown, (frame, found) in enumerate(analysed):
            pace = {"fps": rate.tick(), "dropped": frame.index - shown} if rate else {}
            if draw_box is None:
                image = None
            elif isinstance(draw_box, DrawBox):
                image = draw_box.draw(frame.image, found, **pace)
            else:
                image = _checked_drawing(draw_box, frame.image, found, pace.get("fps"))
            result = FrameResult(source, frame.index, frame.time_s, found, image)
            goes_on = all([sink.take(result) for sink in sinks])
            yield result
            if not goes_on:
                return


def _checked_drawing(draw_box: Drawer, *given: Any) -> np.ndarray:
    """Return what a user's own object draws.

    Raises:
        TypeError: If it is no image.
    """
    drawn = draw_box.draw(*given)
    kind, shape = getattr(drawn, "dtype", type(drawn).__name__), np.shape(drawn)
    if kind != np.uint8 or len(shape) != 3 or shape[2] != 3:
        raise TypeError(
            f"Expected {type(draw_box).__name__}.draw to give an (H, W, 3) uint8 RGB image. "
            f"Received: {kind} {shape}."
        )
    return drawn


class ResultStream(Iterator[FrameResult]):
    """The results of a video or camera as they are produced; close it, or read it to the end.

    Args:
        results: The results.
        source: Where they come from: a `VideoReader` or a `CameraReader`.
        sinks: Where they go.
        rests: What is learned about each person's rest; None if not requested.
        comes_at_end: Whether results come only after the last image.

    Attributes:
        dropped: Number of images skipped before the last result: a live source drops late
            images (0 for a video).
    """

    def __init__(
        self,
        results: Iterator[FrameResult],
        source: VideoReader | CameraReader,
        sinks: Iterable[Sink] = (),
        rests: RestTracker | None = None,
        *,
        comes_at_end: bool = False,
    ) -> None:
        self._results, self.source, self._sinks = results, source, tuple(sinks)
        self.dropped, self._given, self.rests = 0, 0, rests
        self.comes_at_end = comes_at_end
        self._owner = OwnProcess("a stream of results", "Run the video or camera there anew.")

    def __next__(self) -> FrameResult:
        self._owner.check()
        result = next(self._results)
        self.dropped = result.frame - self._given
        self._given += 1
        return result

    def __enter__(self) -> ResultStream:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def drain(self) -> int:
        """Read to the end and return the number of frames."""
        return sum(1 for _ in self)

    def close(self) -> None:
        """End early: close the source and the window; a camera's film is kept, others are not."""
        self._results.close()
        for sink in self._sinks:  # A loop that never started has not closed them.
            sink.close(GeneratorExit())
        self.source.close()


def whole_film(
    results: Generator[FrameResult], reader: VideoReader, sinks: Iterable[Sink], model: Any
) -> ResultStream:
    """Return the results of a film, kept in a temporary file until its end, without images.

    An error that cuts the film short is raised after the results so far, which are compared with
    the rests so far.

    Args:
        results: In order of time; closed at the end.
        reader: Where they come from.
        sinks: Where they go.
        model: The model that gave them, whose natural decision rests are of.
    """
    from builder_tools.tracking.resting import AUTO, RestTracker

    natural = getattr(model, "natural", None)
    rests = RestTracker(AUTO, memory_s=math.inf, forget_s=math.inf, natural=natural)
    return ResultStream(_compared(results, rests), reader, sinks, rests, comes_at_end=True)


def _compared(
    results: Generator[FrameResult], rests: RestTracker
) -> Generator[FrameResult, None, None]:
    count, early_end, told_s = 0, None, time.monotonic()
    with TemporaryFile(buffering=0) as kept, closing(results):
        try:
            for result in results:
                rests.learn(result.faces, result.time_s)
                append(kept, pickle.dumps(replace(result, image=None)))
                count += 1
                if time.monotonic() - told_s > TELL_EVERY_S:
                    logger.info("%d frames are read; results follow the last one", count)
                    told_s = time.monotonic()
        except BaseException as error:
            early_end = error
        kept.seek(0)
        for _ in range(count):
            result = pickle.load(kept)
            yield replace(result, faces=rests.compare(result.faces))
    if early_end is not None:
        raise early_end
