"""Sizes of faces that no network and no memory could take are refused before any work is done."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

keras = pytest.importorskip("keras")
pytest.importorskip("onnx")

from builder_tools.balancing.folders import FaceCutter  # noqa: E402
from builder_tools.cli import main  # noqa: E402
from builder_tools.datasets.table import ImageTable  # noqa: E402
from builder_tools.emotions import EmotionSet  # noqa: E402
from builder_tools.networks import build_network  # noqa: E402
from builder_tools.release.exporting import export_network, parity_faces  # noqa: E402
from builder_tools.release.joined import join_models  # noqa: E402
from builder_tools.training import Stage, TrainingConfig  # noqa: E402

MODELS = Path(__file__).parents[1] / "saved_models"


def trained(tmp_path):
    TrainingConfig(stages=(Stage(32, 1), Stage(5000, 1)))


def built(tmp_path):
    build_network("compact", 9, 5000)


def exported(tmp_path):
    export_network(tmp_path / "none.keras", tmp_path / "out", size=5000)


def joined(tmp_path):
    join_models([MODELS / "fast", MODELS / "fast"], tmp_path / "out", None, size_px=5000)


def balanced(tmp_path):
    FaceCutter(size_px=5000)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (trained, r"1\.\.\.1024 px.*Received: .*5000"),
        (built, r"at most 1024 px.*Received: 5000"),
        (exported, r"size in 1\.\.\.1024.*Received: 5000"),
        (joined, r"size of 1\.\.\.48 px.*none of the members.*Received: 5000"),
        (balanced, r"image_size in 1\.\.\.4096.*Received: 5000"),
    ],
)
def test_a_size_beyond_all_use_is_refused(make, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        make(tmp_path)
    assert not any(tmp_path.iterdir())


VERBS = {
    "train": ["--stages", "5000:1"],
    "tune": ["--size", "5000"],
    "export": ["none.keras", "--out", "new", "--size", "5000"],
    "ensemble": ["fast", "tiny", "--out", "new", "--size", "5000"],
}


@pytest.mark.parametrize("verb", VERBS)
def test_verbs_refuse_it_without_reading_data(verb, tmp_path, capsys):
    try:
        code = main([verb, *VERBS[verb], "--source", str(tmp_path / "none")])
    except SystemExit as end:
        code = end.code
    assert code == 2 and "1...1024 px" in capsys.readouterr().err


def test_fewer_large_faces_are_held_at_once():
    rows = np.arange(200)
    table = pd.DataFrame(
        {"name": rows.astype(str), "path": "", "index": rows, "label": 0, "split": "test"}
    ).assign(emotion="happy")
    faces = ImageTable(table, EmotionSet(("happy", "sad")), np.zeros((200, 8, 8), np.uint8))
    assert len(parity_faces(faces, 48)) == 200
    assert parity_faces(faces, 1024).nbytes < 2e8
