"""A toy that is learnt in seconds, its configuration, and a run that is killed."""

import os
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras")

from toy_study import pattern, tiny_spec  # noqa: E402

from builder_tools.networks import NETWORKS  # noqa: E402
from builder_tools.training import (  # noqa: E402
    Samples,
    Stage,
    TrainingConfig,
    run,
    train,
)

CONFIG = {
    "network": "tiny",
    "stages": (Stage(12, 2), Stage(16, 2)),
    "batch_size": 16,
    "learning_rate": 0.02,
    "precision": "float32",
    "seed": 3,
}


def toy_samples(count: int, seed: int) -> Samples:
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    images = np.stack([pattern(int(label), 20, rng) for label in labels])
    return Samples(images, np.eye(3, dtype=np.float32)[labels])


TRAIN, VALID = toy_samples(71, 0), toy_samples(30, 1)


@pytest.fixture(scope="module", autouse=True)
def tiny_is_a_network():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, "tiny", tiny_spec(16))
        yield


class Killed(BaseException):
    """What ends a run from outside."""


def run_killed(folder: Path, *, epoch: int, config: TrainingConfig) -> None:
    """Trains until the second batch of an epoch (from 0)."""

    class Assassin(run.Progress):
        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch

        def on_train_batch_end(self, batch, logs=None):
            if self.epoch == epoch and batch == 1:
                raise Killed

        def on_epoch_end(self, epoch, logs=None):
            pass

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(run, "Progress", Assassin)
        train(config, TRAIN, VALID, folder)
