"""Writes annotated images without overwriting any file; an interrupted batch can be resumed."""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from builder_tools.cli.drawing import drawer_of
from builder_tools.cli.model import progress_bar
from builder_tools.cli.verb import counted, print_escaped
from builder_tools.journal import RUN_MARK, Journal

if TYPE_CHECKING:
    import numpy as np

    from builder_tools.drawing import DrawBox
    from builder_tools.inference import BatchTable
    from builder_tools.inference.batch import BatchRow
    from builder_tools.submission import SubmissionJob
    from builder_tools.submission.resuming import Stamp

UNFINISHED = "drawing.partial.jsonl"
"""The file that lists which images of a batch are drawn; removed once all of them are, so that the
same command can draw those that failed."""
OF = "images and options of what is drawn"


@contextmanager
def named_warnings(image: str | Path) -> Iterator[None]:
    """Have the warnings of drawing in the `with` block name the image."""

    def name(record: logging.LogRecord) -> bool:
        record.msg = f"%s: {record.msg}"
        record.args = (str(image), *record.args)
        return True

    logger = logging.getLogger("builder_tools.drawing")
    logger.addFilter(name)
    try:
        yield
    finally:
        logger.removeFilter(name)


class DrawnImages:
    """Writes images into a folder, never over one another or over an existing file."""

    def __init__(self) -> None:
        from builder_tools.media.guarding import UnusedPaths

        self._unused = UnusedPaths()

    def write(self, image: np.ndarray, wanted: Path) -> Path:
        """Write an image under a name that is still free; return its path."""
        from builder_tools.media.images import write_unused

        path = write_unused(wanted, image, self._unused)
        self.take(path)
        if path != wanted:
            print_escaped(f"{wanted} is there already; written: {path}")
        return path

    def take(self, path: Path) -> None:
        """Mark a path as taken by an image that is already written."""
        self._unused.take(path)


def drawn_name(image: str, out_format: str | None) -> str:
    """Return the file name of a drawn image."""
    from builder_tools.media import WRITTEN_SUFFIXES
    from builder_tools.media.addresses import STANDARD_INPUT, is_address, without_file_scheme
    from builder_tools.media.formats import LOSSY_FORMATS, format_of_suffix

    if is_address(image):
        path = Path(urlsplit(image).path)
    else:
        path = Path("" if image == STANDARD_INPUT else without_file_scheme(image))
    if out_format:
        return f"{path.stem or 'image'}.{out_format}"
    if path.suffix.lower() in WRITTEN_SUFFIXES:
        return path.name
    lossy = format_of_suffix(path.suffix) in LOSSY_FORMATS
    return f"{path.stem or 'image'}.{'jpg' if lossy else 'png'}"


def check_drawing(job: SubmissionJob, options: argparse.Namespace) -> None:
    """Refuse, before reading any image, a folder that holds an unfinished batch of other images.

    Raises:
        ValueError: If there is such a batch; the message says what can be done.
    """
    from builder_tools.media.guarding import check_own

    unfinished = options.out / UNFINISHED
    if options.restart:
        check_own(unfinished, RUN_MARK)
    if unfinished.is_file():
        with Journal(unfinished, _run_of(job, options), of=OF) as journal:
            journal.begin(_item, restart=options.restart)


def draw_batch(
    table: BatchTable, job: SubmissionJob, stamps: Sequence[Stamp], options: argparse.Namespace
) -> int:
    """Write every readable image with its faces drawn; return how many could not be written.

    Args:
        table: A row per image.
        job: The images.
        stamps: The stamp of each from before its faces were found: in an image that changed since,
            they may be elsewhere, so it is not drawn.
        options: Options of the verb.
    """
    from builder_tools.inference.search import Orientation
    from builder_tools.media import IMAGE_ERRORS, read_image
    from builder_tools.media.partial import naming_full
    from builder_tools.results import FaceEmotion
    from builder_tools.submission.resuming import stamp_of

    drawer, view, drawn, failed = _drawer(options), Orientation(options.rotate), DrawnImages(), 0
    found = zip(table, job.paths, stamps, strict=True)
    drawable = {
        _hash_of(row, stamp): (row, path, stamp)
        for row, path, stamp in found
        if row.status != "unreadable"
    }

    def holds(value: Mapping[str, Any]) -> bool:
        name = value["drawn"]
        return value["of"] in drawable and name is not None and (options.out / name).is_file()

    options.out.mkdir(parents=True, exist_ok=True)
    unfinished = options.out / UNFINISHED
    with naming_full(unfinished), Journal(unfinished, _run_of(job, options), of=OF) as journal:
        done = {value["of"]: value["drawn"] for value in filter(holds, journal.begin(_item))}
        for name in done.values():
            drawn.take(options.out / name)
        left = [one for one in drawable.items() if one[0] not in done]
        for of, (row, path, stamp) in progress_bar(left, "images drawn", total=len(left)):
            below = path.relative_to(job.folder)
            wanted = options.out / below.parent / drawn_name(below.name, options.out_format)
            faces = [FaceEmotion.from_dict(face) for face in row.faces]
            try:
                image = read_image(path)
                if stamp_of(path) != stamp:
                    raise ValueError("it changed after its faces were found. Run the same again")
                with named_warnings(path):
                    shown = drawer.draw(view.applied(image), faces)
                place = drawn.write(shown, wanted)
            except IMAGE_ERRORS as error:
                words = f"failed: {path}: cannot write it drawn: {error}"
                print_escaped(words)
                failed += 1
                continue
            journal.add({"of": of, "drawn": place.relative_to(options.out).as_posix()})
        if not failed:
            journal.remove()
    others = " The same command draws the others, and only them." if failed else ""
    drawn_now = counted(len(drawable) - failed, "image")
    print(f"{options.out}: {drawn_now} drawn{'.' if others else ''}{others}", file=sys.stderr)
    return failed


def _item(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the journal's entry of an image; raise KeyError if a field is missing."""
    return {name: value[name] for name in ("of", "drawn")}


def _drawer(options: argparse.Namespace) -> DrawBox:
    from builder_tools.drawing import DrawBox

    return drawer_of(options) or DrawBox()


def _hash_of(row: BatchRow, stamp: Stamp) -> str:
    """Return a short hash of an image's path, faces and stamp."""
    facts = json.dumps([str(row.image_path), list(row.faces), stamp], sort_keys=True)
    return hashlib.sha256(facts.encode()).hexdigest()[:16]


def _run_of(job: SubmissionJob, options: argparse.Namespace) -> str:
    """Return a hash that identifies the images and how they are drawn."""
    facts = {
        "folder": str(job.folder.resolve()),
        "names": job.names,
        "drawn": repr(_drawer(options)),
        "format": options.out_format,
        "rotate": options.rotate,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
