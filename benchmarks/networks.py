"""Measures every network of the registry: parameters, arithmetic, time for one face.

    python benchmarks/networks.py [--networks NAME...] [--size 48] [--rounds 50]

Each network is built with random weights and nine classes, all at one size so that rows compare,
written as ONNX as for deployment, checked against Keras, and run in ONNX Runtime on one thread.
Arithmetic is counted from the file: two operations for each multiply-add of a convolution or
matrix product, with the shapes of a real run. Times are medians of the thread's processor time,
which is the time on a quiet machine even when others use it too.

Rows are kept in `reports/networks.csv` as they are measured; a row that is there for the size is
not measured again, so the script may be stopped and started. `reports/networks.md` is written
from it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import onnx
import onnxruntime
import pandas as pd
from machine import describe_machine
from tqdm import tqdm

from builder_tools.emotions import NINE_EMOTIONS
from builder_tools.export import MAX_DIFFERENCE, write_onnx
from builder_tools.media.partial import replacing
from builder_tools.networks import NETWORKS, build_network

REPORTS = Path(__file__).resolve().parents[1] / "reports"
COLUMNS = ["network", "parameters", "gflop", "ms_per_face", "input_size", "backbone_layers"]
PACKAGES = ("onnxruntime", "keras", "tensorflow", "numpy")
WARM_UP = 5
MAX_SECONDS = 20.0
"""A network's rounds end after so much time."""


def main() -> None:
    """Measure what is missing and write both reports."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--size", type=int, default=48, help="side of the face, px")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--out", type=Path, default=REPORTS / "networks.csv")
    options = parser.parse_args()
    for name in tqdm(options.networks, desc="networks", file=sys.stderr):
        if not _is_measured(options.out, name, options.size):
            _add_row(options.out, measure(name, options.size, options.rounds))
            keras.utils.clear_session()
    _write_report(options.out)


def measure(name: str, size: int, rounds: int) -> dict[str, object]:
    """Return the row of one network.

    Raises:
        ValueError: If the ONNX file does not give Keras' answers.
    """
    network = build_network(name, len(NINE_EMOTIONS), max(size, NETWORKS[name].min_size))
    faces = _noise(network.input_shape[1])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        write_onnx(network, file, NINE_EMOTIONS.names)
        _check(name, file, faces, keras.ops.convert_to_numpy(network(faces, training=False)))
        gflop, ms = count_flop(file, faces[:1]) / 1e9, time_ms(file, faces[:1], rounds)
    return {
        "network": name,
        "parameters": network.count_params(),
        "gflop": round(gflop, 4),
        "ms_per_face": round(ms, 3),
        "input_size": network.input_shape[1],
        "backbone_layers": len(network.get_layer("backbone").layers),
    }


def count_flop(file: Path, face: np.ndarray) -> int:
    """Return the operations for one face: two for each multiply-add of a convolution or product."""
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
    """Return the median milliseconds of the thread's processor time for one face."""
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
    """Two for each of: values of the output times values summed for one."""
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


def _read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path) if path.is_file() else pd.DataFrame(columns=COLUMNS)


def _is_measured(path: Path, name: str, size: int) -> bool:
    rows = _read(path)
    least = max(size, NETWORKS[name].min_size)
    return bool(((rows["network"] == name) & (rows["input_size"] == least)).any())


def _add_row(path: Path, row: dict[str, object]) -> None:
    """Add a row, or replace the network's, in the order of the registry, atomically."""
    rows = _read(path)
    kept = rows[rows["network"] != row["network"]].to_dict("records")
    order = {name: number for number, name in enumerate(NETWORKS)}
    table = pd.DataFrame([*kept, row], columns=COLUMNS)
    table = table.sort_values("network", key=lambda names: names.map(order))
    with replacing(path) as partial:
        table.to_csv(partial, index=False, lineterminator="\n")


HEAD = """# Networks

Every network of the registry (`builder_tools/networks`), with random weights, the default head and
nine classes, on faces of one size. A GFLOP is 10^9 operations, two for each multiply-add of a
convolution or matrix product, counted from the ONNX file. Milliseconds are for one face in ONNX
Runtime on one thread: the median of the thread's processor time. `of the floor` is how near that
comes to a large float32 matrix product on the same thread, measured when the report is written:
small numbers are time spent on memory and on operations too small to fill the processor; one past
100 % says that other work disturbed the product more than the network.

Networks made for larger images halve a face five times: at 48 px they see 2x2 features, and the
Inception family and Xception enlarge the face to 75 and 71 px inside, which their figures
include. Times say what a network costs, not how good it is: for that see the screening in
`experiments.md`. Written by `python benchmarks/networks.py`.
"""


def _write_report(path: Path) -> None:
    rows = _read(path)
    floor = _matrix_gflops()
    lines = [
        HEAD,
        f"{describe_machine(PACKAGES)}; floor {floor:.0f} GFLOP/s.",
        "",
        "| network | what | input px | parameters | GFLOP | ms a face | of the floor |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows.itertuples():
        share = row.gflop / (row.ms_per_face / 1e3) / floor
        what = NETWORKS[row.network].description if row.network in NETWORKS else ""
        lines.append(
            f"| `{row.network}` | {what} | {row.input_size} | {row.parameters / 1e6:.2f} M "
            f"| {row.gflop:.3f} | {row.ms_per_face:.2f} | {share:.0%} |"
        )
    with replacing(path.with_suffix(".md")) as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")


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
