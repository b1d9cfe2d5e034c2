"""What networks make of faces: features before the last layer, and dlib's face embedding."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from builder_tools.assets import ASSETS, asset_path
from builder_tools.cards import ModelCard, file_sha256, find_model, verify_files
from builder_tools.classical.face_features import FaceFeatures
from builder_tools.detectors.dlib import import_dlib
from builder_tools.media import resize_faces

BATCH_FACES = 64
NETWORK_PX = 48
HEADS = ("emotion", "affect")
"""Names of the layers that `networks.head` ends with; one of them, or both joined."""
"""Side of faces for networks that take any."""

DLIB_PX = 150
DLIB_NUMBERS = 128
DLIB_FILE = "dlib_face_recognition_resnet_model_v1.dat"

Network = Callable[[np.ndarray], np.ndarray]
"""From `(n, size, size, 3)` uint8 faces to `(n, d)` float32 features."""


class NetworkFeatures(FaceFeatures):
    """A network's features before its last layer.

    Args:
        network: A shipped model (name or folder: its deployed ONNX file, at the speed it is
            used with), a `.keras` file, or a name in `networks.NETWORKS`.
        weights: Of a network of the registry: `pretrained`, or a file. Required there, for
            random weights say nothing.
        sha256: Of the network's file; another one is refused. `pinned()` fills it in.
    """

    single_process = True

    def __init__(
        self, *, network: str = "fast", weights: str | None = None, sha256: str | None = None
    ) -> None:
        self.network = network
        self.weights = weights
        self.sha256 = sha256

    def pinned(self) -> NetworkFeatures:
        """Return a copy that works with just this network's file, whatever replaces it later."""
        return NetworkFeatures(
            network=self.network, weights=self.weights, sha256=_network_sha256(self.network)
        )

    def weight_hashes(self) -> tuple[str, ...]:
        """Return the sha256 of the network's file; of one of the registry, that of its weights."""
        found = _network_sha256(self.network)
        if found is None and self.weights and Path(self.weights).is_file():
            found = _sha256(Path(self.weights))
        return (found or f"{self.network} {self.weights}",)

    def files(self) -> tuple[Path, ...]:
        """Return the network's file; none for published weights."""
        if _network_sha256(self.network) is not None:
            return (_network_path(self.network),)
        return tuple(path for path in (Path(self.weights or ""),) if path.is_file())

    def _check_options(self) -> None:
        found = _network_sha256(self.network)
        if self.sha256 is not None and self.sha256 != found:
            raise ValueError(
                f"Expected the network {self.network!r} with sha256 {self.sha256}. Received: "
                f"{found}. It has changed since this was fitted: fit again."
            )

    def _describe(self, images: np.ndarray) -> np.ndarray:
        run, size, _ = _network(str(self.network), self.weights)
        parts = (
            run(resize_faces(images[first : first + BATCH_FACES], size))
            for first in range(0, len(images), BATCH_FACES)
        )
        return np.concatenate(list(parts))

    def _names(self) -> list[str]:
        return [f"network{n}" for n in range(_network(str(self.network), self.weights)[2])]


class DlibEmbeddingFeatures(FaceFeatures):
    """dlib's 128 numbers that tell people apart (King, 2017), without alignment.

    Needs the `[dlib]` extra and its file (CC0). Made to forget expressions, so a floor for what
    knowing who it is tells about what they show. About 80 ms a face.
    """

    def weight_hashes(self) -> tuple[str, ...]:
        """Return the sha256 of the network's file."""
        return (ASSETS[DLIB_FILE].sha256,)

    def files(self) -> tuple[Path, ...]:
        """Return the network's file."""
        return (asset_path(DLIB_FILE),)

    def _describe(self, images: np.ndarray) -> np.ndarray:
        network = _dlib_network()
        faces = resize_faces(images, DLIB_PX)
        return np.array([np.array(network.compute_face_descriptor(face)) for face in faces])

    def _names(self) -> list[str]:
        return [f"dlib_embedding{n}" for n in range(DLIB_NUMBERS)]


