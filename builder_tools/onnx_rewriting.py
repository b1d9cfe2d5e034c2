"""An ONNX network with fewer steps between its convolutions, for 8-bit integers; same results.

In 8-bit integers a convolution costs little and what stands between two of them much.
"""

from __future__ import annotations

from collections import Counter

import numpy as np


def pools_as_convolutions(model) -> None:
    """Make an average over 2x2 pixels and the 1x1 convolution behind it one 2x2 convolution.

    Four times as many products, of which shortcuts have few; averages of 8-bit integers are
    slower and round once more.

    Args:
        model: ONNX network, float32, not quantised yet; changed in place. Other averages stay.
    """
    from onnx import helper, numpy_helper

    graph = model.graph
    weights = {value.name: value for value in graph.initializer}
    taken = Counter(name for node in graph.node for name in node.input)
    taken.update(output.name for output in graph.output)
    replaced: set[str] = set()
    pools = {node.output[0]: node for node in graph.node if _halves(node)}
    for convolution in [node for node in graph.node if _is_pointwise(node, weights)]:
        pool = pools.get(convolution.input[0])
        if pool is None or taken[pool.output[0]] > 1:
            continue
        one_by_one = weights[convolution.input[1]]
        share = numpy_helper.to_array(one_by_one) / 4
        four = numpy_helper.from_array(
            np.tile(share, (1, 1, 2, 2)), f"{convolution.output[0]}_weights_2x2"
        )
        graph.initializer.append(four)
        convolution.input[0], convolution.input[1] = pool.input[0], four.name
        replaced.add(one_by_one.name)
        del convolution.attribute[:]
        for name in ("kernel_shape", "strides"):
            convolution.attribute.append(helper.make_attribute(name, [2, 2]))
        graph.node.remove(pool)
    used = {name for node in graph.node for name in node.input}
    for name in replaced - used:
        graph.initializer.remove(weights[name])


def _halves(node) -> bool:
    """Tell whether a node averages squares of 2x2 side by side, without an edge."""
    options = _options(node)
    return (
        node.op_type == "AveragePool"
        and options.get("kernel_shape") == options.get("strides") == [2, 2]
        and not any(options.get("pads", []))
        and options.get("auto_pad", b"NOTSET") in (b"NOTSET", b"VALID")
        and options.get("dilations", [1, 1]) == [1, 1]
        and not options.get("ceil_mode")
    )


def _is_pointwise(node, weights) -> bool:
    """Tell whether a node is a convolution of 1x1 over all channels, of known weights."""
    if node.op_type != "Conv" or node.input[1] not in weights:
        return False
    options = _options(node)
    return (
        list(weights[node.input[1]].dims[2:]) == [1, 1]
        and options.get("strides", [1, 1]) == [1, 1]
        and options.get("group", 1) == 1
        and not any(options.get("pads", []))
    )


def _options(node) -> dict:
    from onnx import helper

    return {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
