"""What every card says about licence, use and limits."""

from __future__ import annotations

from collections.abc import Sequence

from builder_tools.tasks import EMOTION, TASKS

INTENDED_USE = (
    "Telling the apparent expression of faces in images, videos and cameras, for statistics over "
    "many faces and for exploration by the people filmed or with their consent."
)
LIMITS = (
    "An expression is not a feeling. Not for decisions about people (hiring, policing, health, "
    "credit, education). Not checked for equal quality over age, sex and skin colour: the data "
    "says nothing of them."
)
CARD_WORDS = {
    "ferplus": {
        "licence": "MIT for the weights; the labels of FER+ are MIT (Microsoft), the images of "
        "FER2013 were published for research: check your use.",
        "intended_use": INTENDED_USE,
        "limits": "Trained on small grey web images in which contempt, disgust and fear are 3 % "
        f"together: these are often missed (see per-class recall). {LIMITS}",
    },
    "other": {
        "licence": "That of your images decides: it was trained on data of your own.",
        "intended_use": INTENDED_USE,
        "limits": f"As good as the images and labels it was trained on. {LIMITS}",
    },
}
"""Fields of the card that depend on the data it was trained on."""


def card_words(
    voted: bool,
    task: str = EMOTION.name,
    *,
    reservations: Sequence[str] = (),
    origins: Sequence[str] = (),
) -> dict[str, str]:
    """Return the fields `licence`, `intended_use` and `limits` of a card.

    Args:
        voted: Whether people voted on the images it was trained on, as for FER+.
        task: Task of the card.
        reservations: Sentences about its teachers.
        origins: Sentences about published weights that it started from.
    """
    words = CARD_WORDS["ferplus" if voted else "other"]
    limits, licence = " ".join([words["limits"], *reservations]), words["licence"]
    return {
        **words,
        "limits": f"{TASKS[task].limits}{limits}",
        "licence": " ".join([licence, *origins]),
    }
