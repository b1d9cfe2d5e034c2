"""The Bayesian searches of the study's documents: `python -m studies.searches`.

They tune the head and training of five networks on all training faces; frozen features are computed
once. The best configuration of each is trained three times. Networks may be searched at the same
time, each in its own process (`--groups`); they share only the cache of features.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from builder_tools.cli.release import need_study
from builder_tools.cli.verb import positive
from builder_tools.datasets.ferplus import load_ferplus, vote_distribution
from builder_tools.datasets.labels import majority_eight_labels
from builder_tools.emotions import FERPLUS_EIGHT, NINE_EMOTIONS
from builder_tools.evaluation import paired_gains
from builder_tools.journal import alone_in
from builder_tools.networks import NETWORKS
from builder_tools.training import Samples, TrainingConfig
from studies import transfer
from studies.command import command, study_parser
from studies.intervals import by_variant, gain_columns
from studies.plans import (
    LOG,
    add_finished_option,
    keep_answers,
    read_answers,
    run_here,
    trial_jobs,
)
from studies.report import interval, joined, markdown, points, write_page, write_table
from studies.table import pending, run_table, say_missing
from studies.trials import Trial, finished_row, need_weights, read_faces

STUDY = "searches"
SEEDS = (0, 1, 2)
TRIALS = 30
SIZE = 48
HEAD_EPOCHS, EPOCHS = 3, 6
COPIES = 2
BATCH = 256
EPOCH_FACES = 111 * BATCH
"""All of FER+ train except less than one batch, a different one each epoch: a smaller last batch
would make a compiling backend build each network twice."""
SCORE = "val_macro_f1"
PINNED = {
    "optimizer": ("adam",),
    "schedule": ("exponential",),
    "augmentation": ("light",),
}
UNFROZEN = {"vgg16": (4,), "resnet50": (15,)}
"""Networks that train as many last layers as in the study's documents. The others try half, once
and twice their default number."""
RATES = {"vgg16": (1e-4, 2e-2)}
WIDER_RATES = (1e-4, 1e-1)
"""VGG16's search, the first, ended at the highest rates allowed, so the others may go higher."""
FOUND, BEST = "trials.csv", "best.json"
"""Files that a search keeps in its folder."""
TABLE = "searches.csv"
FIGURES = ("accuracy", "macro_f1", "mean_recall")


def hypermodel(network: str):
    """Return the search space of a network as an `EmotionHyperModel`."""
    from builder_tools.tuning import EmotionHyperModel, SearchSpace

    return EmotionHyperModel(
        network,
        len(NINE_EMOTIONS),
        space=SearchSpace(
            **PINNED,
            learning_rate=RATES.get(network, WIDER_RATES),
            unfrozen=UNFROZEN.get(network),
        ),
        size=NETWORKS[network].size_from(SIZE),
        head_epochs=HEAD_EPOCHS,
        epochs=EPOCHS,
        weights=transfer.start_weights(network, transfer.STARTS[network]),
        batch_size=BATCH,
        precision="float32",
        feature_copies=COPIES,
        batch_norm_momentum=0.9,
        epoch_faces=EPOCH_FACES,
        each_epoch=False,
    )


def search(
    network: str,
    runs: Path,
    *,
    trials: int = TRIALS,
    minutes: float | None = None,
    source: Path | None = None,
) -> None:
    """Search for the best configuration of a network, or resume the search in `runs/<network>`.

    Raises:
        FileNotFoundError: If it starts from distilled weights that are missing.
    """
    from builder_tools.tuning import tune

    model = hypermodel(network)
    need_weights(network, model.weights)
    faces = read_faces(source)
    samples = {
        split: Samples(part.images, vote_distribution(part.votes))
        for split in ("train", "valid")
        for part in [faces.split(split)]
    }
    folder = runs / network
    tune(model, **samples, trials=trials, folder=folder, objective=SCORE, minutes=minutes)


def ended_trials(network: str, runs: Path) -> pd.DataFrame:
    """Return the trials of a search that have ended, one row each; empty if there is no search."""
    file = runs / network / FOUND
    if not file.is_file():
        return pd.DataFrame({"status": []})
    found = pd.read_csv(file)
    return found[found["status"].isin(["completed", "failed"])]


def seed_trials(network: str, runs: Path, trials: int, seeds: Sequence[int]) -> Iterator[Trial]:
    """Yield the best configuration of a search with other seeds; nothing until the search ends.

    The network after its last epoch is judged: no epoch is chosen on valid.
    """
    ended = len(ended_trials(network, runs))
    if ended < trials:
        return
    best = TrainingConfig.from_dict(json.loads((runs / network / BEST).read_text()))
    for seed in seeds:
        config = dataclasses.replace(best, seed=seed, keep="last")
        yield Trial(STUDY, network, f"best_of_{ended}", config, "soft")


