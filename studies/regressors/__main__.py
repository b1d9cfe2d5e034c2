"""Trains regressors of valence and arousal on the labels of every labeller, and judges them.

    python benchmarks/va_regressors.py [--labellers votes anchor pca umap isomap isomap-network]
        [--networks compact:emotion compact:va compact:both]
        [--faces 8000] [--epochs 10] [--size 32]

A network is named with its task: `va` (two tanh outputs), `both` (beside nine emotions, one pass)
or `emotion` (the direct classifier to compare with: no labels, its valence and arousal are the
expected anchors). All see the same faces for the same epochs at the same size.

Labellers are fitted on the training faces, and place faces of valid and test with their class
known, as those of train. Figures against a labeller's own labels say how well they can be learnt;
those against the vote-weighted anchors, how well the outcome agrees with people. `votes` is that
reference itself.

VGG16 learns by the study's recipe (Adam, ExponentialDecay): with `--vgg-weights` (a file, such as
a checkpoint of this repository's own VGG16, or `pretrained`) first the head on frozen features,
then the last four layers, too; without, all layers from random weights. The report is of the
command without options, and of these (some four hours on two cores, all together):

    python benchmarks/va_regressors.py --faces 0 --networks vgg16:emotion
    cp runs/va_regressors/all_10_32/vgg16_emotion_none_s0/vgg16_emotion_none/model.keras \
        runs/va_regressors/vgg16_emotions_all_10.keras
    python benchmarks/va_regressors.py --networks vgg16:emotion vgg16:va \
        --vgg-weights runs/va_regressors/vgg16_emotions_all_10.keras

Each row is kept in `reports/va_regressors.csv` when it is measured, and logged in
`reports/experiments.csv`; runs are kept under `--runs`. Stopped and started, the script goes on;
rows that are there are not measured again. `reports/va_regressors.md` is written from the rows.
`--steps N` only times N training steps of each network.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pandas as pd
from tqdm import tqdm

from builder_tools.classifier import EmotionClassifier
from builder_tools.datasets.table import SPLITS, ImageTable
from builder_tools.machine import describe_machine
from builder_tools.media.partial import replacing
from builder_tools.networks import NETWORKS, Head, build_network
from builder_tools.release import (
    Predictions,
    judge_affect,
    load_data,
    log_experiment,
    train_on_table,
)
from builder_tools.release.affect import JUDGED_SPLITS, read_label_files
from builder_tools.training import Stage, TrainingConfig, fine_tuning_stages
from builder_tools.training.objectives import build_loss
from builder_tools.training.samples import thinned
from builder_tools.valence_arousal import (
    LABELLERS,
    faces_of,
    labels_for,
    make_labeller,
    write_labels,
)
from studies.regressors.report import write_report

ROOT = Path(__file__).resolve().parents[2]
NO_LABELLER = "none"
KEY = ["labeller", "network", "task", "faces", "epochs", "size", "seed", "base"]
PACKAGES = ("keras", "tensorflow", "onnxruntime", "scikit-learn")
HEAD_RATE, VGG_RATE = 1e-3, 1e-4
"""Of a new head on frozen features, and of VGG16's own layers."""
LANDMARKS = 4000
TIMED = 200


@dataclass(frozen=True)
class Trial:
    """One row: a network of a task, taught by a labeller."""

    labeller: str
    network: str
    task: str

    @property
    def name(self) -> str:
        return f"{self.network}_{self.task}_{self.labeller}".replace("-", "_")


def main() -> None:
    """Measure what is missing and write the report."""
    options = _parser().parse_args()
    if options.steps:
        time_steps(options)
        return
    rows_file = options.reports / "va_regressors.csv"
    missing = [trial for trial in trials(options) if not _is_there(rows_file, trial, options)]
    if missing:
        whole = load_data("ferplus", options.source)
        table = thinned(whole, "train", options.faces or len(whole))
        for trial in tqdm(missing, "regressors", file=sys.stderr):
            _add_row(rows_file, measure(trial, table, options))
    write_report(rows_file, options.reports / "va_regressors.md", describe_machine(PACKAGES))


def trials(options: argparse.Namespace) -> list[Trial]:
    """Return the trials that were asked for; classifiers need no labeller."""
    found = []
    for text in options.networks:
        network, _, task = text.partition(":")
        labellers = [NO_LABELLER] if task == "emotion" else options.labellers
        found += [Trial(labeller, network, task) for labeller in labellers]
    return found


