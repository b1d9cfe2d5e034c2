"""The verb `tune`: search for the best head and training of a network."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from builder_tools.augmentation.strength import AUGMENTATIONS
from builder_tools.cli.reading import add_data_options, reading_options
from builder_tools.cli.release import RUNS, add_reports_option, need_study
from builder_tools.cli.verb import Verb, positive, print_escaped, seed, side
from builder_tools.fields import read_json_object
from builder_tools.training.optimizers import OPTIMIZERS, PRECISIONS, SCHEDULES

OBJECTIVES = {"macro-f1": "val_macro_f1", "accuracy": "val_accuracy"}


def _options(parser: argparse.ArgumentParser) -> None:
    add_data_options(parser)
    parser.add_argument("--network", default="compact", help="name of the network")
    parser.add_argument(
        "--weights",
        help="what the backbone starts from: pretrained, or a file (.keras, .h5, or as published)",
    )
    parser.add_argument(
        "--trials", type=positive, default=20, help="trials in total, including those done"
    )
    parser.add_argument(
        "--objective",
        choices=list(OBJECTIVES),
        default="macro-f1",
        help="score to maximise on valid",
    )
    parser.add_argument("--folder", type=Path, help="default: runs/tune/NETWORK; resumes there")
    parser.add_argument("--overwrite", action="store_true", help="remove the search in the folder")
    parser.add_argument("--seed", type=seed, default=0)
    add_reports_option(parser)
    _budget_options(parser.add_argument_group("budget of a trial"))
    space = parser.add_argument_group("what is tuned; a single name pins it")
    for name, names, usual in (
        ("optimizers", OPTIMIZERS, "all"),
        ("schedules", SCHEDULES, "exponential"),
        ("augmentations", AUGMENTATIONS, "off light full"),
    ):
        known = f"any of {', '.join(names)} (default: {usual})"
        space.add_argument(
            f"--{name}", nargs="+", action="extend", choices=list(names), metavar="NAME", help=known
        )
    space.add_argument(
        "--unfreeze",
        nargs="+",
        action="extend",
        metavar="N",
        help="with --weights: how many of the backbone's last layers learn in the second phase: "
        "numbers, or all (default: half, once and twice the network's own number)",
    )
    scale = parser.add_argument_group("several processes or machines")
    role = scale.add_mutually_exclusive_group()
    role.add_argument("--chief", metavar="HOST:PORT", help="hand trials out to workers")
    role.add_argument("--worker", metavar="HOST:PORT", help="run trials for that chief")
    scale.add_argument("--worker-name", default="tuner0", help="a different name for each worker")
    scale.add_argument(
        "--patience-s",
        type=positive,
        default=300,
        metavar="S",
        help="give up after S seconds without a chief or any worker (default: %(default)s)",
    )


def _budget_options(group) -> None:
    group.add_argument("--faces", type=positive, help="training faces, stratified (default: all)")
    group.add_argument(
        "--size", type=side, help="side of the faces, px (default: the network's own)"
    )
    group.add_argument(
        "--head-epochs", type=positive, default=3, help="epochs of the head; unused from scratch"
    )
    group.add_argument("--epochs", type=positive, default=10)
    group.add_argument(
        "--patience", type=positive, help="early stopping, epochs per phase (default: none)"
    )
    group.add_argument("--batch-size", type=positive, default=64)
    group.add_argument("--precision", choices=PRECISIONS, help="default: mixed_bfloat16")
    group.add_argument(
        "--cache-features",
        type=positive,
        nargs="?",
        const=4,
        default=0,
        metavar="COPIES",
        help="compute the output of frozen layers once for all trials, for this many augmented "
        "copies of each face (without a number: 4)",
    )


def _run(options: argparse.Namespace) -> int:
    if options.worker and options.overwrite:
        raise ValueError("Expected --overwrite at the chief: a worker has no search of its own.")
    need_study()
    from builder_tools.tuning import Worker, join_search

    folder = options.folder or RUNS / "tune" / options.network
    hypermodel, train, valid = _prepared(options)
    try:
        if not options.worker:
            return _search(options, hypermodel, train, valid, folder)
        done = join_search(
            hypermodel,
            train,
            valid,
            worker=Worker(options.worker, options.worker_name, patience_s=options.patience_s),
            folder=folder,
            objective=OBJECTIVES[options.objective],
        )
        print(f"{options.worker_name}: ran {done} trials")
        return 0
    except ConnectionError as error:
        print_escaped(f"builder-tools tune: {error}")
        return 1


def _search(options: argparse.Namespace, hypermodel, train, valid, folder: Path) -> int:
    from builder_tools.release import add_rows
    from builder_tools.tuning import Chief, tune

    result = tune(
        hypermodel,
        train,
        valid,
        trials=options.trials,
        folder=folder,
        objective=OBJECTIVES[options.objective],
        overwrite=options.overwrite,
        seed=options.seed,
        chief=Chief(options.chief, patience_s=options.patience_s) if options.chief else None,
    )
    row = _row(options, result, len(train.images))
    runs = options.folder.parent if options.folder else RUNS
    for logged in dict.fromkeys([runs, options.reports or runs]):
        add_rows(logged / "experiments.csv", [row])
    return _report(result)


def _row(options: argparse.Namespace, result, faces: int) -> dict:
    """Return a search's row in the log of runs: its budget, seed, machine and best trial."""
    import datetime

    from builder_tools.machine import hardware

    best = result.best_trial
    # The commit at which the best trial ran, which need not be the current one; a trial of another
    # machine has left none here.
    files = (
        file
        for file in result.table.parent.glob("*/trial_*/run/config.json")
        if int(file.parts[-3].removeprefix("trial_")) == int(best["trial"])
    )
    begun = next(map(read_json_object, files), {})
    return {
        "date": datetime.date.today().isoformat(),
        "study": "search",
        "trial": f"{options.network}, best of {len(result.trials)}",
        "network": options.network,
        "parameters": int(best["parameters"]),
        "data": options.data,
        "train_faces": faces,
        "size": result.best.stages[-1].size,
        "seed": options.seed,
        "commit": begun.get("commit", "unknown"),
        "precision": result.best.precision,
        "epochs": result.best.epochs,
        "minutes": round(float(result.trials["seconds"].sum()) / 60, 1),
        "machine": hardware(),
        "valid_nine_accuracy": round(float(best["val_accuracy"]), 4),
        "valid_nine_macro_f1": round(float(best["val_macro_f1"]), 4),
    }


