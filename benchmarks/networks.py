"""Measure every network in the registry: parameters, arithmetic, time for one face.

    python benchmarks/networks.py [--networks NAME...] [--size 48] [--rounds 50]

Each network is built with random weights and nine classes, all at the same size so that rows are
comparable, written as ONNX as for deployment, checked against Keras, and run in ONNX Runtime on one
thread. Arithmetic is counted from the file: two operations for each multiply-add of a convolution
or matrix product, with the shapes of a real run. Times are medians of the thread's processor time,
which is close to the time on an idle machine even if the machine is in use.

Rows are kept in `reports/networks.csv` as they are measured; a row that exists for the size is not
measured again, so the script may be stopped and restarted. `reports/networks.md` is written from
it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import onnx
import onnxruntime
import pandas as pd
from machine import describe_machine

from builder_tools.emotions import NINE_EMOTIONS
from builder_tools.export import MAX_DIFFERENCE, write_onnx
from builder_tools.networks import NETWORKS, build_network
from studies.report import joined, markdown, write_page
from studies.table import Job, run_table, say_missing

REPORTS = Path(__file__).resolve().parents[1] / "reports"
PACKAGES = ("onnxruntime", "keras", "tensorflow", "numpy")
WARM_UP = 5
MAX_SECONDS = 20.0
"""Limit on the total time of a network's rounds."""


def main() -> None:
    """Measure what is missing, and write both reports."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--size", type=int, default=48, help="side of the face, px")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--out", type=Path, default=REPORTS / "networks.csv")
    options = parser.parse_args()
    jobs = [
        Job(name, {"network": name, "size": options.size},
            partial(measure, name, options.size, options.rounds))
        for name in options.networks
    ]  # fmt: skip
    missing = run_table(jobs, options.out)
    _write_report(options.out)
    sys.exit(say_missing(missing))


def measure(name: str, size: int, rounds: int) -> dict[str, object]:
    """Return the row of one network.

    Raises:
        ValueError: If the ONNX file does not reproduce the outputs of Keras.
    """
    network = build_network(name, len(NINE_EMOTIONS), max(size, NETWORKS[name].min_size))
    faces = _noise(network.input_shape[1])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        write_onnx(network, file, NINE_EMOTIONS.names)
        _check(name, file, faces, keras.ops.convert_to_numpy(network(faces, training=False)))
        gflop, ms = count_flop(file, faces[:1]) / 1e9, time_ms(file, faces[:1], rounds)
    row = {
        "network": name,
        "parameters": network.count_params(),
        "gflop": round(gflop, 4),
        "ms_per_face": round(ms, 3),
        "input_size": network.input_shape[1],
        "backbone_layers": len(network.get_layer("backbone").layers),
        "floor_gflops": round(_matrix_gflops(), 1),
        "machine": describe_machine(PACKAGES),
    }
    keras.utils.clear_session()
    return row


def count_flop(file: Path, face: np.ndarray) -> int:
    """Return the operations per face: two for each multiply-add of a convolution or product."""
    model = onnx.load(file)
    nodes = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
    constants = {array.name: tuple(array.dims) for array in model.graph.initializer}
    wanted = {name for node in nodes for name in (*node.input[:2], node.output[0])}
    known = {value.name for value in (*model.graph.input, *model.graph.output)}
    names = sorted(wanted - set(constants) - known)
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    outputs = [value.name for value in model.graph.output]
    session = _session(model.SerializeToString(), optimised=False)
    found = session.run(outputs, {session.get_inputs()[0].name: face})
    shapes = {name: array.shape for name, array in zip(outputs, found, strict=True)} | constants
    return sum(_node_flop(node, shapes) for node in nodes)


def time_ms(file: Path, face: np.ndarray, rounds: int) -> float:
    """Return the thread's median processor time for one face, ms."""
    session = _session(str(file))
    feed = {session.get_inputs()[0].name: face}
    for _ in range(WARM_UP):
        session.run(None, feed)
    taken: list[float] = []
    while len(taken) < rounds and sum(taken) < MAX_SECONDS:
        start = time.thread_time()
        session.run(None, feed)
        taken.append(time.thread_time() - start)
    return statistics.median(taken) * 1e3


