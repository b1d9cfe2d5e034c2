"""How fast detection and classification are on this machine, with the user's own images."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from builder_tools.classifier import EmotionClassifier
from builder_tools.inference import Inference
from builder_tools.media import read_image

WARM_UP = 3
RANDOM_FACE_PX = 96


@dataclass(frozen=True)
class Timing:
    """How long one combination of detector and model took.

    Args:
        detector: Name of the detector; empty for a model alone, on one face.
        model: Name of the model.
        images: Number of different images; 0 for a model alone.
        faces: Number of faces found in them, counted once each.
        median_ms: Median time per image (per face, for a model alone), ms.
        p95_ms: 95th percentile of the same, ms.
    """

    detector: str
    model: str
    images: int
    faces: int
    median_ms: float
    p95_ms: float


def time_models(models: Sequence[str], *, repeats: int = 100) -> Iterator[Timing]:
    """Time models alone on one face of random noise, including resizing and preprocessing."""
    shape = (1, RANDOM_FACE_PX, RANDOM_FACE_PX, 3)
    face = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    for name in models:
        classifier = EmotionClassifier(name)
        spent = _milliseconds([lambda c=classifier: c.predict(face)], repeats)
        yield Timing("", name, 0, 1, *spent)


def time_images(
    sources: Sequence[Any], *, detectors: Sequence[str], models: Sequence[str], repeats: int = 10
) -> Iterator[Timing]:
    """Time detection and classification of sources, read beforehand.

    Args:
        sources: Images, as `media.read_image` takes them.
        detectors: Names in `DETECTORS`.
        models: Names or folders of models.
        repeats: How many times each source is analysed.

    Raises:
        FileNotFoundError, ValueError: If a source cannot be read, or a name is unknown.
    """
    images = [read_image(source) for source in sources]
    for detector, model in itertools.product(detectors, models):
        with Inference(EmotionClassifier(model), show_state_mode="none", detector=detector) as one:
            faces = sum(len(one.analyse(image)) for image in images)
            calls = [lambda image=image, one=one: one.analyse(image) for image in images]
            yield Timing(detector, model, len(images), faces, *_milliseconds(calls, repeats))


def _milliseconds(calls: Sequence[Callable[[], object]], repeats: int) -> tuple[float, float]:
    """Return the median and 95th percentile of the calls' times; the calls take turns."""
    for call in calls[:WARM_UP]:
        call()
    spent = []
    for _ in range(repeats):
        for call in calls:
            start = time.perf_counter()
            call()
            spent.append((time.perf_counter() - start) * 1000)
    return float(np.median(spent)), float(np.percentile(spent, 95))
