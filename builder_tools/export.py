"""A trained network as a folder that runs without TensorFlow: deployable file and card.

Networks trained in mixed precision are rebuilt in float32 with the same weights, and networks
that take any size are fixed to the deployed one. The written file is loaded again and compared
with Keras on real faces; the folder is filled only if every face keeps its emotion.
"""

from __future__ import annotations

import io
import json
import os
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from builder_tools.cards import ModelCard, file_sha256, write_card
from builder_tools.tasks import TASKS

if TYPE_CHECKING:
    import keras

MAX_DIFFERENCE = 1e-4
"""Largest allowed difference of an output between Keras and the exported file."""

LOW_PRECISION = {"bfloat16", "float16", "mixed_bfloat16", "mixed_float16"}


class Predictor(Protocol):
    """Anything that returns a network's outputs for faces, such as an `EmotionClassifier`."""

    def outputs(self, faces: np.ndarray) -> np.ndarray:
        """Return `(n, width)` for `(n, H, W, 3)` uint8 RGB faces (see `tasks`)."""
        ...


@dataclass(frozen=True)
class Parity:
    """How closely an exported file matches its Keras network.

    Args:
        faces: Number of faces compared.
        max_abs_difference: Largest difference of an output.
        changed_argmax: Number of faces whose most probable emotion changed.
    """

    faces: int
    max_abs_difference: float
    changed_argmax: int

    @property
    def holds(self) -> bool:
        return self.changed_argmax == 0 and self.max_abs_difference <= MAX_DIFFERENCE


@dataclass(frozen=True)
class Export:
    """What was written and how well it agrees with Keras."""

    card: ModelCard
    parity: Parity


def export_model(
    model: keras.Model,
    folder: str | Path,
    faces: np.ndarray,
    *,
    load: Callable[[Path], Predictor],
    suffixes: Sequence[str] = (".onnx",),
    **card_fields: Any,
) -> Export:
    """Write a trained network as a model folder with its card.

    Args:
        model: A network from `(n, size, size, 3)` RGB 0...255 to the outputs of the card's task,
            in any precision.
        folder: Folder to write to; created if needed.
        faces: `(n, size, size, 3)` uint8 RGB to compare on; their side becomes the input size.
        load: Opens a model folder for use, e.g. `EmotionClassifier`.
        suffixes: Files to write, from `WRITERS`; the card deploys the first.
        **card_fields: Fields of the `ModelCard`; `file`, `input_size` and `sha256` are filled in
            here, and `name` defaults to the folder's name.

    Raises:
        ValueError: If the file does not agree with Keras, or faces, suffixes or fields are
            invalid. The folder is then left as it was.
    """
    _check_request(faces, suffixes)
    folder, size = Path(folder), faces.shape[1]
    fixed = as_float32(model, size)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".export-") as temporary:
        place = Path(temporary)
        files = [f"model{suffix}" for suffix in suffixes]
        fields = {"name": folder.name, **card_fields, "input_size": size}
        card = ModelCard(file=files[0], **fields)
        for file, suffix in zip(files, suffixes, strict=True):
            WRITERS[suffix](fixed, place / file, card.emotions)
        card = replace(card, sha256={file: file_sha256(place / file) for file in files})
        write_card(place, card)
        parity = check_parity(fixed, load(place), faces, num_affect=TASKS[card.task].num_affect)
        if not parity.holds:
            raise ValueError(
                f"Expected the exported file to agree with Keras within {MAX_DIFFERENCE}, and no "
                f"face to change its emotion. Received: {parity}. {folder} was left as it was. A "
                "layer is converted wrongly: look for one that behaves differently in training."
            )
        card = replace(card, training={**card.training, "parity": vars(parity)})
        folder.mkdir(exist_ok=True)
        for file in card.sha256:
            os.replace(place / file, folder / file)
        write_card(folder, card)
    return Export(card, parity)


def check_parity(
    model: keras.Model, classifier: Predictor, faces: np.ndarray, *, num_affect: int = 0
) -> Parity:
    """Compare an exported network with Keras.

    Args:
        model: The Keras network, in float32.
        classifier: The exported one.
        faces: `(n, size, size, 3)` uint8 RGB at the network's input size, n >= 1.
        num_affect: How many of the last outputs are not probabilities of emotions.
    """
    expected = model.predict(faces.astype(np.float32), batch_size=64, verbose=0)
    received = classifier.outputs(faces)
    count = expected.shape[1] - num_affect
    changed = _largest(expected[:, :count]) != _largest(received[:, :count])
    return Parity(
        faces=len(faces),
        max_abs_difference=float(np.abs(expected - received).max()),
        changed_argmax=int(changed.sum()),
    )


def as_float32(model: keras.Model, input_size: int | None = None) -> keras.Model:
    """Return a copy of a network that computes in float32, with the same weights.

    Args:
        model: A functional or sequential network in any precision.
        input_size: Side of the copy's input in pixels; None keeps the input as it is.
    """
    config = _in_float32(model.get_config())
    for layer in config["layers"] if input_size is not None else ():
        if layer["class_name"] == "InputLayer":
            batch, _, _, channels = layer["config"]["batch_shape"]
            layer["config"]["batch_shape"] = (batch, input_size, input_size, channels)
    import keras

    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        copy = type(model).from_config(config)
    finally:
        keras.config.set_dtype_policy(policy)
    copy.set_weights(model.get_weights())
    return copy


