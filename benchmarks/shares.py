"""How to weight two models in their mean, and what to average: probabilities or logits.

    python benchmarks/shares.py saved_models/accurate runs/third --size 48

Both predict once every face of FER+ valid and of the two development sets (see `committees.py` for
how these are read) and its mirror image, first resized to the input size of the joined file; every
row is computed from these answers. No test image is used: the table is for choosing. Further pairs
may be given with `--pair`. Writes `reports/shares.md`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from committees import POSED, WILD, judged_row, read_faces
from machine import describe_machine

from builder_tools.classifier import EmotionClassifier
from builder_tools.datasets.ferplus import data_folder
from builder_tools.media import resize_faces
from builder_tools.release import load_data
from studies.report import markdown, write_page

SHARES = (0.3, 0.4, 0.5, 0.6, 0.7)
LEAST = 1e-9


def main() -> None:
    """Predict with the models, judge the means of each pair, and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs=2, metavar="MODEL", help="names or folders of models")
    parser.add_argument("--pair", nargs=2, action="append", default=[], metavar="MODEL")
    parser.add_argument("--size", type=int, nargs="+", default=[48], help="of the joined file, px")
    parser.add_argument("--data", type=Path, default=data_folder(), help="of the development sets")
    parser.add_argument("--reports", type=Path, default=Path("reports"))
    options = parser.parse_args()
    valid = load_data("ferplus").split("valid")
    words, faces = {}, {"valid": list(valid.resized(valid.images.shape[1])[:])}
    for name in (WILD, POSED):
        words[name], faces[name] = read_faces(options.data / f"{name}.zip", detect=name == POSED)
    rows = []
    for size in options.size:
        seen = {name: resize_faces(part, size) for name, part in faces.items()}
        pairs = [options.models, *options.pair]
        answers = {model: _answers(model, seen) for pair in pairs for model in pair}
        rows += [[f"{size} px", *judged_row(_name(m), a, valid, words)] for m, a in answers.items()]
        for first, second in pairs:
            for share in SHARES:
                for title, mean in (("", _of_probabilities), (", logits", _of_logits)):
                    mixed = {
                        name: mean(answers[first][name], answers[second][name], share)
                        for name in seen
                    }
                    named = f"{1 - share:.1f} {_name(first)} + {share:.1f} {_name(second)}{title}"
                    rows.append([f"{size} px", *judged_row(named, mixed, valid, words)])
    head = ["input", "network", "FER+ valid, majority-8", "macro-F1", "mean recall", WILD,
            "macro-F1", POSED, "macro-F1"]  # fmt: skip
    sections = [
        "# Shares of two models in their mean",
        "Written by `benchmarks/shares.py`. Both sides of every face; valid and development sets "
        "only, for choosing. Input: the size that the joined file takes; each model sees the faces "
        "resized from it to its own. Intervals are drawn over faces, not over people, so those of "
        "the development sets are too narrow.",
        describe_machine(("onnxruntime",)),
        markdown(pd.DataFrame(rows, columns=head)),
    ]
    write_page(options.reports / "shares.md", sections)


def _name(model: str) -> str:
    return Path(model).name


def _answers(model: str, seen: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    classifier = EmotionClassifier(model, flip_average=True)
    return {name: classifier.outputs(part).astype(np.float64) for name, part in seen.items()}


def _of_probabilities(first: np.ndarray, second: np.ndarray, share: float) -> np.ndarray:
    return (1 - share) * first + share * second


def _of_logits(first: np.ndarray, second: np.ndarray, share: float) -> np.ndarray:
    mixed = np.exp((1 - share) * np.log(first + LEAST) + share * np.log(second + LEAST))
    return mixed / mixed.sum(axis=1, keepdims=True)


if __name__ == "__main__":
    main()
