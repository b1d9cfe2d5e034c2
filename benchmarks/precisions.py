"""Accuracy and cost of number formats: a model as float32, float16 and 8-bit integers.

    python benchmarks/precisions.py [--model saved_models/fast] [--rounds 400]

Accuracy is measured on FER+ valid (majority-8), so that the choice does not touch test; the time is
the median for one face on one thread, with the formats taking turns. float16 is ONNX Runtime's own
conversion (weights and arithmetic; inputs and outputs stay float32), 8-bit integers are those of
`builder_tools.quantization`, calibrated on training faces as for shipped models. Writes
`reports/precisions.md`.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from machine import describe_machine

from builder_tools.cards import ModelCard, file_sha256, find_model, write_card
from builder_tools.classifier import EmotionClassifier
from builder_tools.evaluation import PROTOCOLS
from builder_tools.export import as_float32, write_onnx
from builder_tools.media import replacing, resize_faces
from builder_tools.networks import read_network
from builder_tools.quantization import CALIBRATION_FACES, quantize_onnx
from builder_tools.release import load_data
from builder_tools.release.predicting import predict_table
from builder_tools.valence_arousal.vectors import keras_file

PROTOCOL = PROTOCOLS["ferplus-majority-8"]
PACKAGES = ("onnxruntime", "onnx", "keras")


def main() -> None:
    """Write the forms, measure them, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="fast", help="name or folder, with model.keras")
    parser.add_argument("--rounds", type=int, default=400, help="timings of each form")
    parser.add_argument("--reports", type=Path, default=Path("reports"))
    options = parser.parse_args()
    source, data = find_model(options.model), load_data("ferplus")
    card = ModelCard.read(source)
    with tempfile.TemporaryDirectory() as temporary:
        folders = write_forms(source, card, data, Path(temporary))
        models = {form: EmotionClassifier(place, threads=1) for form, place in folders.items()}
        accuracy = {form: valid_accuracy(model, data) for form, model in models.items()}
        ms = times_ms(models, card.input_size, options.rounds)
        size_mb = {form: (place / card.file).stat().st_size / 1e6
                   for form, place in folders.items()}  # fmt: skip
    lines = [
        f"# Number formats of `{card.name}`\n",
        "Written by `python benchmarks/precisions.py`: accuracy on FER+ valid (majority-8), median "
        f"of {options.rounds} faces one by one on one thread.\n",
        f"{describe_machine(PACKAGES)}\n",
        "| form | accuracy, valid | against float32, points | ms a face | MB |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for form in folders:
        change = 100 * (accuracy[form] - accuracy["float32"])
        lines.append(
            f"| {form} | {accuracy[form]:.4f} | {change:+.2f} | {ms[form]:.2f} | "
            f"{size_mb[form]:.1f} |"
        )
    print("\n".join(lines))
    with replacing(options.reports / "precisions.md") as partial:
        partial.write_text("\n".join(lines) + "\n")


def write_forms(source: Path, card: ModelCard, data, place: Path) -> dict[str, Path]:
    """Write one model folder per number format; return the folders by format."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    folders = {form: place / form for form in ("float32", "float16", "int8")}
    for folder in folders.values():
        folder.mkdir()
    files = {form: folder / card.file for form, folder in folders.items()}
    network = read_network(keras_file(source))
    write_onnx(as_float32(network, card.input_size), files["float32"], card.emotions)
    half = convert_float_to_float16(onnx.load(files["float32"]), keep_io_types=True)
    onnx.save(half, files["float16"])
    faces = data.split("train").resized(card.input_size)
    rows = np.random.default_rng(0).permutation(len(faces))[:CALIBRATION_FACES]
    chosen = resize_faces(faces[np.sort(rows)], card.input_size)
    quantize_onnx(files["float32"], files["int8"], chosen, card.emotions)
    for form, folder in folders.items():
        write_card(folder, replace(card, sha256={card.file: file_sha256(files[form])}))
    return folders


def valid_accuracy(model: EmotionClassifier, data) -> float:
    """Return the accuracy on FER+ valid."""
    valid = data.split("valid")
    kept = PROTOCOL.apply(valid.table, predict_table(model, valid), model.emotions)
    return kept.evaluate().accuracy.value


def times_ms(models: dict[str, EmotionClassifier], size: int, rounds: int) -> dict[str, float]:
    """Return the median milliseconds per face by form; the forms take turns."""
    face = np.random.default_rng(1).integers(0, 256, (1, size, size, 3), np.uint8)
    taken: dict[str, list[float]] = {form: [] for form in models}
    for _ in range(rounds):
        for form, model in models.items():
            start = time.perf_counter()
            model.predict(face)
            taken[form].append(1e3 * (time.perf_counter() - start))
    return {form: statistics.median(values) for form, values in taken.items()}


if __name__ == "__main__":
    main()
