"""Faces made of others: warped, or blended with a second one; and a study's silent start."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
pytest.importorskip("keras")

from builder_tools.augmentation import AUGMENTATIONS
from studies.blends import LEAST, MOST, blends, main

ROOT = Path(__file__).parents[1]


def halves(dark: int, bright: int) -> np.ndarray:
    """Two faces: dark on the left, bright on the right, and the other way round."""
    face = np.full((48, 48), dark, np.uint8)
    face[:, 24:] = bright
    return np.stack([face, face[:, ::-1]])


def test_as_many_as_asked_for_and_the_same_for_a_seed():
    faces = halves(60, 190)
    made = np.stack(list(blends(faces, 7, seed=3)))
    assert made.shape == (7, 48, 48)
    assert made.dtype == np.uint8
    np.testing.assert_array_equal(made, np.stack(list(blends(faces, 7, seed=3))))
    assert (made != np.stack(list(blends(faces, 7, seed=4)))).any()
    assert len({face.tobytes() for face in made}) == 7


def test_half_hold_a_tenth_to_four_tenths_of_another_face(monkeypatch):
    """Not warped, of black and white faces alike often: each is one of these, or grey."""
    monkeypatch.setitem(AUGMENTATIONS, "strong", AUGMENTATIONS["off"])
    black_and_white = np.stack([np.zeros((48, 48), np.uint8), np.full((48, 48), 255, np.uint8)])
    made = np.stack(list(blends(black_and_white, 1200, seed=0)))
    assert (made == made[:, :1, :1]).all(), "a blend is the same everywhere"
    values = made[:, 0, 0]
    grey = values[(values > 0) & (values < 255)] / 255
    assert len(grey) / 1200 == pytest.approx(0.25, abs=0.04), "half of pairs are of two kinds"
    of_other = np.minimum(grey, 1 - grey)
    assert of_other.min() == pytest.approx(LEAST, abs=0.01)
    assert of_other.max() == pytest.approx(MOST, abs=0.01)


def test_wrong_counts_and_places_are_sentences(tmp_path, capsys):
    out = tmp_path / "blends.zip"
    assert main(["--out", str(out), "--faces", "0"]) == 2
    assert "--faces of at least 1. Received: 0" in capsys.readouterr().err
    assert main(["--out", str(out), "--source", str(tmp_path / "none")]) == 2
    assert "Expected FER+" in capsys.readouterr().err
    assert not out.exists()


def test_a_study_that_imports_keras_starts_without_its_chatter():
    plain = {key: value for key, value in os.environ.items() if not key.startswith("TF_")}
    ended = subprocess.run(
        [sys.executable, "-m", "studies.blends", "--help"],
        cwd=ROOT,
        env=plain,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "--unlabelled" in ended.stdout
    assert ended.stderr == ""
