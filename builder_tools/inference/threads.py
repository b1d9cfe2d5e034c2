"""Work on several threads: detectors are lent, and of live work the newest wins.

Live work goes in stages, each on a thread of its own (`Stage`). A detector is lent to one thread at
a time, and made when there are too few (`DetectorPool`).
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from builder_tools.detectors import FaceDetector, detector_class, make_detector
from builder_tools.fields import checked_part
from builder_tools.inference.reader import cut_faces
from builder_tools.results import Face

Item = TypeVar("Item")
Result = TypeVar("Result")

CLOSE_TIMEOUT_S = 2.0


class DetectorPool:
    """Lends detectors, one to a thread at a time; makes them when needed.

    Args:
        given: The user's own detector, lent to every thread (it guards itself) and never closed;
            or None to make them.
        name: Name in `DETECTORS`.
        options: Keyword arguments of that detector.

    Raises:
        ValueError, ImportError, FileNotFoundError: If the detector cannot be made; now, not at
            the first image.
        TypeError: If what is given is no detector.
    """

    def __init__(self, given: FaceDetector | None, name: str, options: Mapping[str, Any]) -> None:
        checked_part("face_det_obj", given, ("detect", "crop_scale", "crop_shift_y"))
        self.given, self.name, self.options = given, name, dict(options)
        self._idle = [] if given is not None else [make_detector(name, **options)]
        # Forgotten detectors are closed, quietly, when the pool is dropped; at the end of the
        # process that is too late for MediaPipe, which has an exit handler of its own.
        weakref.finalize(self, _close_all, self._idle).atexit = False

    def describe(self) -> dict[str, object]:
        """Return the kind of detector and its plain settings."""
        if self.given is None:
            return {"name": self.name, **self.options}
        plain = {k: v for k, v in vars(self.given).items() if isinstance(v, str | int | float)}
        return {"name": type(self.given).__name__, **plain}

    @contextmanager
    def lend(self) -> Iterator[FaceDetector]:
        """Lend a detector for the length of a `with`."""
        if self.given is not None:
            yield self.given
            return
        try:
            detector = self._idle.pop()
        except IndexError:
            detector = make_detector(self.name, **self.options)
        try:
            yield detector
        finally:
            self._idle.append(detector)

    @property
    def framing(self) -> FaceDetector:
        """What says how these detectors frame faces: none has to be lent for that."""
        return detector_class(self.name) if self.given is None else self.given

    def cut(self, image_rgb: np.ndarray, faces: Sequence[Face]) -> list[np.ndarray]:
        """Return the images of faces that one of these detectors found, framed as it frames."""
        return cut_faces(image_rgb, faces, self.framing)

    def close(self) -> None:
        """Close the detectors made here; may be called twice."""
        _close_all(self._idle)


def run_now(function: Callable[..., Result], *args: Any) -> Future[Result]:
    """Call a function on this thread; return its result as an executor's `submit` does."""
    done: Future[Result] = Future()
    done.set_result(function(*args))
    return done


class Live(Protocol[Item]):
    """What a stage works on: a camera, or another stage.

    Attributes:
        ended: Whether nothing will follow.
    """

    ended: bool

    def read(self, timeout_s: float | None = None) -> Item | None:
        """Wait for something newer than the last; None when the time is over or at the end."""
        ...

    def close(self) -> None:
        """End; may be called twice."""
        ...


class Stage(Generic[Item, Result]):
    """Does one kind of work on whatever is newest, and keeps the newest result only.

    So no stage waits for a slower one after it, and what comes out is never older than the time
    the stages take, however seldom anybody looks.

    Args:
        source: Gives items; a stage owns it and closes it.
        work: What to do with each.
        name: Of the thread.

    Attributes:
        ended: Whether no result will follow.
    """

    def __init__(self, source: Live[Item], work: Callable[[Item], Result], name: str) -> None:
        self.ended = False
        self._source, self._work = source, work
        self._news = threading.Condition()
        self._newest: Result | None = None
        self._error: Exception | None = None
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def read(self, timeout_s: float | None = None) -> Result | None:
        """Wait for a result newer than the last one given.

        Args:
            timeout_s: The longest wait; None waits until there is one or none will follow.

        Returns:
            The newest result, or None when the time is over or nothing will follow (`ended`).

        Raises:
            Exception: What the work, or a stage before, ended with; after its last result.
        """
        with self._news:
            self._news.wait_for(lambda: self._newest is not None or self.ended, timeout_s)
            if self._newest is None and self._error is not None:
                raise self._error
            newest, self._newest = self._newest, None
            return newest

    def close(self) -> None:
        """Stop the stages before and this one; may be called twice."""
        self._stopped = True
        self._source.close()
        self._thread.join(timeout=CLOSE_TIMEOUT_S)

    def _run(self) -> None:
        try:
            while not self._stopped and (item := self._source.read()) is not None:
                result = self._work(item)
                with self._news:
                    self._newest = result
                    self._news.notify_all()
        except Exception as error:  # it is the reader's
            self._error = error
        finally:
            with self._news:
                self.ended = True
                self._news.notify_all()


def awaited(
    source: Live[Item], goes_on: Callable[[], bool], *, every_s: float = 0.05
) -> Iterator[Item]:
    """Yield what a live source gives; ask at least so often whether to go on."""
    while True:
        ended = source.ended  # asked before, so that a last item just coming is not lost
        item = source.read(every_s)
        if item is not None:
            yield item
        elif ended or not goes_on():
            return


def _close_all(detectors: list[FaceDetector]) -> None:
    while detectors:
        detectors.pop().close()
