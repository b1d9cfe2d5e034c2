"""Work on several threads: detectors are lent out, and in live work the newest item wins.

Live work runs in stages, each on a thread of its own (`Stage`). A detector is lent to one thread at
a time, and another is made when there are too few (`DetectorPool`).
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from numbers import Real
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from builder_tools.detectors import FaceDetector, detector_class, make_detector
from builder_tools.fields import checked_part, is_table
from builder_tools.inference.reader import cut_faces
from builder_tools.results import Face

Item = TypeVar("Item")
Result = TypeVar("Result")

CLOSE_TIMEOUT_S = 2.0


class DetectorPool:
    """Lend detectors, each to one thread at a time, making them as needed.

    Args:
        given: The user's own detector, lent to every thread (it does its own locking) and never
            closed; None to make detectors.
        name: Name in `DETECTORS`.
        options: Keyword arguments of that detector.

    Raises:
        ValueError, ImportError, FileNotFoundError: If the detector cannot be made; raised now,
            not at the first image.
        TypeError: If `given` is not a detector.
    """

    def __init__(self, given: FaceDetector | None, name: str, options: Mapping[str, Any]) -> None:
        needed = ("detect", "crop_scale", "crop_shift_y")
        checked_part("face_det_obj", given, needed, "detector={} instead")
        if not is_table(options):
            raise ValueError(
                f"Expected detector_options to be a dict of its options. Received: {options!r}."
            )
        self.given, self.name, self.options = given, name, dict(options)
        self._idle = [] if given is not None else [make_detector(name, **options)]
        # Detectors left open are closed quietly when the pool is garbage-collected. At process
        # exit that is too late for MediaPipe, which has an exit handler of its own.
        weakref.finalize(self, _close_all, self._idle).atexit = False

    def describe(self) -> dict[str, object]:
        """Return the type of detector, its simple settings and, of a user's own, its framing."""
        if self.given is None:
            return {"name": self.name, **self.options}
        simple = str | Real | np.bool_
        plain = {k: v for k, v in vars(self.given).items() if isinstance(v, simple)}
        framing = {k: getattr(self.given, k) for k in ("crop_scale", "crop_shift_y")}
        return {"name": type(self.given).__name__, **framing, **plain}

    @contextmanager
    def lend(self) -> Iterator[FaceDetector]:
        """Lend a detector for the duration of a `with`."""
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
        """A class or object that tells how these detectors frame faces, without lending one."""
        return detector_class(self.name) if self.given is None else self.given

    def cut(self, image_rgb: np.ndarray, faces: Sequence[Face]) -> list[np.ndarray]:
        """Return the images of faces found by one of these detectors, framed as it frames them."""
        return cut_faces(image_rgb, faces, self.framing)

    def close(self) -> None:
        """Close the detectors made here; may be called more than once."""
        _close_all(self._idle)


def run_now(function: Callable[..., Result], *args: Any) -> Future[Result]:
    """Call a function on this thread; return its result in a future, as `submit` would."""
    done: Future[Result] = Future()
    done.set_result(function(*args))
    return done


def run_apart(function: Callable[..., Result], *args: Any) -> Future[Result]:
    """Call a function on a thread that the end of the process does not wait for."""
    done: Future[Result] = Future()

    def run() -> None:
        try:
            done.set_result(function(*args))
        except Exception as error:  # raised to whoever asks for the result
            done.set_exception(error)

    threading.Thread(target=run, name=function.__name__, daemon=True).start()
    return done


class Live(Protocol[Item]):
    """A source that a stage works on: a camera, or another stage.

    Attributes:
        ended: Whether nothing more will follow.
    """

    ended: bool

    def read(self, timeout_s: float | None = None) -> Item | None:
        """Wait for an item newer than the last; return None on timeout or at the end."""
        ...

    def close(self) -> None:
        """Close the source; may be called more than once."""
        ...


class Stage(Generic[Item, Result]):
    """Process whichever item is newest, keeping only the newest result.

    So no stage waits for a slower one after it, and a result is never older than the time the
    stages take, however rarely results are read.

    Args:
        source: Provides items; owned and closed by the stage.
        work: The function applied to each item.
        name: Name of the thread.

    Attributes:
        ended: Whether no further result will follow.
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
        """Wait for a result newer than the last one returned.

        Args:
            timeout_s: Maximum wait; None waits until there is a result or none will follow.

        Returns:
            The newest result, or None on timeout or if nothing will follow (`ended`).

        Raises:
            Exception: Whatever ended the work, or an earlier stage; after its last result.
        """
        with self._news:
            self._news.wait_for(lambda: self._newest is not None or self.ended, timeout_s)
            if self._newest is None and self._error is not None:
                raise self._error
            newest, self._newest = self._newest, None
            return newest

    def close(self) -> None:
        """Stop this stage and those before it; may be called more than once."""
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
        except Exception as error:  # raised later, to the reader
            self._error = error
        finally:
            with self._news:
                self.ended = True
                self._news.notify_all()


def awaited(
    source: Live[Item], goes_on: Callable[[], bool], *, every_s: float = 0.05
) -> Iterator[Item]:
    """Yield a live source's items; while none arrive, call `goes_on` every `every_s` seconds."""
    while True:
        ended = source.ended  # checked first, so that a last item arriving now is not lost
        item = source.read(every_s)
        if item is not None:
            yield item
        elif ended or not goes_on():
            return


def _close_all(detectors: list[FaceDetector]) -> None:
    while detectors:
        detectors.pop().close()
