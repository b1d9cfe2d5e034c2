"""What a data set's names for its classes mean: reported to the user, and overridable."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from builder_tools.emotions import EmotionSet, own_word

logger = logging.getLogger(__name__)


def class_of(word: str, emotions: EmotionSet | None, classes: Mapping[str, str]) -> str:
    """Return the class denoted by a word in a data set.

    Args:
        word: The word as written in the data set, in any case or language (`own_word`).
        emotions: The existing classes; None if they are not known yet.
        classes: Word (in any case) -> class; takes precedence.

    Returns:
        The class; "" if it is to be left out; the word itself if it denotes no class.
    """
    asked = as_written(word, classes)
    if asked != word or (emotions is not None and word in emotions):
        return asked
    if emotions is None:
        return own_word(word)
    same = [name for name in emotions if own_word(name) == own_word(word)]
    return same[0] if same else word


def as_written(word: str, classes: Mapping[str, str]) -> str:
    """Return the class requested for a word, else the word as it is."""
    asked = {name.casefold(): value for name, value in classes.items()}
    return asked.get(word.casefold(), word)


def parse_classes(texts: Sequence[str]) -> dict[str, str]:
    """Read `NAME=CLASS` texts; `NAME=` leaves a class out.

    Raises:
        ValueError: If a text has another form or a name appears twice.
    """
    pairs = [text.partition("=") for text in texts]
    names = [name.casefold() for name, _, _ in pairs]
    if not all(sign and name for name, sign, _ in pairs) or len(set(names)) < len(names):
        raise ValueError(
            "Expected NAME=CLASS, each name once (angry=anger; NAME= leaves it out). "
            f"Received: {list(texts)}."
        )
    return {name: value for name, _, value in pairs}


def say_classes(meant: Mapping[str, str], classes: Mapping[str, str]) -> None:
    """Log, once per data set, which words are read as another, and which requests had no effect.

    Args:
        meant: The words present -> their classes, "" if left out.
        classes: What was requested, as in `class_of`.
    """
    there = {word.casefold() for word in meant}
    absent = [name for name in classes if name.casefold() not in there]
    if absent:
        logger.warning("classes: %s asked for, and not there", ", ".join(map(repr, absent)))
    changed = [(word, name) for word, name in sorted(meant.items()) if word != name]
    if changed:
        told = ", ".join(f"{word} = {name or 'left out'}" for word, name in changed)
        logger.info("classes: %s (--classes NAME=CLASS changes that)", told)
