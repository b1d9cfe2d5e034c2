"""Shared by all requests: models loaded once, detectors lent to one thread at a time.

Several threads may run a model at once but not a detector, so a pool lends each to one at a time.
No request data is kept here, so answers cannot be mixed up.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from builder_tools.cards import DEFAULT_MODEL, ModelCard, list_models, model_folders
from builder_tools.classifier import EmotionClassifier
from builder_tools.decisions import DECISIONS
from builder_tools.detectors import DEFAULT_DETECTOR, DETECTORS
from builder_tools.detectors.turning import AUTO
from builder_tools.inference import Inference
from builder_tools.inference.reader import face_emotions, read_faces
from builder_tools.inference.search import find_faces
from builder_tools.inference.stream import StreamState
from builder_tools.inference.threads import DetectorPool
from builder_tools.media import Frame
from builder_tools.results import FaceEmotion
from builder_tools.web.limits import Refused

_logger = logging.getLogger(__name__)

DEFAULT_DECISION = DECISIONS[0]
MOST_WAITING = 64
"""Images that may wait for their turn; any more are refused immediately."""
LONGEST_LOAD_S = 5.0
"""How long a request waits for another one that loads, or fetches, the same model or detector."""


@dataclass(frozen=True)
class Choice:
    """Which model, detector and decision to use; None means the engine's default.

    Args:
        model: A model's name (see `Engine.models`).
        detector: A detector's name (see `Engine.detectors`).
        decision: One of `DECISIONS`.
    """

    model: str | None = None
    detector: str | None = None
    decision: str | None = None


OWN = Choice()
"""The engine's default model, detector and decision."""


def _called(model: str) -> str:
    """Return what clients call a model: its name, or that of its folder without the path."""
    known = model_folders()
    if model in known:
        return model
    name = Path(model).resolve().name
    return f"{name} (own)" if name in known else name


