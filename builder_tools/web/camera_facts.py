"""Facts for the script of the live camera: texts, colours, positions on the dial."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from builder_tools.cards import ModelCard
from builder_tools.emotions import (
    ANCHORS_VALENCE_AROUSAL,
    NINE_EMOTIONS,
    OTHER_WORDS,
    EmotionSet,
)
from builder_tools.web.texts import Words


def camera_facts(words: Words, models: Iterable[ModelCard] = ()) -> dict[str, Any]:
    """Return the facts, ready for JSON; they include other models' spellings of emotions.

    Args:
        words: Texts of the page's language.
        models: Cards of the models that may be chosen, for the colours of their own classes.
    """
    known = EmotionSet((*NINE_EMOTIONS, *OTHER_WORDS))
    return {
        "language": words.language,
        "words": words.group("camera."),
        "emotions": {name: words.emotion(name) for name in known},
        "colours": {
            name.lower(): "rgb({},{},{})".format(*emotions.colour_rgb(name))
            for emotions in (*(EmotionSet(card.emotions) for card in models), known)
            for name in emotions
        },
        "anchors": ANCHORS_VALENCE_AROUSAL,
        "dial": words.raw("dial.alt"),
    }
