"""A card as a page: it says what the card holds, and leaves out what it does not."""

from pathlib import Path

import pytest

from builder_tools.card_text import card_markdown
from builder_tools.cards import ModelCard, find_model, list_models


def test_a_bare_card_is_a_short_page():
    page = card_markdown(ModelCard("toy", "model.onnx", ("happy", "sad"), 48, "none"))
    assert "below 0.5 a prediction is called doubtful" in page
    assert page.startswith("# Model `toy`")
    assert "happy, sad" in page and "48x48" in page
    assert "How good" not in page and "Training data" not in page


def test_figures_recalls_slices_and_doubt_are_told():
    figures = {
        "n": 10,
        "accuracy": 0.8,
        "accuracy_95": [0.5, 1.0],
        "macro_f1": 0.7,
        "macro_f1_95": [0.4, 0.9],
        "mean_recall": 0.75,
        "mean_recall_95": [0.5, 0.9],
        "ece": 0.05,
        "per_class_recall": {"happy": 0.9, "sad": None},
        "per_class_recall_95": {"happy": [0.7, 1.0], "sad": [None, None]},
        "support": {"happy": 10, "sad": 0},
        "sure": {"coverage": 0.6, "accuracy": 0.96},
    }
    third = {"slice": "lowest third", "from": 3.0, "to": 90.5, "n": 4, "accuracy": 0.5}
    metrics = {
        "test": {"own-labels": figures},
        "slices": {"brightness": [third | {"accuracy_95": [0.1, 0.9]}]},
    }
    page = card_markdown(
        ModelCard(
            "toy",
            "model.onnx",
            ("happy", "sad"),
            48,
            "none",
            training={"int8": {"deployed": True}},
            metrics=metrics,
            abstain_below=0.62,
            flip_average=True,
        )
    )
    assert "`model.onnx` (8-bit integers)" in page
    assert "a face and its mirror image" in page
    assert "| own-labels | natural | 10 | 0.800 [0.500, 1.000] |" in page
    assert "| happy | 0.900 [0.700, 1.000] of 10 |" in page
    assert "| sad | - [-, -] of 0 |" in page
    assert "| brightness | lowest third | 3...90.5 | 4 | 0.500 [0.100, 0.900] |" in page
    assert "below probability 0.62 is doubtful" in page
    assert "0.600 of the images are above it and 0.960 of these are right" in page


@pytest.mark.parametrize("card", list_models(), ids=lambda card: card.name)
def test_the_page_beside_a_shipped_card_is_the_card(card):
    page = Path(find_model(card.name)) / "README.md"
    assert page.read_text(encoding="utf-8") == card_markdown(card)
