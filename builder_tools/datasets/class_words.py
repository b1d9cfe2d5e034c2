"""What a data set's words for its classes mean: shown, and overridable."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from builder_tools.emotions import EmotionSet, own_word

logger = logging.getLogger(__name__)


def class_of(word: str, emotions: EmotionSet | None, classes: Mapping[str, str]) -> str:
    """Return the class that a word of a data set means.

    Args:
        word: As it stands in the data set, in any case or language (`own_word`).
        emotions: The classes there are; None where they are not known yet.
        classes: Word (in any case) -> class, which goes first.

    Returns:
        The class; "" where it is to be left out; the word itself where it says none.
    """
    asked = as_written(word, classes)
    if asked != word or (emotions is not None and word in emotions):
        return asked
    if emotions is None:
        return own_word(word)
    same = [name for name in emotions if own_word(name) == own_word(word)]
    return same[0] if same else word


def as_written(word: str, classes: Mapping[str, str]) -> str:
    """Return the class that was asked for by name, else the word as it stands."""
    asked = {name.casefold(): value for name, value in classes.items()}
    return asked.get(word.casefold(), word)


def parse_classes(texts: Sequence[str]) -> dict[str, str]:
    """Read `NAME=CLASS` texts; `NAME=` leaves a class out.

    Raises:
        ValueError: If a text is of another form or a name stands twice.
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
    """Log, once a data set, which of its words are read as another, and what was asked in vain.

    Args:
        meant: The words that are there -> their classes.
        classes: What was asked for, as in `class_of`.
    """
    there = {word.casefold() for word in meant}
    absent = [name for name in classes if name.casefold() not in there]
    if absent:
        logger.warning("classes: %s asked for, and not there", ", ".join(map(repr, absent)))
    changed = [f"{word} = {name}" for word, name in sorted(meant.items()) if word != name]
    if changed:
        logger.info("classes: %s (--classes NAME=CLASS changes that)", ", ".join(changed))