def measure(trial: Trial, table: ImageTable, options: argparse.Namespace) -> dict[str, object]:
    """Train, ships, judge and logs one network; return its row."""
    place = options.runs / f"{options.faces or 'all'}_{options.epochs}_{options.size}"
    folder = place / f"{trial.name}_s{options.seed}"
    files = []
    if trial.labeller != NO_LABELLER:
        files = [label_file(trial.labeller, table, place, options.seed)]
    shipped = train_on_table(
        configuration(trial, options),
        table,
        data="ferplus",
        run_folder=folder / "run",
        model_folder=folder / trial.name,
        va_labels=files,
    )
    note = f"va_regressors: {trial.labeller} labels, {trial.task}, {options.faces or 'all'} faces"
    log_experiment(options.reports / "experiments.csv", shipped.card, note)
    labels = read_label_files(files) if files else None
    found = Predictions(folder / trial.name, table)
    judged = {
        split: judge_affect(found.card, found.split(split), labels=labels)
        for split in JUDGED_SPLITS
    }
    training = shipped.card.training
    return {
        **_key(trial, options),
        "parameters": build_network(trial.network, 9, head=Head(task=trial.task)).count_params(),
        "ms_per_face": round(ms_per_face(folder / trial.name), 3),
        "minutes": training["budget"]["minutes"],
        "commit": training["commit"],
        "machine": training["budget"]["machine"],
        **{
            f"{split}_{name}": value
            for split, found in judged.items()
            for name, value in _columns(found).items()
        },
    }


def label_file(labeller: str, table: ImageTable, place: Path, seed: int) -> Path:
    """Return the csv of a labeller, written where it is not there yet."""
    path = place / f"labels_{labeller}_s{seed}.csv"
    if path.is_file():
        return path
    train = table.split("train")
    made = make_labeller(labeller, **_labeller_options(labeller, len(train), seed))
    made.fit(faces_of(train), labels_for(labeller, train))
    labels = np.empty((len(table), 2))
    for split in SPLITS:
        part = table.split(split)
        rows = (table.table["split"] == split).to_numpy()
        labels[rows] = made.transform(faces_of(part), labels_for(labeller, part))
    return write_labels(path, table, labels)


def configuration(trial: Trial, options: argparse.Namespace) -> TrainingConfig:
    """Return how a trial is trained."""
    size = NETWORKS[trial.network].size_from(options.size)
    values = {
        "network": trial.network,
        "head": Head(task=trial.task),
        "stages": (Stage(size, options.epochs),),
        "batch_norm_momentum": 0.9,
        "precision": options.precision,
        "seed": options.seed,
    }
    if trial.network == "vgg16":
        values |= {"optimizer": "adam", "weight_decay": 0.0, "schedule": "exponential"}
        values |= {"learning_rate": VGG_RATE, "weights": options.vgg_weights}
        if options.vgg_weights:
            head_epochs = max(options.epochs // 4, 1)
            unfrozen = NETWORKS["vgg16"].unfreeze
            values |= {"learning_rate": HEAD_RATE, "fine_tune_learning_rate": VGG_RATE}
            values["stages"] = fine_tuning_stages(
                size, head_epochs=head_epochs, epochs=options.epochs - head_epochs,
                unfrozen=unfrozen,
            )  # fmt: skip
    return TrainingConfig(**values)


def ms_per_face(folder: Path) -> float:
    """Return the median milliseconds of processor time for everything a model says of one face."""
    model = EmotionClassifier(folder)
    side = model.card.input_size
    face = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), np.uint8)
    taken = []
    for _ in range(TIMED):
        start = time.thread_time()
        model.predict_with_affect(face)
        taken.append(time.thread_time() - start)
    return float(np.median(taken)) * 1e3


