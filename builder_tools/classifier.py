"""Emotion, valence and arousal from face crops, with a deployable model and no TensorFlow.

Faces are RGB 0...255 of any size; the network's own preprocessing is inside the model file. The
back end follows the file's suffix (`RUNTIMES`), so another format is one entry more.

An `EmotionClassifier` may be shared by threads: ONNX Runtime sessions are safe to run from
several threads, and the LiteRT interpreter is guarded by a lock.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from builder_tools.cards import ModelCard, find_model, verify_files
from builder_tools.decisions import DECISIONS, apply_decision, apply_temperature, nearness
from builder_tools.emotions import EmotionSet
from builder_tools.results import Readings

CHUNK_FACES = 16
"""Faces a run of the network. More are cut up so that memory stays flat: measured on the compact
network, 64 at once take 80 MB of buffers and no less time a face than 8."""


class Runtime(Protocol):
    """A loaded network.

    Attributes:
        input_shape: `(height, width, channels)` of one input.
        num_classes: Length of one output row (of any task).
        emotions: Class names written in the file, or None when it carries none.
    """

    input_shape: tuple[int, ...]
    num_classes: int
    emotions: tuple[str, ...] | None

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Gives `(n, num_classes)` float32 for a `(n, H, W, 3)` uint8 batch."""
        ...


class OnnxRuntime:
    """An `.onnx` file in ONNX Runtime on the CPU.

    ONNX Runtime reports its use to its maker unless told otherwise before it is imported; here
    it is told, so that nothing about anybody's faces leaves the machine. Set
    `ORT_DISABLE_TELEMETRY=0` to allow it.
    """

    def __init__(self, path: Path, threads: int) -> None:
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        entry, out = self._session.get_inputs()[0], self._session.get_outputs()[0]
        self._name, self._dtype = entry.name, ONNX_DTYPES[entry.type]
        self.input_shape = tuple(entry.shape[1:])
        self.num_classes = out.shape[-1]
        named = self._session.get_modelmeta().custom_metadata_map.get("emotions")
        self.emotions = None if named is None else tuple(json.loads(named))

    def run(self, batch: np.ndarray) -> np.ndarray:
        entry = batch.astype(self._dtype, copy=False)
        return self._session.run(None, {self._name: entry})[0]


class LiteRuntime:
    """A `.tflite` file in LiteRT (`ai-edge-litert`)."""

    emotions = None

    def __init__(self, path: Path, threads: int) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise ImportError(
                f"Running {path.name} needs LiteRT: pip install ai-edge-litert"
            ) from error
        self._interpreter = Interpreter(model_path=str(path), num_threads=threads)
        self._lock = threading.Lock()
        self._entry = self._interpreter.get_input_details()[0]
        self._out = self._interpreter.get_output_details()[0]["index"]
        self._batch_size = 0
        self.input_shape = tuple(int(side) for side in self._entry["shape"][1:])
        self.num_classes = int(self._interpreter.get_output_details()[0]["shape"][-1])

    def run(self, batch: np.ndarray) -> np.ndarray:
        index, dtype = self._entry["index"], self._entry["dtype"]
        with self._lock:
            if len(batch) != self._batch_size:
                self._interpreter.resize_tensor_input(index, batch.shape)
                self._interpreter.allocate_tensors()
                self._batch_size = len(batch)
            self._interpreter.set_tensor(index, batch.astype(dtype, copy=False))
            self._interpreter.invoke()
            return self._interpreter.get_tensor(self._out)


class SkopsRuntime:
    """A `.skops` file: a classical or hybrid model of scikit-learn, without pickle.

    skops builds only types that it knows to be harmless and those of `TRUSTED_TYPES`; a file
    with any other is refused before anything of it is built. scikit-learn is imported here, and
    only here.

    Attributes:
        model: The estimator, from `(n, H, W, 3)` uint8 faces to probabilities.
    """

    def __init__(self, path: Path, threads: int) -> None:
        try:
            import skops.io
        except ImportError as error:
            raise ImportError(
                f"Running {path.name} needs scikit-learn and skops: "
                "pip install 'builder-tools[study]'"
            ) from error
        unknown = sorted(set(skops.io.get_untrusted_types(file=path)) - set(TRUSTED_TYPES))
        if unknown:
            raise ValueError(
                f"Expected a model of trusted types only in {path}. Received: {unknown}. "
                "Do not use the file, unless you know who made it and why."
            )
        stored = skops.io.load(path, trusted=list(TRUSTED_TYPES))
        if not isinstance(stored, dict) or stored.get("format") != SKOPS_FORMAT:
            raise ValueError(f"Expected a model of the format {SKOPS_FORMAT!r} in {path}.")
        self.model = stored["model"]
        self.emotions = tuple(stored["emotions"])
        self.num_classes = len(self.model.classes_)
        self.input_shape = (stored["input_size"], stored["input_size"], 3)

    def run(self, batch: np.ndarray) -> np.ndarray:
        return self.model.predict_proba(batch).astype(np.float32)


