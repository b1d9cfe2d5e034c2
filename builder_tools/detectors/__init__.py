"""Face detectors behind one protocol: `detect(image_rgb) -> list[Face]`, largest face first.

`DETECTORS` lists them all; `make_detector("yunet", min_score=0.7)` makes one. A detector's module,
and with it its back end, is imported only when requested.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from builder_tools.detectors.base import (
    DETECTOR_ERRORS,
    DETECTOR_FAILED,
    FaceDetector,
    face_frame,
    face_square,
)

if TYPE_CHECKING:
    from builder_tools.detectors.mediapipe import MediaPipeDetector

__all__ = [
    "DEFAULT_DETECTOR",
    "DEFAULT_MIN_SCORES",
    "DETECTORS",
    "DETECTOR_ERRORS",
    "DETECTOR_FAILED",
    "FaceDetector",
    "MediaPipeDetector",
    "detector_class",
    "face_frame",
    "face_square",
    "make_detector",
]

DEFAULT_DETECTOR = "mediapipe"

DETECTORS: dict[str, str] = {
    "mediapipe": "builder_tools.detectors.mediapipe:MediaPipeDetector",
    "yunet": "builder_tools.detectors.yunet:YuNetDetector",
    "ssd": "builder_tools.detectors.ssd:SSDDetector",
    "haar": "builder_tools.detectors.haar:HaarDetector",
    "dlib": "builder_tools.detectors.dlib:DlibDetector",
    "mtcnn": "builder_tools.detectors.mtcnn:MTCNNDetector",
}
"""The location of each detector's class, by the detector's name."""


DEFAULT_MIN_SCORES = {
    "mediapipe": 0.7,
    "yunet": 0.6,
    "ssd": 0.5,
    "haar": 0.5,
    "dlib": 0.5,
    "mtcnn": 0.9,
}
"""Each detector's default `min_score`, for help texts: their modules are too heavy to import."""


def detector_class(name: str) -> type[Any]:
    """Return a detector's class without making one (its back end is not imported).

    Raises:
        ValueError: If there is no detector of that name; lists the available ones.
    """
    if name not in list(DETECTORS):
        raise ValueError(f"Expected one of {list(DETECTORS)}. Received: detector={name!r}.")
    module, _, attribute = DETECTORS[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def make_detector(name: str = DEFAULT_DETECTOR, **options: Any) -> FaceDetector:
    """Make a detector.

    Args:
        name: One of `DETECTORS`.
        **options: Its own keyword arguments; all take `min_score` and `min_size_px`.

    Raises:
        ValueError: If there is no detector of that name, or an option is out of range.
        ImportError: If its back end is not installed; says how to install it.
        FileNotFoundError: If a file it needs is not available; says what was tried.
    """
    return detector_class(name)(**options)


def __getattr__(name: str) -> Any:
    if name == "MediaPipeDetector":
        return detector_class("mediapipe")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
