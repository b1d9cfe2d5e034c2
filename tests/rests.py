"""Resting faces and faces of two and of nine emotions, for tests."""

import math
from dataclasses import replace

from builder_tools import RestingFace
from builder_tools.emotions import NINE_EMOTIONS
from builder_tools.rest import (
    USUAL_SPREAD,
    USUAL_WEIGHT,
    trust_of,
)
from builder_tools.results import Box, Face, FaceEmotion
from builder_tools.tracking.resting import HIDDEN_SPREAD

TWO = ("neutral", "sad")
PEOPLE = {"neutral": math.log(0.9), "sad": math.log(0.1)}


def two(*rows, **options):
    return RestingFace.from_probabilities(list(rows), emotions=TWO, population=PEOPLE, **options)


def sure(neutral, sad, spread=USUAL_SPREAD):
    """A resting face believed wholly."""
    logs = (math.log(neutral), math.log(sad))
    return RestingFace(TWO, logs, tuple(PEOPLE.values()), frames=9, spread=spread)


def seen(track, *probabilities, names=NINE_EMOTIONS):
    face = Face(Box(0, 0, 10, 10), 1.0, track=track)
    return FaceEmotion(face, dict(zip(names, probabilities, strict=True)))


def nine(**most):
    """Probabilities of the nine emotions; what is left is shared alike."""
    left = (1 - sum(most.values())) / (len(NINE_EMOTIONS) - len(most))
    return [most.get(name, left) for name in NINE_EMOTIONS]


def after_seconds(rows, images):
    """The rest after a stream of rows that are all alike, worth so many images."""
    hidden = images * HIDDEN_SPREAD**2
    square = (USUAL_WEIGHT * USUAL_SPREAD**2 + hidden) / (USUAL_WEIGHT + images)
    one, spread = RestingFace.from_probabilities(rows), math.sqrt(square)
    return replace(one, spread=spread, trust=trust_of(spread, images))


CALM = nine(neutral=0.72, sad=0.25)
SAD = nine(neutral=0.45, sad=0.5)
HAPPY = nine(happy=0.9)