def searches_table(
    rows: pd.DataFrame, answers: Mapping[str, np.ndarray], labels: np.ndarray
) -> pd.DataFrame:
    """Return one row per network: its best configuration on valid, and what tuning gained.

    Args:
        rows: Rows of the log that belong to this study; only those of the longest search of each
            network count.
        answers: Trial -> predicted labels of the faces of valid, indices into `FERPLUS_EIGHT`.
        labels: `(n,)` true labels of the same faces, -1 = left out.

    Returns:
        `group` (the network), `variant`, `seeds`; accuracy with its interval, `macro_f1`,
        `mean_recall`; `<figure>_gain` over the untuned cell of the transfer table (last layers, all
        faces) with the same seed, with `_low` and `_high`; NaN without one.
    """
    found, kept = [], labels >= 0
    longest = rows["variant"].str.extract(r"(\d+)$", expand=False).astype(int)
    rows = rows[longest == longest.groupby(rows["group"]).transform("max")]
    for row in rows.to_dict("records"):
        about = {name: row[name] for name in ("group", "variant", "seed", "minutes")}
        about |= {name: row[f"valid_eight_{name}"] for name in FIGURES}
        about["accuracy_low"], about["accuracy_high"] = json.loads(row["valid_eight_accuracy_95"])
        network = row["group"]
        start = transfer.STARTS[network]
        untuned = transfer.cell(network, start, "last", 100, int(row["seed"])).key
        if {row["trial"], untuned} <= set(answers):
            own, base = (answers[trial][kept] for trial in (row["trial"], untuned))
            about |= gain_columns(paired_gains(labels[kept], own, base, len(FERPLUS_EIGHT)))
        found.append(about)
    return by_variant(pd.DataFrame(found), ["group", "variant"])


def keep_trials(runs: Path, reports: Path) -> pd.DataFrame:
    """Add the trials of searches to `searches.csv`, atomically; return all trials in it."""
    table = reports / TABLE
    reports.mkdir(parents=True, exist_ok=True)
    with alone_in(reports):
        kept = pd.read_csv(table) if table.is_file() else pd.DataFrame({"network": []})
        for network in transfer.STARTS:
            found = ended_trials(network, runs)
            if len(found) >= max((kept["network"] == network).sum(), 1):
                found.insert(0, "network", network)
                kept = pd.concat([kept[kept["network"] != network], found], ignore_index=True)
        if len(kept):
            write_table(table, kept)
    return kept


def write_report(runs: Path, reports: Path, source: Path | None = None) -> list[Path]:
    """Write `searches.md` and, if there are searches, `searches.csv`."""
    trials = keep_trials(runs, reports)
    log = pd.read_csv(reports / LOG) if (reports / LOG).is_file() else pd.DataFrame({"study": []})
    rows = log[log["study"] == STUDY]
    sections = [
        "# Bayesian searches: head and training of five networks",
        f"Each trial: all training faces of FER+ (an epoch is {EPOCH_FACES:,}, whole batches, of "
        f"an endless row of passes) at {SIZE} px (the next larger size a network can take), "
        f"{HEAD_EPOCHS} epochs of the head and {EPOCHS} with the backbone's last layers, "
        f"batch {BATCH}, Adam, exponential decay, light augmentation, what is frozen computed once "
        f"for {COPIES} copies of each face. Tuned: hidden layers and their widths, dropout, rate, "
        "its share in the second phase, decay, label smoothing, and how many layers learn (VGG16: "
        "the last 4, ResNet50: the last 15, pinned). VGG16's rate went up to "
        f"{RATES['vgg16'][1]}, that of the others to {WIDER_RATES[1]}. Scored by macro-F1 of the "
        "best epoch on FER+ valid, nine classes: the best of many trials is flattered there.",
        _missing(trials, rows),
    ]
    if len(trials):
        sections += [markdown(_best(trials)), f"Every trial: [`{TABLE}`]({TABLE})."]
    if len(rows):
        labels = majority_eight_labels(load_ferplus(source).split("valid").votes)
        sections += _seeds(rows, searches_table(rows, read_answers(reports, "valid"), labels))
    page = write_page(reports / "searches.md", sections)
    return [page, reports / TABLE] if len(trials) else [page]


def _missing(trials: pd.DataFrame, rows: pd.DataFrame) -> str:
    counts = trials["network"].value_counts()
    searches = [
        f"{network} ({counts.get(network, 0)} of {TRIALS})"
        for network in transfer.STARTS
        if counts.get(network, 0) < TRIALS
    ]
    runs = [network for network in transfer.STARTS if network not in set(rows.get("group", ()))]
    told = f"Trials are missing: {', '.join(searches)}. " if searches else ""
    told += f"Seeds of the best are missing: {', '.join(runs)}. " if runs else ""
    return told + "Go on with `python -m studies.searches`." if told else ""


