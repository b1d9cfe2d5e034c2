"""What the script of the live camera knows: words, colours, places on the dial."""

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
    """Return it, to be written as JSON; emotions of other models' spellings among it."""
    known = EmotionSet((*NINE_EMOTIONS, *OTHER_WORDS))
    return {
        "language": words.language,
        "words": words.group("camera."),
        "emotions": {name: words.emotion(name) for name in known},
        "colours": {name: "rgb({},{},{})".format(*known.colour_rgb(name)) for name in known},
        "anchors": ANCHORS_VALENCE_AROUSAL,
        "dial": words.raw("dial.alt"),
    }
