"""The recordings of a film's viewers: parsed from a command line, and when each began."""

from __future__ import annotations

import logging
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from builder_tools.csv_files import name_as_text, read_sheet
from builder_tools.media.pipes import refuse_pipe
from builder_tools.media.sound_samples import has_sound
from builder_tools.timeline.archived import PARTS, VIDEO, archived_files, is_archive
from builder_tools.timeline.offsets import match_onsets, read_onsets
from builder_tools.timeline.writer import TABLE_SUFFIXES

NAMED = 3
"""Most viewers named in one sentence."""
GIVEN, BY_SOUND, ASSUMED = "given", "sound", "assumed"
OTHER_COLUMNS = ("time_s", "median")
"""Columns of `reactions.csv` beside those of the viewers, who are called otherwise."""
_SOUNDLESS = (
    "a table has no sound to find its beginning by: it is assumed to begin with the film; else "
    "write VIEWER@+SECONDS or give --offsets"
)
_OFFSET = re.compile(r"(?P<path>.+)@(?P<offset>[+-]\d+(?:\.\d*)?)")

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Viewer:
    """A recording of somebody watching a film.

    Args:
        name: Unique name of the viewer.
        path: A video, or a timeline made from one (.csv, .parquet), such as part of an archive.
        offset_s: When the recording began, in seconds of the film; None to find out.
        detector: What found the faces in an archive's rows, if it is known.
    """

    name: str
    path: Path
    offset_s: float | None
    detector: str | None = None


def parse_viewers(texts: Sequence[str]) -> list[Viewer]:
    """Parse viewers as written on a command line: `anna.mp4`, `ben.mp4@+1.25`, `c.csv@-0.4`.

    The number is when the recording began, in seconds of the film. A folder must have been made
    by `builder-tools archive`: every video in it is a viewer's. Equal names, and `OTHER_COLUMNS`,
    get a number.

    Raises:
        ValueError: If there are none, one is a pipe, or an archive holds no video.
        FileNotFoundError: If a file does not exist.
    """
    if not texts:
        raise ValueError("Expected one or more recordings of viewers. Received: none.")
    viewers: list[Viewer] = []
    taken = set(OTHER_COLUMNS)
    for text in texts:
        match = None if Path(text).exists() else _OFFSET.fullmatch(text)
        path = Path(match["path"] if match else text)
        offset_s = float(match["offset"]) if match else None
        for stem, one, detector in _recordings(path):
            viewers.append(Viewer(unused_name(name_as_text(stem), taken), one, offset_s, detector))
    return viewers


def unused_name(wanted: str, taken: set[str]) -> str:
    """Return a name, numbered if it is taken already, and take it.

    Args:
        wanted: The name.
        taken: Names that are taken, in lower case (`casefold`); the one returned is added.
    """
    name, number = wanted, 2
    while name.casefold() in taken:
        name, number = f"{wanted} {number}", number + 1
    taken.add(name.casefold())
    return name


def check_repeats(viewers: Sequence[Viewer], film: Path | None) -> None:
    """Refuse a recording that is given twice, or is the film: each would be one viewer too many.

    Files are compared as the file system sees them; links to one file are the same recording.

    Raises:
        ValueError: If there is such a recording; names it.
    """
    seen: dict[tuple[int, int], Viewer] = {}
    for viewer in viewers:
        found = viewer.path.stat()
        if film is not None and os.path.samestat(found, film.stat()):
            raise ValueError(
                "Expected recordings of viewers beside the film. Received the film among them: "
                f"{viewer.path}. Leave it out there."
            )
        first = seen.setdefault((found.st_dev, found.st_ino), viewer)
        if first is not viewer:
            raise ValueError(
                "Expected each recording once, as it would count as two viewers. Received: "
                f"{first.path} and {viewer.path}, which is the same file. Leave one out."
            )


def _recordings(path: Path) -> list[tuple[str, Path, str | None]]:
    """Return the recordings at a path, each with its viewer's name before and detector after it."""
    refuse_pipe(path)
    if is_archive(path):
        videos = [file for file in archived_files(path) if file.kind == VIDEO]
        if not videos:
            raise ValueError(f"Expected videos in the archive {str(path)!r}. Found images alone.")
        return [(str(Path(one.name).with_suffix("")), one.part, one.detector) for one in videos]
    if not path.is_file():
        raise FileNotFoundError(
            f"No recording at {str(path)!r}. Check the spelling; offsets are written "
            "FILE@+1.25 or FILE@-0.4."
        )
    return [(path.stem, path, None)]


