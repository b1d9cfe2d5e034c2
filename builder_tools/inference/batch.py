"""Many images at once: decoding and detection on several threads, classification in batches.

Rows come in the order of the images, whatever the batch size or the number of threads. Memory use
is bounded: images being decoded share `BYTES_PER_WORKER` per thread (one that needs more is
decoded alone), and after detection only what the model needs is kept of an image.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from builder_tools.detectors import DETECTOR_ERRORS, DETECTOR_FAILED
from builder_tools.fields import check_choice, check_types
from builder_tools.inference.reader import (
    EmotionModel,
    Shape,
    cut_faces,
    doubtful_below,
    face_emotions,
    face_shapes,
    shrink_face,
)
from builder_tools.inference.search import AS_THEY_ARE, Orientation, find_faces
from builder_tools.media import IMAGE_ERRORS, find_images, open_image
from builder_tools.media.budget import Budget
from builder_tools.media.images import as_now, is_one_image, name_of
from builder_tools.parallel import ordered_map
from builder_tools.results import Face, Readings

if TYPE_CHECKING:
    import pandas as pd

    from builder_tools.geometry import FaceLandmarker

logger = logging.getLogger(__name__)

STATUSES = ("ok", "no_face", "multi_face", "unreadable")
IMAGES_AHEAD = 8
"""Images in progress per thread."""

MULTI_FACE_POLICIES: dict[str, Callable[[Face], float]] = {
    "largest": lambda face: face.box.area,
    "best": lambda face: face.score,
}
"""Which of several faces counts: the largest, or the one with the best detection score."""

NO_FACE_POLICIES = ("whole", "frequent")
"""How to label an image without a face: classify the whole image, or use the frequent class."""


@dataclass(frozen=True)
class BatchRow:
    """The result for one image of a batch.

    Args:
        image_path: Path relative to the folder, with `/` (just the file name for files directly
            in it); for other sources their name, or their type and number.
        status: ok, no_face, multi_face or unreadable.
        emotion: The emotion; chosen by policy if there is not exactly one face.
        probability: Probability of that emotion, or None if nothing was classified.
        num_faces: Number of faces found.
        reason: Explanation of the result, including `doubtful` if the emotion is; otherwise empty.
        faces: Every face, largest first, each as in a line of `--json`; only if the policy asks
            for every face.
        counted: Index in `faces` of the face that counts.
        probabilities: Unrounded probability of each emotion for the face that counts; present
            along with `faces`.
        person: Who is in the image, if requested.
        relative_emotion: The emotion relative to the person's rest; None if that is unknown.
        relative_probability: Probability of that emotion.
    """

    image_path: str
    status: str
    emotion: str
    probability: float | None
    num_faces: int
    reason: str
    faces: tuple[Mapping[str, Any], ...] = field(default=(), compare=False, repr=False)
    counted: int = field(default=0, compare=False, repr=False)
    probabilities: tuple[float, ...] = field(default=(), compare=False, repr=False)
    person: str = ""
    relative_emotion: str | None = None
    relative_probability: float | None = None


class BatchTable(Sequence[BatchRow]):
    """The rows of a batch, one per image, in order."""

    def __init__(self, rows: Iterable[BatchRow]) -> None:
        self._rows = tuple(rows)

    @overload
    def __getitem__(self, index: int) -> BatchRow: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[BatchRow, ...]: ...

    def __getitem__(self, index: int | slice) -> BatchRow | tuple[BatchRow, ...]:
        return self._rows[index]

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        counts = {status: len(self.with_status(status)) for status in STATUSES}
        return f"BatchTable({len(self)} images: {counts})"

    def with_status(self, status: str) -> list[BatchRow]:
        """Return the rows with a given status."""
        return [row for row in self._rows if row.status == status]

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows as a DataFrame, one column per field up to `reason` (needs pandas)."""
        import pandas as pd

        rows = [[getattr(row, column) for column in _COLUMNS] for row in self._rows]
        return pd.DataFrame(rows, columns=list(_COLUMNS))


