"""An ONNX network in 8-bit integers: two to three times as fast on a CPU, a quarter of the size.

Static quantisation by ONNX Runtime: convolutions compute in int8, with weights scaled per channel
and activations in the ranges seen on calibration faces (Jacob et al., 2018, arXiv:1712.05877).
Parts that are small or must be exact stay in float: the standardisation of the face, the
convolution that reads its single channel, the gates of squeeze-and-excitation, and the head.
Checking that accuracy holds is up to the caller.
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from builder_tools.onnx_rewriting import pools_as_convolutions

CALIBRATION_FACES = 512
CALIBRATION_BATCH = 32
WIDE_CHANNELS = 256
"""Fewest input channels for a convolution of a depthwise-separable network to compute in int8: of
the values tried on `face_mobilenet` (`reports/int8_forms.md`), the one without loss on valid."""
ACTIVATIONS = {"Relu", "Clip"}
"""Operations that clip a convolution's results; they need no step of their own in 8 bits."""


def quantize_onnx(
    path: Path,
    out: Path,
    faces: np.ndarray,
    emotions: Sequence[str],
    *,
    wide_channels: int = WIDE_CHANNELS,
    join_pools: bool = True,
) -> None:
    """Write the int8 form of an ONNX network.

    Weights use only 7 of their 8 bits: processors without VNNI instructions sum pairs of products
    in 16 bits, which full weights would overflow.

    Args:
        path: The float32 network, from `(n, size, size, 3)` RGB 0...255 to probabilities.
        out: File to write.
        faces: `(n, size, size, 3)` uint8 RGB training faces, for the ranges of activations.
        emotions: Class order, written into the file.
        wide_channels: In networks with depthwise convolutions, only convolutions whose filters
            have at least this many input channels compute in int8 (a depthwise filter has one).
        join_pools: Whether to merge halving averages into the convolutions that follow them
            (see `onnx_rewriting`).

    Raises:
        ValueError: If the network has no convolution to quantise, or there are no faces.
    """
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    if not len(faces):
        raise ValueError("Expected faces to calibrate on. Received: none.")
    with tempfile.TemporaryDirectory(prefix="quantize-") as folder, _quiet():
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
        graph = onnx.load(prepared)
        if join_pools:
            pools_as_convolutions(graph)
        graph = onnx.shape_inference.infer_shapes(graph)
        onnx.save(graph, prepared)
        quantization.quantize_static(
            str(prepared),
            str(out),
            _faces_reader(graph.graph.input[0].name, faces),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            nodes_to_quantize=_with_activations(
                graph, _convolutions_over_maps(path, graph, wide_channels)
            ),
        )
    written = onnx.load(out)
    onnx.helper.set_model_props(written, {"emotions": json.dumps(list(emotions))})
    onnx.save(written, out)


def _convolutions_over_maps(path: Path, model, wide_channels: int) -> list[str]:
    """Return the names of the convolutions worth quantising: maps above 1x1, several channels.

    The convolution that reads a grey face is small, and its input needs more than 8 bits. In
    networks with depthwise convolutions, only the wide ones between these are worth it: the
    channels of a depthwise convolution differ too much in range for one scale, and early
    convolutions lose the most accuracy.
    """
    shapes = {
        value.name: [size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in (*model.graph.value_info, *model.graph.output)
    }
    inside = {
        weight.name: weight.dims[1] for weight in model.graph.initializer if len(weight.dims) > 1
    }
    nodes = [node for node in model.graph.node if node.op_type == "Conv"]
    entries = [entry for node in nodes for entry in node.attribute]
    has_depthwise = any(entry.name == "group" and entry.i > 1 for entry in entries)
    least = wide_channels if has_depthwise else 2
    found = []
    for node in nodes:
        shape = shapes.get(node.output[0], [])  # a map has (n, channels, height, width)
        is_map = len(shape) == 4 and shape[1] > 1 and max(shape[2:]) > 1
        wide = inside.get(node.input[1], least) >= least
        if is_map and wide:
            found.append(node.name)
    if not found:
        raise ValueError(
            f"Expected a convolutional network to quantise. Received: {path}, without a "
            "convolution over maps larger than 1x1."
        )
    return found


def _with_activations(model, names: Sequence[str]) -> list[str]:
    """Return the names of convolutions and of the activations right after them, to fuse both."""
    of_chosen = {
        node.output[0] for node in model.graph.node if node.op_type == "Conv" and node.name in names
    }
    behind = [
        node.name
        for node in model.graph.node
        if node.op_type in ACTIVATIONS and node.input[0] in of_chosen
    ]
    return [*names, *behind]


def _faces_reader(name: str, faces: np.ndarray):
    from onnxruntime.quantization import CalibrationDataReader

    class FacesReader(CalibrationDataReader):
        """Returns faces in batches, then None, as ONNX Runtime requires."""

        def __init__(self) -> None:
            self._starts = iter(range(0, len(faces), CALIBRATION_BATCH))

        def get_next(self) -> dict[str, np.ndarray] | None:
            start = next(self._starts, None)
            if start is None:
                return None
            return {name: faces[start : start + CALIBRATION_BATCH].astype(np.float32)}

    return FacesReader()


class _quiet:
    """Keeps ONNX Runtime from giving advice on the root logger that is already followed."""

    def __enter__(self) -> None:
        self._level = logging.getLogger().level
        logging.getLogger().setLevel(logging.ERROR)

    def __exit__(self, *error: object) -> None:
        logging.getLogger().setLevel(self._level)