SKOPS_FORMAT = "builder_tools classical model 1"

_CLASSICAL = "builder_tools.classical"
TRUSTED_TYPES = (
    f"{_CLASSICAL}.eigenfaces.MainDirections",
    f"{_CLASSICAL}.embeddings.DlibEmbeddingFeatures",
    f"{_CLASSICAL}.embeddings.NetworkFeatures",
    f"{_CLASSICAL}.hybrids.DeepModel",
    f"{_CLASSICAL}.hybrids.SoftVoting",
    f"{_CLASSICAL}.hybrids.Stacked",
    f"{_CLASSICAL}.kernel.QuietNystroem",
    f"{_CLASSICAL}.landmarks.KeypointFeatures",
    f"{_CLASSICAL}.landmarks.LandmarkFeatures",
    f"{_CLASSICAL}.texture.GaborFeatures",
    f"{_CLASSICAL}.texture.HogFeatures",
    f"{_CLASSICAL}.texture.LbpFeatures",
    f"{_CLASSICAL}.texture.PixelFeatures",
    "numpy.dtype",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
)
"""What a `.skops` file may hold beside what skops itself trusts: options and arrays. Nobody
checks the indices in trees; that they are those of the maker is what the card's hash is for."""

ONNX_DTYPES = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8}

RUNTIMES: dict[str, Callable[[Path, int], Runtime]] = {
    ".onnx": OnnxRuntime,
    ".tflite": LiteRuntime,
    ".skops": SkopsRuntime,
}
"""File suffix -> the runtime that loads it, called with the path and the number of threads."""


