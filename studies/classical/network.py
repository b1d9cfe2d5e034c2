"""A network trained from scratch on parts of the training faces, for the learning curves.

Each part is trained on with the recipe of the default network; the faces of a small part are seen
several times per epoch, augmented anew each time. The last epoch counts, so valid decides nothing
but the temperature. The fitting time is that of the epochs, even if training was interrupted.
"""

from __future__ import annotations

import json
import shutil
from typing import Any

import numpy as np

from builder_tools.media import resize_faces
from studies.classical.faces import StudyFaces
from studies.classical.rows import as_used, described, figures

NETWORK = "compact"
LEAST_EPOCH_FACES = 2500
"""Least number of faces per epoch; with it, 1 % of FER+ gets 1,400 steps."""

WATCHED_FACES = 500
"""Faces of valid whose loss is written to the history; nothing depends on it."""


def curve_key(fraction: float) -> str:
    """Return the key of the row of a network trained on a part of the faces."""
    return f"{NETWORK}-{fraction:g}"


def curve_config(train_faces: int, *, seed: int = 0) -> Any:
    """Return the training configuration for a number of training faces."""
    from builder_tools.training import TrainingConfig

    epoch_faces = LEAST_EPOCH_FACES if train_faces < LEAST_EPOCH_FACES else None
    return TrainingConfig(network=NETWORK, epoch_faces=epoch_faces, seed=seed)


def run_network(fraction: float, study: StudyFaces, *, config: Any = None) -> dict[str, Any]:
    """Make the row of a network trained from scratch on a part of the training faces.

    Args:
        fraction: Fraction of the training faces; the same faces that the classical rows get.
        study: The data.
        config: A `TrainingConfig`; that of `curve_config` if None.

    Returns:
        Column -> value, without speed and size, since nothing is exported.
    """
    from builder_tools.training import Samples, train

    key, seed = curve_key(fraction), study.seed
    rows = study.training_rows(fraction)
    config = config or curve_config(len(rows), seed=seed)
    folder = study.folder / f"seed-{seed}" / "networks" / key
    watched = np.random.default_rng(seed).permutation(len(study.labels("valid")))[:WATCHED_FACES]
    run = train(config, _samples(Samples, study, "train", rows),
                _samples(Samples, study, "valid", np.sort(watched)), folder)  # fmt: skip
    faces, size = study.faces["valid"], config.stages[-1].size
    found = [
        run.model.predict(resize_faces(faces[first : first + 512], size), verbose=0)
        for first in range(0, len(faces), 512)
    ]
    temperature, used = as_used(study, key, np.concatenate(found).astype(np.float64))
    shutil.rmtree(folder, ignore_errors=True)
    return {
        **described(key, study),
        "features": "",
        "model": config.network,
        "sampler": "none",
        "fraction": fraction,
        "train_faces": len(rows),
        "params": json.dumps({"epochs": sum(stage.epochs for stage in config.stages)}),
        "fit_s": round(float(run.history["seconds"].sum()), 2),
        "temperature": temperature,
        **figures(study, used),
    }


def _samples(make: Any, study: StudyFaces, split: str, rows: np.ndarray) -> Any:
    """Return faces with the targets the shipped network is trained on: vote shares, or labels."""
    from builder_tools.datasets.ferplus import vote_distribution

    votes = study.parts[split].votes
    if votes is not None:
        return make(study.faces[split][rows], vote_distribution(votes[rows]))
    targets = np.eye(len(study.emotions), dtype=np.float32)[study.labels(split)[rows]]
    return make(study.faces[split][rows], targets)
