"""Facts for the script of the live camera: texts, colours, positions on the dial."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from builder_tools.cards import ModelCard
from builder_tools.emotions import (
    ANCHORS_VALENCE_AROUSAL,
    NINE_EMOTIONS,
    OTHER_WORDS,
    EmotionSet,
)
from builder_tools.web.texts import Words


def camera_facts(words: Words, models: Mapping[str, ModelCard] | None = None) -> dict[str, Any]:
    """Return the facts, ready for JSON; they include other models' spellings of emotions.

    Args:
        words: Texts of the page's language.
        models: Cards of the models that may be chosen by their names, for the colours of each.
    """
    known = EmotionSet((*NINE_EMOTIONS, *OTHER_WORDS))
    return {
        "language": words.language,
        "words": words.group("camera."),
        "emotions": {name: words.emotion(name) for name in known},
        "colours": _colours(known),
        "model_colours": {
            model: _colours(EmotionSet(card.emotions)) for model, card in (models or {}).items()
        },
        "anchors": ANCHORS_VALENCE_AROUSAL,
        "dial": words.raw("dial.alt"),
    }


def _colours(emotions: EmotionSet) -> dict[str, str]:
    return {name: "rgb({},{},{})".format(*emotions.colour_rgb(name)) for name in emotions}
