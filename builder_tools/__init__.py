"""builder_tools: recognise nine emotions in faces from images, videos and cameras.

The names below are loaded on first access, so `import builder_tools` costs nothing and using a
model never loads what only the study needs.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "1.0.0"

_PLACES = {
    "DrawBox": "builder_tools.drawing",
    "EmotionClassifier": "builder_tools.classifier",
    "EmotionHyperModel": "builder_tools.tuning",
    "EmotionSet": "builder_tools.emotions",
    "FaceSMOTE": "builder_tools.balancing",
    "Inference": "builder_tools.inference",
    "MediaPipeDetector": "builder_tools.detectors",
    "RestingFace": "builder_tools.rest",
    "ValenceArousalLabeller": "builder_tools.valence_arousal",
}

_EXTRAS = {
    "EmotionHyperModel": "study",
    "FaceSMOTE": "study",
    "ValenceArousalLabeller": "study",
}
"""The extra that a name needs if the base install is not enough."""

__all__ = [
    "DrawBox",
    "EmotionClassifier",
    "EmotionHyperModel",
    "EmotionSet",
    "FaceSMOTE",
    "Inference",
    "MediaPipeDetector",
    "RestingFace",
    "ValenceArousalLabeller",
]


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        try:
            return getattr(importlib.import_module(_PLACES[name]), name)
        except ModuleNotFoundError as error:
            if name not in _EXTRAS or (error.name or "").startswith(__name__):
                raise
            extra = f"pip install 'builder-tools[{_EXTRAS[name]}]'"
            raise ImportError(f"{name} needs {error.name}: {extra}", name=error.name) from error
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
