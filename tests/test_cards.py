"""Cards: written and read back, files verified, models found by name."""

import dataclasses
import json

import pytest

from builder_tools import cards
from builder_tools.cards import (
    ModelCard,
    file_sha256,
    find_model,
    list_models,
    verify_files,
    write_card,
)
from builder_tools.cli import main

CARD = ModelCard(
    name="toy",
    file="model.onnx",
    emotions=("happy", "sad"),
    input_size=48,
    preprocessing="RGB 0...255, grey inside",
    training={"data": "ferplus", "seed": 7},
    metrics={"ferplus-nine": {"accuracy": 0.5}},
    sha256={"model.onnx": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    licence="MIT",
)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "toy"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"abc")  # SHA-256's published test vector
    write_card(folder, CARD)
    return folder


@pytest.fixture
def roots(tmp_path, monkeypatch):
    roots = (tmp_path / "wheel", tmp_path / "clone")
    monkeypatch.setattr(cards, "MODEL_ROOTS", roots)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return roots


def put(root, name, **changes):
    (root / name).mkdir(parents=True)
    write_card(root / name, dataclasses.replace(CARD, name=name, **changes))


def test_card_survives_writing_and_reading(folder):
    assert ModelCard.read(folder) == CARD


def test_card_file_is_stable_and_leaves_nothing_else(folder):
    first = (folder / "card.json").read_text()
    write_card(folder, ModelCard.read(folder))
    assert (folder / "card.json").read_text() == first
    assert list(json.loads(first)) == [f.name for f in dataclasses.fields(ModelCard)]
    assert sorted(path.name for path in folder.iterdir()) == ["card.json", "model.onnx"]


def test_failed_write_keeps_the_old_card(folder):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_card(folder, dataclasses.replace(CARD, metrics={"accuracy": float("nan")}))
    assert ModelCard.read(folder) == CARD


def test_hash_of_a_known_text(folder):
    assert file_sha256(folder / "model.onnx") == CARD.sha256["model.onnx"]
    verify_files(folder, CARD)


def test_tampered_file_is_refused(folder):
    (folder / "model.onnx").write_bytes(b"abd")
    with pytest.raises(ValueError, match=r"model\.onnx to have sha256 ba78.*Received: a52d159f"):
        verify_files(folder, CARD)


def test_missing_and_unlisted_files_are_refused(folder):
    with pytest.raises(ValueError, match="none is listed"):
        verify_files(folder, CARD, ["card.json"])
    (folder / "model.onnx").unlink()
    with pytest.raises(ValueError, match="no such file"):
        verify_files(folder, CARD)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"emotions": ("sad", "sad")}, "distinct emotion names"),
        ({"emotions": ()}, "distinct emotion names"),
        ({"emotions": "happy"}, "distinct emotion names"),
        ({"emotions": ("sad", 3)}, "distinct emotion names"),
        ({"emotions": None}, "distinct emotion names"),
        ({"input_size": 0}, "input_size .* positive whole"),
        ({"input_size": 48.0}, "input_size .* positive whole"),
        ({"input_size": True}, "input_size .* positive whole"),
        ({"input_size": 10**9}, "at most 4096"),
        ({"name": 5}, "name .* text"),
        ({"file": ["model.onnx"]}, "file .* text"),
        ({"preprocessing": None}, "preprocessing .* text"),
        ({"training": []}, "training .* table"),
        ({"metrics": "good"}, "metrics .* table"),
        ({"sha256": {"model.onnx": 5}}, "sha256 .* table of texts"),
        ({"decision": [1]}, "decision .* table of numbers"),
        ({"decision": {"happy": "a", "sad": 1}}, "decision .* table of numbers"),
        ({"decision": {"happy": float("nan"), "sad": 1}}, "decision .* table of numbers"),
        ({"temperature": "warm"}, "temperature .* number above 0"),
        ({"temperature": float("nan")}, "temperature .* number above 0"),
        ({"temperature": float("inf")}, "temperature .* number above 0"),
        ({"abstain_below": {}}, "abstain_below .* number, or null"),
        ({"task": 3}, "task .* text"),
        ({"centres": {"happy": "high", "sad": [0, 0]}}, "centres .* table of places"),
        ({"centres": {"happy": 1, "sad": [0, 0]}}, "centres .* table of places"),
        ({"flip_average": "no"}, "flip_average .* true or false"),
        ({"file": "../model.onnx"}, "bare file names"),
        ({"sha256": {"a/b": "00"}}, "bare file names"),
        ({"decision": {"happy": 0.0}}, "decision bias for each"),
    ],
)
def test_invalid_cards_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CARD, **changes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Expected JSON"),
        ("[]", "JSON object"),
        ("[" * 100_000, "Expected JSON"),
        ("\x00\x01", "Expected JSON"),
        ('{"name": "toy"}', r"without \['emotions'"),
    ],
)
def test_malformed_card_files_are_refused(folder, text, message):
    (folder / "card.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        ModelCard.read(folder)


def test_unknown_fields_are_refused(folder):
    found = json.loads((folder / "card.json").read_text()) | {"colour": "red"}
    (folder / "card.json").write_text(json.dumps(found))
    with pytest.raises(ValueError, match=r"unknown \['colour'\].*newer version"):
        ModelCard.read(folder)


def test_folder_without_card_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"Expected a model card at .*card\.json"):
        ModelCard.read(tmp_path)


