"""Runs that are resumed: only on the data they saw, from what was saved, and as they were."""

import json
import shutil
import zipfile

import numpy as np
import pytest

pytest.importorskip("keras")

from toy_training import CONFIG, TRAIN, VALID, Killed, run_killed, tiny_is_a_network  # noqa: F401

from builder_tools.training import (
    Samples,
    Stage,
    TrainingConfig,
    checkpoints,
    fine_tuning_stages,
    run,
    train,
)

SHORT = {**CONFIG, "stages": (Stage(12, 2),)}
BEGUN_WITH = ("faces", "steps", "epochs_done")
"""What the progress of a run was before its faces and targets were recorded."""


class Files:
    """Faces that are decoded when they are asked for, as those of a folder are."""

    def __init__(self, images):
        self.images, self.shape = images, images.shape

    def __len__(self):
        return len(self.images)

    def __getitem__(self, rows):
        return self.images[rows]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "finished"
    train(TrainingConfig(**SHORT), TRAIN, VALID, folder)
    return folder


def progress(folder) -> dict:
    with zipfile.ZipFile(folder / "last.keras") as archive:
        return json.loads(archive.read(checkpoints.PROGRESS_ENTRY))


def exchanged(values):
    """The first two rows change places."""
    return np.concatenate([values[1::-1], values[2:]])


