"""The command that trains the shipped models again asks for what their cards say."""

import os
import re
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
pytest.importorskip("keras")

from builder_tools.cards import ModelCard, find_model
from builder_tools.cli import build_parser
from builder_tools.cli.train import teaching, training_config
from builder_tools.training import TrainingConfig
from studies.shipped import main, trainings

FACES = ["wild_train.zip", "wild_faces.zip"]


def trained_alone(name):
    return ModelCard.read(find_model(name)).training


def member(place):
    return ModelCard.read(find_model("accurate")).training["members"][place]


@pytest.mark.parametrize(
    ("name", "said", "step"),
    [
        ("fast", trained_alone("fast"), -1),
        ("tiny", trained_alone("tiny"), -1),
        ("fast", member(0), -1),
        ("fast", member(1), -1),
        ("third", member(2)["begun_from"], -2),
        ("third", member(2), -1),
    ],
)
def test_shipped_models_are_trained_as_their_cards_say(name, said, step):
    seed = said["seed"] if name != "third" else member(2)["begun_from"]["seed"]
    options = trainings(name, seed, Path("runs"), FACES)[step]
    parsed = build_parser("train").parse_args(["train", *options])
    config, weights = training_config(parsed).to_dict(), said["config"]["weights"]
    assert Path(config.pop("weights") or "").name == Path(weights or "").name
    known = TrainingConfig().to_dict() | said["config"]  # Options that came later: their defaults.
    assert {key: known[key] for key in config} == config
    asked, taught = teaching(parsed), said["teaching"]
    assert (asked.teacher_share, asked.match) == (taught["teacher_share"], False)
    assert list(asked.teacher_weights) == taught.get("teacher_weights", [])
    assert [told.partition(" (")[0] for told in taught["teachers"]] == [
        name.removeprefix("runs/") for name in asked.teachers
    ]
    assert taught.get("unlabelled", []) == list(asked.unlabelled)


@pytest.mark.parametrize("name", ["fast", "tiny", "accurate"])
def test_shipped_models_come_from_clean_commits(name):
    said = trained_alone(name)
    trained = said.get("members", [said])
    trained += [network["begun_from"] for network in trained if "begun_from" in network]
    commits = [network["commit"] for network in trained]
    assert commits and all(re.fullmatch("[0-9a-f]{12}", commit) for commit in commits)


def test_what_stops_a_training_stops_the_command(tmp_path, capsys):
    faces = tmp_path / "none.zip"
    code = main(
        ["tiny", "--unlabelled", str(faces), "--source", str(tmp_path), "--runs", str(tmp_path)]
    )
    assert code == 2
    assert "Expected" in capsys.readouterr().err
