"""Runs that diverge: an epoch of NaN is never the best, and a network of NaN is not returned."""

import json
import zipfile

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("keras")

from toy_training import CONFIG, TRAIN, VALID, tiny_is_a_network  # noqa: F401

from builder_tools.networks import read_network
from builder_tools.training import Samples, Stage, TrainingConfig, fine_tuning_stages, run, train
from builder_tools.training.checkpoints import DivergedError, RunFolder, has_stopped

SHORT = {**CONFIG, "stages": (Stage(12, 3),)}
OF_FIRST_CLASS = VALID.targets[:, 0] == 1
EASY = Samples(VALID.images[OF_FIRST_CLASS], VALID.targets[OF_FIRST_CLASS])
"""Faces of the class that NaN is taken for: argmax is 0."""


@pytest.fixture
def diverging(monkeypatch):
    """Makes all weights NaN when these epochs end; the next one goes on from those before."""

    def make(*epochs: int) -> None:
        kept = []

        class Poisoned(run.Validation):
            def on_epoch_begin(self, epoch, logs=None):
                if kept:
                    self.model.set_weights(kept.pop())

            def on_epoch_end(self, epoch, logs=None):
                if epoch in epochs:
                    kept.append(self.model.get_weights())
                    broken = [w * np.nan if w.dtype.kind == "f" else w for w in kept[-1]]
                    self.model.set_weights(broken)
                super().on_epoch_end(epoch, logs)

        monkeypatch.setattr(run, "Validation", Poisoned)

    return make


@pytest.mark.parametrize("monitor", ["val_accuracy", "val_loss"])
@pytest.mark.parametrize("broken", [(0,), (1, 2)])
def test_the_best_epoch_is_one_with_a_finite_loss(tmp_path, diverging, monitor, broken):
    diverging(*broken)
    config = TrainingConfig(**{**SHORT, "monitor": monitor, "keep": "best"})
    done = train(config, TRAIN, EASY, tmp_path)
    lost = done.history["val_loss"].isna()
    assert lost.tolist() == [epoch in broken for epoch in range(3)]
    assert (done.history["val_accuracy"][lost] == 1).all(), "NaN looks perfect here"
    assert all(np.isfinite(weights).all() for weights in done.model.get_weights())


NAN = float("nan")


@pytest.mark.parametrize(
    ("losses", "stopped"),
    [
        ([NAN, 3.0, 3.0], False),
        ([NAN, 3.0, 3.0, NAN], True),
        ([NAN, 3.0, 2.0, NAN], False),
        ([NAN], False),
        ([NAN, NAN], True),
    ],
)
def test_early_stopping_counts_from_the_best_finite_epoch(losses, stopped):
    """With a patience of 2."""
    rows = [
        {"epoch": number, "phase": 0, "loss": 3.0, "val_loss": loss}
        for number, loss in enumerate(losses)
    ]
    config = TrainingConfig(**{**CONFIG, "patience": 2, "monitor": "val_loss"})
    assert has_stopped(rows, config, config.phases[0]) == stopped


@pytest.mark.parametrize(
    ("changes", "broken", "words"),
    [
        ({"keep": "last"}, (2,), "after epoch 3. Received: nan"),
        ({"keep": "best"}, (0, 1, 2), "after any epoch. Received: nan"),
        ({"keep": "best", "patience": 1}, (0, 1, 2), "after any epoch. Received: nan"),
        (
            {
                "keep": "best",
                "stages": fine_tuning_stages(16, head_epochs=1, epochs=2, unfrozen=2),
            },
            (0,),
            "after any epoch. Received: nan",
        ),
    ],
)
def test_a_network_of_nan_is_not_returned(tmp_path, diverging, changes, broken, words):
    diverging(*broken)
    config = TrainingConfig(**{**SHORT, **changes})
    for _ in range(2):  # a run that has ended so ends so again
        with pytest.raises(RuntimeError, match=f"finite val_loss {words}.*lower learning rate"):
            train(config, TRAIN, VALID, tmp_path)


@pytest.fixture
def lost(monkeypatch):
    """Makes all weights NaN before an epoch, as a far too high learning rate does."""

    def make(first: int) -> list[int]:
        trained = []

        class Lost(run.Validation):
            def on_epoch_begin(self, epoch, logs=None):
                trained.append(epoch)
                if epoch == first:
                    old = self.model.get_weights()
                    self.model.set_weights([w * np.nan if w.dtype.kind == "f" else w for w in old])

        monkeypatch.setattr(run, "Validation", Lost)
        return trained

    return make


LONG = {**CONFIG, "stages": (Stage(12, 3), Stage(16, 3))}


def test_a_diverged_run_ends_at_once_and_its_last_good_network_stays(tmp_path, lost):
    trained = lost(2)
    said = r"finite val_loss after epoch 3\. Received: nan.*last\.keras is the one after epoch 2"
    for _ in range(2):
        with pytest.raises(RuntimeError, match=said):
            train(TrainingConfig(**LONG), TRAIN, VALID, tmp_path)
    assert trained == [0, 1, 2, 2]
    kept = read_network(tmp_path / "last.keras")
    assert all(np.isfinite(weights).all() for weights in kept.get_weights())


@pytest.mark.parametrize("each_epoch", [True, False])
def test_a_run_that_keeps_its_best_epoch_ends_with_it(tmp_path, lost, each_epoch):
    trained = lost(2)
    config = TrainingConfig(**{**LONG, "keep": "best"})
    done = train(config, TRAIN, VALID, tmp_path, each_epoch=each_epoch)
    assert trained == done.history["epoch"].tolist() == [0, 1, 2]
    assert all(np.isfinite(weights).all() for weights in done.model.get_weights())


@pytest.mark.parametrize("keep", ["last", "best"])
@pytest.mark.parametrize("folder", ["run", None])
def test_a_run_that_diverges_in_its_first_epoch_keeps_nothing(tmp_path, lost, keep, folder):
    trained = lost(0)
    stages = fine_tuning_stages(16, head_epochs=2, epochs=2, unfrozen=2)
    config = TrainingConfig(**{**CONFIG, "stages": stages, "keep": keep})
    with pytest.raises(RuntimeError, match=r"as the training diverged\. Train with a lower"):
        train(config, TRAIN, VALID, folder and tmp_path / folder)
    assert trained == [0]
    assert not list(tmp_path.rglob("*.keras"))


@pytest.mark.parametrize(("losses", "good"), [([NAN, NAN], 0), ([1.0, NAN], 0), ([1.0, NAN], 1)])
def test_a_network_of_nan_that_an_earlier_version_saved_is_not_called_good(tmp_path, losses, good):
    folder = RunFolder(tmp_path)
    rows = {"epoch": [0, 1], "seconds": 1.0, "phase": 0, "loss": losses, "val_loss": losses}
    pd.DataFrame(rows).to_csv(tmp_path / "history.csv", index=False)
    with zipfile.ZipFile(folder.last, "w") as archive:
        archive.writestr("progress.json", json.dumps({"epochs_done": good or 2}))
    with pytest.raises(DivergedError, match=r"after epoch 2\. Received: nan") as caught:
        folder.expect_finite(TrainingConfig(**LONG))
    assert ("last.keras is the one after epoch 1" in str(caught.value)) == bool(good)
