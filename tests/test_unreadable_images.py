"""Broken images of a data set: all are named, and what can go on goes on."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("imblearn")

from builder_tools.cli import main
from builder_tools.datasets.labelled import list_labelled
from builder_tools.media import write_image

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def raw(tmp_path):
    """Two classes of eight images of noise, one of each cut."""
    rng = np.random.default_rng(0)
    for emotion in ("happy", "sad"):
        for number in range(8):
            path = tmp_path / "raw" / emotion / f"{number}.png"
            write_image(path, rng.integers(0, 255, (24, 24, 3), np.uint8))
        path.write_bytes(path.read_bytes()[:60])
    return tmp_path / "raw"


def named(words: str) -> list[str]:
    return re.findall(r"Cannot read \S+?(\w+/7\.png)", words)


def test_verify_names_all_and_fails(raw, capsys):
    assert main(["data", "verify", "folders", "--source", str(raw)]) == 1
    said = capsys.readouterr()
    assert said.out.startswith("folders: 16 images")
    assert named(said.err) == ["happy/7.png", "sad/7.png"]


def test_folders_are_written_without_them(raw, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["data", "folders", "folders", "--source", str(raw), "--out", str(out)]) == 1
    assert named(capsys.readouterr().err) == ["happy/7.png", "sad/7.png"]
    assert len(list(out.rglob("*.png"))) == 14


def test_nothing_is_balanced_before_they_are_mended(raw, tmp_path, capsys):
    assert main(["balance", str(raw), "--out", str(tmp_path / "out")]) == 2
    assert named(capsys.readouterr().err) == ["happy/7.png", "sad/7.png"]
    assert not (tmp_path / "out").exists()


def test_many_read_at_once_name_all_and_one_itself(raw):
    images = list_labelled(raw).resized(16)
    with pytest.raises(ValueError, match="none of these 2") as error:
        images[:8]
    assert named(str(error.value)) == ["happy/7.png", "sad/7.png"]
    with pytest.raises(ValueError, match=r"^Cannot read") as error:
        images[7:8]
    assert named(str(error.value)) == ["happy/7.png"]


def test_opencv_says_nothing_of_them(raw):
    """Its warnings, `[ WARN:0@0.2] global grfmt_png.cpp:793 ...`, say less than the sentence."""
    done = subprocess.run(
        [sys.executable, "-m", "builder_tools", "img", str(raw / "sad" / "7.png")],
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 1 and done.stderr.startswith("failed: ")
    assert done.stderr.count("\n") == 1
