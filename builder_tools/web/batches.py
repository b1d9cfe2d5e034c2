"""Turns many images, or a zip of them, into the Kaggle CSV file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
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
    check_size,
    clean_name,
)
from builder_tools.web.zips import free_name, numbered_name, unpack_images

CSV_NAME = "submission.csv"
LOG_NAME = log_path(CSV_NAME).name
TELL_EVERY = 8
"""Images between two progress reports."""


@dataclass(frozen=True)
class BatchProgress:
    """Progress of a batch: images done, and their total."""

    done: int
    total: int


@dataclass(frozen=True)
class BatchAnswer:
    """The rows of a batch; `submission.csv` and its log are in the folder.

    Args:
        rows: One per image, in natural order.
        renamed: Names that clashed, look like a spreadsheet formula or cannot be kept -> the new
            names.
        ignored: Number of files that are not images.
        paths: Row name -> where the image is for the moment.
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
    promise: Callable[[int], None] | None = None,
) -> Iterator[BatchProgress | BatchAnswer]:
    """Classify images; yield progress from time to time, and the answer at the end.

    Args:
        uploads: Paths with their original names: images, or one zip.
        folder: Folder for the CSV file and its log. The images are moved into its subfolder
            `images`; delete that afterwards, whatever happens.
        engine: The models and detectors.
        limits: What is accepted.
        choice: Model, detector and decision.
        promise: See `unpack_images`.

    Raises:
        Refused: If there are too many images or the zip is not accepted. A single bad image is
            no reason to refuse: its row says `unreadable`.
    """
    images = folder / "images"
    images.mkdir()
    paths, renamed, ignored = _gather(uploads, images, limits, promise)
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
                    place = str(paths[row.image_path])  # show none of this machine's paths
                    rows.append(replace(row, reason=row.reason.replace(place, row.image_path)))
                    if len(rows) % TELL_EVERY == 0:
                        yield BatchProgress(len(rows), len(names))
        write_submission(rows, folder / CSV_NAME, names, tuple(model.emotions))
    yield BatchAnswer(tuple(rows), renamed, ignored, paths)


def _gather(
    uploads: Sequence[tuple[Path, str]],
    images: Path,
    limits: Limits,
    promise: Callable[[int], None] | None,
) -> tuple[dict[str, Path], dict[str, str], int]:
    """Move all images into one folder; return paths by name, new names and the ignored count."""
    if len(uploads) == 1:
        with uploads[0][0].open("rb") as file:
            is_zip = file.read(2) == b"PK"
        if is_zip:
            unpacked = unpack_images(uploads[0][0], images, limits, promise)
            return dict(unpacked.paths), dict(unpacked.renamed), unpacked.ignored
    if len(uploads) > limits.max_images:
        raise Refused("too_many_files", count=len(uploads), limit=limits.max_images)
    if any(Path(name).suffix.lower() == ".zip" for _, name in uploads):
        raise Refused("no_zip" if len(uploads) == 1 else "zip_beside_others")
    paths: dict[str, Path] = {}
    renamed: dict[str, str] = {}
    taken: dict[str, int] = {}
    for path, called in uploads:
        name = free_name(clean_name(called), taken)
        if name != called:
            renamed[called] = name
        paths[name] = path.rename(images / numbered_name(len(paths), name))
    return paths, renamed, 0


def _why_not(path: Path, limits: Limits) -> str:
    """Return why an image is not decoded, or "" if it is."""
    try:
        check_size(path.stat().st_size, limits.photo_bytes)
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
