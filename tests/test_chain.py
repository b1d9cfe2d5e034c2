"""The whole study as one chain of commands: raw images in, a model that `Inference` uses out."""

import csv
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
pytest.importorskip("keras")

from toy_study import pattern

from builder_tools import EmotionClassifier, Inference
from builder_tools.cards import ModelCard
from builder_tools.cli import main
from builder_tools.emotions import NINE_EMOTIONS
from builder_tools.media import write_image
from builder_tools.submission import validate_submission

pytestmark = pytest.mark.slow


def run(*words: object) -> None:
    """Runs `builder-tools WORDS`; it must succeed."""
    assert main([str(word) for word in words]) == 0, words


def study(cleaned: Path, root: Path, *, per_class: int, trials: int) -> Path:
    """Balances, tunes, trains, judges and exports; gives the exported model's folder."""
    run("balance", cleaned, "--out", root / "balanced", "--value", per_class)
    data = ("--data", "folders", "--source", root / "balanced")
    network = ("--network", "baseline_cnn", "--size", 24, "--epochs", 1)
    run("tune", *data, *network, "--trials", trials, "--folder", root / "tuned")
    (best,) = (root / "tuned").rglob("best.json")
    train = ("train", *data, "--config", best, "--name", "chain", "--keep", "best")
    run(*train, "--run", root / "run", "--models", root / "models")
    with (root / "experiments.csv").open(newline="") as log:
        assert [row["study"] for row in csv.DictReader(log)] == ["search", "model"]
    assert (root / "run" / "figures" / "chain_curves.png").is_file()
    run("evaluate", *data, "--model", root / "models/chain")
    out = root / "models/exported"
    run("export", root / "run/best.keras", *data, "--size", 24, "--out", out, "--format", "onnx")
    return out


def test_ferplus_as_class_folders(data_dir, astronaut, tmp_path, capfd):
    run("data", "folders", "ferplus", "--per-class", 8, "--out", tmp_path / "faces")
    run("clean", tmp_path / "faces", "--out", tmp_path / "clean", "--already-cropped")
    model = study(tmp_path / "clean", tmp_path, per_class=10, trials=1)
    card = ModelCard.read(tmp_path / "models/chain")
    assert card.training["class_counts"] == dict.fromkeys(NINE_EMOTIONS, 10)
    assert card.metrics["test"]["own-labels"]["n"] == 72
    photo = write_image(tmp_path / "astronaut.png", astronaut)
    capfd.readouterr()
    run("img", photo, "--json", "--model", model)
    (face,) = json.loads(capfd.readouterr().out)["faces"]
    with Inference(EmotionClassifier(model), show_state_mode="none") as inference:
        (found,) = inference.run(photo).faces
    assert face["emotion"] == found.emotion
    assert set(face["probabilities"]) == set(NINE_EMOTIONS)


def competition(root: Path) -> Path:
    """Writes a tiny fake of the Kaggle layout: patterns as faces, one file broken."""
    rng = np.random.default_rng(0)
    with_index = [["", "image_path", "emotion"]]
    for kind, emotion in enumerate(NINE_EMOTIONS):
        (root / "train" / emotion).mkdir(parents=True)
        for number in range(14):
            name = f"./train/{emotion}/{number}.jpg"
            cv2.imwrite(str(root / name), pattern(kind, 64, rng))
            with_index.append([len(with_index) - 1, name, emotion])
    (root / "train/anger/0.jpg").write_bytes(b"no image")
    (root / "test_kaggle").mkdir()
    names = [f"{number}.jpg" for number in range(12)]
    for number, name in enumerate(names):
        cv2.imwrite(str(root / "test_kaggle" / name), pattern(number % 9, 64, rng))
    write_csv(root / "train.csv", with_index)
    sample = [["image_path", "emotion"], *([name, "anger"] for name in reversed(names))]
    write_csv(root / "sample_submission.csv", sample)
    return root


def write_csv(path: Path, rows: list[list]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def test_the_competition_ends_in_a_valid_submission(tmp_path):
    raw = competition(tmp_path / "raw")
    run("clean", raw, "--out", tmp_path / "clean", "--already-cropped")
    split = ("--source", tmp_path / "clean", "--out", tmp_path / "split")
    run("data", "folders", "folders", *split)
    model = study(tmp_path / "split", tmp_path, per_class=12, trials=2)
    submission, sample = tmp_path / "submission.csv", raw / "sample_submission.csv"
    run("img-batch", raw / "test_kaggle", "--csv", submission, "--sample", sample, "--model", model)
    with submission.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image_path"] for row in rows] == [f"{n}.jpg" for n in reversed(range(12))]
    assert {row["emotion"] for row in rows} <= set(NINE_EMOTIONS)
    validate_submission(submission, [row["image_path"] for row in rows], NINE_EMOTIONS)


def test_a_folder_that_was_balanced_before_it_was_split_is_refused(tmp_path, capfd):
    """Made images beside their parents on the other side would flatter every figure."""
    rng = np.random.default_rng(0)
    for kind, emotion in enumerate(("happy", "sad")):
        for number in range(8):
            image = np.repeat(pattern(kind, 24, rng)[..., None], 3, -1)
            write_image(tmp_path / f"raw/{emotion}/{number}.png", image)
    run("balance", tmp_path / "raw", "--out", tmp_path / "balanced", "--value", 12)
    capfd.readouterr()
    places = ["--run", tmp_path / "run", "--models", tmp_path / "models"]
    words = ["train", "--data", "folders", "--source", tmp_path / "balanced", *places]
    assert main(list(map(str, words))) == 2
    assert "Split first" in capfd.readouterr().err
    assert not (tmp_path / "run").exists()
