"""A search with what the command line pins, over features that its trials share."""

import json
import os

import pandas as pd
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
pytest.importorskip("keras_tuner")

from toy_study import tiny_spec, toy_faces, write_official

from builder_tools.cli import main
from builder_tools.networks import NETWORKS, build_network
from builder_tools.tuning import EmotionHyperModel

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def toy(monkeypatch, tmp_path):
    monkeypatch.setitem(NETWORKS, "tiny", tiny_spec(16))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_a_search_is_pinned_and_its_trials_share_features(tmp_path):
    faces = write_official(tmp_path / "data", toy_faces({"train": 6, "valid": 3, "test": 1}))
    build_network("tiny", 9, 16).save(tmp_path / "start.keras")
    command = ["tune", "--source", str(faces), "--network", "tiny", "--size", "16", "--trials", "3"]
    command += ["--weights", str(tmp_path / "start.keras"), "--folder", str(tmp_path / "search")]
    command += ["--head-epochs", "1", "--epochs", "1", "--precision", "float32"]
    command += ["--optimizers", "adam", "--schedules", "exponential", "--unfreeze", "2"]
    assert main([*command, "--augmentations", "light", "--cache-features", "2"]) == 0
    best = json.loads((tmp_path / "search" / "best.json").read_text())
    assert (best["optimizer"], best["schedule"], best["feature_copies"]) == (
        *("adam", "exponential", 2),
    )
    assert [stage["trainable"] for stage in best["stages"]] == ["head", 2]
    trials = pd.read_csv(tmp_path / "search" / "trials.csv")
    assert len(trials) == 3
    assert not {"optimizer", "schedule", "unfrozen", "augmentation"} & set(trials)
    cached = list((tmp_path / "cache" / "builder_tools" / "features").iterdir())
    assert len(cached) == 6, "two copies and one of valid at each of two cuts, for three trials"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--unfreeze", "some"], "unfrozen as numbers of layers or 'all'"),
        (["--cache-features"], "a stage with frozen layers to cache"),
    ],
)
def test_what_cannot_be_pinned_is_refused(options, message, tmp_path, capsys):
    faces = write_official(tmp_path / "data", toy_faces({"train": 6, "valid": 3, "test": 1}))
    command = ["tune", "--source", str(faces), "--network", "tiny", "--size", "16"]
    assert main([*command, "--folder", str(tmp_path / "search"), *options]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "search").exists()


def test_a_search_without_copies_is_the_search_it_was():
    assert "feature_copies" not in EmotionHyperModel("tiny", 3).to_dict()
    plain = EmotionHyperModel("tiny", 3, weights="start.keras", feature_copies=2)
    assert plain.to_dict()["feature_copies"] == 2
