"""Forms of a network in 8-bit integers: which convolutions, and the steps between them.

    python benchmarks/int8_forms.py MODEL... [--forms separable|gated] [--beside saved_models]

MODEL is a folder with a float32 network (`builder-tools export`). In a depthwise-separable one, all
convolutions, all but the depthwise ones, and only the wide ones between these are quantised in
turn (`quantization.WIDE_CHANNELS`); one with gates is quantised with and without separate steps
for averages (`onnx_rewriting`). Each form predicts every face of FER+ valid and `wild_dev` and its
mirror image, as whole crops resized to `--size`. Time: one face, one thread, the lower quartile of
runs taken in turn. No test image is used. Writes `reports/int8_forms.md` (separable) or
`reports/int8_steps.md` (gated).
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

from builder_tools.cards import ModelCard, file_sha256, verify_files, write_card
from builder_tools.classifier import EmotionClassifier
from builder_tools.datasets.ferplus import data_folder
from builder_tools.emotions import NINE_EMOTIONS
from builder_tools.evaluation import judge_common
from builder_tools.media import resize_faces
from builder_tools.quantization import WIDE_CHANNELS, quantize_onnx
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
        "int8": {"join_pools": False},
        "int8, pools as convolutions": {},
    },
}
"""Kind of network -> form -> options of `quantize_onnx`; None for the original file."""
PAGES = {
    "separable": ("int8_forms.md", "# 8-bit integers in a depthwise-separable network"),
    "gated": ("int8_steps.md", "# Steps between convolutions in 8-bit integers"),
}
ROUNDS = 150


def main() -> None:
    """Quantise, judge and time the forms of each network, and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL")
    parser.add_argument("--forms", choices=FORMS, default="separable")
    parser.add_argument("--beside", type=Path, help="folder of models of the same names, in int8")
    parser.add_argument("--size", type=int, default=48)
    parser.add_argument("--data", type=Path, default=data_folder(), help="of the development sets")
    parser.add_argument("--reports", type=Path, default=Path("reports"))
    options = parser.parse_args()
    data = load_data("ferplus")
    words, wild = read_faces(options.data / f"{WILD}.zip", detect=False)
    seen = [data.split("valid").resized(options.size)[:], wild]
    seen = [resize_faces(part, options.size) for part in seen]
    page, title = PAGES[options.forms]
    sections = [
        title,
        f"Written by `benchmarks/int8_forms.py --forms {options.forms}`. Valid and a development "
        "set, for choosing.",
        describe_machine(("onnxruntime",)),
    ]
    for source in options.models:
        card = ModelCard.read(source)
        with tempfile.TemporaryDirectory() as folder:
            models = write_forms(source, Path(folder), data, FORMS[options.forms])
            if options.beside:
                models["int8, as it stands"] = options.beside / card.name
            table = _table(models, data.split("valid"), words, seen)
        sections += [f"## `{card.name}`, {card.input_size} px", table]
    write_page(options.reports / page, sections)


def write_forms(source: Path, out: Path, data, forms) -> dict[str, Path]:
    """Write each form of a float32 model; return their folders by form."""
    card, folders = ModelCard.read(source), {}
    verify_files(source, card, [card.file])
    calibration = calibration_faces(data, card.input_size)
    for number, (form, settings) in enumerate(forms.items()):
        folders[form] = out / str(number)
        folders[form].mkdir()
        file = folders[form] / card.file
        if settings is None:
            file.write_bytes((source / card.file).read_bytes())
        else:
            quantize_onnx(source / card.file, file, calibration, card.emotions, **settings)
        write_card(folders[form], replace(card, sha256={card.file: file_sha256(file)}))
    return folders


def _table(folders: dict[str, Path], valid, words, seen) -> str:
    """Judge and time the forms, which include float32; return a Markdown table."""
    models = {form: EmotionClassifier(path, flip_average=True) for form, path in folders.items()}
    times = _times(models, seen[0][:1])
    exact = models["float32"].outputs(seen[0])
    rows = []
    for form, model in models.items():
        of_valid, of_wild = (model.outputs(part) for part in seen)
        judged = PROTOCOL.apply(valid.table, of_valid, NINE_EMOTIONS).evaluate()
        common = judge_common(WILD, words, of_wild, NINE_EMOTIONS).restricted
        figures = (judged.accuracy, judged.macro_f1, common.accuracy, common.macro_f1)
        size_bytes = (folders[form] / model.card.file).stat().st_size
        row = {"form": form}
        names = ("FER+ valid, majority-8", "macro-F1", WILD, f"macro-F1, {WILD}")
        row |= {name: f"{figure.value:.4f}" for name, figure in zip(names, figures, strict=True)}
        row["difference from float32, valid"] = f"{np.abs(of_valid - exact).mean():.5f}"
        row["ms a side"] = f"{times[form] / 2:.2f}"
        row["MB"] = f"{size_bytes / 1e6:.1f}"
        rows.append(row)
    return markdown(pd.DataFrame(rows))


def _times(models: dict[str, EmotionClassifier], face: np.ndarray) -> dict[str, float]:
    """Return the milliseconds for one face and its mirror image by form."""
    spent: dict[str, list[float]] = {form: [] for form in models}
    for _ in range(ROUNDS):
        for form, model in models.items():
            start = time.perf_counter()
            model.outputs(face)
            spent[form].append(time.perf_counter() - start)
    return {form: float(np.percentile(times, 25)) * 1e3 for form, times in spent.items()}


if __name__ == "__main__":
    main()