def read_offsets(path: Path) -> dict[str, float | None]:
    """Read when recordings began, by viewer, from a CSV file with `viewer,offset_s`.

    The `viewers.csv` of an earlier search is such a file. A beginning that it assumed, and nobody
    has changed, is None: still to be found.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it lacks a column, a cell is not a number or a viewer is repeated; says
            where.
    """
    sheet = read_sheet(path)
    columns = [name.casefold() for name in sheet.columns]
    offsets: dict[str, float | None] = {}
    for number, row in sheet.rows.items():
        cells = dict(zip(columns, row, strict=False))
        try:
            viewer = name_as_text(cells["viewer"].strip())
            offset_s = float(cells["offset_s"].replace(",", "."))  # some locales write 1,25
        except (KeyError, ValueError):
            viewer, offset_s = "", math.nan
        if not math.isfinite(offset_s) or len(row) > len(columns):
            raise ValueError(
                f"Expected the columns viewer and offset_s (a number of seconds) in line {number} "
                f"of {str(path)!r}. Received: {row}."
            )
        if viewer in offsets:
            raise ValueError(
                f"Expected each viewer once in {str(path)!r}. Received: {viewer!r} in line "
                f"{number} again."
            )
        is_assumed = cells.get("offset_from") == ASSUMED and not offset_s
        offsets[viewer] = None if is_assumed else offset_s
    return offsets


def with_offsets(viewers: Sequence[Viewer], offsets_s: Mapping[str, float | None]) -> list[Viewer]:
    """Return viewers with the offsets in a table; those of whom it tells none are unchanged.

    An offset that was given with a single recording stays, too; one given with an archive is that
    of all its recordings of whom the table tells none.

    Names of the table without a recording are told in a warning, as they may be misspelt.

    Raises:
        ValueError: If the table names none of them.
    """
    names = {viewer.name for viewer in viewers}
    if names.isdisjoint(offsets_s):
        raise ValueError(
            f"Expected offsets of viewers such as {viewers[0].name!r}. "
            f"Received those of {list(offsets_s)[:5]}."
        )
    strangers = [repr(name) for name in offsets_s if name not in names]
    if strangers:
        _logger.warning("Offsets are given, but no recording of %s", few_of(strangers))
    folders = {viewer.path.parent for viewer in viewers}
    archived = {one for one in folders if one.name == PARTS and is_archive(one.parent)}
    told = {name: offset_s for name, offset_s in offsets_s.items() if offset_s is not None}
    told |= {
        one.name: one.offset_s
        for one in viewers
        if one.offset_s is not None and one.path.parent not in archived
    }
    return [replace(one, offset_s=told.get(one.name, one.offset_s)) for one in viewers]


def few_of(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are: thousands would fill the screen."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def find_offsets(
    viewers: Sequence[Viewer], film: Path | None
) -> dict[str, tuple[float, str, float | None, str]]:
    """Return for each viewer the offset in seconds, its origin, its clarity and any problem.

    Without a film, recordings are matched with the first one that has sound and a given offset,
    or else with the first one, which is assumed to begin with the film.
    """
    against, start_s = film, 0.0
    if against is None:
        given = (one for one in viewers if one.offset_s is not None)
        first = next((one for one in given if _is_heard(one.path)), viewers[0])
        against, start_s = first.path, first.offset_s or 0.0
    onsets = cache(lambda: read_onsets(against))  # read once, and only if needed
    return {viewer.name: _offset(viewer, against, start_s, onsets) for viewer in viewers}


def _is_heard(path: Path) -> bool:
    return path.suffix.lower() not in TABLE_SUFFIXES and has_sound(path)


def _offset(
    viewer: Viewer, film: Path, start_s: float, film_onsets: Callable[[], np.ndarray]
) -> tuple[float, str, float | None, str]:
    """Return a viewer's offset, from the sound of a film or of a recording that began then."""
    if viewer.offset_s is not None:
        return viewer.offset_s, GIVEN, None, ""
    if viewer.path == film:
        return start_s, ASSUMED, None, ""
    advice = f"it is assumed to begin with the film; else write {viewer.path.name}@+SECONDS"
    if any(path.suffix.lower() in TABLE_SUFFIXES for path in (viewer.path, film)):
        return 0.0, ASSUMED, None, _SOUNDLESS
    try:
        silent = [path.name for path in (viewer.path, film) if not has_sound(path)]
        if silent:
            return 0.0, ASSUMED, None, f"{' and '.join(silent)} without sound: {advice}"
        found = match_onsets(read_onsets(viewer.path), film_onsets())
    except (OSError, ValueError) as error:
        return 0.0, ASSUMED, None, f"{error} So {advice}"
    if not found.is_clear:
        return 0.0, ASSUMED, found.clarity, f"its sound does not match the film's: {advice}"
    return start_s + found.seconds, BY_SOUND, found.clarity, ""
