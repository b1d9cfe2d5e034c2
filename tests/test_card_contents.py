"""Cards of other people: what they say of training and results is shown, or refused in words."""

import json
from dataclasses import asdict

import pytest

from builder_tools import cards
from builder_tools.card_text import card_markdown
from builder_tools.cards import ModelCard
from builder_tools.cli import main

JUDGED = {"n": 10, "accuracy": 0.8, "accuracy_95": [0.5, 1.0], "per_class_recall": {"sad": None}}
PLAIN = asdict(ModelCard("mine", "model.onnx", ("happy", "sad"), 48, "none"))


@pytest.fixture
def put(tmp_path, monkeypatch):
    """Put the model `mine`, with its card changed, beside a sound one; return where its card is."""
    monkeypatch.setattr(cards, "MODEL_ROOTS", ())
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)

    def _put(changes):
        for name, card in (("sound", PLAIN | {"name": "sound"}), ("mine", PLAIN | changes)):
            (tmp_path / "saved_models" / name).mkdir(parents=True)
            (tmp_path / "saved_models" / name / "card.json").write_text(json.dumps(card))
        return tmp_path / "saved_models" / "mine" / "card.json"

    return _put


def nested(levels):
    return {"deeper": nested(levels - 1)} if levels else {}


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"metrics": {"test": "good"}}, "metrics.test"),
        ({"metrics": {"test": ["nine"]}}, "metrics.test"),
        ({"metrics": {"test": {"nine": 0.9}}}, "metrics.test.nine"),
        ({"metrics": {"test": {"nine": {"accuracy": "high"}}}}, "metrics.test.nine.accuracy"),
        ({"metrics": {"test": {"nine": {"accuracy_95": 0.9}}}}, "metrics.test.nine.accuracy_95"),
        ({"metrics": {"test": {"nine": {"support": {"sad": []}}}}}, "nine.support.sad"),
        ({"metrics": {"test": {"nine": {"sure": 0.9}}}}, "metrics.test.nine.sure"),
        ({"metrics": {"slices": {"brightness": {"n": 1}}}}, "metrics.slices.brightness"),
        ({"metrics": {"slices": {"brightness": [3]}}}, r"metrics.slices.brightness\[0\]"),
        ({"metrics": {"valence_arousal": {"test": 0.7}}}, "metrics.valence_arousal.test"),
        ({"metrics": {"test": {"nine": {"accuracy": float("nan")}}}}, "finite numbers"),
        ({"metrics": {"mine": float("inf")}}, "finite numbers"),
        ({"training": nested(200)}, "at most 100 levels"),
        ({"training": {"data": "x", "pictures": 5}}, "training.pictures"),
        ({"training": {"config": {}, "budget": {"minutes": "ten"}}}, "training.budget.minutes"),
        ({"training": {"members": [{"name": 5}]}}, r"training.members\[0\].name"),
        ({"training": {"begun_from": {"config": []}}}, "training.begun_from.config"),
    ],
)
def test_odd_contents_are_refused_in_words_and_the_other_models_listed(
    put, caplog, capsys, changes, place
):
    path = put(changes)
    with pytest.raises(ValueError, match=f"Expected .*{place}.*Received: "):
        ModelCard.read(path.parent)
    assert main(["models"]) == 0
    assert capsys.readouterr().out.startswith("sound\t48 px")
    (warning,) = caplog.messages
    assert str(path) in warning and len(warning) < 700
    assert main(["models", "mine"]) == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"metrics": {"test": {"nine": {}}}}, "| nine |"),
        ({"metrics": {"test": {"nine": JUDGED}}}, "0.800 [0.500, 1.000]"),
        ({"metrics": {"test": {"nine": {"sure": {}}}}}, "On test (nine) - of the images"),
        ({"metrics": {"slices": {"brightness": [{"n": 3}]}}}, "| brightness | - | - | 3 |"),
        ({"metrics": {"valence_arousal": {"test": {"against_votes": {}}}}}, "constant"),
        ({"training": {"data": "photos"}}, "| data set | photos |"),
        ({"training": {"config": {"network": "compact"}}}, "- epochs, - minutes on -; seed -"),
        ({"training": {"members": ["hog", "deep"]}}, "Made of these models: hog, deep."),
        ({"training": {"members": [{"config": {}}]}}, "### `-`"),
    ],
)
def test_what_is_missing_is_left_blank(put, capsys, changes, said):
    card = ModelCard.read(put(changes).parent)
    assert said in card_markdown(card)
    assert main(["models"]) == 0
    assert "mine\t48 px" in capsys.readouterr().out
    assert main(["models", "--json"]) == 0
