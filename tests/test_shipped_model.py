"""The model in the repository is the one its card describes: files, Keras twin, figures."""

import keras
import pytest

from builder_tools.cards import DEFAULT_MODEL, ModelCard, file_sha256, find_model, list_models
from builder_tools.classifier import EmotionClassifier
from builder_tools.datasets.ferplus import ferplus_table
from builder_tools.emotions import NINE_EMOTIONS
from builder_tools.export import check_parity
from builder_tools.study import data_sha256, judge_model, metrics_of


@pytest.fixture(scope="module")
def ferplus(data_dir):
    return ferplus_table(data_dir / "ferplus.zip")


@pytest.mark.parametrize("card", list_models(), ids=lambda card: card.name)
def test_every_listed_file_is_as_it_was_written(card):
    folder = find_model(card.name)
    assert {name: file_sha256(folder / name) for name in card.sha256} == card.sha256


def test_the_default_model_knows_nine_emotions_and_says_how_it_was_made():
    card = ModelCard.read(find_model())
    assert card.name == DEFAULT_MODEL and tuple(card.emotions) == NINE_EMOTIONS.names
    assert {"data_sha256", "seed", "commit", "budget", "config"} <= set(card.training)
    assert max(card.training["class_counts"], key=card.training["class_counts"].get) == "neutral"


@pytest.mark.slow
def test_the_deployed_file_agrees_with_keras_on_a_thousand_faces(ferplus):
    folder = find_model()
    faces = ferplus.split("test").pictures(48)[:1000]
    network = keras.models.load_model(folder / "model.keras")
    parity = check_parity(network, EmotionClassifier(folder), faces)
    assert parity.faces == 1000 and parity.holds


@pytest.mark.slow
def test_the_data_is_what_the_card_says(ferplus):
    assert data_sha256(ferplus) == ModelCard.read(find_model()).training["data_sha256"]


@pytest.mark.slow
def test_the_figures_of_the_card_come_out_again(ferplus):
    folder = find_model()
    card = ModelCard.read(folder)
    found = metrics_of(judge_model(card, folder, ferplus))
    for protocol in ("ferplus-majority-8", "ferplus-nine"):
        for figure in ("n", "accuracy", "macro_f1"):
            # Another processor may round a face to the other side: at most one in a thousand.
            assert found[protocol][figure] == pytest.approx(
                card.metrics["test"][protocol][figure], abs=1e-3
            )
    assert found["ferplus-majority-8"]["n"] == 3137
    assert found["ferplus-majority-8"]["accuracy"] >= 0.85
