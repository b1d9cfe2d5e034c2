"""Train networks on the labels of every labeller: `python -m studies.regressors`.

A network is named with its task: `va` (two tanh outputs), `both` (those and nine emotions in one
pass) or `emotion` (the direct classifier for comparison: no labels, its valence and arousal are
the expected anchors). All see the same faces for the same number of epochs at the same size.

Labellers are fitted on the training faces and place the faces of valid with their class known, as
they do those of train. Figures against a labeller's own labels show how well they can be learnt;
those against the vote-weighted anchors, how well the outcome agrees with people. `votes` is that
reference itself.

VGG16 follows the study's recipe (Adam, ExponentialDecay): with `--vgg-weights` (a file, such as a
checkpoint of this repository's own VGG16, or `pretrained`) it first trains the head on frozen
features, then the last four layers as well; without it, all layers from random weights. The report
comes from the command without options and from these (about four hours on two cores in all):

    python -m studies.regressors --faces 0 --networks vgg16:emotion
    cp runs/regressors/all_10_32/vgg16_emotion_none_s0/vgg16_emotion_none/model.keras \\
        runs/regressors/vgg16_emotions_all_10.keras
    python -m studies.regressors --networks vgg16:emotion vgg16:va \\
        --vgg-weights runs/regressors/vgg16_emotions_all_10.keras
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np

from builder_tools.classifier import EmotionClassifier
from builder_tools.datasets.table import SPLITS, ImageTable
from builder_tools.networks import NETWORKS, Head, build_network
from builder_tools.release import (
    Predictions,
    judge_affect,
    load_data,
    log_experiment,
    train_on_table,
)
from builder_tools.release.affect import read_label_files
from builder_tools.training import Stage, TrainingConfig, fine_tuning_stages
from builder_tools.training.optimizers import PRECISIONS
from builder_tools.training.samples import thinned
from builder_tools.valence_arousal import (
    LABELLERS,
    faces_of,
    labels_for,
    make_labeller,
    write_labels,
)
from studies.command import command, study_parser
from studies.plans import LOG
from studies.regressors.report import PRECISION, write_report
from studies.table import Job, pending, run_table, say_missing, what_differs

TABLE = "va_regressors.csv"
NO_LABELLER = "none"
RANDOM = "random"
HEAD_RATE, VGG_RATE = 1e-3, 1e-4
"""Learning rates of a new head on frozen features, and of VGG16's own layers."""
LANDMARKS = 4000
TIMED = 200


@dataclass(frozen=True)
class Trial:
    """One row: a network with a task and a labeller. Its fields are columns.

    Rows made before there was `precision` have the default one, and none in the table.
    """

    labeller: str
    network: str
    task: str
    faces: str
    epochs: int
    size: int
    seed: int
    base: str
    precision: str = PRECISION

    @property
    def name(self) -> str:
        return f"{self.network}_{self.task}_{self.labeller}".replace("-", "_")

    @property
    def folder(self) -> str:
        """Name of the folder of its run and model."""
        usual = {"base": RANDOM, "precision": PRECISION}
        others = [getattr(self, part) for part in usual if getattr(self, part) != usual[part]]
        return "_".join([self.name, f"s{self.seed}", *others])


def trials(options: argparse.Namespace) -> Iterator[Trial]:
    """Yield the requested trials; classifiers need no labeller."""
    for seed in options.seeds:
        for text in options.networks:
            network, _, task = text.partition(":")
            base = options.vgg_weights if network == "vgg16" else None
            for labeller in [NO_LABELLER] if task == "emotion" else options.labellers:
                yield Trial(
                    labeller,
                    network,
                    task,
                    str(options.faces or "all"),
                    options.epochs,
                    options.size,
                    seed,
                    Path(base).name if base else RANDOM,
                    options.precision,
                )


def measure(trial: Trial, table: ImageTable, options: argparse.Namespace) -> dict[str, object]:
    """Train, export, judge on valid and log one network; return its row."""
    place = options.runs / f"{trial.faces}_{trial.epochs}_{trial.size}"
    folder = place / trial.folder
    files = []
    if trial.labeller != NO_LABELLER:
        files = [label_file(trial.labeller, table, place, trial.seed)]
    shipped = train_on_table(
        configuration(trial, options),
        table,
        data="ferplus",
        run_folder=folder / "run",
        model_folder=folder / trial.name,
        va_labels=files,
    )
    note = f"va_regressors: {trial.labeller} labels, {trial.task}, {trial.faces} faces"
    log_experiment(options.reports / LOG, shipped.card, note)
    labels = read_label_files(files) if files else None
    found = Predictions(folder / trial.name, table)
    judged = judge_affect(found.card, found.split("valid"), labels=labels)
    training = shipped.card.training
    return {
        **dataclasses.asdict(trial),
        "parameters": build_network(trial.network, 9, head=Head(task=trial.task)).count_params(),
        "ms_per_face": round(ms_per_face(folder / trial.name), 3),
        "minutes": training["budget"]["minutes"],
        "commit": training["commit"],
        "machine": training["budget"]["machine"],
        **{f"valid_{name}": value for name, value in _columns(judged).items()},
    }


