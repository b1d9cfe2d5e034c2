"""Distilling a face network: it stops, goes on, and gives a file that networks start from."""

import dataclasses
import json
import os
import shutil

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
pytest.importorskip("keras")

import keras
from toy_study import tiny_spec, toy_faces, write_official

from builder_tools.networks import NETWORKS, build_network
from studies import distillation, pretraining
from studies.distillation import DirectionLoss


@pytest.fixture(scope="module", autouse=True)
def tiny_is_a_network():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, "tiny", dataclasses.replace(tiny_spec(16), pretrained="a toy"))
        patch.setattr(distillation, "TEACHER", "tiny")
        patch.setattr(pretraining, "RATES", {"tiny": 1e-2})
        patch.setattr(pretraining, "SIZE", 16)
        patch.setattr(pretraining, "TEACHER_SIZES", (16,))
        yield


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_official(tmp_path_factory.mktemp("ferplus"), toy_faces())


def test_the_loss_by_hand():
    """Equal directions, whatever their length; a right angle; opposite ones."""
    student = np.array([[1.0, 0], [1, 0], [1, 0]])
    teacher = np.array([[5.0, 0], [0, 2], [-3, 0]])
    found = DirectionLoss(reduction=None)(np.zeros((3, 1)), np.hstack([student, teacher]))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), [0, 1, 2], atol=1e-6)


def run(source, folder, *words) -> int:
    places = ["--source", str(source), "--runs", str(folder / "runs"), "--reports", str(folder)]
    return pretraining.main(["tiny", "--epochs", "2", "--batch-size", "27", *places, *words])


@pytest.fixture(scope="module")
def distilled(source, tmp_path_factory):
    """Stopped after its first epoch, then gone on with to the second."""
    folder = tmp_path_factory.mktemp("pretraining")
    assert run(source, folder, "--minutes", "0") == 1
    found = json.loads((folder / "runs" / "tiny.json").read_text())
    assert (found["epochs"], found["planned_epochs"]) == (1, 2)
    assert run(source, folder) == 0
    return folder


def test_it_goes_on_where_it_stopped(distilled, source):
    found = json.loads((distilled / "runs" / "tiny.json").read_text())
    assert (found["epochs"], found["faces"], found["unlabelled"]) == (2, 54, 0)
    assert -1 <= found["valid_cosine"] <= 1
    assert set(found["probes"]) == {"random weights", "distilled", "teacher at 16 px"}
    before = (distilled / "runs" / "tiny.keras").read_bytes()
    assert run(source, distilled) == 0
    assert (distilled / "runs" / "tiny.keras").read_bytes() == before, "nothing was left to do"


def test_networks_start_from_its_file(distilled):
    file = distilled / "runs" / "tiny.keras"
    found = build_network("tiny", 9, 16, weights=file).get_layer("backbone")
    trained = keras.saving.load_model(distilled / "runs" / "tiny" / "last.keras", compile=False)
    expected = trained.get_layer("backbone").get_weights()
    for one, other in zip(found.get_weights(), expected, strict=True):
        assert one.dtype == np.float32
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def test_the_report_stands_without_the_runs(distilled, tmp_path):
    table = json.loads((distilled / "pretraining.json").read_text())
    (tmp_path / "pretraining.json").write_text(json.dumps(table))
    words = ["--runs", str(tmp_path / "gone"), "--reports", str(tmp_path), "--report"]
    assert pretraining.main(words) == 0
    page = (tmp_path / "pretraining.md").read_text()
    assert page == (distilled / "pretraining.md").read_text()
    assert "| tiny | 2 | teacher at 16 px |" in page and "Missing" not in page
    (tmp_path / "pretraining.json").unlink()
    assert pretraining.main(words) == 0
    assert "Missing: tiny" in (tmp_path / "pretraining.md").read_text()


def test_a_run_of_another_length_stands_beside(distilled, tmp_path):
    shutil.copy(distilled / "pretraining.json", tmp_path)
    longer = json.loads((distilled / "runs" / "tiny.json").read_text())
    longer |= {"epochs": 3, "planned_epochs": 3}
    (tmp_path / "tiny.json").write_text(json.dumps(longer))
    words = ["--runs", str(tmp_path), "--reports", str(tmp_path), "--report"]
    for _ in range(2):
        assert pretraining.main(words) == 0
    page = (tmp_path / "pretraining.md").read_text()
    assert page.count("3 of 3") == page.count("2 of 2") == 1
    assert page.index("3 of 3") < page.index("2 of 2")
