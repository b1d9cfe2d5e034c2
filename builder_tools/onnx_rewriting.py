"""An ONNX network rewritten for 8-bit integers, with fewer steps between convolutions.

The results stay the same. In 8-bit integers, convolutions are cheap and the steps between them
are expensive.
"""

from __future__ import annotations

from collections import Counter

import numpy as np


def pools_as_convolutions(model) -> None:
    """Merge an average over 2x2 pixels and the following 1x1 convolution into a 2x2 convolution.

    This takes four times as many multiplications, of which shortcuts have few; averages of 8-bit
    integers are slower and round one more time.

    Args:
        model: ONNX network in float32, not yet quantised; changed in place. Other averages are
            left alone.
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
    """Return whether a node averages adjacent 2x2 squares, without padding."""
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
    """Return whether a node is a 1x1 convolution over all channels with known weights."""
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
