"""The table of all faces in a batch, with one row per face."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from builder_tools.csv_files import csv_writer, write_csv
from builder_tools.geometry import GEOMETRY_COLUMNS, geometry_cells
from builder_tools.inference import BatchRow
from builder_tools.media.partial import replacing

FIRST_COLUMNS = (
    *("image_path", "face", "x1", "y1", "x2", "y2", "detection_score"),
    *("emotion", "probability", "doubtful"),
)
PERSON_COLUMNS = ("person", "relative_emotion", "relative_probability")


def write_faces(
    path: Path,
    rows: Iterable[BatchRow],
    emotions: Sequence[str],
    *,
    geometry: bool = False,
    persons: bool = False,
) -> None:
    """Write a CSV file of all faces, atomically.

    Columns: `image_path`, `face` (its number in the image, the largest is 1), the box in pixels,
    `detection_score`, `emotion`, its `probability`, `doubtful` (1 or 0), `p_<emotion>` for each,
    `valence` and `arousal` (empty if the model gives none). An image without faces has no row.

    Args:
        path: File to write; its folder is created.
        rows: Rows from an `Inference` with `every_face`.
        emotions: The model's classes, in order.
        geometry: Whether to add `geometry.GEOMETRY_COLUMNS`.
        persons: Whether to add `person`, `relative_emotion`, `relative_probability` and
            `relative_p_<emotion>`. All are empty for faces that are not counted, the last three
            also for faces without a rest.

    Raises:
        OSError: If the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = _columns(emotions)
    columns += GEOMETRY_COLUMNS if geometry else ()
    if persons:
        columns += [*PERSON_COLUMNS, *(f"relative_p_{name}" for name in emotions)]
    with replacing(path) as partial:
        write_csv(partial, columns, _cells(rows, emotions, geometry, persons))


def faces_text(row: BatchRow, emotions: Sequence[str]) -> str:
    """Return the same table for one image as text.

    Args:
        row: The image's row, with its `faces`.
        emotions: The model's classes, in order.
    """
    text = io.StringIO(newline="")
    writer = csv_writer(text)
    writer.writerow(_columns(emotions))
    writer.writerows(_cells([row], emotions, False, False))
    return text.getvalue()


def _columns(emotions: Sequence[str]) -> list[str]:
    return [*FIRST_COLUMNS, *(f"p_{name}" for name in emotions), "valence", "arousal"]


def _cells(
    rows: Iterable[BatchRow], emotions: Sequence[str], geometry: bool, persons: bool
) -> Iterator[list[object]]:
    for row in rows:
        for number, face in enumerate(row.faces, start=1):
            cells = [
                *(row.image_path, number, *face["box"], face["detection_score"]),
                *(face["emotion"], face["probability"], int(face["doubtful"])),
                *(face["probabilities"][name] for name in emotions),
                *(face["valence"], face["arousal"]),
                *(geometry_cells(face) if geometry else ()),
            ]
            if persons and number - 1 != row.counted:
                cells += [""] * (len(PERSON_COLUMNS) + len(emotions))
            elif persons:
                relative = face.get("relative_probabilities", {})
                cells += [
                    row.person,
                    face.get("relative_emotion"),
                    face.get("relative_probability"),
                ]
                cells += [relative.get(name) for name in emotions]
            yield cells