def label_file(labeller: str, table: ImageTable, place: Path, seed: int) -> Path:
    """Return the csv of a labeller's labels, writing it if it does not exist yet."""
    path = place / f"labels_{labeller}_s{seed}.csv"
    if path.is_file():
        return path
    train = table.split("train")
    known = make_labeller(labeller).get_params(deep=False)
    options: dict[str, object] = {"random_state": seed} if "random_state" in known else {}
    if "landmarks" in known and LABELLERS[labeller].defaults.get("manifold") is None:
        options["landmarks"] = min(LANDMARKS, len(train))
    made = make_labeller(labeller, **options)
    made.fit(faces_of(train), labels_for(labeller, train))
    labels = np.empty((len(table), 2))
    for split in SPLITS:
        part = table.split(split)
        rows = (table.table["split"] == split).to_numpy()
        labels[rows] = made.transform(faces_of(part), labels_for(labeller, part))
    return write_labels(path, table, labels)


def configuration(trial: Trial, options: argparse.Namespace) -> TrainingConfig:
    """Return the training configuration of a trial."""
    size = NETWORKS[trial.network].size_from(trial.size)
    values = {
        "network": trial.network,
        "head": Head(task=trial.task),
        "stages": (Stage(size, trial.epochs),),
        "batch_norm_momentum": 0.9,
        "precision": trial.precision,
        "seed": trial.seed,
    }
    if trial.network == "vgg16":
        values |= {"optimizer": "adam", "weight_decay": 0.0, "schedule": "exponential"}
        values |= {"learning_rate": VGG_RATE, "weights": options.vgg_weights}
        if options.vgg_weights:
            head_epochs = max(trial.epochs // 4, 1)
            unfrozen = NETWORKS["vgg16"].unfreeze
            values |= {"learning_rate": HEAD_RATE, "fine_tune_learning_rate": VGG_RATE}
            values["stages"] = fine_tuning_stages(
                size, head_epochs=head_epochs, epochs=trial.epochs - head_epochs,
                unfrozen=unfrozen,
            )  # fmt: skip
    return TrainingConfig(**values)


def ms_per_face(folder: Path) -> float:
    """Return the median processor time for all of a model's outputs for one face, ms."""
    model = EmotionClassifier(folder)
    side = model.card.input_size
    face = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), np.uint8)
    taken = []
    for _ in range(TIMED):
        start = time.thread_time()
        model.predict_with_affect(face)
        taken.append(time.thread_time() - start)
    return float(np.median(taken)) * 1e3


def _columns(found: dict) -> dict[str, object]:
    """Return the figures of a split as columns, with intervals as `_low` and `_high`."""
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


def _network(text: str) -> str:
    network, _, task = text.partition(":")
    if network not in NETWORKS or task not in ("va", "both", "emotion"):
        raise argparse.ArgumentTypeError(
            f"expected NETWORK:TASK, a network of the registry and va, both or emotion, not {text}"
        )
    return text


def _act(options: argparse.Namespace) -> int:
    csv, missing = options.reports / TABLE, {}

    @cache
    def table() -> ImageTable:
        whole = load_data("ferplus", options.source)
        return thinned(whole, "train", options.faces or len(whole))

    def make(trial: Trial) -> dict[str, object]:
        return measure(trial, table(), options)

    jobs = [Job(one.name, what_differs(one), partial(make, one)) for one in trials(options)]
    if options.list:
        print("".join(f"{job.key}\n" for job in pending(jobs, csv)), end="")
        return 0
    if not options.report:
        missing = run_table(jobs, csv, minutes=options.minutes)
    code = say_missing(missing)
    print(write_report(csv, options.reports / "va_regressors.md"))
    return code


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = study_parser(
        "regressors",
        __doc__.partition("\n\n")[2].strip(),
        ("--networks compact:emotion compact:va --labellers votes anchor", "--seeds 0 1 2"),
    )
    add = parser.add_argument
    add("--labellers", nargs="+", choices=LABELLERS, default=list(LABELLERS))
    add("--networks", nargs="+", type=_network,
        default=["compact:emotion", "compact:va", "compact:both"])  # fmt: skip
    add("--faces", type=int, default=8000, help="training faces, evenly over classes; 0 for all")
    add("--epochs", type=int, default=10)
    add("--size", type=int, default=32, help="side of the faces, px")
    add("--precision", choices=PRECISIONS, default=PRECISION, help="Keras dtype policy of training")
    add("--vgg-weights", help="what VGG16 starts from: a file, or pretrained")
    return command(parser, _act, arguments)


if __name__ == "__main__":
    sys.exit(main())
