"""Fine-tuning in phases: the head first, each phase with its schedule, pieces as one."""

import os

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras")

from toy_training import CONFIG, TRAIN, VALID, run_killed, tiny_is_a_network  # noqa: E402, F401

from builder_tools.training import (  # noqa: E402
    Stage,
    TrainingConfig,
    fine_tuning_stages,
    run,
    train,
)

pytestmark = pytest.mark.slow

FINE_TUNING = {
    **CONFIG,
    "stages": fine_tuning_stages(16, head_epochs=2, epochs=3, unfrozen=2),
    "fine_tune_learning_rate": 0.005,
    "schedule": "exponential",
    "monitor": "val_accuracy",
    "keep": "best",
}


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "tuned"
    return folder, train(TrainingConfig(**FINE_TUNING), TRAIN, VALID, folder)


def test_stages_of_fine_tuning():
    assert fine_tuning_stages(48, head_epochs=3, epochs=5, unfrozen=4) == (
        Stage(48, 3, "head"),
        Stage(48, 5, 4),
    )
    assert fine_tuning_stages(48, head_epochs=0, epochs=5, unfrozen="all") == (Stage(48, 5),)


def test_fine_tuning_trains_the_head_first(tmp_path):
    only_head = TrainingConfig(**{**CONFIG, "stages": (Stage(16, 2, "head"),)})
    model = train(only_head, TRAIN, VALID, tmp_path).model
    keras.utils.set_random_seed(only_head.seed)
    untrained = run.build_network("tiny", 3, None, head=only_head.head)
    before, after = (n.get_layer("backbone").get_weights() for n in (untrained, model))
    for expected, found in zip(before, after, strict=True):
        np.testing.assert_array_equal(found, expected, "frozen, moving averages included")
    assert not np.allclose(
        model.get_layer("emotion").get_weights()[0], untrained.get_layer("emotion").get_weights()[0]
    )


def test_each_phase_has_a_schedule_of_its_own(tuned):
    """71 faces are 5 batches: 15 steps of the second phase, the rate times 0.9 every 5."""
    optimizer = tuned[1].model.optimizer
    assert tuned[1].history["phase"].tolist() == [0, 0, 1, 1, 1]
    assert int(optimizer.iterations) == 15
    assert float(optimizer._learning_rate(0)) == pytest.approx(0.005)
    assert float(optimizer._learning_rate(10)) == pytest.approx(0.005 * 0.9**2)


def test_the_best_epoch_of_both_phases_is_kept(tuned):
    folder, done = tuned
    saved = keras.models.load_model(folder / "best.keras", compile=False)
    for expected, weights in zip(saved.get_weights(), done.model.get_weights(), strict=True):
        np.testing.assert_array_equal(weights, expected)


def test_fine_tuning_in_pieces_is_fine_tuning_in_one(tuned, tmp_path):
    config = TrainingConfig(**FINE_TUNING)
    for epoch in (1, 2, 4):
        run_killed(tmp_path, epoch=epoch, config=config)
    several = train(config, TRAIN, VALID, tmp_path)
    for expected, found in zip(
        tuned[1].model.get_weights(), several.model.get_weights(), strict=True
    ):
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert several.history["phase"].tolist() == tuned[1].history["phase"].tolist()


@pytest.mark.parametrize("keep", ["best", "last"])
def test_without_checkpoints_it_ends_the_same(tuned, tmp_path, keep):
    """The best of both phases, or the last epoch; one file is written, at the end."""
    config = TrainingConfig(**{**FINE_TUNING, "keep": keep})
    expected = tuned[1].model if keep == "best" else train(config, TRAIN, VALID, None).model
    folder = tmp_path / keep
    run_killed(folder, epoch=3, config=config)  # leaves checkpoints that are gone on from
    (folder / "last.keras").unlink()
    done = train(config, TRAIN, VALID, folder, each_epoch=False)
    for own, other in zip(done.model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(own, other, atol=1e-5)
    saved = keras.models.load_model(folder / f"{keep}.keras", compile=False)
    for own, other in zip(saved.get_weights(), done.model.get_weights(), strict=True):
        np.testing.assert_array_equal(own, other)
    assert done.history["phase"].tolist() == tuned[1].history["phase"].tolist()


def test_early_stopping_ends_the_phase_and_not_the_run(tmp_path):
    """Nothing is learnt at a rate of almost nothing: the first epoch stays the best."""
    config = TrainingConfig(
        **{
            **FINE_TUNING,
            "stages": fine_tuning_stages(16, head_epochs=9, epochs=4, unfrozen="all"),
            "learning_rate": 1e-12,
            "fine_tune_learning_rate": 1e-12,
            "monitor": "val_macro_f1",
            "patience": 2,
        }
    )
    history = train(config, TRAIN, VALID, tmp_path).history
    assert len(history[history["phase"] == 0]) < 9
    assert history[history["phase"] == 1]["epoch"].iloc[0] == 9
    before = (tmp_path / "history.csv").read_text()
    train(config, TRAIN, VALID, tmp_path)
    assert (tmp_path / "history.csv").read_text() == before, "a finished run is only read"