def test_models_are_found_by_name_folder_and_default(roots, folder):
    wheel, clone = roots
    put(wheel, "fast")
    put(clone, "fast", licence="other")
    put(clone, "tiny")
    assert find_model() == wheel / "fast"
    assert find_model("tiny") == clone / "tiny"
    assert find_model(folder) == folder
    assert find_model(str(folder)) == folder
    assert [(card.name, card.licence) for card in list_models()] == [
        ("fast", "MIT"),
        ("tiny", "MIT"),
    ]


def test_unknown_model_lists_what_exists(roots):
    put(roots[1], "tiny")
    with pytest.raises(ValueError, match=r"models \['tiny'\].*Received: 'huge'"):
        find_model("huge")


def test_own_models_are_found_after_the_shipped_ones(roots, tmp_path, monkeypatch):
    own, data = tmp_path / "saved_models", tmp_path / "data" / "builder_tools" / "saved_models"
    for root in (roots[0], own, data):
        put(root, "both")
    put(own, "mine")
    put(data, "kept")
    assert find_model("both") == roots[0] / "both"
    assert (find_model("mine"), find_model("kept")) == (own / "mine", data / "kept")
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    put(tmp_path / "home" / ".local" / "share" / "builder_tools" / "saved_models", "hers")
    assert [card.name for card in list_models()] == ["both", "hers", "mine"]


def test_a_model_in_a_folder_of_another_name_is_listed_by_the_name_it_is_found_by(
    roots, tmp_path, capsys
):
    """Its card still says how it was called when it was exported."""
    put(roots[0], "tiny")
    put(tmp_path / "saved_models", "tiny")
    (tmp_path / "saved_models" / "tiny").rename(tmp_path / "saved_models" / "mine")
    assert [card.name for card in list_models()] == ["mine", "tiny"]
    assert all(find_model(card.name).name == card.name for card in list_models())
    assert main(["models", "mine"]) == 0 and "# Model `mine`" in capsys.readouterr().out
    assert main(["models", str(tmp_path / "saved_models" / "mine")]) == 0
    assert "# Model `tiny`" in capsys.readouterr().out, "a folder's card as it is"


def test_models_are_found_without_a_home_and_a_current_folder(roots, monkeypatch):
    def gone():
        raise FileNotFoundError("the current folder is gone")

    def homeless():
        raise RuntimeError("Could not determine home directory.")

    put(roots[0], "tiny")
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setattr(cards.Path, "home", homeless)
    monkeypatch.setattr(cards.Path, "cwd", gone)
    assert [card.name for card in list_models()] == ["tiny"]


@pytest.mark.parametrize(
    ("content", "why"),
    [('{"name": "mine"', "Expected JSON"), ("{}", "without"), (None, "no such file")],
)
def test_a_damaged_card_leaves_the_other_models_usable(roots, tmp_path, caplog, content, why):
    put(roots[0], "fast")
    card = tmp_path / "saved_models" / "mine" / "card.json"
    if content is None:
        card.mkdir(parents=True)
    else:
        card.parent.mkdir(parents=True)
        card.write_text(content)
    for _ in range(2):
        assert [each.name for each in list_models()] == ["fast"]
    (warning,) = caplog.messages
    assert str(card) in warning and why in warning
    assert main(["models"]) == 0
    assert main(["models", "mine"]) == 2
