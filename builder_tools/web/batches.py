"""Many images, or a zip of them, into the Kaggle csv."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from builder_tools.inference import BatchRow
from builder_tools.media.formats import formats_in_words
from builder_tools.media.listing import natural_key
from builder_tools.submission import log_path, write_submission
from builder_tools.web.engine import OWN, Choice, Engine
from builder_tools.web.limits import (
    Limits,
    Refused,
    check_photo,
    clean_name,
    free_name,
    numbered_name,
    unpack_images,
)

CSV_NAME = "submission.csv"
LOG_NAME = log_path(CSV_NAME).name
TELL_EVERY = 8
"""Images between two words on progress."""


@dataclass(frozen=True)
class BatchProgress:
    """How far a batch is: images done, of how many."""

    done: int
    total: int


@dataclass(frozen=True)
class BatchAnswer:
    """The rows of a batch; `submission.csv` and its log lie in the folder.

    Args:
        rows: One an image, in natural order.
        renamed: What was called like another, or as a formula of a spreadsheet is, and what it is
            called now.
        ignored: Files that are no images.
        paths: Where the images lie for the moment, by the names of their rows.
    """

    rows: tuple[BatchRow, ...]
    renamed: Mapping[str, str]
    ignored: int
    paths: Mapping[str, Path]


def classify_uploads(
    uploads: Sequence[tuple[Path, str]],
    folder: Path,
    engine: Engine,
    limits: Limits,
    choice: Choice = OWN,
) -> Iterator[BatchProgress | BatchAnswer]:
    """Classify images; return progress now and then, and the answer at the end.

    Args:
        uploads: Paths with the names they came under: images, or one zip.
        folder: Where the csv and its log go. The images are put into `images` in it; delete
            that afterwards, whatever happens.
        engine: The models.
        limits: What is taken.
        choice: Model and detector.

    Raises:
        Refused: If there are too many or the zip is not taken. A single bad image is no reason:
            it gets its row as `unreadable`.
    """
    images = folder / "images"
    images.mkdir()
    paths, renamed, ignored = _gather(uploads, images, limits)
    names = sorted(paths, key=natural_key)
    not_read = {name: why for name in names if (why := _why_not(paths[name], limits))}
    yield BatchProgress(0, len(names))
    rows: list[BatchRow] = []
    with engine.inference(choice, "img_batch") as inference:
        model = inference.model
        frequent = inference.policy.frequent_emotion
        for is_refused, group in groupby(names, key=not_read.__contains__):
            group = list(group)
            if is_refused:
                rows += [
                    BatchRow(name, "unreadable", frequent, None, 0, not_read[name])
                    for name in group
                ]
                continue
            files = [paths[name] for name in group]
            with closing(inference.batch_rows(files, group)) as found:
                for row in found:
                    place = str(paths[row.image_path])  # none of this machine's is shown
                    rows.append(replace(row, reason=row.reason.replace(place, row.image_path)))
                    if len(rows) % TELL_EVERY == 0:
                        yield BatchProgress(len(rows), len(names))
        write_submission(rows, folder / CSV_NAME, names, tuple(model.emotions))
    yield BatchAnswer(tuple(rows), renamed, ignored, paths)


def _gather(
    uploads: Sequence[tuple[Path, str]], images: Path, limits: Limits
) -> tuple[dict[str, Path], dict[str, str], int]:
    """Put all images into one folder; return their paths by name, the renamed, the ignored."""
    if len(uploads) == 1:
        with uploads[0][0].open("rb") as file:
            is_zip = file.read(2) == b"PK"
        if is_zip:
            unpacked = unpack_images(uploads[0][0], images, limits)
            return dict(unpacked.paths), dict(unpacked.renamed), unpacked.ignored
    if len(uploads) > limits.max_images:
        raise Refused("too_many_files", count=len(uploads), limit=limits.max_images)
    if any(Path(name).suffix.lower() == ".zip" for _, name in uploads):
        raise Refused("no_zip")
    paths: dict[str, Path] = {}
    renamed: dict[str, str] = {}
    taken: set[str] = set()
    for path, called in uploads:
        name = free_name(clean_name(called), taken)
        if name != called:
            renamed[called] = name
        paths[name] = path.rename(images / numbered_name(len(paths), name))
        taken.add(name.casefold())
    return paths, renamed, 0


def _why_not(path: Path, limits: Limits) -> str:
    """Return why an image is not decoded; empty for those that are."""
    try:
        check_photo(path.read_bytes(), limits)
    except Refused as error:
        if error.code == "too_many_pixels":
            return f"{error.facts['pixels_mp']} million pixels are too many"
        if error.code == "too_big":
            return f"{error.facts['size_mb']} MB are too many"
        if error.code == "too_long_side":
            return f"a side of {error.facts['size_px']} px is too long"
        return f"damaged, empty or no image ({formats_in_words()})"
    return ""
