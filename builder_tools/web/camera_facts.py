"""Facts for the script of the live camera: texts, colours, positions on the dial."""

from __future__ import annotations

from typing import Any

from builder_tools.emotions import (
    ANCHORS_VALENCE_AROUSAL,
    NINE_EMOTIONS,
    OTHER_WORDS,
    EmotionSet,
)
from builder_tools.web.texts import Words


def camera_facts(words: Words) -> dict[str, Any]:
    """Return the facts, ready for JSON; they include other models' spellings of emotions."""
    known = EmotionSet((*NINE_EMOTIONS, *OTHER_WORDS))
    return {
        "language": words.language,
        "words": words.group("camera."),
        "emotions": {name: words.emotion(name) for name in known},
        "colours": {name: "rgb({},{},{})".format(*known.colour_rgb(name)) for name in known},
        "anchors": ANCHORS_VALENCE_AROUSAL,
        "dial": words.raw("dial.alt"),
    }
