"""What runs a deployable model: one backend for each file suffix (`RUNTIMES`).

Another format needs just another entry. ONNX Runtime sessions are thread-safe; the LiteRT
interpreter is guarded by a lock.
"""

from __future__ import annotations

import importlib
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from builder_tools.cards import ModelCard, verify_files
from builder_tools.media.forks import at_work


class Runtime(Protocol):
    """A loaded network.

    Attributes:
        input_shape: `(height, width, channels)` of one input.
        num_classes: Length of one output row (for any task).
        emotions: Class names stored in the file, or None if it has none.
    """

    input_shape: tuple[int, ...]
    num_classes: int
    emotions: tuple[str, ...] | None

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Return `(n, num_classes)` float32 for a `(n, H, W, 3)` uint8 batch."""
        ...


DEVICES = ("cpu", "cuda", "auto")
"""What a network may run on: the CPU, an Nvidia GPU, or a GPU if one is available."""
_CUDA, _CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


class OnnxRuntime:
    """An `.onnx` file in ONNX Runtime, on the CPU unless a GPU is requested.

    ONNX Runtime reports its use to its vendor unless this is disabled before it is imported; it is
    disabled here, so that nothing about anybody's faces leaves the machine. Set
    `ORT_DISABLE_TELEMETRY=0` to allow it.

    Args:
        path: The file.
        threads: Number of CPU threads that it may use.
        device: One of `DEVICES`.

    Attributes:
        device: What it runs on, `cpu` or `cuda`.

    Raises:
        ImportError: If a GPU is requested but this build of ONNX Runtime has no CUDA.
    """

    def __init__(self, path: Path, threads: int, device: str = "cpu") -> None:
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # The card vouches for this file alone, so make sure no weights in other files are found.
        options.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", str(path)
        )
        self._session = onnxruntime.InferenceSession(
            path.read_bytes(),
            options,
            providers=_providers(device, onnxruntime.get_available_providers()),
        )
        self.device = "cuda" if _CUDA in self._session.get_providers() else "cpu"
        entry, out = self._session.get_inputs()[0], self._session.get_outputs()[0]
        self._name, self._dtype = entry.name, ONNX_DTYPES[entry.type]
        self.input_shape = tuple(entry.shape[1:])
        self.num_classes = out.shape[-1]
        named = self._session.get_modelmeta().custom_metadata_map.get("emotions")
        self.emotions = None if named is None else tuple(json.loads(named))

    def run(self, batch: np.ndarray) -> np.ndarray:
        entry = batch.astype(self._dtype, copy=False)
        with at_work():
            return self._session.run(None, {self._name: entry})[0]


def _providers(device: str, available: list[str]) -> list[str]:
    """Return the providers for ONNX Runtime to try, in order."""
    if device == "cuda" and _CUDA not in available:
        raise ImportError(
            f"Expected an ONNX Runtime with CUDA. Received one with {available}. Try: pip install "
            "onnxruntime-gpu (in place of onnxruntime), or device='cpu'."
        )
    return [_CUDA, _CPU] if device != "cpu" and _CUDA in available else [_CPU]


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
        with at_work(), self._lock:
            if len(batch) != self._batch_size:
                self._interpreter.resize_tensor_input(index, batch.shape)
                self._interpreter.allocate_tensors()
                self._batch_size = len(batch)
            self._interpreter.set_tensor(index, batch.astype(dtype, copy=False))
            self._interpreter.invoke()
            return self._interpreter.get_tensor(self._out)


class SkopsRuntime:
    """A `.skops` file: a classical or hybrid scikit-learn model, without pickle.

    skops only builds types that it knows to be harmless, this package's own estimators and
    `FOREIGN_TYPES`; a file with any other type is refused before anything is built. scikit-learn
    is imported here, and only here.

    Attributes:
        model: The estimator from `(n, H, W, 3)` uint8 faces to probabilities.
    """

    def __init__(self, path: Path, threads: int) -> None:
        try:
            import skops.io
        except ImportError as error:
            raise ImportError(
                f"Running {path.name} needs scikit-learn and skops: "
                "pip install 'builder-tools[study]'"
            ) from error
        trusted, unknown = sorted_by_trust(path)
        if unknown:
            raise ValueError(
                f"Expected a model of trusted types only in {path}. Received: {unknown}. "
                "Do not use the file, unless you know who made it and why."
            )
        stored = skops.io.load(path, trusted=trusted)
        if not isinstance(stored, dict) or stored.get("format") != SKOPS_FORMAT:
            raise ValueError(f"Expected a model of the format {SKOPS_FORMAT!r} in {path}.")
        self.model = stored["model"]
        self.emotions = tuple(stored["emotions"])
        self.num_classes = len(self.model.classes_)
        self.input_shape = (stored["input_size"], stored["input_size"], 3)

    def run(self, batch: np.ndarray) -> np.ndarray:
        return self.model.predict_proba(batch).astype(np.float32)


SKOPS_FORMAT = "builder_tools classical model 1"

FOREIGN_TYPES = frozenset(
    {
        "numpy.dtype",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.tree._tree.Tree",
    }
)
"""Types that a `.skops` file may hold besides this package's own estimators and what skops itself
trusts: options and arrays. Indices in trees are not checked; that they are unchanged is ensured by
the card's hash."""


