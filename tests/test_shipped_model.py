"""The model in the repository is the one its card describes: files, Keras twin, figures."""

import keras
import numpy as np
import pytest

from builder_tools.cards import DEFAULT_MODEL, ModelCard, file_sha256, find_model, list_models
from builder_tools.classifier import EmotionClassifier
from builder_tools.datasets.ferplus import ferplus_table
from builder_tools.datasets.identity import data_sha256
from builder_tools.decisions import apply_temperature
from builder_tools.emotions import NINE_EMOTIONS
from builder_tools.media import resize_faces
from builder_tools.release import Predictions, judge_predicted, metrics_of
from builder_tools.training.samples import thinned


@pytest.fixture(scope="module")
def ferplus(data_dir):
    return ferplus_table(data_dir / "ferplus.zip")


every_model = pytest.mark.parametrize("card", list_models(), ids=lambda card: card.name)

with_keras = pytest.mark.parametrize(
    "card",
    [card for card in list_models() if "model.keras" in card.sha256],
    ids=lambda card: card.name,
)

LEAST_ACCURACY = {"fast": 0.85, "tiny": 0.78, "accurate": 0.85}
"""By majority of FER+, eight classes: what each shipped model must reach."""


@every_model
def test_every_listed_file_is_as_it_was_written(card):
    folder = find_model(card.name)
    assert {name: file_sha256(folder / name) for name in card.sha256} == card.sha256


def test_the_default_model_knows_nine_emotions_and_says_how_it_was_made():
    card = ModelCard.read(find_model())
    assert card.name == DEFAULT_MODEL and tuple(card.emotions) == NINE_EMOTIONS.names
    assert {"data_sha256", "seed", "commit", "budget", "config"} <= set(card.training)
    assert max(card.training["class_counts"], key=card.training["class_counts"].get) == "neutral"


@pytest.mark.slow
@with_keras
def test_the_deployed_file_agrees_with_keras_on_hundreds_of_faces(card, ferplus):
    folder = find_model(card.name)
    faces = resize_faces(ferplus.split("test").resized(48)[:400], card.input_size)
    network = keras.models.load_model(folder / "model.keras")
    expected = apply_temperature(
        network.predict(faces.astype(np.float32), verbose=0), card.temperature
    )
    found = EmotionClassifier(folder).predict(faces)
    # Eight-bit integers move probabilities by hundredths and change the emotion of few faces.
    assert np.abs(found - expected).mean() < 0.01
    assert (found.argmax(axis=1) != expected.argmax(axis=1)).mean() < 0.04


@pytest.mark.slow
@every_model
def test_the_data_is_what_the_card_says(card, ferplus):
    assert data_sha256(ferplus) == card.training["data_sha256"]


@pytest.mark.slow
@every_model
def test_the_figures_of_the_card_come_out_again(card, ferplus):
    whole = card.name != "accurate"  # the slow one: a part of the faces, and what chance allows
    faces = ferplus if whole else thinned(ferplus, "test", 900)
    test = Predictions(find_model(card.name), faces).split("test")
    found = metrics_of(judge_predicted(card, test))
    for protocol in ("ferplus-majority-8", "ferplus-nine"):
        written = card.metrics["test"][protocol]
        # Another processor may round a face to the other side: at most one in a thousand.
        assert found[protocol]["accuracy"] == pytest.approx(
            written["accuracy"], abs=1e-3 if whole else 0.03
        )
        if whole:
            assert found[protocol]["n"] == written["n"]
            assert found[protocol]["macro_f1"] == pytest.approx(written["macro_f1"], abs=1e-3)
    assert card.metrics["test"]["ferplus-majority-8"]["n"] == 3137
    assert card.metrics["test"]["ferplus-majority-8"]["accuracy"] >= LEAST_ACCURACY[card.name]