class Engine:
    """The loaded models and detectors.

    Args:
        model: The default model: a name, or a folder with a card, which clients know by its bare
            name.
        detector: The default detector.
        workers: Images processed at once; the number of cores if None.

    Raises:
        ValueError, ImportError, FileNotFoundError: If the default model or detector cannot be
            loaded; raised at the start, not on the first request.
    """

    def __init__(
        self,
        model: str | None = None,
        detector: str = DEFAULT_DETECTOR,
        *,
        workers: int | None = None,
    ) -> None:
        self._own_model = model or DEFAULT_MODEL
        self.default = Choice(_called(self._own_model), detector)
        self.workers = workers or max(os.cpu_count() or 1, 2)
        self._lock = threading.Lock()
        self._loading: dict[tuple[str, ...], threading.Lock] = {}
        self._turn = threading.Semaphore(self.workers)
        self._waiting = 0
        self._long_job = threading.Semaphore(1)
        self._classifiers: dict[tuple[str, str], EmotionClassifier] = {}
        self._pools: dict[str, DetectorPool] = {}
        self.classifier()
        self._pool(detector)

    @property
    def models(self) -> dict[str, ModelCard]:
        """Cards of the available models by name, the default one first."""
        cards = {card.name: card for card in list_models()}
        first = str(self.default.model)
        return {first: self.classifier().card, **cards}

    @property
    def detectors(self) -> list[str]:
        """Names of the available detectors, the default one first."""
        first = str(self.default.detector)
        return [first, *(name for name in DETECTORS if name != first)]

    def classifier(self, choice: Choice = OWN) -> EmotionClassifier:
        """Return a model, which is loaded only once.

        Raises:
            Refused: `unknown_model`, `unknown_decision`, `no_decision` or, if it is still being
                loaded, `busy`; only names are accepted, never paths.
        """
        name = choice.model or str(self.default.model)
        decision = choice.decision or DEFAULT_DECISION
        if decision not in DECISIONS:
            raise Refused("unknown_decision", decision=decision[:80])
        if (name, decision) in self._classifiers:
            return self._classifiers[name, decision]
        if name != self.default.model and name not in {c.name for c in list_models()}:
            raise Refused("unknown_model", model=name[:80])
        with self._loads("model", name, decision):
            if (name, decision) not in self._classifiers:
                try:
                    own = name == self.default.model
                    wanted = self._own_model if own else name
                    loaded = EmotionClassifier(wanted, decision=decision)
                except ValueError as error:
                    if decision == DEFAULT_DECISION:
                        raise
                    raise Refused("no_decision", model=name, decision=decision) from error
                self._classifiers[name, decision] = loaded
        return self._classifiers[name, decision]

    @contextmanager
    def turn(self, choice: Choice = OWN) -> Iterator[None]:
        """Wait for a turn, and hold it within the `with` block.

        Whatever decodes an image takes a turn first and keeps it for as long as it needs the
        image, so no more than `workers` images are in memory, however many are waiting. What is
        chosen is loaded before: that may take minutes, in which others have their turns.

        Raises:
            Refused: `busy`, or as in `check`.
        """
        with self._lock:
            if self._waiting >= MOST_WAITING:
                raise Refused("busy")
            self._waiting += 1
        try:
            self.check(choice)
            with self._turn:
                yield
        finally:
            with self._lock:
                self._waiting -= 1

    def read(
        self,
        image_rgb: np.ndarray,
        choice: Choice = OWN,
        *,
        state: StreamState | None = None,
        time_s: float = 0.0,
    ) -> tuple[FaceEmotion, ...]:
        """Return the faces in an image, largest first.

        Call it in a `turn`, which is taken before the image is decoded.

        Args:
            image_rgb: `(H, W, 3)` uint8 RGB.
            choice: Model, detector and decision.
            state: State of a stream, to be used for that stream only.
            time_s: When the image was taken, in a stream.

        Raises:
            Refused: `unknown_detector`, `detector_absent`, or as in `classifier`.
        """
        model, pool = self.classifier(choice), self._pool(choice.detector)
        with pool.lend() as detector:
            if state is None:
                faces = find_faces(detector, image_rgb, AUTO)
            else:
                faces = state.search.find(detector, Frame(0, time_s, image_rgb))
        faces = state.name(faces, time_s, image_rgb) if state else faces
        images = pool.cut(image_rgb, faces)
        found = face_emotions(model, faces, read_faces(model, images, None))
        return state.steady(found, time_s) if state else found

    def check(self, choice: Choice) -> None:
        """Load the chosen model and detector.

        Raises:
            Refused: As in `read`.
        """
        self.classifier(choice)
        self._pool(choice.detector)

    def inference(self, choice: Choice, mode: str, **options) -> Inference:
        """Return an `Inference` for one long job, on the shared model; the caller closes it.

        Raises:
            Refused: As in `read`.
        """
        self._pool(choice.detector)  # refuses unavailable detectors
        return Inference(
            self.classifier(choice),
            show_state_mode="none",
            inference_mode=mode,
            detector=choice.detector or str(self.default.detector),
            workers=self.workers,
            **options,
        )

    def take_long_turn(self, timeout_s: float) -> bool:
        """Wait for the single turn of long jobs (videos, batches); return whether it was got."""
        return self._long_job.acquire(timeout=timeout_s)

    def end_long_turn(self) -> None:
        """Give back the turn of long jobs."""
        self._long_job.release()

    def close(self) -> None:
        """Close the detectors."""
        for pool in self._pools.values():
            pool.close()

    def _pool(self, detector: str | None) -> DetectorPool:
        name = detector or str(self.default.detector)
        if name not in DETECTORS:
            raise Refused("unknown_detector", detector=name[:80])
        if name in self._pools:
            return self._pools[name]
        with self._loads("detector", name):
            if name not in self._pools:
                try:
                    self._pools[name] = DetectorPool(None, name, {})
                except (ImportError, FileNotFoundError) as error:
                    _logger.warning("The detector %s cannot be used: %s", name, error)
                    first, *_ = str(error).splitlines()  # the others name this machine's folders
                    reason = first.removesuffix(" Tried:")
                    raise Refused("detector_absent", detector=name, reason=reason) from error
        return self._pools[name]

    @contextmanager
    def _loads(self, *what: str) -> Iterator[None]:
        """Let one thread at a time load something; the others, and all else, go on.

        Raises:
            Refused: `busy`, if another thread is still loading it.
        """
        with self._lock:
            lock = self._loading.setdefault(what, threading.Lock())
        if not lock.acquire(timeout=LONGEST_LOAD_S):
            raise Refused("busy")
        try:
            yield
        finally:
            lock.release()
