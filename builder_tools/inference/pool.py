"""Detectors for several threads: each is lent to one at a time, and made when there are too few."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from builder_tools.detectors import FaceDetector, detector_class, make_detector
from builder_tools.inference.reader import cut_faces
from builder_tools.results import Face


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
    """

    def __init__(self, given: FaceDetector | None, name: str, options: Mapping[str, Any]) -> None:
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


def _close_all(detectors: list[FaceDetector]) -> None:
    while detectors:
        detectors.pop().close()