_COLUMNS = ("image_path", "status", "emotion", "probability", "num_faces", "reason")


@dataclass(frozen=True)
class BatchPolicy:
    """What to do with images that do not show exactly one face.

    Args:
        no_face: One of `NO_FACE_POLICIES`.
        multi_face: One of `MULTI_FACE_POLICIES`.
        frequent_emotion: The most frequent class of the training data, for unreadable images.
        every_face: Whether every face is classified and kept in its image's row, not only the
            one that counts.

    Raises:
        ValueError: If a policy is unknown.
    """

    frequent_emotion: str
    no_face: str = "whole"
    multi_face: str = "largest"
    every_face: bool = False

    def __post_init__(self) -> None:
        check_types(self)
        check_choice("no_face", self.no_face, NO_FACE_POLICIES)
        check_choice("multi_face", self.multi_face, MULTI_FACE_POLICIES)


@dataclass(frozen=True)
class Prepared:
    """An image after decoding and detection.

    Args:
        name: Its name in the table.
        status: See `BatchRow`.
        num_faces: Number of faces found.
        reason: See `BatchRow`.
        images: What to classify: faces, or the whole image; may be empty.
        faces: The faces in `images`; empty if that holds the whole image.
        chosen: Index in `images` of the one that counts.
        shapes: The geometry of each of `faces`.
    """

    name: str
    status: str
    num_faces: int
    reason: str
    images: tuple[np.ndarray, ...] = ()
    faces: tuple[Face, ...] = ()
    chosen: int = 0
    shapes: tuple[Shape, ...] = ()


@dataclass(frozen=True)
class Preparer:
    """Decode images and pick what to classify.

    Args:
        lend_detector: Lends a detector for the duration of a `with`.
        policy: What to do with images without exactly one face.
        face_px: Side in px of the faces the model takes; None if unknown.
        budget: Memory for decoding.
        landmarker: Finds the geometry of faces; None if it was not requested.
        view: How images are turned first, and whether faces are found at any rotation.
    """

    lend_detector: Callable[[], Any]
    policy: BatchPolicy
    face_px: int | None
    budget: Budget
    landmarker: FaceLandmarker | None = None
    view: Orientation = AS_THEY_ARE

    def __call__(self, named: tuple[str, Any]) -> Prepared:
        """Return what an image shows; never raises for an unreadable one.

        Raises:
            OSError: If the detector lacks something, as it would for every image.
        """
        name, source = named
        with ExitStack() as held:
            try:
                opened = open_image(source)
                held.enter_context(self.budget.lend(opened.needed_bytes))
                image, note = opened.decode()
                image = self.view.applied(image)
            except IMAGE_ERRORS as error:
                return Prepared(name, "unreadable", 0, _in_one_line(error))
            try:
                return self._look(name, image, note)
            except MemoryError as error:
                return Prepared(name, "unreadable", 0, _in_one_line(error))

    def _look(self, name: str, image: np.ndarray, note: str) -> Prepared:
        with self.lend_detector() as detector:
            try:
                faces = find_faces(detector, image, self.view.search)
            except DETECTOR_ERRORS as error:
                reason = f"{DETECTOR_FAILED}: {_in_one_line(error)}"
                return Prepared(name, "unreadable", 0, reason)
            if not faces:
                whole = self.policy.no_face == "whole"
                done = "the whole image was classified" if whole else "most frequent class"
                reason = _joined(f"no face found; {done}", note)
                images = (shrink_face(image, self.face_px),) if whole else ()
                return Prepared(name, "no_face", 0, reason, images)
            counts = max(faces, key=MULTI_FACE_POLICIES[self.policy.multi_face])
            kept = faces if self.policy.every_face else [counts]
            cut = cut_faces(image, kept, detector)
            shapes = face_shapes(self.landmarker, image, kept, detector)
        looked_at = (
            tuple(shrink_face(face, self.face_px) for face in cut),
            tuple(kept),
            next(index for index, face in enumerate(kept) if face is counts),
            tuple(shapes),
        )
        if counts.turned_deg:
            note = _joined(f"turned by {counts.turned_deg} degrees", note)
        if len(faces) == 1:
            return Prepared(name, "ok", 1, note, *looked_at)
        reason = f"{len(faces)} faces found; the {self.policy.multi_face} one counts"
        return Prepared(name, "multi_face", len(faces), _joined(reason, note), *looked_at)


