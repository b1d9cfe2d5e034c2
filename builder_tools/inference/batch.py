"""Many pictures at once: decoding and detection on several threads, classification in batches.

Rows come in the order of the pictures, whatever the batch size or the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from builder_tools.inference.ordered import ordered_map
from builder_tools.inference.reader import cut_faces
from builder_tools.media import read_image
from builder_tools.results import Face

if TYPE_CHECKING:
    import pandas as pd

STATUSES = ("ok", "no_face", "multi_face", "unreadable")
PICTURES_AHEAD = 8
"""Pictures in work per thread; bounds the memory."""

MULTI_FACE_POLICIES: dict[str, Callable[[Face], float]] = {
    "largest": lambda face: face.box.area,
    "best": lambda face: face.score,
}
"""Which of many faces counts: the largest, or the one the detector is surest of."""

NO_FACE_POLICIES = ("whole", "frequent")
"""What a picture without a face gets: the whole picture classified, or the frequent class."""


@dataclass(frozen=True)
class BatchRow:
    """What one picture of a batch shows.

    Args:
        image_path: Bare file name.
        status: ok, no_face, multi_face or unreadable.
        emotion: The emotion; by policy where there is no single face.
        probability: Of that emotion, or None where nothing was classified.
        num_faces: Faces found.
        reason: Empty for `ok`, else why the row is what it is.
    """

    image_path: str
    status: str
    emotion: str
    probability: float | None
    num_faces: int
    reason: str


class BatchTable(Sequence[BatchRow]):
    """The rows of a batch, one a picture, in order."""

    def __init__(self, rows: Iterable[BatchRow]) -> None:
        self._rows = tuple(rows)

    def __getitem__(self, index):
        return self._rows[index]

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        counts = {status: len(self.with_status(status)) for status in STATUSES}
        return f"BatchTable({len(self)} pictures: {counts})"

    def with_status(self, status: str) -> list[BatchRow]:
        """Gives the rows of one status."""
        return [row for row in self._rows if row.status == status]

    def to_pandas(self) -> pd.DataFrame:
        """Gives the rows as a DataFrame, one column a field (needs pandas)."""
        import pandas as pd

        return pd.DataFrame([asdict(row) for row in self._rows], columns=list(_COLUMNS))


_COLUMNS = tuple(BatchRow.__dataclass_fields__)


@dataclass(frozen=True)
class BatchPolicy:
    """What to do with pictures that do not show exactly one face.

    Args:
        no_face: One of `NO_FACE_POLICIES`.
        multi_face: One of `MULTI_FACE_POLICIES`.
        frequent_emotion: For unreadable pictures: the most frequent class of the training data.

    Raises:
        ValueError: If a policy is unknown.
    """

    frequent_emotion: str
    no_face: str = "whole"
    multi_face: str = "largest"

    def __post_init__(self) -> None:
        for name, allowed in (
            ("no_face", NO_FACE_POLICIES),
            ("multi_face", tuple(MULTI_FACE_POLICIES)),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"Expected {name} to be one of {list(allowed)}. "
                    f"Received: {getattr(self, name)!r}."
                )


@dataclass(frozen=True)
class _Prepared:
    """A picture after decoding and detection; `face` is what to classify, if anything."""

    name: str
    status: str
    num_faces: int
    reason: str
    face: np.ndarray | None


def prepare(path: Path, detector, policy: BatchPolicy) -> _Prepared:
    """Decodes a picture and picks what to classify; never raises for a bad file."""
    try:
        image = read_image(path)
    except (OSError, ValueError) as error:
        return _Prepared(path.name, "unreadable", 0, " ".join(str(error).split()), None)
    faces = detector.detect(image)
    if not faces:
        whole = image if policy.no_face == "whole" else None
        reason = "no face found; " + (
            "the whole picture was classified" if whole is not None else "most frequent class"
        )
        return _Prepared(path.name, "no_face", 0, reason, whole)
    chosen = max(faces, key=MULTI_FACE_POLICIES[policy.multi_face])
    (picture,) = cut_faces(image, [chosen], detector)
    if len(faces) == 1:
        return _Prepared(path.name, "ok", 1, "", picture)
    reason = f"{len(faces)} faces found; the {policy.multi_face} one counts"
    return _Prepared(path.name, "multi_face", len(faces), reason, picture)


def classify_paths(
    paths: Iterable[Path],
    *,
    prepare_path: Callable[[Path], _Prepared],
    predict: Callable[[list[np.ndarray]], np.ndarray],
    emotions: Sequence[str],
    policy: BatchPolicy,
    batch_size: int,
    workers: int,
) -> Iterator[BatchRow]:
    """Gives a row for each picture, in order.

    Args:
        paths: The pictures.
        prepare_path: Decodes and detects; called on `workers` threads.
        predict: Classifies up to `batch_size` faces; called on the caller's thread.
        emotions: Class order of `predict`.
        policy: For pictures without exactly one face.
        batch_size: Pictures classified together.
        workers: Threads.
    """
    prepared = ordered_map(prepare_path, paths, workers=workers, ahead=PICTURES_AHEAD * workers)
    while batch := list(islice(prepared, batch_size)):
        yield from _rows(batch, predict, tuple(emotions), policy)


def _rows(batch: list[_Prepared], predict, emotions, policy: BatchPolicy) -> Iterator[BatchRow]:
    faces = [item.face for item in batch if item.face is not None]
    probabilities = iter(predict(faces))
    for item in batch:
        if item.face is None:
            emotion, probability = policy.frequent_emotion, None
        else:
            row = next(probabilities)
            emotion, probability = emotions[int(row.argmax())], float(row.max())
        yield BatchRow(item.name, item.status, emotion, probability, item.num_faces, item.reason)
