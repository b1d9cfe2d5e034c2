"""Resizing inside a graph gives the pixels of `resize_square`."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from builder_tools.media import resize_faces
from builder_tools.onnx_resizing import resizing_nodes


def resized_in_graph(faces: np.ndarray, size_px: int) -> np.ndarray:
    side = faces.shape[1]
    nodes, constants = resizing_nodes("small", "faces", side, size_px)
    graph = helper.make_graph(
        nodes,
        "resizing",
        [helper.make_tensor_value_info("faces", TensorProto.FLOAT, ["n", side, side, 3])],
        [helper.make_tensor_value_info("small", TensorProto.FLOAT, ["n", size_px, size_px, 3])],
        initializer=constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {"faces": faces.astype(np.float32)})[0]


@pytest.mark.parametrize(
    ("side", "size_px"), [(48, 96), (96, 48), (64, 48), (48, 64), (24, 37), (112, 30), (2, 3)]
)
def test_pixels_are_those_of_use(side, size_px):
    rng = np.random.default_rng(side)
    noise = rng.integers(0, 256, (3, side, side, 3), np.uint8)
    steps = np.where(noise > 127, 255, 0).astype(np.uint8)
    for faces in (noise, steps):
        found, wanted = resized_in_graph(faces, size_px), resize_faces(faces, size_px)
        apart = np.abs(found - wanted)
        assert apart.max() <= 1
        # What is left are sums that single precision rounds to the other side of a half.
        assert (apart > 0).mean() <= (0 if {side, size_px} == {48, 96} else 2e-3)