def images_of(source: Any) -> tuple[Iterable[Any], Sequence[str] | None]:
    """Return the images of a folder and their relative paths; for other sources, no names.

    Files left out, and folders not looked into, are logged.
    """
    if not isinstance(source, str | os.PathLike):
        return ([source] if is_one_image(source) else source), None
    found = find_images(source)
    for sentence in found.sentences():
        logger.warning("%s: %s", source, sentence)
    return found.paths, found.names


def named_images(
    sources: Iterable[Any], names: Iterable[str] | None = None
) -> Iterator[tuple[str, Any]]:
    """Yield each image with the name of its row.

    Args:
        sources: The images; what no collection gives, such as a generator, may be changed or closed
            once the next is taken.
        names: Their names; None uses bare file names, and for other sources their type and
            number.
    """
    kept = (lambda source: source) if isinstance(sources, Collection) else as_now
    if names is not None:
        yield from zip(names, map(kept, sources), strict=False)
        return
    for number, source in enumerate(sources):
        name = name_of(source)
        nameless = not isinstance(source, str | os.PathLike) and name in (
            *("array", type(source).__name__),
        )
        yield f"{name} {number}" if nameless else os.path.basename(name), kept(source)


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def classify_images(
    named: Iterable[tuple[str, Any]],
    *,
    prepare: Preparer,
    read: Callable[[list[np.ndarray]], Readings],
    model: EmotionModel,
    batch_size: int,
    workers: int,
) -> Iterator[BatchRow]:
    """Yield a row for each image, in order.

    Args:
        named: The images, each with the name of its row.
        prepare: Decodes and detects; called on `workers` threads.
        read: Classifies the faces of up to `batch_size` images; called on the caller's thread.
        model: Supplies the classes and the threshold for doubt.
        batch_size: Number of images classified together.
        workers: Number of threads.
    """
    prepared = ordered_map(
        prepare,
        named,
        workers=workers,
        ahead=IMAGES_AHEAD * workers,
        weigh=lambda one: getattr(one[1], "nbytes", 0),
        most_weight=prepare.budget.most,
    )
    while batch := list(islice(prepared, batch_size)):
        yield from _rows(batch, read, model, prepare.policy)


def _rows(
    batch: list[Prepared],
    read: Callable[[list[np.ndarray]], Readings],
    model: EmotionModel,
    policy: BatchPolicy,
) -> Iterator[BatchRow]:
    readings = read([image for item in batch for image in item.images])
    emotions, threshold, start = tuple(model.emotions), doubtful_below(model), 0
    for item in batch:
        mine = slice(start, start + len(item.images))
        start = mine.stop
        emotion, probability, reason = policy.frequent_emotion, None, item.reason
        own = Readings(readings.probabilities[mine], readings.places[mine])
        faces = face_emotions(model, item.faces, own, item.shapes) if item.faces else ()
        if item.images:
            row = own.probabilities[item.chosen]
            emotion, probability = emotions[int(row.argmax())], float(row.max())
            is_doubtful = faces[item.chosen].doubtful if faces else probability < threshold
            reason = _joined(reason, "doubtful" if is_doubtful else "")
        told = {}
        if policy.every_face and faces:
            told = {
                "faces": tuple(face.to_dict() for face in faces),
                "counted": item.chosen,
                "probabilities": tuple(own.probabilities[item.chosen].tolist()),
            }
        yield BatchRow(item.name, item.status, emotion, probability, item.num_faces, reason, **told)