def write_onnx(model: keras.Model, path: Path, emotions: Sequence[str]) -> None:
    """Write an ONNX file that names its classes and has a free batch size.

    The converter folds batch normalisation into the convolutions and transposes to channels-first
    only once, at the input (tests check both).
    """
    import onnx

    # Keras only exports networks that have been called.
    model(np.zeros((1, *model.input_shape[1:]), np.float32))
    with warnings.catch_warnings():  # Keras warns about its own use of NumPy
        warnings.filterwarnings("ignore", "In the future `np.object`", FutureWarning)
        model.export(str(path), format="onnx", verbose=False)
    graph = onnx.load(path)
    _raise_scales(graph.graph)
    onnx.helper.set_model_props(graph, {"emotions": json.dumps(list(emotions))})
    for value in (*graph.graph.input, *graph.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.checker.check_model(graph)
    onnx.save(graph, path)


def _raise_scales(graph) -> None:
    """Raise the scales of resizings by a rounding error.

    The side of the result is the whole part of side times scale, and 48 times 103/48 is a little
    less than 103 in float32. Not where the nearest pixel is taken: halfway between two, that would
    become the other one.
    """
    from onnx import numpy_helper

    nodes = [node for node in graph.node if node.op_type == "Resize" and node.input[2:]]
    names = {node.input[2] for node in nodes if _mode_of(node) != b"nearest"}
    for value in graph.initializer:
        if value.name in names:
            scales = numpy_helper.to_array(value)
            raised = np.where(scales % 1, scales * np.float32(1 + 2**-22), scales)
            value.CopyFrom(numpy_helper.from_array(raised, value.name))


def _mode_of(resize) -> bytes:
    return next((one.s for one in resize.attribute if one.name == "mode"), b"nearest")


def write_tflite(model: keras.Model, path: Path, emotions: Sequence[str]) -> None:
    """Write a LiteRT file; it cannot name its classes, so only the card does."""
    model.export(str(path), format="litert", verbose=False)


def write_keras(model: keras.Model, path: Path, emotions: Sequence[str]) -> None:
    """Write the Keras network itself, for further training, at half the size.

    Its weights keep 11 of their 24 significant bits, more than the eight-bit integers it is
    deployed with; the file is compressed with deflate.
    """
    import keras

    copy = keras.models.clone_model(model)
    copy.set_weights([_rounded(weights) for weights in model.get_weights()])
    whole = io.BytesIO()
    copy.save(path)
    with zipfile.ZipFile(path) as stored, zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as out:
        for member in stored.infolist():
            out.writestr(member.filename, stored.read(member))
    path.write_bytes(whole.getvalue())


WRITERS: dict[str, Callable[[keras.Model, Path, Sequence[str]], None]] = {
    ".onnx": write_onnx,
    ".tflite": write_tflite,
    ".keras": write_keras,
}
"""Suffix -> function that writes such a file."""


def _rounded(weights: np.ndarray) -> np.ndarray:
    """Return float32 numbers rounded so that their last 13 bits are 0."""
    if weights.dtype != np.float32:
        return weights
    bits = np.ascontiguousarray(weights).view(np.uint32)
    return ((bits + np.uint32(1 << 12)) & np.uint32(~0x1FFF & 0xFFFFFFFF)).view(np.float32)


def _largest(rows: np.ndarray) -> np.ndarray:
    """Return the index of the largest value in each row, 0 for rows without values."""
    return rows.argmax(axis=1) if rows.shape[1] else np.zeros(len(rows), np.int64)


def _in_float32(config: Any) -> Any:
    """Return a layer configuration with every low-precision policy replaced by float32."""
    if isinstance(config, dict):
        if config.get("class_name") == "DTypePolicy":
            return "float32" if config["config"]["name"] in LOW_PRECISION else config
        return {key: _in_float32(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(_in_float32(value) for value in config)
    return "float32" if isinstance(config, str) and config in LOW_PRECISION else config


def _check_request(faces: np.ndarray, suffixes: Sequence[str]) -> None:
    unknown = [suffix for suffix in suffixes if suffix not in WRITERS]
    if unknown or not suffixes or suffixes[0] == ".keras":
        raise ValueError(
            f"Expected suffixes of {list(WRITERS)}, first the one to deploy (not .keras). "
            f"Received: {list(suffixes)}."
        )
    shape = np.shape(faces)
    square = len(shape) == 4 and shape[0] > 0 and shape[1] == shape[2] and shape[3] == 3
    if not square or faces.dtype != np.uint8:
        raise ValueError(
            "Expected faces to compare on as (n, size, size, 3) uint8 RGB, n >= 1. "
            f"Received: shape {shape}, type {getattr(faces, 'dtype', type(faces).__name__)}."
        )
