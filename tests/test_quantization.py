"""Which convolutions compute in 8-bit integers."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from builder_tools.quantization import WIDE_CHANNELS, quantize_onnx

WIDTHS = {"entry": (8, 3, 3), "wide": (WIDE_CHANNELS, 8, 1), "between": (8, WIDE_CHANNELS, 1)}


def write_network(path, *, depthwise: bool) -> None:
    """Write convolutions over 8x8 maps; with `depthwise` a separable one stands between them."""
    rng, nodes, weights = np.random.default_rng(0), [], []

    def convolution(name: str, given: str, shape, group: int = 1) -> str:
        weights.append(numpy_helper.from_array(rng.normal(0, 0.1, shape).astype("f4"), f"{name}_w"))
        pads = [shape[-1] // 2] * 4
        options = {"name": name, "group": group, "pads": pads}
        nodes.append(helper.make_node("Conv", [given, f"{name}_w"], [f"{name}_map"], **options))
        return f"{name}_map"

    nodes.append(helper.make_node("Transpose", ["faces"], ["planes"], perm=[0, 3, 1, 2]))
    last = "planes"
    for name, (filters, channels, side) in WIDTHS.items():
        last = convolution(name, last, (filters, channels, side, side))
        if depthwise and name == "wide":
            last = convolution("depthwise", last, (filters, 1, 3, 3), group=filters)
    nodes.append(helper.make_node("ReduceMean", [last], ["told"], axes=[2, 3], keepdims=0))
    nodes.append(helper.make_node("Softmax", ["told"], ["probabilities"]))
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("faces", TensorProto.FLOAT, ["n", 8, 8, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 8])],
        initializer=weights,
    )
    opsets = [helper.make_opsetid("", 15)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)


@pytest.mark.parametrize(
    ("depthwise", "expected"), [(False, {*WIDTHS}), (True, {"between"})], ids=["dense", "separable"]
)
def test_of_separable_networks_only_wide_convolutions_are_int8(tmp_path, depthwise, expected):
    write_network(tmp_path / "float.onnx", depthwise=depthwise)
    faces = np.random.default_rng(1).integers(0, 256, (16, 8, 8, 3), np.uint8)
    quantize_onnx(tmp_path / "float.onnx", tmp_path / "int8.onnx", faces, list("abcdefgh"))
    graph = onnx.load(tmp_path / "int8.onnx").graph
    given = {node.output[0]: node.op_type for node in graph.node}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    int8 = {node.name for node in convolutions if given.get(node.input[1]) == "DequantizeLinear"}
    assert int8 == expected
    assert len(convolutions) == len(WIDTHS) + depthwise


def write_gated_network(path) -> None:
    """Write the kind of network that is shipped: grey entry, halving shortcut, gates."""
    import keras

    from builder_tools.export import write_onnx
    from builder_tools.networks.architectures import compact_residual

    keras.utils.set_random_seed(0)
    backbone = compact_residual(16, stem_width=4, widths=(8, 16), blocks=1)
    told = keras.layers.Dense(3, "softmax")(
        keras.layers.GlobalAveragePooling2D()(backbone.outputs[0])
    )
    write_onnx(keras.Model(backbone.inputs, told), path, list("abc"))


def test_a_network_with_gates_enters_float_seldom(tmp_path):
    write_gated_network(tmp_path / "float.onnx")
    faces = np.random.default_rng(1).integers(0, 256, (64, 16, 16, 3), np.uint8)
    files = [tmp_path / "float.onnx", tmp_path / "int8.onnx"]
    quantize_onnx(*files, faces, list("abc"))
    told = []
    for file in files:
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        told.append(session.run(None, {session.get_inputs()[0].name: faces.astype("f4")})[0])
    assert np.abs(told[1] - told[0]).max() < 0.02
    graph = onnx.load(files[1]).graph
    given = {node.output[0]: node for node in graph.node}
    by_type = {}
    for node in graph.node:
        by_type.setdefault(node.op_type, []).append(node)
    assert "AveragePool" not in by_type
    int8 = [n for n in by_type["Conv"] if given.get(n.input[1]) is not None]
    # Grey, the entry and both gates stay float: of one channel, to one channel, over one pixel.
    assert len(by_type["Conv"]) - len(int8) == 2 + 2 * 2
    # No activation stands between a convolution's results and their 8 bits.
    quantised = [given[n.input[0]].op_type for n in by_type["QuantizeLinear"]]
    assert quantised.count("Conv") == len(int8)
