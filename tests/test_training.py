"""Training on a toy that is learnt in seconds: it learns, and a run in pieces is the run in one."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras")

from toy_training import (  # noqa: E402, F401
    CONFIG,
    TRAIN,
    VALID,
    Killed,
    run_killed,
    tiny_is_a_network,
)

from builder_tools.journal import only_one_in  # noqa: E402
from builder_tools.training import (  # noqa: E402
    Samples,
    Stage,
    TrainingConfig,
    checkpoints,
    run,
    train,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def config() -> TrainingConfig:
    return TrainingConfig(**CONFIG)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, config):
    """A run in one piece: its folder and its `TrainingRun`."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    return folder, train(config, TRAIN, VALID, folder)


@pytest.fixture(scope="module")
def pieces(tmp_path_factory, config):
    """The same run, killed in the middle of both stages and where the second begins."""
    folder = tmp_path_factory.mktemp("runs") / "pieces"
    for epoch in (1, 2, 3):
        run_killed(folder, epoch=epoch, config=config)
        assert len(pd.read_csv(folder / "history.csv")) == epoch
        (folder / "partial.keras").write_bytes(b"half a model")
        (folder / "history.partial").write_text("epoch,si")
    return folder, train(config, TRAIN, VALID, folder)


LONGER = {**CONFIG, "stages": (Stage(16, 12),)}


@pytest.fixture(scope="module")
def longer():
    """A run in one piece of twelve epochs."""
    return train(TrainingConfig(**LONGER), TRAIN, VALID, None)


def test_the_loss_falls_and_the_toy_is_learnt(longer):
    run = longer
    assert run.history["loss"].iloc[-3:].mean() < 0.6 * run.history["loss"].iloc[0]
    assert run.history["val_accuracy"].iloc[-1] > 0.8


def test_the_folder_tells_the_run(whole, config):
    folder, run = whole
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "history.csv", "last.keras"]
    begun = json.loads((folder / "config.json").read_text())
    assert begun == run.config
    assert config.to_dict().items() <= begun.items()
    assert {"commit", "backend", "keras"} <= set(begun)


def test_history_has_a_row_an_epoch(whole):
    folder, run = whole
    history = pd.read_csv(folder / "history.csv")
    pd.testing.assert_frame_equal(history, run.history, check_dtype=False)
    assert history["epoch"].tolist() == [0, 1, 2, 3]
    assert history["size"].tolist() == [12, 12, 16, 16]
    assert (history["seconds"] > 0).all()
    figures = {"loss", "accuracy", "val_loss", "val_accuracy", "val_macro_f1"}
    assert set(history) == {"epoch", "phase", "size", "seconds"} | figures


def test_the_schedule_spans_the_whole_run(whole, config):
    """71 faces are 5 batches: 20 steps, a warm-up of 5 and a cosine that ends at 0."""
    optimizer = whole[1].model.optimizer
    assert int(optimizer.iterations) == 20
    schedule = optimizer._learning_rate
    assert float(schedule(0)) == pytest.approx(0)
    assert float(schedule(5)) == pytest.approx(config.learning_rate)
    assert float(schedule(20)) == pytest.approx(0, abs=1e-9)


