"""Runs and networks whose files were cut, changed or removed are refused in a sentence."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("keras")

from toy_training import CONFIG, TRAIN, VALID, tiny_is_a_network  # noqa: F401

from builder_tools.networks import read_network
from builder_tools.release.run_record import run_record
from builder_tools.training import Samples, TrainingConfig, train
from builder_tools.training.checkpoints import PROGRESS_ENTRY


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "finished"
    train(TrainingConfig(**CONFIG), TRAIN, VALID, folder)
    return folder


@pytest.fixture
def run_folder(finished, tmp_path) -> Path:
    return shutil.copytree(finished, tmp_path / "run")


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def changed(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(bytes(content))


def first_rows(file: Path) -> None:
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:3]))


DAMAGES = {
    "cut network": ("last.keras", cut, "whole .keras file"),
    "changed network": ("last.keras", changed, "whole .keras file"),
    "empty network": ("last.keras", lambda file: file.write_bytes(b""), "whole .keras file"),
    "no history": ("history.csv", Path.unlink, "a row for each of 4 epochs"),
    "empty history": ("history.csv", lambda file: file.write_text(""), "the history of a run"),
    "other table": ("history.csv", lambda file: file.write_text("a,b\n1,2\n"), "the columns"),
    "no letters": ("history.csv", lambda file: file.write_bytes(b"\xff\xfe\x81"), "the history"),
    "half a history": ("history.csv", first_rows, "a row for each of 4 epochs"),
    "empty settings": ("config.json", lambda file: file.write_text(""), "JSON in"),
    "a list of settings": ("config.json", lambda file: file.write_text("[]"), "JSON object in"),
    "no settings": ("config.json", Path.unlink, "to say what last.keras"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_run_is_not_gone_on_with(run_folder, damage):
    name, do, words = DAMAGES[damage]
    do(run_folder / name)
    kept = {path.name: path.read_bytes() for path in run_folder.iterdir() if path.is_file()}
    with pytest.raises(ValueError, match=words) as refused:
        train(TrainingConfig(**CONFIG), TRAIN, VALID, run_folder)
    assert str(run_folder / name) in str(refused.value)
    assert kept == {path.name: path.read_bytes() for path in run_folder.iterdir()}


@pytest.mark.parametrize("name", ["config.json", "history.csv", "teaching.json"])
@pytest.mark.parametrize("content", ["", "[]", "{", "a,b\n1,2\n"])
def test_the_record_of_a_damaged_run_names_the_file(run_folder, name, content):
    (run_folder / name).write_text(content)
    with pytest.raises(ValueError, match=f"Expected .*{name}"):
        run_record(run_folder)


def rewritten(source: Path, target: Path, change) -> Path:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = change(name, old.read(name))
            if content is not None and name != PROGRESS_ENTRY:
                new.writestr(name, content)
    return target


CHANGES = {
    "settings gone": lambda name, content: None if name == "config.json" else content,
    "settings empty": lambda name, content: b"{}" if name == "config.json" else content,
    "settings cut": lambda name, content: b"{" if name == "config.json" else content,
    "weights gone": lambda name, content: None if name.endswith(".h5") else content,
    "weights cut": lambda name, content: content[:999] if name.endswith(".h5") else content,
    "layer unknown": lambda name, content: (
        content.replace(b"Conv2D", b"Conv9D") if name == "config.json" else content
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_network_file_is_named(finished, tmp_path, change):
    file = rewritten(finished / "last.keras", tmp_path / "network.keras", CHANGES[change])
    with pytest.raises(ValueError, match="a network that Keras") as refused:
        read_network(file)
    assert str(file) in str(refused.value)


def test_what_is_no_network_file_is_told_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_network(tmp_path / "none.keras")
    with pytest.raises(ValueError, match=r"as a \.keras file"):
        read_network(tmp_path)
    (tmp_path / "text.keras").write_text(json.dumps([]))
    with pytest.raises(ValueError, match=r"a whole \.keras file"):
        read_network(tmp_path / "text.keras")


def test_a_configuration_file_that_is_none_is_named(tmp_path):
    from builder_tools.cli import main

    (tmp_path / "best.json").write_text("[]")
    assert main(["train", "--config", str(tmp_path / "best.json")]) == 2


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ((TRAIN.images, TRAIN.targets), "train as Samples. Received: tuple"),
        (Samples(TRAIN.images / 255, TRAIN.targets), "uint8. Received: .*float64"),
        (Samples(TRAIN.images.tolist(), TRAIN.targets), r"\(n, H, W\)"),
        (Samples(TRAIN.images.reshape(71, -1), TRAIN.targets), r"\(n, H, W\)"),
        (Samples(np.stack([TRAIN.images] * 4, -1), TRAIN.targets), r"\(n, H, W\)"),
        (Samples(TRAIN.images, TRAIN.targets[:5]), "a row for each of at least one face"),
        (Samples(TRAIN.images, TRAIN.targets[:, 0]), "a row for each of at least one face"),
        (Samples(TRAIN.images[:0], TRAIN.targets[:0]), "a row for each of at least one face"),
        (Samples(TRAIN.images, TRAIN.targets * np.nan), "finite train targets"),
        (Samples(TRAIN.images, TRAIN.targets * 3), "sum of 1 for each face.*Divide counts"),
        (Samples(TRAIN.images, 2 * TRAIN.targets - 1), "at least 0, .*Received: "),
        (Samples(TRAIN.images, TRAIN.targets.tolist()), "as an array .n, k.*Received: list"),
        (Samples(TRAIN.images, pd.DataFrame(TRAIN.targets)), "an array .n, k.*: DataFrame"),
        (Samples(TRAIN.images, TRAIN.targets[:, :2]), "as many targets and channels"),
        (Samples(np.stack([TRAIN.images] * 3, -1), TRAIN.targets), "as many targets and channels"),
    ],
)
def test_faces_and_targets_that_do_not_fit_are_refused(tmp_path, part, words):
    with pytest.raises(ValueError, match=words):
        train(TrainingConfig(**CONFIG), part, VALID, tmp_path / "run")
    assert not (tmp_path / "run").exists()