def _node_flop(node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]]) -> int:
    """Return twice the number of output values times the terms summed for each."""
    kernel = shapes[node.input[1]]
    if node.op_type == "Conv":
        summed = int(np.prod(kernel[1:]))
    else:
        first = shapes[node.input[0]]
        transposed = any(a.name == "transA" and a.i for a in node.attribute)
        summed = first[-2] if transposed else first[-1]
    return 2 * int(np.prod(shapes[node.output[0]])) * summed


def _session(model: str | bytes, *, optimised: bool = True) -> onnxruntime.InferenceSession:
    levels = onnxruntime.GraphOptimizationLevel
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    settings.log_severity_level = 3
    settings.graph_optimization_level = (
        levels.ORT_ENABLE_ALL if optimised else levels.ORT_DISABLE_ALL
    )
    return onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])


def _noise(size: int) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (4, size, size, 3))
    return noise.astype(np.float32)


def _check(name: str, file: Path, faces: np.ndarray, expected: np.ndarray) -> None:
    session = _session(str(file))
    found = session.run(None, {session.get_inputs()[0].name: faces})[0]
    difference = float(np.abs(found - expected).max())
    if difference > MAX_DIFFERENCE:
        raise ValueError(f"Expected {name} as ONNX to agree with Keras. Differs by {difference}.")


HEAD = """# Networks

Every network in the registry (`builder_tools/networks`), with random weights, the default head and
nine classes, on faces of one size. A GFLOP is 10^9 operations, two for each multiply-add of a
convolution or matrix product, counted from the ONNX file. Milliseconds are for one face in ONNX
Runtime on one thread: the median of the thread's processor time. `of the floor` is how near that
comes to a large float32 matrix product on the same thread, measured with it:
small numbers are time spent on memory and on operations too small to fill the processor; one past
100 % says that other work disturbed the product more than the network.

Networks made for larger images halve a face five times: at 48 px they see 2x2 features, and the
Inception family and Xception enlarge the face to 75 and 71 px inside, which their figures
include. Times say what a network costs, not how good it is: for that see the screening in
`screening.md`. Written by `python benchmarks/networks.py`."""


def _write_report(csv: Path) -> None:
    rows = pd.read_csv(csv)
    order = {name: number for number, name in enumerate(NETWORKS)}
    rows = rows.sort_values("network", key=lambda names: names.map(order))
    share = rows["gflop"] / (rows["ms_per_face"] / 1e3) / rows["floor_gflops"]
    shown = pd.DataFrame({
        "network": "`" + rows["network"] + "`",
        "what": [NETWORKS[name].description for name in rows["network"]],
        "input px": rows["input_size"].astype(str),
        "parameters": [f"{count / 1e6:.2f} M" for count in rows["parameters"]],
        "GFLOP": rows["gflop"].map("{:.3f}".format),
        "ms a face": rows["ms_per_face"].map("{:.2f}".format),
        "of the floor": share.map("{:.0%}".format),
    })  # fmt: skip
    missing = [f"`{name}`" for name in NETWORKS if name not in set(rows["network"])]
    absent = f"**Not measured yet:** {', '.join(missing)}." if missing else ""
    floors = joined(rows["floor_gflops"].map("{:.0f}".format))
    write_page(
        csv.with_suffix(".md"),
        [HEAD, f"{joined(rows['machine'])}; floor {floors} GFLOP/s.", absent, markdown(shown)],
    )


def _matrix_gflops(side: int = 1024, rounds: int = 7) -> float:
    from threadpoolctl import threadpool_limits

    matrix = np.random.default_rng(0).random((side, side), dtype=np.float32)
    taken = []
    with threadpool_limits(1):
        for _ in range(rounds):
            start = time.thread_time()
            matrix @ matrix
            taken.append(time.thread_time() - start)
    return 2 * side**3 / min(taken) / 1e9


if __name__ == "__main__":
    main()
