"""Where networks start from, and how much of them learns: `python -m studies.transfer`.

A cell is a network, its start (random weights, ImageNet's, those of networks that tell faces
apart), what learns (the head, also the last layers, or all) and a share of the training faces. All
cells see the same number of faces in the same number of steps.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from builder_tools.augmentation import AUGMENTATIONS
from builder_tools.datasets.ferplus import load_ferplus
from builder_tools.datasets.labels import majority_eight_labels
from builder_tools.emotions import FERPLUS_EIGHT
from builder_tools.evaluation import paired_gains
from builder_tools.networks import NETWORKS, PRETRAINED
from builder_tools.training import Stage, TrainingConfig
from studies.intervals import by_variant, gain_columns
from studies.plans import LOG, Plan, plan_command, read_answers
from studies.pretraining import distilled_weights
from studies.report import interval, joined, markdown, points, write_page, write_table
from studies.table import made_rows
from studies.trials import Trial

STUDY = "transfer"
SEEDS = (0, 1, 2)
STARTS = {
    "efficientnet_lite0": "objects",
    "face_mobilenet": "faces",
    "face_resnet": "faces",
    "vgg16": "distilled",
    "resnet50": "distilled",
}
"""Network -> what the weights it starts from tell apart; `distilled`: faces, learnt from a network
that does (`studies.pretraining`)."""
SHARES = {5: 1_428, 25: 7_139, 100: None}
"""Percentage of the training faces -> their number; None for all."""
SIZE = 48
EPOCHS = 8
HEAD_EPOCHS = 4
"""How many of the epochs train the head alone if more layers learn afterwards."""
EPOCH_FACES = 14_272
"""Faces per epoch: half of FER+ train in whole batches of 64, whatever the share."""
RATE, LOW_RATE = 1e-3, 2e-4
"""Learning rates of random weights, and of pretrained ones when fine-tuned. The lower one is also
that of random weights without batch normalisation, which do not learn at the higher."""
COPIES = 2
"""Augmented copies of each face whose features are computed once while layers are frozen."""
DEPTHS = ("frozen", "last", "all")
FIGURES = ("accuracy", "macro_f1", "mean_recall")
IMPOSSIBLE = (
    "Random weights have no cells but `all`: a backbone that never learnt is no start. No single "
    "network has all starts: ImageNet weights of the two face networks are nowhere to be had, nor "
    "are those of EfficientNet-Lite0 for faces; VGG16's and ResNet50's are published, but could "
    "not be reached, so they start from faces distilled from face_mobilenet "
    "([pretraining](pretraining.md))."
)
UNTUNED = (
    "The rates are the same for every network and were not tuned. Tried for the head on 5 % of the "
    "faces, seed 0, nine-class accuracy on a tenth of valid: at 1e-3, 1e-2 and 5e-2 face_mobilenet "
    "0.364, 0.395, 0.361, efficientnet_lite0 0.459, 0.426, 0.406, face_resnet 0.448, 0.468, 0.361. "
    "The pooled features of face_mobilenet are small at this size (mean 0.004, at most 6), so its "
    "frozen cells say little about what it gives once it learns."
)


def transfer_trials(seeds: Sequence[int] = SEEDS) -> Iterator[Trial]:
    """Yield the cells, cheap ones first: by depth (random weights last), then seed, then share."""
    for depth in DEPTHS:
        for seed in seeds:
            for share in SHARES:
                for network, start in STARTS.items():
                    yield cell(network, start, depth, share, seed)
    for seed in seeds:
        for share in SHARES:
            for network in STARTS:
                yield cell(network, "scratch", "all", share, seed)


def cell(network: str, start: str, depth: str, share: int, seed: int) -> Trial:
    """Return the trial of one cell and seed.

    Args:
        network: Name in `STARTS`.
        start: `scratch`, or the network's start in `STARTS`.
        depth: Name in `DEPTHS`.
        share: Percentage in `SHARES`.
        seed: Seed of the run; the subset is the same for all seeds.
    """
    spec = NETWORKS[network]
    size = spec.size_from(SIZE)
    stages, scratch = (Stage(size, EPOCHS, "head"),), start == "scratch"
    if depth != "frozen":
        learns = "all" if depth == "all" else spec.unfreeze
        stages = (Stage(size, HEAD_EPOCHS, "head"), Stage(size, EPOCHS - HEAD_EPOCHS, learns))
    config = TrainingConfig(
        network=network,
        weights=start_weights(network, start),
        stages=(Stage(size, EPOCHS),) if scratch else stages,
        optimizer="adam",
        learning_rate=LOW_RATE if scratch and not spec.batch_norm else RATE,
        fine_tune_learning_rate=None if scratch else LOW_RATE,
        schedule="exponential",
        decay_rate=0.8,
        weight_decay=0.0,
        augmentation=AUGMENTATIONS["light"],
        precision="float32",
        batch_norm_momentum=0.9,
        epoch_faces=EPOCH_FACES,
        feature_copies=0 if scratch else COPIES,
        seed=seed,
    )
    variant = f"{start}-{depth}-{share}"
    return Trial(STUDY, network, variant, config, "soft", train_faces=SHARES[share])


def start_weights(network: str, start: str) -> str | None:
    """Return the value of `TrainingConfig.weights` for a start; the same on every machine."""
    if start == "scratch":
        return None
    return distilled_weights(network) if start == "distilled" else PRETRAINED


def transfer_table(
    rows: pd.DataFrame, answers: Mapping[str, np.ndarray], labels: np.ndarray
) -> pd.DataFrame:
    """Return one row per cell: figures on valid, and gains over the network's frozen cell.

    Gains are over the frozen cell, in which only the head learns, of the same network, share and
    seed, paired by face.

    Args:
        rows: Rows of the log that belong to this study.
        answers: Trial -> predicted labels of the faces of valid, indices into `FERPLUS_EIGHT`.
        labels: `(n,)` true labels of the same faces, -1 = left out.

    Returns:
        Columns `group` (the network), `start`, `depth`, `share`, `seeds`; `accuracy` with its
        interval, `macro_f1`, `mean_recall`; `<figure>_gain` of each with `_low` and `_high`, NaN
        without a frozen cell.
    """
    found, kept = [], labels >= 0
    for row in rows.to_dict("records"):
        start, depth, share = row["variant"].split("-")
        about = {"group": row["group"], "start": start, "depth": depth, "share": int(share)}
        about |= {"seed": row["seed"], "minutes": row["minutes"]}
        about |= {name: row[f"valid_eight_{name}"] for name in FIGURES}
        about["accuracy_low"], about["accuracy_high"] = json.loads(row["valid_eight_accuracy_95"])
        frozen = cell(
            row["group"], STARTS[row["group"]], "frozen", int(share), int(row["seed"])
        ).key
        if {row["trial"], frozen} <= set(answers):
            own, base = (answers[trial][kept] for trial in (row["trial"], frozen))
            about |= gain_columns(paired_gains(labels[kept], own, base, len(FERPLUS_EIGHT)))
        found.append(about)
    return by_variant(pd.DataFrame(found), ["group", "start", "depth", "share"])


def write_report(reports: Path, source: Path | None = None) -> list[Path]:
    """Write `transfer.md` and `transfer.csv`, from the log alone."""
    rows = made_rows(reports / LOG, STUDY)
    labels = majority_eight_labels(load_ferplus(source).split("valid").votes)
    table = transfer_table(rows, read_answers(reports, "valid"), labels)
    table = table.sort_values(["group", "share", "start", "depth"], kind="stable")
    records = table.to_dict("records")
    shown = pd.DataFrame({
        "network": table["group"],
        "start": table["start"],
        "learns": table["depth"],
        "faces, %": table["share"],
        "seeds": table["seeds"],
        "accuracy": [interval(row, "accuracy") for row in records],
        "macro-F1": table["macro_f1"].map("{:.3f}".format),
        "mean recall": table["mean_recall"].map("{:.3f}".format),
        **{
            f"gain in {name.replace('_', ' ')}": [points(row, f"{name}_gain") for row in records]
            for name in FIGURES
        },
        "minutes": table["minutes"].map("{:.1f}".format),
    })  # fmt: skip
    missing = len({trial.key for trial in transfer_trials()} - set(rows["trial"]))
    sections = [
        "# Transfer: where networks start from, and how much of them learns",
        f"Each run sees {EPOCHS} epochs of {EPOCH_FACES:,} faces of {SIZE} px (the next larger "
        "size a network can take), whatever share of FER+ train it has: Adam, the rate times 0.8 "
        f"an epoch, from {RATE:g}, and from {LOW_RATE:g} once published weights learn, or random "
        "ones without batch normalisation; light "
        f"augmentation; of {EPOCHS} epochs the first {HEAD_EPOCHS} teach the head alone where more "
        f"learns afterwards. What is frozen is computed once for {COPIES} copies of each face. "
        "FER+ valid, majority-8. A gain is that on the same network, share and seed with the head "
        "alone learning; brackets are 95 % intervals over seeds (Student's) and faces (paired "
        "bootstrap) together. Of one seed no claim is made.",
        IMPOSSIBLE,
        UNTUNED,
        f"Runs that are missing: {missing}." if missing else "",
        f"Hardware: {joined(rows['machine'])}. Commits: {joined(rows['commit'])}. "
        f"{rows['minutes'].sum() / 60:.1f} hours of runs, without what was computed once. "
        "Continue with `python -m studies.transfer`.",
        markdown(shown),
    ]
    csv = write_table(reports / "transfer.csv", table.round(5))
    return [write_page(reports / "transfer.md", sections), csv]


PLAN = Plan(
    STUDY,
    "Train networks from random, ImageNet and face weights; let more or less of them learn.",
    (
        "--minutes 90",
        "--groups face_mobilenet --depths frozen last --shares 100 --seeds 0",
        "--groups vgg16 --starts scratch --in-process",
        "--finished",
    ),
    SEEDS,
    transfer_trials,
    write_report,
    ("starts", "depths", "shares"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    return plan_command(PLAN, arguments)


if __name__ == "__main__":
    sys.exit(main())
