"""VGG16 and ResNet50 pretrained on faces: `python -m studies.pretraining`.

Their published weights are not available everywhere. Here they learn from random weights to see
faces as `face_mobilenet` does (see `studies.distillation`), which was trained to tell people apart;
a linear probe shows what that is worth for emotions.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from builder_tools.augmentation import AUGMENTATIONS
from builder_tools.cli.release import need_study
from builder_tools.cli.verb import positive
from builder_tools.datasets.ferplus import is_face, load_ferplus
from builder_tools.datasets.unlabelled import unlabelled_faces
from builder_tools.journal import alone_in
from builder_tools.machine import hardware
from builder_tools.media import replacing
from builder_tools.networks import PRETRAINED
from builder_tools.training import Stage, TrainingConfig
from builder_tools.training.optimizers import PRECISIONS
from studies.command import command, study_parser
from studies.report import interval, joined, markdown, write_page
from studies.table import say_missing

STUDY = "pretraining"
RATES = {"vgg16": 2e-4, "resnet50": 1e-3}
"""Network -> its peak learning rate. VGG16 has no batch normalisation and needs a lower one."""
SIZE = 48
EPOCHS = 20
BATCH = 256
MINUTES = 150.0
FOLDER = Path("runs") / STUDY
TABLE = "pretraining.json"
TEACHER_SIZES = (48, 96)


def distilled_weights(network: str) -> str:
    """Return the path of a network's distilled backbone, relative to the folder of the clone."""
    return (FOLDER / f"{network}.keras").as_posix()


def pretraining_config(network: str, **options: Any) -> TrainingConfig:
    """Return the training configuration of a network.

    Args:
        network: Name in `RATES`.
        **options: Fields of `TrainingConfig` to change; `epochs` sets those of its only stage.
    """
    epochs = options.pop("epochs", EPOCHS)
    values = {
        "network": network,
        "stages": (Stage(SIZE, epochs),),
        "batch_size": BATCH,
        "learning_rate": RATES[network],
        "augmentation": AUGMENTATIONS["full"],
        "precision": "float32",
    }
    return TrainingConfig(**values | options)


def pretrain(
    config: TrainingConfig,
    runs: Path,
    *,
    source: Path | None = None,
    unlabelled: Sequence[str] = (),
    minutes: float | None = None,
) -> dict[str, Any]:
    """Distil a network, write its backbone and the measurements, and return the latter.

    Args:
        config: Configuration from `pretraining_config`.
        runs: Folder of `<network>/` (the run), `<network>.keras` and `<network>.json`.
        source: Zip or folder of FER+; its training faces are used, its labels are not.
        unlabelled: Folders and zips of further faces.
        minutes: Start no epoch after this many minutes; the next call resumes the run.
    """
    from studies.distillation import TEACHER, distil, write_backbone
    from studies.probes import linear_probe

    network = config.network
    faces = load_ferplus(source)
    faces = faces.rows(is_face(faces.votes))
    train, valid = faces.split("train"), faces.split("valid")
    seen = _coloured(train.images)
    if unlabelled:
        others = unlabelled_faces(unlabelled, size_px=seen.shape[1], grey=False)
        seen = np.concatenate([seen, others])
    backbone, history, begun = distil(
        config, seen, _coloured(valid.images), runs / network, minutes=minutes
    )
    file = runs / f"{network}.keras"
    write_backbone(backbone, network, file)
    size = config.stages[-1].size
    probed = {
        "random weights": (network, None, size),
        "distilled": (network, file, size),
        **{f"teacher at {px} px": (TEACHER, PRETRAINED, px) for px in TEACHER_SIZES},
    }
    found = {
        "network": network,
        "epochs": len(history),
        "planned_epochs": config.epochs,
        "faces": len(seen),
        "unlabelled": len(seen) - len(train),
        "valid_cosine": round(1 - float(history["val_loss"].iloc[-1]), 4),
        "minutes": round(float(history["seconds"].sum()) / 60, 1),
        "learning_rate": config.learning_rate,
        "batch_size": config.batch_size,
        "precision": config.precision,
        "seed": config.seed,
        "machine": hardware(),
        "commit": begun["commit"],
        "backend": begun["backend"],
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "probes": {name: linear_probe(*what, train, valid) for name, what in probed.items()},
    }
    with replacing(file.with_suffix(".json")) as partial:
        partial.write_text(json.dumps(found, indent=1) + "\n")
    return found


def write_report(runs: Path, reports: Path) -> list[Path]:
    """Write `pretraining.md` and, unless it would be empty, `pretraining.json`.

    They combine the runs in `runs` with those already in `pretraining.json`; a run replaces one of
    the same network and planned epochs.
    """
    table = reports / TABLE
    reports.mkdir(parents=True, exist_ok=True)
    with alone_in(reports):
        kept = json.loads(table.read_text()) if table.is_file() else {}
        for network in RATES:
            file = runs / f"{network}.json"
            if file.is_file():
                found = json.loads(file.read_text())
                kept[f"{network}, {found['planned_epochs']} epochs"] = found
        page = write_page(reports / "pretraining.md", _sections(kept))
        if not kept:
            return [page]
        with replacing(table) as partial:
            partial.write_text(json.dumps(kept, indent=1) + "\n")
        return [page, table]