def _prepared(options: argparse.Namespace):
    """Return the hypermodel, the training faces and the validation faces."""
    from builder_tools.networks import check_network
    from builder_tools.release import load_data
    from builder_tools.training.samples import table_samples, thinned
    from builder_tools.tuning import EmotionHyperModel, SearchSpace

    space = {
        "optimizer": options.optimizers,
        "schedule": options.schedules,
        "unfrozen": options.unfreeze
        and [int(word) if word.isdecimal() else word for word in options.unfreeze],
        "augmentation": options.augmentations,
    }
    make = partial(
        EmotionHyperModel,
        options.network,
        space=SearchSpace(**{name: value for name, value in space.items() if value}),
        size=options.size,
        head_epochs=options.head_epochs,
        epochs=options.epochs,
        weights=options.weights,
        batch_size=options.batch_size,
        precision=options.precision or "mixed_bfloat16",
        patience=options.patience,
        feature_copies=options.cache_features,
        seed=options.seed,
    )
    # What no trial could use is refused before the data are read.
    usual = make()
    learns = usual.space.unfrozen or ()
    check_network(usual.network, (usual.size,), options.weights, learns=learns)
    table = load_data(options.data, options.source, **reading_options(options))
    if options.faces:
        table = thinned(table, "train", options.faces, seed=options.seed)
    hypermodel = make(len(table.emotions))
    parts = (table_samples(table, split, size_px=hypermodel.size) for split in ("train", "valid"))
    return hypermodel, *parts


def _report(result) -> int:
    """Print and plot what a search found; return 1 if a trial failed."""
    from matplotlib.figure import Figure

    from builder_tools.plots.tuning import plot_parallel_coordinates, plot_trials
    from builder_tools.tuning import hyperparameters_of

    best = result.best_trial
    print(
        f"best trial: {best['trial']} of {len(result.trials)}, macro-F1 "
        f"{best['val_macro_f1']:.4f}, accuracy {best['val_accuracy']:.4f} (validation)"
    )
    found = best[hyperparameters_of(result.trials)].dropna()
    print("  " + ", ".join(f"{name} {value}" for name, value in found.items()))
    print(f"trials: {result.table}\nconfiguration: {result.config}")
    drawn = {"trials": (plot_trials, (7, 4)), "parallel": (plot_parallel_coordinates, (18, 5))}
    for name, (draw, size_inches) in drawn.items():
        figure = Figure(figsize=size_inches, layout="constrained")
        draw(result.trials, result.best.monitor, ax=figure.subplots())
        path = result.table.with_name(f"{name}.png")
        figure.savefig(path, dpi=110)
        print(f"Drawn: {path}", file=sys.stderr)
    for _, row in result.failed.iterrows():
        print_escaped(f"failed: trial {row['trial']}: {row['error']}")
    return 1 if len(result.failed) else 0


VERBS: dict[str, Verb] = {
    "tune": Verb(
        "search for the best head and training of a network; resumes where it stopped",
        (
            "builder-tools tune --network compact --trials 20 --faces 4000 --size 32 --epochs 6",
            "builder-tools tune --network vgg16 --weights pretrained --head-epochs 3 --epochs 9",
            "builder-tools tune --network face_mobilenet --weights pretrained --optimizers adam"
            " --unfreeze 4 --cache-features",
            "builder-tools tune --trials 40 --chief 10.0.0.5:8000",
            "builder-tools tune --worker 10.0.0.5:8000 --worker-name tuner1",
        ),
        _options,
        _run,
        extra="study",
    ),
}
