"""Rewrites before quantisation: the same results from fewer steps, and nothing else touched."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from builder_tools.onnx_rewriting import pools_as_convolutions

CHANNELS, SIDE = 4, 6


class Network:
    """An ONNX network made node by node, with random weights."""

    def __init__(self) -> None:
        self.nodes, self.weights, self.rng = [], [], np.random.default_rng(0)

    def add(self, kind: str, *inputs: str, **options) -> str:
        """Add a node; return the name of what it gives."""
        out = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [out], name=out, **options))
        return out

    def constant(self, array) -> str:
        name = f"constant_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def convolution(self, given: str, filters: int, channels: int, side: int = 1, **options) -> str:
        weights, bias = self.rng.normal(size=(filters, channels, side, side)), np.arange(filters)
        names = [self.constant(array.astype("f4")) for array in (weights, bias)]
        return self.add("Conv", given, *names, **options)

    def model(self, *outputs: str) -> onnx.ModelProto:
        shape = ["n", CHANNELS, SIDE, SIDE]
        graph = helper.make_graph(
            self.nodes,
            "toy",
            [helper.make_tensor_value_info("maps", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            initializer=self.weights,
        )
        opsets = [helper.make_opsetid("", 15)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        return onnx.shape_inference.infer_shapes(model)


def answers(model: onnx.ModelProto) -> list[np.ndarray]:
    """Return what a network gives for three random maps; it must be a valid one."""
    onnx.checker.check_model(model, full_check=True)
    maps = np.random.default_rng(1).normal(size=(3, CHANNELS, SIDE, SIDE)).astype("f4")
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"maps": maps})


def kinds(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def rewrite(model: onnx.ModelProto) -> None:
    """Rewrite a network, and see that it gives what it gave."""
    before = answers(model)
    pools_as_convolutions(model)
    for old, new in zip(before, answers(model), strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-5, atol=1e-5)


def pooled(side: int = 1, also_output: bool = False, **options) -> onnx.ModelProto:
    """Return averages over squares, a convolution of these, and another beside them."""
    network = Network()
    pool = {"kernel_shape": [2, 2], "strides": [2, 2], **options}
    averages = network.add("AveragePool", "maps", **pool)
    behind = network.convolution(averages, 3, CHANNELS, side)
    beside = network.convolution("maps", 3, CHANNELS, 3, pads=[1] * 4)
    return network.model(behind, beside, *([averages] if also_output else []))


def test_a_halving_average_and_its_pointwise_convolution_become_one():
    model = pooled()
    rewrite(model)
    assert sorted(kinds(model)) == ["Conv", "Conv"]
    sizes = {
        tuple(numpy_helper.to_array(value).shape[2:])
        for value in model.graph.initializer
        if len(value.dims) == 4
    }
    assert sizes == {(2, 2), (3, 3)}  # the weights of 1x1 went with their convolution


def test_two_averages_in_a_row_and_shared_weights():
    network = Network()
    weights = network.constant(np.eye(CHANNELS, dtype="f4")[:, :, None, None])
    x = "maps"
    for _ in range(2):
        x = network.add("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
        x = network.add("Conv", x, weights)
    model = network.model(x)
    rewrite(model)
    assert kinds(model) == ["Conv", "Conv"]


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_shape": [3, 3]},
        {"strides": [1, 1]},
        {"pads": [1, 1, 1, 1]},
        {"auto_pad": "SAME_UPPER"},
        {"side": 3},
        {"also_output": True},
    ],
    ids=str,
)
def test_other_averages_stay(options):
    model = pooled(**options)
    before = kinds(model)
    rewrite(model)
    assert kinds(model) == before
