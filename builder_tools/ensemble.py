"""Several ONNX networks joined into one that returns the weighted mean of their probabilities.

Networks trained independently make different errors, and their mean errs less often (Hansen &
Salamon, 1990, "Neural Network Ensembles"). The one file costs as much as its members together and
is used like any other. Members may take faces of different sizes: inside the file, faces are
resized for each member exactly as they would be outside it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from builder_tools.onnx_resizing import resizing_nodes

FACES, PROBABILITIES = "faces", "probabilities"


def ensemble_onnx(
    paths: Sequence[Path],
    out: Path,
    emotions: Sequence[str],
    *,
    shares: Sequence[float] | None = None,
    size_px: int | None = None,
) -> None:
    """Write the weighted mean of several networks as one network.

    Args:
        paths: At least two networks from `(n, size, size, 3)` RGB 0...255 to probabilities, with
            the same class order; each may have its own size.
        out: File to write.
        emotions: Class order, written into the file.
        shares: Weight of each network in the mean, above 0, normalised to a sum of 1; None for
            equal weights.
        size_px: Side of the faces that the joint network takes; None for that of the first
            network.

    Raises:
        ValueError: If there are fewer than two networks, their inputs or outputs differ in kind,
            or there is not exactly one share above 0 for each.
    """
    import onnx
    from onnx import compose, helper, numpy_helper

    if len(paths) < 2:
        raise ValueError(f"Expected at least two networks to join. Received: {len(paths)}.")
    parts = relative_shares(shares, len(paths))
    members = [
        compose.add_prefix(onnx.load(path), f"member{number}/") for number, path in enumerate(paths)
    ]
    graphs = [member.graph for member in members]
    _expect_alike(paths, graphs)
    given, told = _kind(graphs[0].input[0]), _kind(graphs[0].output[0])
    size_px = size_px or given[1][1]
    nodes, weights = _entries([graph.input[0] for graph in graphs], size_px)
    nodes += [node for graph in graphs for node in graph.node]
    weights += [weight for graph in graphs for weight in graph.initializer]
    weighted = []
    for number, (graph, part) in enumerate(zip(graphs, parts, strict=True)):
        share, answer = f"member{number}/share", f"member{number}/weighted"
        weights.append(numpy_helper.from_array(np.float32(part), share))
        nodes.append(helper.make_node("Mul", [graph.output[0].name, share], [answer]))
        weighted.append(answer)
    nodes.append(helper.make_node("Sum", weighted, [PROBABILITIES]))
    joined = helper.make_graph(
        nodes,
        "ensemble",
        [helper.make_tensor_value_info(FACES, given[0], ["batch", size_px, size_px, 3])],
        [helper.make_tensor_value_info(PROBABILITIES, *told)],
        initializer=weights,
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


def relative_shares(shares: Sequence[float] | None, count: int) -> np.ndarray:
    """Return the weight of each of `count` members in their mean, `(count,)` with a sum of 1.

    Raises:
        ValueError: If there is not exactly one share above 0 for each.
    """
    found = np.ones(count) if shares is None else np.asarray(shares, np.float64)
    if found.shape != (count,) or not np.isfinite(found).all() or found.min() <= 0:
        raise ValueError(
            f"Expected a share above 0 for each of {count} models, or none. Received: "
            f"{found.tolist()}."
        )
    return found / found.sum()


def _entries(inputs: Sequence, size_px: int) -> tuple[list, list]:
    """Return the nodes, and their constants, that pass the faces to each member at its size."""
    from onnx import helper

    nodes, constants, resized = [], [], {size_px: FACES}
    for entry in inputs:
        side = _kind(entry)[1][1]
        if side not in resized:
            resized[side] = f"{FACES}_{side}"
            more, needed = resizing_nodes(resized[side], FACES, size_px, side)
            nodes, constants = nodes + more, constants + needed
        nodes.append(helper.make_node("Identity", [resized[side]], [entry.name]))
    return nodes, constants


def _kind(value) -> tuple[int, list[int | str]]:
    """Return the element type and the shape, with a free batch size."""
    tensor = value.type.tensor_type
    return tensor.elem_type, ["batch", *(size.dim_value for size in tensor.shape.dim[1:])]


def _expect_alike(paths: Sequence[Path], graphs: Sequence) -> None:
    """Refuse networks whose inputs are not colour faces of one type or whose outputs differ."""
    found = {
        str(path): (_kind(graph.input[0]), _kind(graph.output[0]))
        for path, graph in zip(paths, graphs, strict=True)
    }
    kinds = {str((entry[0], told)) for entry, told in found.values()}
    if len(kinds) > 1 or any(
        entry[1][1:] != [entry[1][1]] * 2 + [3] for entry, _ in found.values()
    ):
        raise ValueError(
            f"Expected networks from square RGB faces to the same output. Received: {found}."
        )
