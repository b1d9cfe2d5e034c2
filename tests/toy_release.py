"""A toy FER+, what `builder-tools train` makes of it in seconds, and how that is evaluated."""

import csv
import dataclasses
import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
pytest.importorskip("keras")

from toy_study import tiny_spec, toy_faces, votes, write_official

from builder_tools.cards import ModelCard, write_card
from builder_tools.cli import main
from builder_tools.networks import NETWORKS


def study_faces():
    """Toy faces, of which one is no face and one test image stands in train, too."""
    faces = toy_faces()
    faces[1] = dataclasses.replace(faces[1], votes=votes(NF=8, neutral=2))
    faces[-1] = dataclasses.replace(faces[-1], image=faces[0].image)
    return faces


@pytest.fixture(scope="module", autouse=True)
def surroundings(tmp_path_factory):
    """The tiny network by name, and a data folder whose FER2013 labels are of other images."""
    folder = tmp_path_factory.mktemp("data")
    labels = "image,usage,emotion,ambiguous_labels\nother.png,Training,angry,\n"
    (folder / "fer2013_labels.csv").write_text(labels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, "tiny", tiny_spec(24))
        patch.setenv("BUILDER_TOOLS_DATA", str(folder))
        yield


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """What `builder-tools train` leaves: the places, the command line, the card."""
    root = tmp_path_factory.mktemp("study")
    source = write_official(root / "ferplus", study_faces())
    arguments = ["train", "--source", source, "--network", "tiny", "--name", "toy"]
    arguments += ["--stages", "16:1,24:2", "--batch-size", "16", "--learning-rate", "0.02"]
    arguments += ["--precision", "float32", "--seed", "7", "--note", "first"]
    arguments += ["--run", root / "run", "--models", root / "models", "--reports", root / "reports"]
    arguments = list(map(str, arguments))
    assert main(arguments) == 0
    model = root / "models" / "toy"
    return SimpleNamespace(
        root=root, source=source, arguments=arguments, model=model, card=ModelCard.read(model)
    )


def experiments(shipped) -> list[dict[str, str]]:
    with (shipped.root / "reports/experiments.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def evaluate(shipped, *options: str, model: Path | None = None) -> int:
    places = ["--source", str(shipped.source), "--model", str(model or shipped.model)]
    return main(["evaluate", *places, *options])


def changed_model(shipped, folder: Path, change) -> Path:
    """Copies the model with other metrics in its card."""
    folder.mkdir()
    (folder / "model.onnx").write_bytes((shipped.model / "model.onnx").read_bytes())
    card = ModelCard.read(shipped.model)
    metrics = json.loads(json.dumps(card.metrics))
    change(metrics["test"])
    write_card(folder, dataclasses.replace(card, metrics=metrics))
    return folder