def _best(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the best trial of each search, with its hyperparameters."""
    rows = []
    for network, own in trials.groupby("network", sort=False):
        done = own[own["score"].notna()]
        if done.empty:
            continue
        best = done.loc[done["score"].idxmax()]
        layers = UNFROZEN[network][0] if network in UNFROZEN else best.get("unfrozen", "")
        widths = [best.get(f"dense_width_{n + 1}") for n in range(int(best["dense_layers"]))]
        rows.append({
            "network": network,
            "trials": len(own),
            "failed": int((own["status"] == "failed").sum()),
            "macro-F1, median": f"{done['score'].median():.3f}",
            "macro-F1, best": f"{best['score']:.3f}",
            "accuracy of that": f"{best['val_accuracy']:.3f}",
            "hidden layers": ", ".join(f"{width:.0f}" for width in widths) or "none",
            "dropout": f"{best['dropout']:.2f}",
            "rate": f"{best['learning_rate']:.2g}",
            "second rate, share": f"{best['fine_tune_factor']:.2g}",
            "decay": f"{best['decay_rate']:.2f}",
            "smoothing": f"{best['label_smoothing']:.2f}",
            "last layers": layers if isinstance(layers, str) else f"{layers:.0f}",
            "minutes": f"{own['seconds'].sum() / 60:.1f}",
        })  # fmt: skip
    return pd.DataFrame(rows)


def _seeds(rows: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    records = table.to_dict("records")
    shown = pd.DataFrame({
        "network": table["group"],
        "configuration": table["variant"].str.replace("_", " "),
        "seeds": table["seeds"],
        "accuracy": [interval(row, "accuracy") for row in records],
        **{name.replace("_", " "): table[name].map("{:.3f}".format) for name in FIGURES[1:]},
        **{f"gain in {name.replace('_', ' ')}": [points(row, f"{name}_gain") for row in records]
           for name in FIGURES},
        "minutes": table["minutes"].map("{:.1f}".format),
    })  # fmt: skip
    return [
        "## The best configurations, three seeds",
        "FER+ valid, majority-8, after the last epoch. A gain is that on the untuned cell of the "
        "[transfer table](transfer.md) of the same network and seed (last layers, all faces), "
        f"which saw {transfer.EPOCHS * transfer.EPOCH_FACES:,} faces in smaller batches where "
        f"these saw {HEAD_EPOCHS + EPOCHS} epochs of all: tuning and a longer schedule together. "
        "Seed 0 is that of the search, which chose the configuration on these faces. "
        "Brackets: 95 % over seeds (Student's) and faces (paired bootstrap) together; of one seed "
        "no claim is made.",
        f"Hardware: {joined(rows['machine'])}. Commits: {joined(rows['commit'])}.",
        markdown(shown),
    ]


def _act(options: argparse.Namespace) -> int:
    need_study()
    unknown = sorted(set(options.groups) - set(transfer.STARTS))
    if unknown:
        raise ValueError(f"Expected networks of {list(transfer.STARTS)}. Received: {unknown}.")
    networks, runs = options.groups or list(transfer.STARTS), options.runs
    missing = {}
    idle = options.list or options.report or options.finished
    for network in networks:
        ended = len(ended_trials(network, runs))
        if ended < options.trials and not idle:
            try:
                given = {"trials": options.trials, "minutes": options.minutes}
                search(network, runs, source=options.source, **given)
            except (ValueError, OSError, RuntimeError, MemoryError) as error:
                missing[network] = str(error) or type(error).__name__
                continue
            ended = len(ended_trials(network, runs))
        if ended < options.trials and not (options.report or options.finished):
            missing[network] = f"{ended} of {options.trials} trials"
    trials = [
        trial
        for network in networks
        for trial in seed_trials(network, runs, options.trials, options.seeds)
        if not options.finished or finished_row(trial, runs)
    ]
    jobs = trial_jobs(trials, partial(run_here, runs=runs, source=options.source))
    if options.list:
        todo = [*missing, *(job.key for job in pending(jobs, options.reports / LOG))]
        print("".join(f"{name}\n" for name in todo), end="")
        return 0
    if not options.report:
        missing |= run_table(jobs, options.reports / LOG)
        keep_answers(trials, runs, options.reports)
    for path in write_report(runs, options.reports, options.source):
        print(path)
    return say_missing(missing)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = study_parser(
        STUDY,
        "Search head and training for five networks, then train the best of each three times.",
        ("--groups vgg16 --minutes 60", "--trials 40", "--list", "--finished"),
        SEEDS,
    )
    add = parser.add_argument
    add("--groups", nargs="+", default=[], metavar="NETWORK",
        help=f"any of {', '.join(transfer.STARTS)} (default: all, one after another)")  # fmt: skip
    add("--trials", type=positive, default=TRIALS, help="per search (default: %(default)s)")
    add_finished_option(parser)
    return command(parser, _act, arguments)


if __name__ == "__main__":
    sys.exit(main())
