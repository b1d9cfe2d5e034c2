"""Runs that diverge: an epoch of NaN is never the best, and a network of NaN is not returned."""

import numpy as np
import pytest

pytest.importorskip("keras")

from toy_training import CONFIG, TRAIN, VALID, tiny_is_a_network  # noqa: F401

from builder_tools.training import Samples, Stage, TrainingConfig, fine_tuning_stages, run, train
from builder_tools.training.checkpoints import has_stopped

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
    rows = [{"epoch": number, "phase": 0, "val_loss": loss} for number, loss in enumerate(losses)]
    config = TrainingConfig(**{**CONFIG, "patience": 2, "monitor": "val_loss"})
    assert has_stopped(rows, config, config.phases[0]) == stopped


@pytest.mark.parametrize(
    ("changes", "broken", "words"),
    [
        ({"keep": "last"}, (2,), "after the last epoch. Received: nan"),
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