def time_steps(options: argparse.Namespace) -> None:
    """Print what a training step of each network takes, and an epoch by it."""
    import keras

    for trial in dict.fromkeys(Trial(NO_LABELLER, t.network, t.task) for t in trials(options)):
        config = configuration(trial, options)
        size, batch = config.stages[0].size, config.batch_size
        keras.config.set_dtype_policy(config.precision)
        network = build_network(trial.network, 9, size, head=config.head)
        width = network.output_shape[1]
        faces = np.random.default_rng(0).uniform(0, 255, (batch, size, size, 3)).astype(np.float32)
        targets = np.full((batch, width), 1 / 9, np.float32)
        network.compile(config.optimizer, build_loss(config, targets))
        network.train_on_batch(faces, targets)
        start, used = time.perf_counter(), time.process_time()
        for _ in range(options.steps):
            network.train_on_batch(faces, targets)
        step_s = (time.perf_counter() - start) / options.steps
        used_s = (time.process_time() - used) / options.steps
        count = options.faces or 28_000
        print(
            f"{trial.network}:{trial.task} {size} px {config.precision}: {step_s * 1e3:.0f} ms a "
            f"step of {batch} ({used_s * 1e3:.0f} ms of processor time over all cores), "
            f"{step_s * count / batch / 60:.1f} min an epoch of {count:,} faces",
            flush=True,
        )


def _labeller_options(labeller: str, count: int, seed: int) -> dict[str, object]:
    options = make_labeller(labeller).get_params(deep=False)
    found: dict[str, object] = {"random_state": seed} if "random_state" in options else {}
    if "landmarks" in options and LABELLERS[labeller].defaults.get("manifold") is None:
        found["landmarks"] = min(LANDMARKS, count)
    return found


def _columns(found: dict) -> dict[str, object]:
    """Return the figures of a split as columns; intervals as `_low` and `_high`."""
    flat: dict[str, object] = {}
    for reference in ("votes", "labels"):
        for name, value in found.get(f"against_{reference}", {}).items():
            flat |= _spread(f"{reference}_{name}", value)
    for way in ("nearest_centre", "direct"):
        for protocol, figures in found.get(way, {}).items():
            for name in ("accuracy", "accuracy_95", "macro_f1", "macro_f1_95"):
                flat |= _spread(f"{way}_{protocol}_{name}", figures[name])
    return flat


def _spread(name: str, value) -> dict[str, object]:
    if not name.endswith("_95"):
        return {name: value}
    plain = name.removesuffix("_95")
    return {f"{plain}_low": value[0], f"{plain}_high": value[1]}


def _key(trial: Trial, options: argparse.Namespace) -> dict[str, object]:
    base = options.vgg_weights if trial.network == "vgg16" else None
    return {
        "labeller": trial.labeller,
        "network": trial.network,
        "task": trial.task,
        "faces": str(options.faces or "all"),
        "epochs": options.epochs,
        "size": options.size,
        "seed": options.seed,
        "base": Path(base).name if base else "random",
    }


def _is_there(file: Path, trial: Trial, options: argparse.Namespace) -> bool:
    if not file.is_file():
        return False
    rows, key = pd.read_csv(file, dtype=str, keep_default_na=False), _key(trial, options)
    return bool((rows[KEY] == [str(key[name]) for name in KEY]).all(axis=1).any())


def _add_row(file: Path, row: dict[str, object]) -> None:
    rows = pd.read_csv(file, keep_default_na=True) if file.is_file() else pd.DataFrame()
    rows = pd.concat([rows, pd.DataFrame([row])], ignore_index=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as partial:
        rows.to_csv(partial, index=False, lineterminator="\n")


def _network(text: str) -> str:
    network, _, task = text.partition(":")
    if network not in NETWORKS or task not in ("va", "both", "emotion"):
        raise argparse.ArgumentTypeError(
            f"expected NETWORK:TASK, a network of the registry and va, both or emotion, not {text}"
        )
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--labellers", nargs="+", choices=LABELLERS, default=list(LABELLERS))
    add("--networks", nargs="+", type=_network,
        default=["compact:emotion", "compact:va", "compact:both"])  # fmt: skip
    add("--faces", type=int, default=8000, help="of train, evenly over classes; 0 for all")
    add("--epochs", type=int, default=10)
    add("--size", type=int, default=32, help="side of the faces, px")
    add("--seed", type=int, default=0)
    add("--precision", default="mixed_bfloat16", help="Keras dtype policy of training")
    add("--vgg-weights", help="what VGG16 starts from: a file, or pretrained")
    add("--source", type=Path, help="zip or folder of FER+")
    add("--runs", type=Path, default=ROOT / "runs" / "va_regressors")
    add("--reports", type=Path, default=ROOT / "reports")
    add("--steps", type=int, default=0, help="only time so many steps of each network")
    return parser


if __name__ == "__main__":
    main()