@cache
def _dlib_network() -> Any:
    return import_dlib("dlib's face embedding").face_recognition_model_v1(
        str(asset_path(DLIB_FILE))
    )


def _network_sha256(network: str) -> str | None:
    """Return the hash of the network's file; None for a name of the registry."""
    if not str(network).endswith(".keras") and _is_of_registry(network):
        return None
    return _sha256(_network_path(network))


def _network_path(network: str) -> Path:
    if str(network).endswith(".keras"):
        return Path(network)
    folder = find_model(network)
    return folder / ModelCard.read(folder).file


def _sha256(path: Path) -> str:
    state = path.stat()
    return _sha256_of_state(path, state.st_mtime_ns, state.st_size)


@cache
def _sha256_of_state(path: Path, mtime_ns: int, size: int) -> str:
    """Hash a file once as long as it stays as it is: every call of `transform` asks."""
    return file_sha256(path)


def _is_of_registry(network: str) -> bool:
    """Distinguish a name of the registry from a model; only the registry needs Keras."""
    try:
        find_model(network)
    except ValueError:
        from builder_tools.networks import NETWORKS

        if network not in NETWORKS:
            raise
        return True
    return False


@cache
def _network(network: str, weights: str | None) -> tuple[Network, int, int]:
    """Return the network's function, the side of its faces and how many numbers it gives."""
    if network.endswith(".keras"):
        return _keras_file(Path(network))
    if _is_of_registry(network):
        return _registry_network(network, weights)
    return _deployed(find_model(network))


def _deployed(folder: Path) -> tuple[Network, int, int]:
    """Open the ONNX file of a model folder with what enters its last layer as its output."""
    card = ModelCard.read(folder)
    if not card.file.endswith(".onnx"):
        raise ValueError(
            f"Expected a model deployed as .onnx. Received: {card.file!r} in {folder}. "
            "Name its .keras file instead."
        )
    verify_files(folder, card, [card.file])
    import onnx
    import onnxruntime

    model = onnx.load(folder / card.file)
    name = _entry_of_last_layer(model, folder)
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    entry = session.get_inputs()[0]
    dtype = np.uint8 if "uint8" in entry.type else np.float32

    def run(faces: np.ndarray) -> np.ndarray:
        return session.run([name], {entry.name: faces.astype(dtype, copy=False)})[0]

    return run, card.input_size, run(_blank(card.input_size)).shape[1]


def _entry_of_last_layer(model: Any, folder: Path) -> str:
    """Return what enters the last dense layer (Gemm, or MatMul) of an ONNX network."""
    for node in reversed(model.graph.node):
        if node.op_type in ("Gemm", "MatMul"):
            return node.input[0]
    raise ValueError(f"Expected a network that ends in a dense layer in {folder}. It does not.")


def _keras_file(path: Path) -> tuple[Network, int, int]:
    import keras

    model = keras.saving.load_model(path, compile=False)
    heads = [layer for layer in model.layers if layer.name in HEADS] or [model.layers[-1]]
    return _headless(keras.Model(model.inputs[0], heads[0].input))


def _registry_network(name: str, weights: str | None) -> tuple[Network, int, int]:
    import keras

    from builder_tools.networks import NETWORKS, build_network

    if weights is None:
        raise ValueError(
            f"Expected weights for the network {name!r}: pretrained, or a file. Received: None."
        )
    size = NETWORKS[name].input_size
    model = build_network(name, 2, input_size=size, weights=weights)
    return _headless(keras.Model(model.inputs[0], model.layers[-1].input))


def _headless(model: Any) -> tuple[Network, int, int]:
    import keras

    size = model.input_shape[1] or NETWORK_PX

    def run(faces: np.ndarray) -> np.ndarray:
        found = keras.ops.convert_to_numpy(model(faces.astype(np.float32), training=False))
        return found.reshape(len(found), -1).astype(np.float32)

    return run, size, run(_blank(size)).shape[1]


def _blank(size: int) -> np.ndarray:
    return np.full((1, size, size, 3), 128, np.uint8)
