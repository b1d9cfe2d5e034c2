"""Networks without their last layer: feature vectors of faces.

Deployed models are opened without Keras; `.keras` files and networks of the registry need it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from builder_tools.cards import ModelCard, find_model, verify_files
from builder_tools.media import resize_faces
from builder_tools.tasks import OUTPUT_LAYERS

BATCH_FACES = 64
ANY_SIZE_PX = 48
"""Side of the faces for networks that take any size, and none tells what they were trained at."""


@dataclass(frozen=True)
class HeadlessNetwork:
    """A network up to the input of its last layer.

    Args:
        run: Function from `(n, size_px, size_px, 3)` uint8 RGB to `(n, width)` float32.
        size_px: Side of its faces.
        width: Length of its vectors.
    """

    run: Callable[[np.ndarray], np.ndarray]
    size_px: int
    width: int

    def vectors(self, faces: np.ndarray) -> np.ndarray:
        """Return `(n, width)` float32 for faces `(n, H, W[, 3])` uint8 of any size."""
        parts = (
            self.run(resize_faces(faces[first : first + BATCH_FACES], self.size_px))
            for first in range(0, len(faces), BATCH_FACES)
        )
        return np.concatenate(list(parts))


def headless_network(network: str | Path, weights: str | None = None) -> HeadlessNetwork:
    """Open a network without its last layer.

    Args:
        network: A shipped model (name or folder: its deployed ONNX file), a `.keras` file, or a
            name in `NETWORKS`.
        weights: Weights for a network of the registry: `pretrained`, or a file.

    Raises:
        ValueError: If there is no such network, it is a network of the registry without weights,
            or its deployed file is not ONNX or has no dense layer.
    """
    file = network_file(network)
    if file is not None and file.suffix != ".keras":
        return _from_deployed(find_model(network))
    if file is not None:
        from builder_tools.networks import read_network, trained_size_px

        model = read_network(file)
        outputs = [layer for layer in model.layers if layer.name in OUTPUT_LAYERS]
        size_px = model.input_shape[1] or trained_size_px(file) or ANY_SIZE_PX
        return _without(model, (outputs or model.layers[-1:])[0], size_px)
    name = str(network)
    if weights is None:
        raise ValueError(
            f"Expected weights for the network {name!r}: pretrained, or a file. Received: None."
        )
    from builder_tools.networks import NETWORKS, build_network

    size_px = NETWORKS[name].input_size
    model = build_network(name, 2, input_size=size_px, weights=weights)
    return _without(model, model.layers[-1], size_px)


def network_file(network: str | Path) -> Path | None:
    """Return the file of a network: a `.keras` file or the deployed file of a model.

    None for a name in the registry.

    Raises:
        ValueError: If there is no such network.
    """
    if str(network).endswith(".keras"):
        return Path(network)
    try:
        folder = find_model(network)
    except ValueError:
        from builder_tools.networks import NETWORKS

        if network not in NETWORKS:
            raise
        return None
    return folder / ModelCard.read(folder).file


def _from_deployed(folder: Path) -> HeadlessNetwork:
    """Open the ONNX file of a model folder with the input of its last layer as output."""
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
    dense = [node for node in model.graph.node if node.op_type in ("Gemm", "MatMul")]
    if not dense:
        raise ValueError(f"Expected a network that ends in a dense layer in {folder}. It does not.")
    name = dense[-1].input[0]
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

    return _measured(run, card.input_size)


def _without(model: Any, last: Any, size_px: int) -> HeadlessNetwork:
    import keras

    headless = keras.Model(model.inputs[0], last.input)

    def run(faces: np.ndarray) -> np.ndarray:
        found = headless.predict_on_batch(faces.astype(np.float32))
        return found.reshape(len(found), -1).astype(np.float32, copy=False)

    return _measured(run, size_px)


def _measured(run: Callable[[np.ndarray], np.ndarray], size_px: int) -> HeadlessNetwork:
    blank = np.full((1, size_px, size_px, 3), 128, np.uint8)
    return HeadlessNetwork(run, size_px, run(blank).shape[1])