def test_a_run_in_pieces_is_the_run_in_one(whole, pieces):
    (_, one), (folder, several) = whole, pieces
    assert int(several.model.optimizer.iterations) == 20
    for expected, found in zip(one.model.get_weights(), several.model.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)
    columns = ["epoch", "size", "loss", "val_loss"]
    np.testing.assert_allclose(several.history[columns], one.history[columns], rtol=1e-4)
    saved = keras.models.load_model(folder / "last.keras")
    for expected, found in zip(several.model.get_weights(), saved.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_what_weight_decay_leaves_out_is_remembered(whole, config):
    """A checkpoint does not keep it: a resumed run must say it again."""
    resumed = train(config, TRAIN, VALID, whole[0]).model
    decayed = {
        v.name for v in resumed.trainable_variables if resumed.optimizer._use_weight_decay(v)
    }
    assert decayed == {"kernel"}
    assert {v.name for v in resumed.trainable_variables} == {"kernel", "bias", "gamma", "beta"}


def test_a_finished_run_is_only_read(whole, config):
    folder, first = whole

    def files():
        return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}

    before = files()
    again = train(config, TRAIN, VALID, folder)
    pd.testing.assert_frame_equal(again.history, first.history)
    assert files() == before
    for expected, found in zip(first.model.get_weights(), again.model.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_row_without_its_model_is_written_again(tmp_path, monkeypatch):
    """A kill between history and model costs an epoch, not the schedule."""
    two_epochs = TrainingConfig(**{**CONFIG, "stages": (Stage(12, 2),)})
    replaced = []

    def replace(source, target):
        replaced.append(Path(target).name)
        if replaced.count("last.keras") == 2:
            raise Killed
        os.rename(source, target)

    monkeypatch.setattr(checkpoints.os, "replace", replace)
    with pytest.raises(Killed):
        train(two_epochs, TRAIN, VALID, tmp_path)
    monkeypatch.undo()
    assert len(pd.read_csv(tmp_path / "history.csv")) == 2
    done = train(two_epochs, TRAIN, VALID, tmp_path)
    assert done.history["epoch"].tolist() == [0, 1]
    assert int(done.model.optimizer.iterations) == 10


def test_another_configuration_is_refused(whole):
    other = TrainingConfig(**{**CONFIG, "learning_rate": 0.01, "seed": 4})
    with pytest.raises(ValueError, match=r"begun with.*'learning_rate': 0\.02.*'seed': 3"):
        train(other, TRAIN, VALID, whole[0])


def test_options_that_came_later_have_their_defaults(whole, config, tmp_path):
    """A run begun before there was such an option goes on."""
    begun = json.loads((whole[0] / "config.json").read_text())
    del begun["balanced_batches"], begun["augmentation"]["tilt"]
    (tmp_path / "config.json").write_text(json.dumps(begun))
    for name in ("last.keras", "history.csv"):
        (tmp_path / name).write_bytes((whole[0] / name).read_bytes())
    assert len(train(config, TRAIN, VALID, tmp_path).history) == 4
    changed = TrainingConfig(**{**CONFIG, "balanced_batches": True})
    with pytest.raises(ValueError, match=r"begun with.*'balanced_batches': False"):
        train(changed, TRAIN, VALID, tmp_path)


def test_other_faces_are_refused(whole, config):
    fewer = Samples(TRAIN.images[:40], TRAIN.targets[:40])
    with pytest.raises(ValueError, match=r"as many faces.*40 faces, 3 steps.*71 and 5"):
        train(config, fewer, VALID, whole[0])


def test_a_network_without_progress_is_no_checkpoint(whole, config, tmp_path):
    shutil.copy(whole[0] / "config.json", tmp_path)
    whole[1].model.save(tmp_path / "last.keras")
    with pytest.raises(ValueError, match=r"checkpoint of a run.*`builder-tools export`"):
        train(config, TRAIN, VALID, tmp_path)


REAL_RUN = """
import sys
import test_training, toy_training
from toy_study import tiny_spec
from builder_tools.networks import NETWORKS
from builder_tools.training import TrainingConfig, train

NETWORKS["tiny"] = tiny_spec(16)
config = TrainingConfig(**test_training.LONGER)
run = train(config, toy_training.TRAIN, toy_training.VALID, sys.argv[1])
"""


def test_a_process_killed_in_the_middle_ends_where_a_whole_one_does(longer, tmp_path):
    """SIGKILL, somewhere in the middle of an epoch: nothing can be cleaned up."""
    here = Path(__file__).resolve().parent
    killed = tmp_path / "killed"
    command = [sys.executable, "-c", REAL_RUN, str(killed)]
    environment = os.environ | {"PYTHONPATH": str(here)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (killed / "last.keras").is_file() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    begun = len(pd.read_csv(killed / "history.csv"))
    assert 1 <= begun < 12
    resumed = train(TrainingConfig(**LONGER), TRAIN, VALID, killed)
    for expected, found in zip(
        longer.model.get_weights(), resumed.model.get_weights(), strict=True
    ):
        np.testing.assert_allclose(found, expected, atol=1e-4)
    assert resumed.history["epoch"].tolist() == list(range(12))


def test_a_folder_where_another_process_trains_is_refused(whole, config):
    """Two that write the same checkpoints would both end with a mixture."""
    folder, _ = whole
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    with only_one_in(folder), pytest.raises(BlockingIOError, match="Another process"):
        train(config, TRAIN, VALID, folder)
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def test_a_run_without_a_folder_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(run.tempfile, "tempdir", str(tmp_path))
    done = train(TrainingConfig(**{**CONFIG, "stages": (Stage(12, 1),)}), TRAIN, VALID, None)
    assert len(done.history) == 1
    assert list(tmp_path.iterdir()) == []


def test_logs_for_tensorboard(tmp_path):
    config = TrainingConfig(**{**CONFIG, "stages": (Stage(12, 1),)})
    train(config, TRAIN, VALID, tmp_path, tensorboard=True)
    assert list((tmp_path / "tensorboard").rglob("events.out.tfevents.*"))


def test_a_run_that_could_not_begin_may_begin_otherwise(config, tmp_path):
    short = dataclasses.replace(config, stages=(Stage(12, 1),))
    refused = dataclasses.replace(short, weights=str(tmp_path / "absent.keras"))
    with pytest.raises(FileNotFoundError, match="absent"):
        train(refused, TRAIN, VALID, tmp_path / "run")
    begun = train(short, TRAIN, VALID, tmp_path / "run")
    assert begun.config["weights"] is None
