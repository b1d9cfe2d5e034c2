"""A worker's part in a search."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from builder_tools.training import Samples
from builder_tools.tuning.distribution import Worker, attending, playing
from builder_tools.tuning.hypermodel import EmotionHyperModel
from builder_tools.tuning.search import search_identity
from builder_tools.tuning.tuner import EmotionOracle, EmotionTuner


def join_search(
    hypermodel: EmotionHyperModel,
    train: Samples,
    valid: Samples,
    *,
    worker: Worker,
    folder: str | Path,
    objective: str = "val_accuracy",
) -> int:
    """Run trials that a chief chooses until it has no more; return how many were run.

    Args:
        hypermodel: What is tuned, as at the chief.
        train: Training faces, as at the chief.
        valid: Validation faces, as at the chief.
        worker: Where the chief is, and this worker's name.
        folder: Folder in which trials are trained. If it is the chief's own (same machine or
            shared disk), another worker can resume the trial of one that died, and the best
            network is found there.
        objective: As at the chief.

    Raises:
        ConnectionError: If no chief answers in time, or it stops answering.
        ValueError: If the chief runs another search, or already has a worker of that name.
    """
    identity = search_identity(hypermodel, train, valid, objective)
    done: list[object] = []
    with (
        contextlib.redirect_stdout(sys.stderr),
        attending(worker, identity["key"]),
        playing(worker),
    ):
        tuner = EmotionTuner(
            EmotionOracle(objective, trials=1, seed=0),  # the chief's oracle decides
            hypermodel,
            folder=Path(folder),
            project=identity["project"],
            after_trial=done.append,
        )
        tuner.search(train, valid)
    return len(done)