class EmotionClassifier:
    """Gives the probability of each emotion, and valence and arousal, for face crops.

    Its card says by `task` what its network gives. Where that is no valence and arousal, they are
    the expected anchor of the probabilities. Where it is nothing else (`va`), there are no
    outputs for emotions: a face's emotion is the one whose centre is nearest, and probabilities
    fall with the squared distance from the centres (see `nearness`), as fast as makes them fit
    the validation faces.

    Args:
        path: A model's name, its folder, or None for the default model.
        threads: CPU threads the network may use. Two nearly halve the time of one face, but wait
            for the next by spinning, which takes a core from decoding and detection.
        flip_average: Average each face with its mirror image: somewhat more accurate, twice
            the work. None does what the card says.
        decision: `natural`, or `balanced` for pictures in which all emotions are about equally
            frequent: rare emotions are found far more often, at some cost in accuracy where
            they are rare.

    Attributes:
        card: The model's card.
        emotions: The classes, in the order of the probabilities.

    Raises:
        ValueError: If there is no such model, its file does not match its card, or the card
            lacks the decision asked for.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        threads: int = 1,
        flip_average: bool | None = None,
        decision: str = "natural",
    ) -> None:
        if threads < 1:
            raise ValueError(f"Expected threads >= 1. Received: threads={threads!r}.")
        folder = find_model(path)
        self.card = ModelCard.read(folder)
        self.emotions = EmotionSet(self.card.emotions)
        self.flip_average = self.card.flip_average if flip_average is None else flip_average
        self._biases = _biases(self.card, decision)
        self._runtime = _load_runtime(folder, self.card, threads)

    def predict(self, faces: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """Gives the probability of each emotion for each face.

        Args:
            faces: `(n, H, W, 3)` uint8 RGB of any size, or a list of `(H, W, 3)` faces whose
                sizes may differ.

        Returns:
            `(n, num_classes)` float32 in the order of `emotions`; rows sum to 1.

        Raises:
            ValueError: If a face is not `(H, W, 3)` uint8; says which and what it is.
        """
        _check_faces(faces)
        return self.read(faces).probabilities

    def read(self, faces: np.ndarray | Sequence[np.ndarray]) -> Readings:
        """Gives the probabilities, valence and arousal of each face; one pass gives both.

        Args:
            faces: As in `predict`.

        Raises:
            ValueError: If a face is not `(H, W, 3)` uint8; says which and what it is.
        """
        found = self.outputs(faces)
        if self.card.task == "va":
            probabilities, places = nearness(found, self._centres), found
        else:
            count = len(self.emotions)
            probabilities, places = found[:, :count], found[:, count:]
        probabilities = self._decided(probabilities).astype(np.float32, copy=False)
        if self.card.task == "emotion":
            return Readings(probabilities, self.valence_arousal(probabilities))
        return Readings(probabilities, places.astype(np.float64))

    def outputs(self, faces: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """Gives what the network itself gives, before temperature and decision.

        Args:
            faces: As in `predict`.

        Returns:
            `(n, card.num_outputs)` float32, see `cards.TASKS`.
        """
        _check_faces(faces)
        parts = [self._run(batch) for batch in self._batches(faces)]
        return np.concatenate(parts) if parts else np.zeros((0, self.card.num_outputs), np.float32)

    def valence_arousal(self, probabilities: np.ndarray) -> np.ndarray:
        """Gives where probabilities put faces on the valence-arousal plane: `(n, 2)`.

        The expected anchor of the emotions: for the default model it agrees with that of FER+'s
        votes with a CCC of 0.92 on valid (`builder_tools.evaluation.evaluate_valence_arousal`).
        What a network of the task `va` or `both` says of faces itself is in `read(faces).places`.

        Returns:
            `(n, 2)` float64 in [-1, 1]; NaN where no emotion with an anchor is probable.
        """
        return self.emotions.expected_place(probabilities)

    def _batches(self, faces: np.ndarray | Sequence[np.ndarray]) -> Iterator[np.ndarray]:
        size = self.card.input_size
        for start in range(0, len(faces), CHUNK_FACES):
            yield resize_faces(faces[start : start + CHUNK_FACES], size)

    def _run(self, batch: np.ndarray) -> np.ndarray:
        found = self._runtime.run(batch)
        if self.flip_average:
            found = (found + self._runtime.run(np.ascontiguousarray(batch[:, :, ::-1]))) / 2
        return found

    def _decided(self, probabilities: np.ndarray) -> np.ndarray:
        if self.card.temperature != 1:
            probabilities = apply_temperature(probabilities, self.card.temperature)
        if self._biases is not None:
            probabilities = apply_decision(probabilities, self.emotions, self._biases)
        return probabilities

    @property
    def _centres(self) -> np.ndarray:
        """Places of the emotions in their order, `(k, 2)`."""
        return np.array([self.card.centres[name] for name in self.emotions])


def resize_faces(faces: np.ndarray | Sequence[np.ndarray], size: int) -> np.ndarray:
    """Gives faces at the network's size, `(n, size, size, 3)` uint8 RGB.

    Shrinking averages the pixels covered (no aliasing), growing interpolates linearly.
    """
    if isinstance(faces, np.ndarray) and faces.shape[1:3] == (size, size):
        return faces
    import cv2

    batch = np.empty((len(faces), size, size, 3), np.uint8)
    for face, resized in zip(faces, batch, strict=True):
        shrinks = face.shape[0] * face.shape[1] > size * size
        method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        resized[:] = cv2.resize(face, (size, size), interpolation=method)
    return batch


def _biases(card: ModelCard, decision: str):
    """Gives what a decision adds to log-probabilities; None for the natural one."""
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


def _load_runtime(folder: Path, card: ModelCard, threads: int) -> Runtime:
    """Loads the model file after checking its hash, and checks it against the card."""
    path = folder / card.file
    if path.suffix not in RUNTIMES:
        raise ValueError(
            f"Expected a model file ending in one of {list(RUNTIMES)}. Received: {card.file!r} "
            f"in the card of {folder}. Export the model again."
        )
    verify_files(folder, card, [card.file])
    runtime = RUNTIMES[path.suffix](path, threads)
    _check_shapes(path, runtime, card)
    return runtime


def _check_shapes(path: Path, runtime: Runtime, card: ModelCard) -> None:
    """Refuses a network whose input or classes are not those of the card."""
    size = (card.input_size, card.input_size, 3)
    facts = {
        "classes": (card.num_outputs, runtime.num_classes),
        "input size": (size, runtime.input_shape),
        "class order": (card.emotions, runtime.emotions or card.emotions),
    }
    for what, (expected, received) in facts.items():
        if expected != received:
            raise ValueError(
                f"Expected {what} {expected} in {path}, as its card says. "
                f"Received: {received}. File and card are of different models: export the "
                "model again."
            )


def _check_faces(faces: np.ndarray | Sequence[np.ndarray]) -> None:
    """Refuses anything but `(n, H, W, 3)` uint8 or a list of `(H, W, 3)` uint8 faces."""
    if isinstance(faces, np.ndarray) and len(faces) and faces.ndim != 4:
        raise ValueError(
            "Expected faces as (n, H, W, 3) uint8 RGB. "
            f"Received: shape {faces.shape}. Give one face as face[None]."
        )
    for index, face in enumerate(faces[:1] if isinstance(faces, np.ndarray) else faces):
        shape, dtype = np.shape(face), getattr(face, "dtype", type(face).__name__)
        if len(shape) != 3 or shape[2] != 3 or 0 in shape or dtype != np.uint8:
            raise ValueError(
                "Expected every face as (H, W, 3) uint8 RGB with values 0...255. "
                f"Received: face {index} with shape {shape} and type {dtype}."
            )