def sorted_by_trust(path: Path) -> tuple[list[str], list[str]]:
    """Return the types in a `.skops` file unknown to skops: the trusted ones and the others."""
    import skops.io

    found = skops.io.get_untrusted_types(file=path)
    trusted = [name for name in found if name in FOREIGN_TYPES or _is_own_estimator(name)]
    return trusted, sorted(set(found) - set(trusted))


def _is_own_estimator(name: str) -> bool:
    """Return whether a dotted name is an estimator class of `builder_tools.classical`.

    Building one executes nothing, as `__init__` only stores its arguments by scikit-learn's rules.
    """
    from sklearn.base import BaseEstimator

    module, _, attribute = name.rpartition(".")
    if not module.startswith("builder_tools.classical."):
        return False
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except ImportError:
        return False
    return (
        isinstance(found, type) and issubclass(found, BaseEstimator) and found.__module__ == module
    )


ONNX_DTYPES = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8}

RUNTIMES: dict[str, Callable[[Path, int], Runtime]] = {
    ".onnx": OnnxRuntime,
    ".tflite": LiteRuntime,
    ".skops": SkopsRuntime,
}
"""File suffix -> the runtime that loads it, called with the path and the number of threads."""


def load_runtime(folder: Path, card: ModelCard, threads: int, device: str = "cpu") -> Runtime:
    """Load a model's file after checking its hash, and check it against its card.

    Args:
        folder: The model's folder.
        card: Its card.
        threads: Number of CPU threads for the network.
        device: One of `DEVICES`; only `.onnx` files run on a GPU.

    Raises:
        RuntimeError: If a GPU is requested but cannot be used.
        ValueError: If the file does not match the card, is damaged or holds another network.
        ImportError: If its runtime is not installed; says how to install it.
    """
    path = folder / card.file
    if path.suffix not in RUNTIMES:
        raise ValueError(
            f"Expected a model file ending in one of {list(RUNTIMES)}. Received: {card.file!r} "
            f"in the card of {folder}. Export the model again."
        )
    if device not in DEVICES:
        raise ValueError(f"Expected device to be one of {list(DEVICES)}. Received: {device!r}.")
    if device == "cuda" and path.suffix != ".onnx":
        raise ValueError(f"Expected an .onnx model for device='cuda'. Received: {path.name}.")
    verify_files(folder, card, [card.file])
    options = {"device": device} if path.suffix == ".onnx" else {}
    try:
        runtime = RUNTIMES[path.suffix](path, threads, **options)
    except ImportError:
        raise
    except Exception as error:  # whatever a damaged file causes in a runtime
        raise ValueError(
            f"Expected a model in {path} that can be loaded. Received: {type(error).__name__}: "
            f"{' '.join(str(error).split())}. Restore the file, or export the model again."
        ) from error
    if device == "cuda" and runtime.device != device:
        raise RuntimeError(
            "Expected a CUDA device. ONNX Runtime could not use one here: see whether `nvidia-smi` "
            "finds it and CUDA and cuDNN are those it wants, or try device='cpu'."
        )
    _check_shapes(path, runtime, card)
    return runtime


def _check_shapes(path: Path, runtime: Runtime, card: ModelCard) -> None:
    """Refuse a network whose input or classes are not those of the card."""
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