OTHERS = {
    "inverted faces": ("faces", Samples(255 - TRAIN.images, TRAIN.targets), VALID),
    "one face": ("faces", Samples(exchanged(TRAIN.images), TRAIN.targets), VALID),
    "faces of valid": ("faces", TRAIN, Samples(255 - VALID.images, VALID.targets)),
    "opposite labels": ("targets", Samples(TRAIN.images, TRAIN.targets[:, ::-1]), VALID),
    "two labels": ("targets", Samples(TRAIN.images, exchanged(TRAIN.targets)), VALID),
    "labels of valid": ("targets", TRAIN, Samples(VALID.images, exchanged(VALID.targets))),
    "fewer classes": (
        "targets",
        Samples(TRAIN.images, TRAIN.targets[:, :2]),
        Samples(VALID.images, VALID.targets[:, :2]),
    ),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_as_many_other_faces_or_targets_are_refused(finished, kind):
    words, *parts = OTHERS[kind]
    before = {path.name: path.read_bytes() for path in finished.iterdir()}
    with pytest.raises(ValueError, match=f"the same faces and targets. Received: other {words}"):
        train(TrainingConfig(**SHORT), *parts, finished)
    assert {path.name: path.read_bytes() for path in finished.iterdir()} == before


def test_targets_that_differ_by_rounding_are_the_same(finished):
    """Teachers asked again, on another machine, answer alike but not to the last bit."""
    rounded = [Samples(part.images, part.targets * np.float32(1 - 1e-6)) for part in (TRAIN, VALID)]
    assert len(train(TrainingConfig(**SHORT), *rounded, finished).history) == 2


def test_faces_in_files_are_compared_too(tmp_path):
    colour = np.repeat(TRAIN.images[..., None], 3, axis=-1)
    valid = Samples(np.repeat(VALID.images[..., None], 3, axis=-1), VALID.targets)
    config = TrainingConfig(**{**CONFIG, "stages": (Stage(12, 1),)})
    train(config, Samples(Files(colour), TRAIN.targets), valid, tmp_path)
    assert len(train(config, Samples(Files(colour), TRAIN.targets), valid, tmp_path).history) == 1
    with pytest.raises(ValueError, match="Received: other faces"):
        train(config, Samples(Files(255 - colour), TRAIN.targets), valid, tmp_path)


def test_a_run_whose_data_were_not_recorded_goes_on_and_records_them(finished, tmp_path):
    run_killed(tmp_path, epoch=1, config=TrainingConfig(**SHORT))
    last, older = tmp_path / "last.keras", tmp_path / "older.keras"
    with zipfile.ZipFile(last) as now, zipfile.ZipFile(older, "w") as then:
        for name in now.namelist():
            content = now.read(name)
            if name == checkpoints.PROGRESS_ENTRY:
                told = json.loads(content)
                content = json.dumps({name: told[name] for name in BEGUN_WITH})
            then.writestr(name, content)
    older.replace(last)
    assert set(progress(tmp_path)) == set(BEGUN_WITH)
    assert len(train(TrainingConfig(**SHORT), TRAIN, VALID, tmp_path).history) == 2
    assert progress(tmp_path) == progress(finished) and len(progress(tmp_path)) > len(BEGUN_WITH)


STOPPING = {
    **CONFIG,
    "stages": fine_tuning_stages(16, head_epochs=6, epochs=2, unfrozen="all"),
    "learning_rate": 1e-12,
    "fine_tune_learning_rate": 0.01,
    "monitor": "val_macro_f1",
    "keep": "best",
    "patience": 1,
}
"""The first phase stops after two epochs, as nothing is learnt at a rate of almost nothing."""


def equal(one, other) -> bool:
    pairs = zip(one.model.get_weights(), other.model.get_weights(), strict=True)
    return all(np.allclose(a, b, atol=1e-5) for a, b in pairs)


def test_what_a_killed_attempt_has_left_stops_no_phase(tmp_path):
    """Nothing was saved, so the run starts over: with its first phase, not the second."""
    config, folder = TrainingConfig(**STOPPING), tmp_path / "killed"
    whole = train(config, TRAIN, VALID, None, each_epoch=False)
    assert whole.history["phase"].tolist() == [0, 0, 1, 1]

    class Assassin(run.Checkpoint):
        def on_epoch_end(self, epoch, logs=None):
            super().on_epoch_end(epoch, logs)
            if epoch == 6:
                raise Killed

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(run, "Checkpoint", Assassin)
        train(config, TRAIN, VALID, folder, each_epoch=False)
    again = train(config, TRAIN, VALID, folder, each_epoch=False)
    assert again.history["epoch"].tolist() == whole.history["epoch"].tolist()
    assert equal(again, whole)


def test_the_epoch_that_stops_a_run_counts_once_it_is_saved(tmp_path, monkeypatch):
    config = TrainingConfig(
        **{**CONFIG, "stages": (Stage(12, 8),), "learning_rate": 1e-12, "patience": 1}
    )
    config = TrainingConfig.from_dict({**config.to_dict(), "monitor": "val_macro_f1"})
    whole = train(config, TRAIN, VALID, tmp_path / "whole")
    last = int(whole.history["epoch"].iloc[-1])
    assert last < 7
    save = checkpoints.RunFolder._save

    def full(folder, network, file, **options):
        if len(folder.history()) == last + 1:
            raise OSError(28, "No space left on device")
        return save(folder, network, file, **options)

    monkeypatch.setattr(checkpoints.RunFolder, "_save", full)
    with pytest.raises(OSError, match="No space"):
        train(config, TRAIN, VALID, tmp_path / "full")
    monkeypatch.undo()
    again = train(config, TRAIN, VALID, tmp_path / "full")
    assert again.history["epoch"].tolist() == whole.history["epoch"].tolist()
    assert progress(tmp_path / "full") == progress(tmp_path / "whole")
    assert equal(again, whole)


def test_the_loss_scale_of_half_precision_goes_on(tmp_path):
    config = TrainingConfig(**{**SHORT, "precision": "mixed_float16"})
    whole = train(config, TRAIN, VALID, tmp_path / "whole").model.optimizer
    run_killed(tmp_path / "killed", epoch=1, config=config)
    resumed = train(config, TRAIN, VALID, tmp_path / "killed").model.optimizer
    assert int(whole.step_counter) > 5, "steps of both epochs"
    assert int(resumed.step_counter) == int(whole.step_counter)
    assert float(resumed.dynamic_scale) == float(whole.dynamic_scale)


def test_a_finished_run_needs_no_more_than_its_files(finished, tmp_path):
    """A copy on another machine is only read, whatever it is called."""
    copy = shutil.copytree(finished, tmp_path / "copy")
    before = {path.name: path.read_bytes() for path in copy.iterdir()}
    train(TrainingConfig(**SHORT), TRAIN, VALID, copy)
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == before
