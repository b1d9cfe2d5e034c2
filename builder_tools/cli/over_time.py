"""Options and final output of the verbs whose results come over time."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from builder_tools.cli.verb import counted
from builder_tools.csv_files import name_as_text
from builder_tools.languages import said
from builder_tools.media.guarding import check_own
from builder_tools.media.partial import check_place
from builder_tools.media.pipes import refuse_pipe
from builder_tools.rest import FILE_MARK, RestingFace
from builder_tools.results import FrameResult
from builder_tools.timeline.faces import BestSights
from builder_tools.timeline.people import (
    LEAST_S,
    LEAST_SCORES,
    PersonRule,
    count_in_words,
    people_of,
)
from builder_tools.tracking.resting import AUTO, RestTracker

SMOOTH_S = 0.3
SECONDS = re.compile(r"(\d+(?:\.\d+)?)s")


def add_rest_option(parser: argparse.ArgumentParser, how: str = "estimated as it goes") -> None:
    """Add --rest and --rest-out."""
    parser.add_argument(
        "--rest",
        default="off",
        metavar="off|auto|3s|FILE",
        help="also report what each face shows compared with its own resting face: auto "
        f"({how}), 3s (each person's first three seconds count as rest) or a file from "
        "`builder-tools rest` or --rest-out (default: %(default)s)",
    )
    parser.add_argument(
        "--rest-out",
        type=Path,
        metavar="FILE",
        help="write the resting face of the person seen at rest longest: a few means, no image",
    )


def rest_of(text: str, rest_out: Path | None = None) -> RestingFace | str | float | None:
    """Return the `rest` argument of `Inference`.

    Args:
        text: Value of the option.
        rest_out: Where the resting face will be written, or None.

    Raises:
        ValueError, FileNotFoundError: If the text does not name a rest, or if the resting face to
            write is not learned or would replace another file.
    """
    if rest_out is not None:
        check_rest_place(rest_out)
        if text != AUTO and not (SECONDS.fullmatch(text) and not Path(text).is_file()):
            raise ValueError(
                f"Expected --rest auto or seconds (3s) with --rest-out. Received: --rest {text}, "
                "of which nothing is learned."
            )
    if text in ("off", AUTO):
        return None if text == "off" else text
    seconds = SECONDS.fullmatch(text)
    if seconds and not Path(text).is_file():
        return float(seconds[1])
    try:
        return RestingFace.load(text)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"Expected --rest off, auto, seconds (3s) or a file. Received: {text!r}, which is none."
        ) from error


def check_rest_place(path: Path) -> None:
    """Refuse, before reading any frame, a path to which a resting face cannot be written.

    Raises:
        ValueError: If the path holds something other than a resting face.
        OSError: If its folder cannot be created or written to.
    """
    check_own(path, FILE_MARK)
    check_place(path)


def write_rest(rest: RestingFace, path: Path) -> None:
    """Write a resting face, completely or not at all, and say so."""
    print(f"Written: {rest.save(path)}, {rest}", file=sys.stderr)


def keep_rest(rests: RestTracker | None, model: Any, path: Path | None) -> int:
    """Write the learned resting face if `path` is given; return 1 if none was learned, else 0."""
    if path is None:
        return 0
    try:
        rest = rests.resting_face(model.identity)
    except ValueError as error:
        print(f"Not written: {path}. {error}", file=sys.stderr)
        return 1
    write_rest(rest, path)
    return 0


def add_time_options(parser: argparse.ArgumentParser) -> None:
    """Add --smooth, --timeline and the options that decide which tracks are people."""
    parser.add_argument(
        "--smooth",
        type=float,
        default=SMOOTH_S,
        metavar="SECONDS",
        help="time constant for smoothing each person's emotions (default: %(default)s)",
    )
    parser.add_argument(
        "--timeline",
        type=Path,
        metavar="OUT",
        help="write a row per face and frame (.csv, .parquet) and print a summary instead",
    )
    parser.add_argument(
        "--person-s",
        type=float,
        metavar="SECONDS",
        help="a track found in fewer seconds of frames does not count as a person in the summary "
        f"of --timeline; half of a film is always enough (default: {LEAST_S})",
    )
    own = ", ".join(f"{name} {score:g}" for name, score in LEAST_SCORES.items())
    parser.add_argument(
        "--person-score",
        type=float,
        metavar="SCORE",
        help=f"nor does a track with a lower mean detection score (default: {own}, else 0)",
    )


def person_rule(options: argparse.Namespace) -> PersonRule:
    """Return the rule that decides which tracks are people.

    Raises:
        ValueError: If one of its values is out of range, or given where nobody is counted.
    """
    least_s, least_score = options.person_s, options.person_score
    for name, value in (("--person-s", least_s), ("--person-score", least_score)):
        if value is not None and options.timeline is None:
            raise ValueError(
                f"Expected --timeline OUT.csv with {name}: it says who counts in its summary."
            )
    return PersonRule.for_detector(
        options.detector, LEAST_S if least_s is None else least_s, least_score
    )


def add_plot_options(parser: argparse.ArgumentParser) -> None:
    """Add --plot and --plot-faces."""
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="OUT.png",
        help="draw the --timeline: one row per person, and the moments that moved them most",
    )
    parser.add_argument(
        "--plot-faces",
        action="store_true",
        help="show each person's face beside their row; otherwise no face is drawn",
    )


def check_plot(options: argparse.Namespace) -> None:
    """Refuse --plot without --timeline or the packages it needs, and --plot-faces if impossible.

    Raises:
        ValueError, ImportError: Before any frame is read.
    """
    from builder_tools.cli.figures import figure_format
    from builder_tools.cli.verb import need_video

    if options.plot is None:
        if options.plot_faces:
            raise ValueError("Expected --plot OUT.png with --plot-faces: they are drawn into it.")
        return
    if options.timeline is None:
        raise ValueError("Expected --timeline OUT.csv with --plot: the table is what is drawn.")
    if options.plot_faces:
        if options.blur_faces:
            raise ValueError("Expected --plot-faces or --blur-faces. Received: both.")
        refuse_pipe(options.file)
    need_video()
    figure_format(options.plot)
    check_place(options.plot)


def plot_timeline(options: argparse.Namespace, sights: BestSights) -> None:
    """Draw a timeline to a file, if there is a person in it."""
    from builder_tools.cli.figures import save_figure, without_screen

    without_screen()
    from builder_tools.inference.search import Orientation
    from builder_tools.plots.timeline import plot_video
    from builder_tools.timeline.highlights import highlights_of
    from builder_tools.timeline.reading import length_s, read_timeline

    table = read_timeline(options.timeline)
    rule = person_rule(options)
    people, left_out = people_of(table, rule)
    if not people:
        print(f"{count_in_words(0, left_out)}, so nothing is drawn.", file=sys.stderr)
        return
    own = table[table["track"].isin(people) | table["track"].isna()]
    moments = highlights_of(own, length_s(table), rule)
    note = said("people", options.language, count=len(people))
    if left_out:
        note += "; " + said("left_out", options.language, count=left_out)
    view = Orientation(options.rotate)
    figure = plot_video(
        table,
        people,
        title=name_as_text(Path(options.file).name),
        note=note,
        highlights=[(one.start_s, one.end_s) for one in moments],
        faces=sights.cut(options.file, people, view) if options.plot_faces else None,
        language=options.language,
    )
    print(f"Drawn: {save_figure(figure, options.plot)}", file=sys.stderr)


@contextmanager
def writing_timeline(
    path: Path | None, emotions, tell: TextIO, rule: PersonRule, **columns: bool
) -> Iterator[Callable[[FrameResult], None]]:
    """Yield a function that writes results to a timeline; at the end, print who felt what.

    Whatever ends it early (a signal, a full disk, a reader that went away), the rows written so
    far are kept.

    Args:
        path: The table; None writes and prints nothing.
        emotions: Class order of the model.
        tell: Stream to print the summary to.
        rule: Which tracks are people.
        columns: Which optional columns are wanted (`timeline.writer.columns_of`).
    """
    if path is None:
        yield lambda result: None
        return
    from builder_tools.timeline.summary import SummaryMaker, describe_people, describe_video
    from builder_tools.timeline.writer import TimelineWriter

    maker, early_end = SummaryMaker(tuple(emotions), rule), None
    with TimelineWriter(path, tuple(emotions), **columns) as writer:

        def write(result: FrameResult) -> None:
            writer.write(result)
            maker.add(result)

        try:
            try:
                yield write
            finally:
                writer.flush()
        except BaseException as error:
            if not writer.num_rows:
                raise
            early_end = error
    print(f"Written: {path}, {counted(writer.num_rows, 'row')}", file=sys.stderr)
    if not isinstance(early_end, OSError):
        for line in [*describe_people(maker.people()), describe_video(maker)]:
            print(line, file=tell)
    if early_end is not None:
        raise early_end
