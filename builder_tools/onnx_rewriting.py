"""An ONNX network with fewer steps between its convolutions, for 8-bit integers; same results.

In 8-bit integers a convolution costs little and what stands between two of them much: each step
in float32 is entered and left by a conversion of the whole map. Both rewrites act on the float32
network, before it is quantised; what they do not know stays as it is.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

GATE_STEPS = {"Reshape", "Squeeze", "Conv", "Relu", "Sigmoid"}
"""What a gate of squeeze-and-excitation is made of, between the means of a map and its factors."""


def pools_as_convolutions(model) -> None:
    """Make an average over 2x2 pixels and the 1x1 convolution behind it one 2x2 convolution.

    Four times as many products, of which shortcuts have few; averages of 8-bit integers are
    slower and round once more.

    Args:
        model: ONNX network, float32; changed in place.
    """
    from onnx import helper

    users, constants = _users(model), _constants(model)
    for pool in [node for node in model.graph.node if node.op_type == "AveragePool"]:
        behind = users[pool.output[0]]
        if len(behind) != 1 or not _halves(pool) or not _is_pointwise(behind[0], constants):
            continue
        convolution = behind[0]
        weights = np.tile(constants[convolution.input[1]] / 4, (1, 1, 2, 2))
        name = _add_constant(model, f"{convolution.output[0]}_2x2", weights)
        inputs = [pool.input[0], name, *convolution.input[2:]]
        sizes = {"kernel_shape": [2, 2], "strides": [2, 2]}
        whole = helper.make_node("Conv", inputs, convolution.output, name=convolution.name, **sizes)
        _replace(model, [pool, convolution], [whole])


def gates_as_products(model) -> None:
    """Compute the gates of squeeze-and-excitation as vectors, not as maps of one pixel.

    Their two convolutions over maps of 1x1 become matrix products: convolutions bring their
    inputs into an order of memory of their own, and back.

    Args:
        model: ONNX network, float32; changed in place.
    """
    from onnx import helper

    users, constants = _users(model), _constants(model)
    for mean in [node for node in model.graph.node if node.op_type == "GlobalAveragePool"]:
        steps = _gate(mean, users, constants)
        if not steps:
            continue
        means = mean.output[0]
        vector = _add_constant(model, f"{means}_vector", np.array([0, -1]))
        pixel = _add_constant(model, f"{means}_pixel", np.array([0, -1, 1, 1]))
        last = f"{means}_flat"
        nodes = [helper.make_node("Reshape", [means, vector], [last], name=last)]
        for step in (step for step in steps if step.op_type not in ("Reshape", "Squeeze")):
            name, inputs = f"{step.output[0]}_vector", [last]
            if step.op_type == "Conv":
                weights = constants[step.input[1]][:, :, 0, 0].T
                inputs += [_add_constant(model, f"{name}_weights", weights), *step.input[2:]]
            kind = "Gemm" if step.op_type == "Conv" else step.op_type
            nodes.append(helper.make_node(kind, inputs, [name], name=name))
            last = name
        factors = steps[-1].output
        nodes.append(helper.make_node("Reshape", [last, pixel], factors, name=factors[0]))
        _replace(model, steps, nodes)


def _gate(mean, users, constants) -> list:
    """Return the steps from the means of a map to the sigmoids that multiply it, or none."""
    steps, last = [], mean
    while last.op_type != "Sigmoid":
        behind = users[last.output[0]]
        if len(behind) != 1 or behind[0].op_type not in GATE_STEPS:
            return []
        last = behind[0]
        if last.op_type == "Conv" and not _is_pointwise(last, constants):
            return []
        steps.append(last)
    multiplies = any(node.op_type == "Mul" for node in users[last.output[0]])
    return steps if multiplies else []


def _halves(pool) -> bool:
    """Tell whether a pool averages squares of 2x2 side by side, without an edge."""
    options = _attributes(pool)
    sides = options.get("kernel_shape"), options.get("strides")
    return (
        sides == ([2, 2], [2, 2])
        and not any(options.get("pads", []))
        and not options.get("ceil_mode")
    )


def _is_pointwise(node, constants) -> bool:
    """Tell whether a node is a convolution of 1x1 over all channels, of known weights."""
    if node.op_type != "Conv" or node.input[1] not in constants:
        return False
    options, weights = _attributes(node), constants[node.input[1]]
    alone = options.get("group", 1) == 1 and not any(options.get("pads", []))
    return alone and weights.shape[2:] == (1, 1) and options.get("strides", [1, 1]) == [1, 1]


def _attributes(node) -> dict:
    from onnx import helper

    return {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}


def _users(model) -> dict[str, list]:
    """Return the nodes that take each value; an empty one takes what the network puts out."""
    from onnx import NodeProto

    users = defaultdict(list)
    for node in model.graph.node:
        for name in node.input:
            users[name].append(node)
    for output in model.graph.output:
        users[output.name].append(NodeProto())
    return users


def _constants(model) -> dict[str, np.ndarray]:
    from onnx import numpy_helper

    return {value.name: numpy_helper.to_array(value) for value in model.graph.initializer}


def _add_constant(model, name: str, array: np.ndarray) -> str:
    from onnx import numpy_helper

    model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
    return name


def _replace(model, old: list, new: list) -> None:
    """Put nodes where the last of others stood, and take those and their weights out."""
    nodes = list(model.graph.node)
    place = nodes.index(old[-1])
    kept = [node for node in nodes[:place] if node not in old]
    kept += [*new, *nodes[place + 1 :]]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    used = {name for node in kept for name in node.input}
    unused = [value for value in model.graph.initializer if value.name not in used]
    for value in unused:
        model.graph.initializer.remove(value)
