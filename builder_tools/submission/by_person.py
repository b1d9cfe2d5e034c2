"""The faces of a batch compared with the resting faces of the people in its images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from builder_tools.inference import BatchRow
from builder_tools.persons import Persons
from builder_tools.rest import looks_neutral, population_of, rests_by_person


def check_classes(persons: Persons, emotions: Sequence[str]) -> None:
    """Refuse, before any image is read, classes of which no rests are known.

    Raises:
        ValueError: If there is a class that is not in the population, or none by which neutral
            images are found where nobody says which are.
    """
    population_of(emotions)
    if persons.is_neutral is None:
        looks_neutral(np.zeros((0, len(emotions))), emotions)


def compared(
    rows: Sequence[BatchRow],
    persons: Persons,
    emotions: Sequence[str],
    natural: Callable[[np.ndarray], np.ndarray] | None = None,
) -> list[BatchRow]:
    """Return rows with what the counted face shows compared with its person's rest.

    A person's rest comes from their *other* images that are neutral or, if it is unknown which
    are, that look clearly neutral. Without any, `relative_emotion` stays None.

    Args:
        rows: Rows from an `Inference` with `every_face`.
        persons: Persons in the images of the rows, in the same order.
        emotions: The model's classes, in order.
        natural: Returns the probabilities of the natural decision, of which rests are, given those
            of the model's (`EmotionClassifier.natural`); None if they are the same.
    """
    seen = [place for place, row in enumerate(rows) if row.faces]
    probabilities = np.array([rows[place].probabilities for place in seen])
    probabilities = probabilities.reshape(len(seen), len(emotions))
    told = persons.is_neutral
    rests = rests_by_person(
        probabilities if natural is None else natural(probabilities),
        emotions,
        [persons.names[place] for place in seen],
        None if told is None else np.array([told[place] for place in seen], bool),
    )
    found = [replace(row, person=name) for row, name in zip(rows, persons.names, strict=True)]
    for place, rest, own in zip(seen, rests, probabilities, strict=True):
        if rest is None:
            continue
        row, relative = found[place], rest.relative([own])[0]
        best = int(relative.argmax())
        rounded = {name: round(float(p), 4) for name, p in zip(emotions, relative, strict=True)}
        face = {
            **row.faces[row.counted],
            "relative_emotion": emotions[best],
            "relative_probability": rounded[emotions[best]],
            "relative_probabilities": rounded,
        }
        found[place] = replace(
            row,
            faces=(*row.faces[: row.counted], face, *row.faces[row.counted + 1 :]),
            relative_emotion=emotions[best],
            relative_probability=float(relative[best]),
        )
    return found


def not_compared(rows: Sequence[BatchRow]) -> str:
    """Return how many images with a face are compared with no rest, and why; "" if all are.

    Args:
        rows: From `compared`.
    """
    left = [row for row in rows if row.faces and row.relative_emotion is None]
    unknown = sum(not row.person for row in left)
    parts = []
    if unknown:
        parts.append(f"{unknown} image{'' if unknown == 1 else 's'} of no known person")
    if known := len(left) - unknown:
        images = "" if parts else f" image{'' if known == 1 else 's'}"
        parts.append(f"{known}{images} whose person has no other neutral image")
    return ", ".join(parts)
