"""Accuracy of differently trained networks, alone and averaged.

    python benchmarks/committees.py fast accurate face_expression runs/wide/last.keras \\
        --mean fast=4 face_expression=1 --mean fast=1 runs/wide/last.keras=1

Members are models by name or folder, third-party expression networks by name, and `.keras` files
of runs. Each predicts every face and its mirror image once: FER+ valid, and the two development
sets (zips): `wild_dev` as whole crops, `posed_dev` through the default detector. No test image is
used: the table is for choosing. Accuracies on the development sets are among the set's own
classes, with 95 % bootstrap intervals over faces in brackets. Writes `reports/committees.md`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
from machine import describe_machine

from builder_tools.datasets.ferplus import data_folder
from builder_tools.emotions import NINE_EMOTIONS
from builder_tools.evaluation import PROTOCOLS, judge_common
from builder_tools.inference import Inference
from builder_tools.release import load_data
from builder_tools.release.labelled_sets import labelled_set
from builder_tools.release.teachers import TEACHING_FILE, mean_answers
from studies.report import markdown, write_page

WILD, POSED = "wild_dev", "posed_dev"
PROTOCOL = PROTOCOLS["ferplus-majority-8"]


@dataclasses.dataclass
class CropKeeper:
    """Stand-in for a model that keeps the crop `Inference` would have classified."""

    emotions = NINE_EMOTIONS
    crops: list[np.ndarray] = dataclasses.field(default_factory=list)

    def predict(self, faces) -> np.ndarray:
        """Keep the first face; return equal probabilities for all emotions."""
        self.crops.append(faces[0])
        return np.full((len(faces), len(self.emotions)), 1 / len(self.emotions))


def main() -> None:
    """Predict with the members, judge them and their means, and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("members", nargs="+")
    parser.add_argument("--mean", nargs="+", action="append", default=[], metavar="MEMBER=WEIGHT")
    parser.add_argument("--data", type=Path, default=data_folder(), help="of the development sets")
    parser.add_argument("--reports", type=Path, default=Path("reports"))
    options = parser.parse_args()
    means = [dict(_weighted(word) for word in mean) for mean in options.mean]
    unknown = {name for mean in means for name in mean} - set(options.members)
    if unknown:
        parser.error(f"Expected means of members. Received: {sorted(unknown)}.")
    valid = load_data("ferplus").split("valid")
    words, faces = {}, {"valid": valid.resized(valid.images.shape[1])}
    for name in (WILD, POSED):
        words[name], faces[name] = read_faces(options.data / f"{name}.zip", detect=name == POSED)
    answers = {
        member: {
            name: mean_answers([member], [1.0], part, NINE_EMOTIONS.names)
            for name, part in faces.items()
        }
        for member in options.members
    }
    rows = [judged_row(_short(member), answers[member], valid, words) for member in options.members]
    for mean in means:
        total = sum(mean.values())
        mixed = {
            name: sum(w / total * answers[member][name] for member, w in mean.items())
            for name in faces
        }
        title = " + ".join(f"{w / total:.2g} {_short(member)}" for member, w in mean.items())
        rows.append(judged_row(title, mixed, valid, words))
    runs = [_run_row(Path(name)) for name in options.members if name.endswith(".keras")]
    _write(options.reports / "committees.md", rows, runs)


def _weighted(word: str) -> tuple[str, float]:
    name, _, weight = word.rpartition("=")
    return name, float(weight)


def _short(member: str) -> str:
    path = Path(member)
    return path.parent.name if path.suffix == ".keras" else path.name


def read_faces(source: Path, *, detect: bool):
    """Return the emotion words and the faces of a set; whole images where no face is found."""
    images = labelled_set(source, split="all").images
    faces = [images.image(row) for row in range(len(images))]
    if detect:
        keeper = CropKeeper()
        with Inference(keeper, show_state_mode="none") as inference:
            for place, image in enumerate(faces):
                if inference.analyse(image):
                    faces[place] = keeper.crops[-1]
    return images.table["emotion"].tolist(), faces


def judged_row(title: str, answers, valid, words) -> list[str]:
    """Return the table cells of a network for valid and both development sets."""
    kept = PROTOCOL.apply(valid.table, answers["valid"], NINE_EMOTIONS)
    of_valid = kept.evaluate().to_dict()
    cells = [
        title,
        _share(of_valid),
        f"{of_valid['macro_f1']:.3f}",
        f"{of_valid['mean_recall']:.3f}",
    ]
    for name in (WILD, POSED):
        found = judge_common(name, words[name], answers[name], NINE_EMOTIONS).restricted.to_dict()
        cells += [_share(found), f"{found['macro_f1']:.3f}"]
    return cells


def _run_row(network: Path) -> list[str]:
    """Return the table cells on how a run's network was trained, read from its folder."""
    config = json.loads(network.with_name("config.json").read_text(encoding="utf-8"))
    history = pd.read_csv(network.with_name("history.csv"))
    told = network.with_name(TEACHING_FILE)
    teaching = json.loads(told.read_text(encoding="utf-8")) if told.is_file() else {}
    weights = teaching.get("teacher_weights") or [1.0] * len(teaching.get("teachers", ()))
    teachers = ", ".join(
        f"{name.partition(' (')[0]} {weight:g}"
        for name, weight in zip(teaching.get("teachers", ()), weights, strict=True)
    )
    faces = f"{config['epoch_faces']:,}" if config["epoch_faces"] else "all"
    cells = [
        _short(str(network)),
        f"{config['network']}, {config['stages'][-1]['size']} px",
        str(config["weights"] or "random"),
        f"{len(history)} x {faces}, batch {config['batch_size']}, seed {config['seed']}",
        f"{teaching.get('teacher_share', 0):g} of {teachers}"
        + (" (matched)" if teaching.get("match") else ""),
        f"{history['seconds'].sum() / 60:.1f} min, {config['machine']}",
        str(config["commit"]),
    ]
    return cells


def _share(found) -> str:
    low, high = found["accuracy_95"]
    return f"{found['accuracy']:.3f} [{low:.3f}, {high:.3f}]"


def _write(path: Path, rows: list[list[str]], runs: list[list[str]]) -> None:
    head = ["network", "FER+ valid, majority-8", "macro-F1", "mean recall", WILD, "macro-F1", POSED,
            "macro-F1"]  # fmt: skip
    of_runs = ["run", "network", "begun from", "epochs x faces", "targets", "time", "commit"]
    sections = [
        "# Networks of several schoolings, and their means",
        "Written by `benchmarks/committees.py` (its docstring says how each set is read). Both "
        "sides of every face were read, on valid and development sets only, for choosing. "
        "Intervals are drawn over faces, not over people, so those of the development sets are too "
        "narrow.",
        describe_machine(("keras", "tensorflow", "onnxruntime")),
        markdown(pd.DataFrame(rows, columns=head)),
    ]
    if runs:
        sections += [
            "The runs among them. Times cover the epochs; runs on one accelerator shared it.",
            markdown(pd.DataFrame(runs, columns=of_runs)),
        ]
    print(write_page(path, sections).read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
