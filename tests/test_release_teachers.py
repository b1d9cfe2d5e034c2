"""Which files of a model teach, and what makes its answers others."""

import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras")

from builder_tools.cards import ModelCard, file_sha256, find_model, write_card  # noqa: E402
from builder_tools.classifier import EmotionClassifier  # noqa: E402
from builder_tools.decisions import apply_temperature  # noqa: E402
from builder_tools.emotions import NINE_EMOTIONS  # noqa: E402
from builder_tools.networks import Head, build_network  # noqa: E402
from builder_tools.release import Teaching  # noqa: E402
from builder_tools.release.teachers import mean_answers, mean_teacher  # noqa: E402
from builder_tools.valence_arousal.vectors import network_vectors  # noqa: E402

FACES = np.random.default_rng(0).integers(0, 256, (3, 48, 48, 3), np.uint8)
NAMES = NINE_EMOTIONS.names


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A copy of a shipped model that keeps its Keras network, and an empty cache."""
    source = find_model("tiny")
    if not (source / "model.keras").is_file():
        pytest.skip("model.keras is in a clone of the repository only")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return shutil.copytree(source, tmp_path / "taught")


def soften(model) -> None:
    write_card(model, replace(ModelCard.read(model), temperature=4.0))


def test_a_teacher_with_another_temperature_is_asked_again(model):
    first = mean_answers([str(model)], [1.0], FACES, NAMES)
    soften(model)
    again = mean_answers([str(model)], [1.0], FACES, NAMES)
    expected = EmotionClassifier(model, flip_average=True).predict(FACES)
    np.testing.assert_allclose(again, expected, atol=1e-6)
    assert np.abs(again - first).max() > 0.05
    assert len(list((model.parent / "cache/builder_tools/answers").iterdir())) == 2


def test_a_matched_teacher_answers_at_its_temperature(model):
    soften(model)
    network = keras.saving.load_model(model / "model.keras", compile=False)
    expected = apply_temperature(network(FACES * 1.0), 4.0)
    found = mean_teacher([str(model)], [1.0], NAMES, 48)(FACES * 1.0)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_teaching_tells_the_file_that_answers_and_its_temperature(model):
    card = ModelCard.read(model)
    teaching = Teaching(teachers=(str(model),), teacher_share=0.5)
    for match, file in ((False, "model.onnx"), (True, "model.keras")):
        told = replace(teaching, match=match).to_dict()
        assert told["teachers"] == [f"tiny ({file_sha256(model / file)[:12]})"]
        assert told["teacher_temperatures"] == [card.temperature]
    assert "teacher_temperatures" not in Teaching().to_dict()


@pytest.mark.parametrize("file", ["model.onnx", "model.keras"])
def test_a_replaced_file_teaches_nobody(model, file):
    mean_answers([str(model)], [1.0], FACES, NAMES)
    (model / file).write_bytes((model / file).read_bytes() + b" ")
    match = file == "model.keras"
    teaching = Teaching(teachers=(str(model),), teacher_share=0.5, match=match)
    uses = [teaching.to_dict]
    if match:
        uses += [
            lambda: mean_teacher([str(model)], [1.0], NAMES, 48),
            lambda: mean_teacher([str(model / file)], [1.0], NAMES, 48),
            lambda: network_vectors(model),
        ]
    else:
        uses.append(lambda: mean_answers([str(model)], [1.0], FACES, NAMES))
    for use in uses:
        with pytest.raises(ValueError, match=f"{file} to have sha256"):
            use()


def test_a_matched_teacher_needs_its_keras_network(model):
    (model / "model.keras").unlink()
    teaching = Teaching(teachers=(str(model),), teacher_share=0.5, match=True)
    for use in (teaching.to_dict, lambda: mean_teacher([str(model)], [1.0], NAMES, 48)):
        with pytest.raises(FileNotFoundError, match="or leave --match-teachers out"):
            use()


def test_a_run_with_other_outputs_is_no_teacher(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    build_network("compact_tiny", 9, head=Head(task="both")).save(tmp_path / "last.keras")
    (tmp_path / "config.json").write_text(json.dumps({"stages": [{"size": 16}]}))
    name = str(tmp_path / "last.keras")
    for ask in (
        lambda: mean_answers([name], [1.0], FACES, NAMES),
        lambda: mean_teacher([name], [1.0], NAMES, 16),
    ):
        with pytest.raises(ValueError, match=r"one output for each of .* with 11\."):
            ask()
