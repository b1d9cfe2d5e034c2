"""Several ONNX networks as one, which gives the mean of their probabilities.

Networks that were trained apart err apart; their mean errs less often (Hansen & Salamon, 1990,
"Neural Network Ensembles"). One file costs what its members cost together, and is used like any.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

FACES, PROBABILITIES = "faces", "probabilities"


def ensemble_onnx(paths: Sequence[Path], out: Path, emotions: Sequence[str]) -> None:
    """Write the mean of several networks as one.

    Args:
        paths: Networks from `(n, size, size, 3)` RGB 0...255 to probabilities; at least two, all
            of one size and one class order.
        out: Where to write.
        emotions: Class order, written into the file.

    Raises:
        ValueError: If there are fewer than two, or their inputs or outputs differ.
    """
    import onnx
    from onnx import compose, helper

    if len(paths) < 2:
        raise ValueError(f"Expected at least two networks to join. Received: {len(paths)}.")
    members = [
        compose.add_prefix(onnx.load(path), f"member{number}/") for number, path in enumerate(paths)
    ]
    graphs = [member.graph for member in members]
    _expect_alike(paths, graphs)
    given, told = graphs[0].input[0], graphs[0].output[0]
    nodes = [helper.make_node("Identity", [FACES], [graph.input[0].name]) for graph in graphs]
    nodes += [node for graph in graphs for node in graph.node]
    nodes.append(helper.make_node("Mean", [one.output[0].name for one in graphs], [PROBABILITIES]))
    joined = helper.make_graph(
        nodes,
        "ensemble",
        [helper.make_tensor_value_info(FACES, *_kind(given))],
        [helper.make_tensor_value_info(PROBABILITIES, *_kind(told))],
        initializer=[weights for graph in graphs for weights in graph.initializer],
    )
    versions = {one.domain: one for member in members for one in member.opset_import}
    model = helper.make_model(
        joined,
        opset_imports=list(versions.values()),
        ir_version=max(member.ir_version for member in members),
    )
    helper.set_model_props(model, {"emotions": json.dumps(list(emotions))})
    onnx.checker.check_model(model)
    onnx.save(model, out)


def _kind(value) -> tuple[int, list[int | str]]:
    """Return element type and shape; the batch size stays free."""
    tensor = value.type.tensor_type
    return tensor.elem_type, ["batch", *(size.dim_value for size in tensor.shape.dim[1:])]


def _expect_alike(paths: Sequence[Path], graphs: Sequence) -> None:
    found = {
        str(path): (_kind(graph.input[0]), _kind(graph.output[0]))
        for path, graph in zip(paths, graphs, strict=True)
    }
    if len({str(kind) for kind in found.values()}) > 1:
        raise ValueError(f"Expected networks with the same input and output. Received: {found}.")
