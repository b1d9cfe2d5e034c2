"""Forms of a network in 8-bit integers: which convolutions, and what stands between them.

    python benchmarks/int8_forms.py MODEL [--forms separable|gated] [--size 48]

MODEL is a folder with a float32 network (`builder-tools export`). Of a depthwise-separable one all
convolutions, all but the depthwise ones, and only the wide ones between these are quantised in
turn (`quantization.WIDE_CHANNELS`); of one with gates the steps between convolutions are made
fewer, one kind after the other (`onnx_rewriting`). Each form is asked about both sides of every
face of FER+ valid and of `wild_dev`, as whole crops, after these were resized to `--size`. Time:
one face, one thread, the lower quartile of runs taken in turn. No test image is used. Written to
`reports/int8_forms.md` and `reports/int8_steps.md`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from committees import PROTOCOL, WILD, read_faces
from machine import describe_machine

from builder_tools.cards import ModelCard, file_sha256, write_card
from builder_tools.classifier import EmotionClassifier
from builder_tools.datasets.ferplus import data_folder
from builder_tools.emotions import NINE_EMOTIONS
from builder_tools.evaluation import judge_common
from builder_tools.media import resize_faces
from builder_tools.quantization import REWRITES, WIDE_CHANNELS, quantize_onnx
from builder_tools.release import load_data
from builder_tools.release.quantizing import calibration_faces
from studies.report import markdown, write_page

FORMS = {
    "separable": {
        "float32": None,
        "int8: all convolutions": {"wide_channels": 1},
        "int8: all but depthwise ones": {"wide_channels": 2},
        f"int8: from {WIDE_CHANNELS} channels": {"wide_channels": WIDE_CHANNELS},
    },
    "gated": {
        "float32": None,
        "int8": {"rewrites": ()},
        "int8, pools as convolutions": {"rewrites": REWRITES[:1]},
        "int8, and gates as products": {"rewrites": REWRITES},
    },
}
"""Kind of network -> form -> options of `quantize_onnx`, None for the file as it is."""
PAGES = {
    "separable": ("int8_forms.md", "# 8-bit integers in a depthwise-separable network"),
    "gated": ("int8_steps.md", "# Steps between convolutions in 8-bit integers"),
}
ROUNDS = 150


def main() -> None:
    """Quantise, judge and time the forms, write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--forms", choices=FORMS, default="separable")
    parser.add_argument("--size", type=int, default=48)
    parser.add_argument("--data", type=Path, default=data_folder(), help="of the development sets")
    parser.add_argument("--reports", type=Path, default=Path("reports"))
    options = parser.parse_args()
    data, card = load_data("ferplus"), ModelCard.read(options.model)
    valid, calibration = data.split("valid"), calibration_faces(data, card.input_size)
    words, wild = read_faces(options.data / f"{WILD}.zip", detect=False)
    seen = [resize_faces(part, options.size) for part in (valid.resized(options.size)[:], wild)]
    with tempfile.TemporaryDirectory() as folder:
        models = {}
        for number, (form, settings) in enumerate(FORMS[options.forms].items()):
            place = Path(folder) / str(number)
            place.mkdir()
            file, source = place / card.file, options.model / card.file
            if settings is None:
                file.write_bytes(source.read_bytes())
            else:
                quantize_onnx(source, file, calibration, card.emotions, **settings)
            write_card(place, replace(card, sha256={card.file: file_sha256(file)}))
            models[form] = (EmotionClassifier(place, flip_average=True), file.stat().st_size)
    times = _times({form: model for form, (model, _) in models.items()}, seen[0][:1])
    rows = []
    for form, (model, size_bytes) in models.items():
        of_valid, of_wild = (model.outputs(part) for part in seen)
        judged = PROTOCOL.apply(valid.table, of_valid, NINE_EMOTIONS).evaluate()
        common = judge_common(WILD, words, of_wild, NINE_EMOTIONS).restricted
        figures = (judged.accuracy, judged.macro_f1, common.accuracy, common.macro_f1)
        cells = [f"{figure.value:.4f}" for figure in figures]
        rows.append([form, *cells, f"{times[form] / 2:.2f}", f"{size_bytes / 1e6:.1f}"])
    head = ["form", "FER+ valid, majority-8", "macro-F1", WILD, "macro-F1", "ms a side", "MB"]
    page, title = PAGES[options.forms]
    sections = [
        title,
        f"Written by `benchmarks/int8_forms.py`, of the network of `{card.name}` "
        f"({card.input_size} px). Valid and a development set, for choosing.",
        describe_machine(("onnxruntime",)),
        markdown(pd.DataFrame(rows, columns=head)),
    ]
    write_page(options.reports / page, sections)


def _times(models: dict[str, EmotionClassifier], face: np.ndarray) -> dict[str, float]:
    """Return the milliseconds of one face with its mirror image."""
    spent: dict[str, list[float]] = {form: [] for form in models}
    for _ in range(ROUNDS):
        for form, model in models.items():
            start = time.perf_counter()
            model.outputs(face)
            spent[form].append(time.perf_counter() - start)
    return {form: float(np.percentile(times, 25)) * 1e3 for form, times in spent.items()}


if __name__ == "__main__":
    main()
