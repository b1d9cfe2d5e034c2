"""The faces of a batch compared with the resting faces of the people in its images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from builder_tools.inference import BatchRow
from builder_tools.persons import Persons
from builder_tools.rest import rests_by_person


def compared(rows: Sequence[BatchRow], persons: Persons, emotions: Sequence[str]) -> list[BatchRow]:
    """Return rows with what the counted face shows compared with its person's rest.

    A person's rest comes from their *other* images that are neutral or, if it is unknown which
    are, that look clearly neutral. Without any, `relative_emotion` stays None.

    Args:
        rows: Rows from an `Inference` with `every_face`.
        persons: Persons in the images of the rows, in the same order.
        emotions: The model's classes, in order.
    """
    seen = [place for place, row in enumerate(rows) if row.faces]
    probabilities = np.array([rows[place].probabilities for place in seen])
    probabilities = probabilities.reshape(len(seen), len(emotions))
    told = persons.is_neutral
    rests = rests_by_person(
        probabilities,
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
