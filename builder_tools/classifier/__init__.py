"""Emotion, valence and arousal from face crops, with a deployable model and without TensorFlow.

Faces are RGB 0...255 of any size; the network's own preprocessing is inside the model file. The
backend depends on the file's suffix (`runtimes.RUNTIMES`).

An `EmotionClassifier` may be shared by threads: ONNX Runtime sessions are thread-safe, and the
LiteRT interpreter is guarded by a lock.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Never

import numpy as np

from builder_tools.cards import ModelCard, find_model
from builder_tools.classifier.crops import as_faces
from builder_tools.classifier.runtimes import (
    DEVICES,
    RUNTIMES,
    SKOPS_FORMAT,
    Runtime,
    SkopsRuntime,
    load_runtime,
    sorted_by_trust,
)
from builder_tools.decisions import DECISIONS, apply_decision, read_outputs
from builder_tools.emotions import EmotionSet
from builder_tools.fields import check_whole, is_flag, is_nothing_or
from builder_tools.media import resize_faces
from builder_tools.rest import RestingFace
from builder_tools.results import Readings

__all__ = [
    "CHUNK_FACES",
    "DEVICES",
    "RUNTIMES",
    "SKOPS_FORMAT",
    "EmotionClassifier",
    "Runtime",
    "SkopsRuntime",
    "sorted_by_trust",
]

CHUNK_FACES = 16
"""Faces per run of the network. More are split up to limit memory: measured on the compact network,
64 at once take 80 MB of buffers and no less time per face than 8."""


class EmotionClassifier:
    """Predict the probability of each emotion, and valence and arousal, for face crops.

    The `task` of its card says what the network predicts. If this does not include valence and
    arousal, they are the expected anchor of the probabilities. If it includes nothing else (`va`),
    there are no outputs for emotions: a face's emotion is the one with the nearest centre, and
    probabilities fall with the squared distance from the centres (see `nearness`), at a rate
    fitted on the validation faces.

    Args:
        path: A model's name, its folder, or None for the default model.
        threads: Number of CPU threads for the network. Two nearly halve the time of one face, but
            wait for the next face by spinning, which takes a core from decoding and detection.
        flip_average: Whether to average each face with its mirror image, which is somewhat more
            accurate but twice the work. None for what the card says.
        decision: `natural`, or `balanced` for images in which all emotions are about equally
            frequent: it finds rare emotions far more often, at some cost in accuracy if they are
            in fact rare.
        device: `cpu`; `cuda` for an Nvidia GPU (`onnxruntime-gpu`), which pays off for large
            batches and large networks; or `auto` for the GPU if ONNX Runtime can use one.

    Attributes:
        card: The model's card.
        emotions: The classes, in the order of the probabilities.
        flip_average: Whether faces are averaged with their mirror images.
        decision: `natural` or `balanced`.

    Raises:
        TypeError: If the path is neither a string nor a path.
        ValueError: If there is no such model, its file does not match its card, the card lacks
            the requested decision, or an option is invalid.
        ImportError: If the model's runtime, or its support for GPUs, is not installed.
        RuntimeError: If a GPU is requested but cannot be used.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        threads: int = 1,
        flip_average: bool | None = None,
        decision: str = "natural",
        device: str = "cpu",
    ) -> None:
        check_whole(1, threads=threads)
        if not is_nothing_or(is_flag)(flip_average):
            raise ValueError(
                f"Expected flip_average as True, False or None. Received: {flip_average!r}."
            )
        folder = find_model(path)
        self.card = ModelCard.read(folder)
        self.emotions = EmotionSet(self.card.emotions)
        self.flip_average = self.card.flip_average if flip_average is None else flip_average
        self.decision = decision
        self._biases = _biases(self.card, decision)
        self._runtime = load_runtime(folder, self.card, int(threads), device)

    def __reduce__(self) -> Never:
        raise TypeError(
            "Expected a classifier (or an Inference) made in the process that uses it: it cannot "
            "be pickled. Try to make one there, for example in the initializer of the pool."
        )

    def predict(self, faces: Any, *, rest: RestingFace | None = None) -> np.ndarray:
        """Return the probability of each emotion for each face.

        Args:
            faces: `(n, H, W, 3)` uint8 RGB of any size, or a list of `(H, W, 3)` faces whose
                sizes may differ. Also one or several faces of any other kind that
                `media.read_image` accepts: paths, URLs, bytes, open files, Pillow images, arrays
                of other types and channels, tensors.
            rest: How the person's face looks at rest (`resting_face`); the probabilities are then
                for what the faces show compared with it. None for what they show as such.

        Returns:
            `(n, num_classes)` float32 in the order of `emotions`; rows sum to 1.

        Raises:
            ValueError: If a face is not an image (says which one and what it is), the model
                outputs NaN or infinity, or the rest is of another model or class order.
            OSError: If a face cannot be read.
        """
        if rest is None:
            return self.predict_with_affect(faces).probabilities
        rest.check_model(self.emotions, self.identity)
        return rest.relative(self.predict_with_affect(faces).probabilities).astype(np.float32)

    def resting_face(self, faces: Any) -> RestingFace:
        """Return how a person's face looks to this model at rest, for `predict(..., rest=...)`.

        Args:
            faces: Neutral images of one person, as for `predict`; two or three suffice.

        Raises:
            ValueError: If there are none, or as for `predict`.
        """
        shown = self.natural(self.predict(faces))
        return RestingFace.from_probabilities(shown, emotions=self.emotions, model=self.identity)

    def natural(self, probabilities: Any) -> np.ndarray:
        """Return the probabilities of the natural decision, given those of this one's.

        A resting face is always of these, whatever the decision: what is compared with it keeps the
        biases of its own.

        Args:
            probabilities: `(n, num_classes)` from `predict`.

        Returns:
            The same shape.
        """
        if self._biases is None:
            return np.asarray(probabilities)
        undone = {name: -bias for name, bias in self._biases.items()}
        return apply_decision(probabilities, self.emotions, undone)

    @property
    def identity(self) -> str:
        """The model's name, the start of its file's hash, and its temperature."""
        weights = f"{self.card.name} {self.card.sha256.get(self.card.file, '')[:12]}".strip()
        return f"{weights}, temperature {self.card.temperature:g}"

    def predict_with_affect(self, faces: Any) -> Readings:
        """Return the probabilities and the valence and arousal of each face, from a single pass.

        Arguments and errors are those of `predict`.
        """
        return read_outputs(self.card, self.outputs(faces), self._biases)

    def outputs(self, faces: Any) -> np.ndarray:
        """Return the raw outputs of the network, before temperature and decision.

        Arguments and errors are those of `predict`.

        Returns:
            `(n, card.num_outputs)` float32, see `tasks`.
        """
        faces, parts = as_faces(faces), []
        for start in range(0, len(faces), CHUNK_FACES):
            batch = resize_faces(faces[start : start + CHUNK_FACES], self.card.input_size)
            found = self._runtime.run(batch)
            if self.flip_average:
                mirrored = np.ascontiguousarray(batch[:, :, ::-1])
                found = (found + self._runtime.run(mirrored)) / 2
            parts.append(found)
        if not parts:
            return np.zeros((0, self.card.num_outputs), np.float32)
        found = np.concatenate(parts)
        if not np.isfinite(found).all():
            raise ValueError(
                f"Expected numbers from the model {self.card.name!r}. Received: NaN or infinity. "
                "Its weights are damaged, or its training failed: export or train it again."
            )
        return found

    def valence_arousal(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the expected places of faces on the valence-arousal plane, given probabilities.

        This is the expected anchor of the emotions. For the default model, it agrees with that of
        FER+'s votes with a CCC of 0.92 on valid
        (`builder_tools.evaluation.evaluate_valence_arousal`). The predictions of a network of the
        task `va` or `both` itself are in `predict_with_affect(faces).places`.

        Returns:
            `(n, 2)` float64 in [-1, 1]; NaN where no emotion with an anchor is probable.
        """
        return self.emotions.expected_place(probabilities)


def _biases(card: ModelCard, decision: str) -> Mapping[str, float] | None:
    """Return the biases that a decision adds to log-probabilities, None for the natural one."""
    if decision not in DECISIONS:
        raise ValueError(f"Expected decision of {list(DECISIONS)}. Received: {decision!r}.")
    if decision == "natural":
        return None
    if card.decision is None:
        raise ValueError(
            f"Expected a model with a balanced decision in its card. Received: {card.name!r}, "
            "which has none. Use decision='natural', or train or quantize it again."
        )
    return card.decision
