"""The command that trains the shipped models again asks for what their cards say."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
pytest.importorskip("keras")

from builder_tools.cards import ModelCard, find_model
from builder_tools.cli import build_parser
from builder_tools.cli.train import teaching, training_config
from studies.shipped import main, trainings


@pytest.mark.parametrize("name", ["fast", "tiny"])
def test_shipped_models_are_trained_as_their_cards_say(name):
    said = ModelCard.read(find_model(name)).training
    options = trainings(name, said["seed"], Path("runs"), ["wild_train.zip", "wild_faces.zip"])[-1]
    parsed = build_parser("train").parse_args(["train", *options])
    config = training_config(parsed).to_dict()
    assert {key: said["config"][key] for key in config} == config
    asked, taught = teaching(parsed), said["teaching"]
    assert (asked.teacher_share, asked.match) == (taught["teacher_share"], False)
    assert list(asked.teacher_weights) == taught["teacher_weights"]
    assert [told.partition(" (")[0] for told in taught["teachers"]] == [
        name.removeprefix("runs/") for name in asked.teachers
    ]
    assert taught["unlabelled"] == list(asked.unlabelled)


def test_what_stops_a_training_stops_the_command(tmp_path, capsys):
    faces = tmp_path / "none.zip"
    code = main(
        ["tiny", "--unlabelled", str(faces), "--source", str(tmp_path), "--runs", str(tmp_path)]
    )
    assert code == 2
    assert "Expected" in capsys.readouterr().err
