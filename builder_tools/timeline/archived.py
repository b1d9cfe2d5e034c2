"""Reads back, file by file, the data set that `builder-tools archive` writes.

Its rows are those of `video --timeline`, so reading an archive gives the same results as the videos
themselves, to the fifth decimal.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from builder_tools.results import Box, Face, FaceEmotion, FrameResult
from builder_tools.timeline.affect import FROM_MODEL
from builder_tools.timeline.writer import PROBABILITY_PREFIX

if TYPE_CHECKING:
    import pandas as pd

PARTS, SUMMARY = "parts", "summary.csv"
SOURCE, KIND, DETECTOR, PART = "source", "kind", "detector", "part"
VIDEO, IMAGES = "video", "images"


@dataclass(frozen=True)
class ArchivedFile:
    """A video or image of an archive.

    Args:
        name: Its name in the archive.
        kind: `video` or `images`.
        part: The Parquet file with its rows; a video has one to itself.
        detector: What found the faces, a name in `DETECTORS`; None if an earlier version wrote the
            archive.
    """

    name: str
    kind: str
    part: Path
    detector: str | None = None


def is_archive(path: str | Path) -> bool:
    """Return whether a path is a folder that `builder-tools archive` wrote, or is writing."""
    parts = Path(path) / PARTS
    if not parts.is_dir():
        return False
    # Somebody's recordings may lie in a folder of that name.
    return _is_summary(Path(path) / SUMMARY) or all(
        one.name.startswith(".") or one.suffix == ".parquet" for one in parts.iterdir()
    )


def _is_summary(path: Path) -> bool:
    """Return whether a table is the summary of an archive, also of an earlier version."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(SOURCE)) == SOURCE.encode()


def archived_files(folder: str | Path, names: str = "*") -> list[ArchivedFile]:
    """Return the files of an archive whose names match a pattern.

    Args:
        folder: The folder given as `archive --out`.
        names: Glob that their names match; `*` also matches `/`, as in `room1/*`.

    Raises:
        FileNotFoundError: If the run that makes the archive has not finished yet.
        ValueError: If no file matches, or an earlier version wrote the archive.
    """
    folder = Path(folder)
    if not (folder / SUMMARY).is_file():
        raise FileNotFoundError(
            f"No {SUMMARY} in {str(folder)!r}: `builder-tools archive` has not come to its end "
            "there. Run it again; it goes on."
        )
    with (folder / SUMMARY).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if rows and PART not in rows[0]:
        raise ValueError(
            f"Expected the column {PART!r} in {str(folder / SUMMARY)!r}. An earlier version wrote "
            "it: run `builder-tools archive` again, which makes anew only parts of images."
        )
    found = [
        ArchivedFile(row[SOURCE], row[KIND], folder / PARTS / row[PART], row.get(DETECTOR))
        for row in rows
        if fnmatchcase(row[SOURCE], names)
    ]
    if not found:
        raise ValueError(
            f"Expected files that match {names!r} in the archive {str(folder)!r}. Found none of "
            f"its {len(rows)}."
        )
    return found


def read_rows(file: ArchivedFile) -> pd.DataFrame:
    """Return the rows of one file, in the order they were written."""
    import pandas as pd

    if file.kind == VIDEO:
        return pd.read_parquet(file.part)
    return pd.read_parquet(file.part, filters=[(SOURCE, "==", file.name)])


def results_of(table: pd.DataFrame, source: str) -> Iterator[FrameResult]:
    """Yield the results that rows were made from, frame by frame.

    What the rows do not contain is missing: a face's box is a square of its size at the corner.

    Args:
        table: Rows of one file.
        source: Name of the file.
    """
    emotions = [c.removeprefix(PROBABILITY_PREFIX) for c in table if c.startswith("p_")]
    columns = ["track", "face_px", "detection_score", "valence", "arousal", "affect_from"]
    shares = table[[PROBABILITY_PREFIX + name for name in emotions]].to_numpy(float)
    known = table.astype(object).where(table.notna(), None)
    cells = dict(enumerate(zip(*(known[column] for column in columns), strict=True)))
    frames = table.reset_index(drop=True).groupby(["frame", "time_s"], sort=True).indices
    for (frame, time_s), rows in frames.items():
        faces = []
        for row in rows:
            track, size_px, score, valence, arousal, affect_from = cells[row]
            if size_px is None:
                continue
            number = None if track is None else int(track)
            face = Face(Box(0.0, 0.0, size_px, size_px), score, track=number)
            probabilities = dict(zip(emotions, shares[row], strict=True))
            if affect_from != FROM_MODEL:
                valence = arousal = None
            faces.append(FaceEmotion(face, probabilities, valence, arousal))
        yield FrameResult(source, int(frame), float(time_s), tuple(faces))