def _sections(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    told = sorted(
        found.values(), key=lambda row: (list(RATES).index(row["network"]), -row["epochs"])
    )
    missing = sorted(set(RATES) - {row["network"] for row in told})
    sections = [
        "# Pretraining on faces: VGG16 and ResNet50 distilled from a face network",
        "From random weights, at 48 px, the networks learn to see faces as `face_mobilenet` "
        "(VGGFace2) does: 1 - cosine between a projection of their pooled features and its "
        "embedding of the same augmented face (seen at 96 px), from the mean of all faces. FER+ "
        "train, and faces without labels; no label is used. The files hold backbones in half "
        "precision.",
        f"Missing: {', '.join(missing)}. Run `python -m studies.pretraining`." if missing else "",
    ]
    if not found:
        return sections
    runs = pd.DataFrame({
        "network": [row["network"] for row in told],
        "epochs": [f"{row['epochs']} of {row['planned_epochs']}" for row in told],
        "faces": [row["faces"] for row in told],
        "of them not FER+": [row["unlabelled"] for row in told],
        "cosine, FER+ valid": [f"{row['valid_cosine']:.3f}" for row in told],
        "minutes": [row["minutes"] for row in told],
        "rate": [f"{row['learning_rate']:g}" for row in told],
        "precision": [row["precision"] for row in told],
        "back end": [row["backend"] for row in told],
        "machine": [row["machine"] for row in told],
        "commit": [row["commit"] for row in told],
        "file, sha256": [f"`{row['sha256'][:12]}`" for row in told],
    })  # fmt: skip
    probes = [
        {"network": row["network"], "epochs": row["epochs"], "backbone": name}
        | {"accuracy": interval(_with_ends(figures), "accuracy")}
        | {key: f"{figures[key]:.3f}" for key in ("macro_f1", "mean_recall")}
        for row in told
        for name, figures in row["probes"].items()
    ]
    return [
        *sections,
        markdown(runs),
        "## What the features know of emotions",
        "A logistic regression (C 0.01, standardised features) on the pooled features of 10,000 "
        "faces of FER+ train (seed 0), judged on FER+ valid, majority-8; brackets: 95 % over "
        f"faces. One seed each. Batch sizes: {joined(row['batch_size'] for row in told)}.",
        markdown(pd.DataFrame(probes)),
    ]


def _with_ends(figures: Mapping[str, Any]) -> dict[str, float]:
    low, high = figures["accuracy_95"]
    return {"accuracy": figures["accuracy"], "accuracy_low": low, "accuracy_high": high}


def _coloured(images: np.ndarray) -> np.ndarray:
    """Return grey faces `(n, H, W)` as RGB."""
    return np.repeat(images[..., None], 3, axis=-1)


def _unfinished(network: str, runs: Path) -> bool:
    file = runs / f"{network}.json"
    if not file.is_file():
        return True
    found = json.loads(file.read_text())
    return found["epochs"] < found["planned_epochs"]


def _act(options: argparse.Namespace) -> int:
    need_study()
    unknown = sorted(set(options.networks) - set(RATES))
    if unknown:
        raise ValueError(f"Expected networks of {list(RATES)}. Received: {unknown}.")
    unfinished = [name for name in options.networks if _unfinished(name, options.runs)]
    if options.list:
        print("".join(f"{network}\n" for network in unfinished), end="")
        return 0
    changed = ("epochs", "batch_size", "precision", "learning_rate", "seed")
    given = {name: getattr(options, name) for name in changed}
    given = {name: value for name, value in given.items() if value is not None}
    missing = {}
    for network in [] if options.report else unfinished:
        found = pretrain(
            pretraining_config(network, **given),
            options.runs,
            source=options.source,
            unlabelled=options.unlabelled,
            minutes=options.minutes,
        )
        if found["epochs"] < found["planned_epochs"]:
            missing[network] = f"{found['epochs']} of {found['planned_epochs']} epochs: go on later"
    for path in write_report(options.runs, options.reports):
        print(path)
    return say_missing(missing)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = study_parser(
        STUDY,
        "Distil a face network's embedding into VGG16 and ResNet50, and probe what they know.",
        ("--unlabelled faces.zip", "resnet50 --epochs 10 --precision mixed_bfloat16", "--report"),
        None,
    )
    add = parser.add_argument
    add("networks", nargs="*", default=list(RATES), metavar="NETWORK",
        help=f"any of {', '.join(RATES)} (default: both)")  # fmt: skip
    add("--unlabelled", nargs="+", default=[], metavar="FOLDER|ZIP", help="more faces")
    add("--epochs", type=positive, default=EPOCHS, help="(default: %(default)s)")
    add("--batch-size", type=positive, default=BATCH, help="(default: %(default)s)")
    add("--learning-rate", type=float, help=f"peak rate (default: {RATES})")
    add("--precision", choices=PRECISIONS, default="float32", help="(default: %(default)s)")
    add("--seed", type=int, default=0)
    parser.set_defaults(minutes=MINUTES)
    return command(parser, _act, arguments)


if __name__ == "__main__":
    sys.exit(main())
