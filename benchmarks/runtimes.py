"""ONNX Runtime against LiteRT on one float32 network: which should inference use?

Prints Markdown: median milliseconds per run by runtime, threads and batch size, the share of the
arithmetic floor reached (a large float32 matrix product on as many threads), and the machine.
The runtimes take turns, so that other work on the machine affects both alike, and the floor is
measured with each pair; even so, a share above 100 % shows that other work disturbed it.

    python benchmarks/runtimes.py [--model MODEL] [--network compact] [--rounds 40]

`--model` takes a model (folder or name) with `model.keras`; without it, a network of the registry
is built with random weights, which take just as long to compute.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
from machine import describe_machine
from networks import count_flop
from threadpoolctl import threadpool_limits

from builder_tools.cards import ModelCard
from builder_tools.classifier import RUNTIMES, EmotionClassifier
from builder_tools.emotions import NINE_EMOTIONS
from builder_tools.export import Export, export_model
from builder_tools.networks import NETWORKS, build_network, read_network
from builder_tools.valence_arousal.vectors import keras_file

THREADS = (1, 2)
BATCH_SIZES = (1, 8, 32)
NAMES = {".onnx": "ONNX Runtime", ".tflite": "LiteRT"}
PARITY_FACES = 64
WARM_UP = 5


def load_network(folder: str | None, name: str) -> tuple[keras.Model, int, tuple[str, ...]]:
    """Return a network, its input size in pixels and its classes.

    Raises:
        FileNotFoundError: If the folder holds no `model.keras`.
        ValueError: If that is not the file its card tells of.
    """
    if folder is None:
        size = NETWORKS[name].input_size
        return build_network(name, len(NINE_EMOTIONS), size), size, NINE_EMOTIONS.names
    path = keras_file(folder)
    card = ModelCard.read(path.parent)
    return read_network(path), card.input_size, card.emotions


def matrix_gflops(threads: int, side: int = 1024, rounds: int = 5) -> float:
    """Return the speed of a float32 matrix product, GFLOP/s: the machine's arithmetic floor."""
    matrix = np.random.default_rng(0).random((side, side), dtype=np.float32)
    with threadpool_limits(threads):
        return 2 * side**3 / min(timings_s(lambda: matrix @ matrix, rounds)) / 1e9


def timings_s(call: Callable[[], object], rounds: int) -> list[float]:
    """Return the seconds each call takes, after a warm-up."""
    for _ in range(WARM_UP):
        call()
    return [one_timing_s(call) for _ in range(rounds)]


def one_timing_s(call: Callable[[], object]) -> float:
    """Return the seconds a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def compare(folder: Path, size: int, threads: int, batch: int, rounds: int) -> dict[str, float]:
    """Return the median milliseconds per run of each runtime; they take turns."""
    faces = np.random.default_rng(1).integers(0, 256, (batch, size, size, 3), dtype=np.uint8)
    loaded = {s: RUNTIMES[s](folder / f"model{s}", threads) for s in NAMES}
    calls = {suffix: (lambda r=runtime: r.run(faces)) for suffix, runtime in loaded.items()}
    taken: dict[str, list[float]] = {suffix: [] for suffix in calls}
    for call in calls.values():
        timings_s(call, 1)
    for _ in range(rounds):
        for suffix, call in calls.items():
            taken[suffix].append(one_timing_s(call) * 1e3)
    return {suffix: statistics.median(values) for suffix, values in taken.items()}


def export(model: keras.Model, size: int, emotions: tuple[str, ...], folder: Path) -> Export:
    """Write the network in both formats, comparing them with Keras on noise."""
    noise = np.random.default_rng(2).integers(0, 256, (PARITY_FACES, size, size, 3))
    return export_model(
        model,
        folder,
        noise.astype(np.uint8),
        load=EmotionClassifier,
        suffixes=tuple(NAMES),
        emotions=emotions,
        preprocessing="inside",
    )


PACKAGES = ("onnxruntime", "ai-edge-litert", "keras", "numpy")


def print_table(folder: Path, size: int, gflop: float, rounds: int) -> None:
    """Measure every combination, and print a Markdown table."""
    print("| threads | batch | runtime | ms a run | ms a face | of the floor |")
    print("|---|---|---|---|---|---|")
    for threads in THREADS:
        for batch in BATCH_SIZES:
            before = matrix_gflops(threads)
            found = compare(folder, size, threads, batch, rounds)
            floor = max(before, matrix_gflops(threads))
            for suffix, ms in found.items():
                share = gflop * batch / (ms / 1e3) / floor
                print(
                    f"| {threads} | {batch} | {NAMES[suffix]} | {ms:.2f} | {ms / batch:.2f} "
                    f"| {share:.0%} of {floor:.0f} GFLOP/s |",
                    flush=True,
                )


def main() -> None:
    """Export the network in both formats, check both files, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="name or folder, with model.keras")
    parser.add_argument("--network", default="compact", choices=NETWORKS)
    parser.add_argument("--rounds", type=int, default=40)
    arguments = parser.parse_args()
    model, size, emotions = load_network(arguments.model, arguments.network)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        found = export(model, size, emotions, folder)
        gflop = count_flop(folder / "model.onnx", np.zeros((1, size, size, 3), np.float32)) / 1e9
        sizes = {f: (folder / f).stat().st_size / 1e6 for f in found.card.sha256}
        print(f"\n{describe_machine(PACKAGES)}\n")
        print(f"{model.name}: {model.count_params():,} parameters, {gflop:.3f} GFLOP a face, ")
        print(", ".join(f"{file} {mb:.1f} MB" for file, mb in sizes.items()), end="; ")
        print(f"Keras to ONNX: max difference {found.parity.max_abs_difference:.1e}\n")
        print_table(folder, size, gflop, arguments.rounds)


if __name__ == "__main__":
    main()
