"""Turns viewers' recordings and a film into everything that `builder-tools highlights` writes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pandas as pd

from builder_tools.inference import Inference
from builder_tools.media import VideoReader
from builder_tools.media.guarding import check_outputs, check_own
from builder_tools.media.partial import replacing
from builder_tools.media.restarts import clock_shifts_s
from builder_tools.timeline.chance import common_reaction
from builder_tools.timeline.cuts import (
    cuts_of,
    write_edl,
    write_ffconcat,
    write_highlights,
)
from builder_tools.timeline.highlights import (
    AGREED,
    MOST_CHANCE,
    Highlight,
    HighlightSettings,
    find_highlights,
    reactions,
)
from builder_tools.timeline.people import PersonRule
from builder_tools.timeline.reading import AFFECT, measure_column, read_emotions, read_timeline
from builder_tools.timeline.recordings import (
    Viewer,
    check_repeats,
    few_of,
    find_offsets,
    unused_name,
)
from builder_tools.timeline.seats import viewers_in
from builder_tools.timeline.trailer import cut_trailer
from builder_tools.timeline.viewer_reports import ViewerReport, placed_report, report_of
from builder_tools.timeline.writer import FIRST_COLUMNS, TABLE_SUFFIXES, TimelineWriter

LONGEST_FILM_S = 7 * 24 * 3600.0
"""Longest film, or time from the first recording's beginning to the last one's end."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """Everything that a search for highlights found.

    Args:
        highlights: The highlights, best first.
        reports: A report per recording.
        viewers: Reactions, a column per viewer; empty if no face was seen.
        duration_s: Duration of the film.
        files: The files written.
        problems: What to tell the user.
    """

    highlights: list[Highlight]
    reports: list[ViewerReport]
    viewers: pd.DataFrame
    duration_s: float
    files: list[Path]
    problems: list[str]


def watch(
    viewer: Viewer,
    inference: Inference,
    folder: Path,
    progress: Callable[[Iterable, str, float], Iterable] = lambda items, name, total: items,
) -> tuple[pd.DataFrame | None, str]:
    """Return a viewer's timeline, made from the recording if needed, and what was wrong with it.

    The timeline is None if the recording cannot be read.

    Args:
        viewer: The viewer.
        inference: `Inference` in `video` mode, with tracking.
        folder: Folder in which the timeline is kept, as `<name>.csv`.
        progress: Wraps the frames; called with them, the viewer's name and how many are expected.
    """
    try:
        if viewer.path.suffix.lower() in TABLE_SUFFIXES:
            return read_timeline(viewer.path), ""
        results = inference.run(viewer.path)
    except (OSError, ValueError) as error:
        return None, str(error)
    path = folder / f"{viewer.name}.csv"
    with results, TimelineWriter(path, tuple(inference.model.emotions)) as writer:
        expected = (results.source.duration_s or 0) * results.source.fps
        for result in progress(results, viewer.name, expected):
            writer.write(result)
        problem = results.source.warning or ""
    return read_timeline(path), problem


def search(
    viewers: Sequence[Viewer],
    film: Path | None,
    out: Path,
    inference: Inference,
    settings: HighlightSettings,
    progress: Callable[[Iterable, str, float], Iterable] = lambda items, name, total: items,
    *,
    rule: PersonRule | None = None,
) -> Found:
    """Process all viewers, find the highlights and write everything but the figure.

    Args:
        viewers: The viewers.
        film: What they watched; if None and there is one viewer, that recording is cut, at the
            moments of the film less its offset.
        out: Folder to write to: `highlights.csv`, `viewers.csv`, `reactions.csv`, `timelines/`
            and, if there is something to cut and a highlight, `highlights.edl`,
            `highlights.ffconcat`, `trailer.mp4`.
        inference: `Inference` in `video` mode, with tracking.
        settings: What counts as a highlight.
        progress: Wraps the frames; see `watch`.
        rule: Who counts as a viewer in a recording, each as one (in an archive that of its
            detector); None counts only the largest face in each recording.

    Raises:
        ValueError: If a recording is given twice, an output would replace something, a timeline
            lacks the measure, the film or the recordings span more than `LONGEST_FILM_S`, or no
            recording can be read; if only some cannot, they are left out.
    """
    check_repeats(viewers, film)
    check_folder(out, viewers, film)
    check_measure(viewers, settings.signal.measure, inference.model.emotions)
    clip = film or (viewers[0].path if len(viewers) == 1 else None)
    if clip is not None and clip.suffix.lower() in TABLE_SUFFIXES:
        clip = None
    film_s = _film_length_s(film) if film else None
    out.mkdir(parents=True, exist_ok=True)
    seats, reports = dict[str, list[pd.DataFrame]](), []
    for viewer in viewers:
        table, problem = watch(viewer, inference, out / "timelines", progress)
        reports.append(report_of(viewer, table, problem))
        if table is not None:
            seats[viewer.name] = _seats(table, viewer, rule, settings.signal.measure)
    if not seats:
        raise ValueError(reports[0].problem)
    offsets = find_offsets([viewer for viewer in viewers if viewer.name in seats], film)
    for name, there in seats.items():
        seats[name] = [one for one in there if _is_in_film(one, offsets[name][0], film_s)]
    reports = [
        placed_report(one, offsets[one.viewer], len(seats[one.viewer]), film_s)
        if one.viewer in seats
        else replace(one, problem=f"{one.problem} So it is left out.")
        for one in reports
    ]
    tables, starts = _by_viewer(reports, seats)
    spans_s = [(r.offset_s, r.end_s) for r in reports if r.viewer in seats and not r.is_before_film]
    duration_s = film_s or max((end_s for _, end_s in spans_s), default=0.0)
    # Without the film, all that is known of it lies between the first beginning and the last end.
    from_s = 0.0 if film else max(min(spans_s, default=(0.0, 0.0))[0], 0.0)
    if tables and duration_s - from_s > LONGEST_FILM_S:
        raise ValueError(_too_far_apart(starts))
    seen = pd.DataFrame()
    if tables:
        seen = reactions(tables, starts, duration_s, settings.signal, from_s=from_s)
    highlights = find_highlights(seen, duration_s, settings, from_s=from_s) if tables else []
    files = _write_tables(out, highlights, reports, seen, settings)
    files += _write_cuts(out, clip, highlights, 0.0 if film else reports[0].offset_s)
    problems = _problems(reports) + _remarks(seen, highlights, (from_s, duration_s), settings)
    return Found(highlights, reports, seen, duration_s, files, problems)


def _seats(
    table: pd.DataFrame, viewer: Viewer, rule: PersonRule | None, measure: str
) -> list[pd.DataFrame]:
    """Return the timeline of each person in a recording, with the columns that are needed."""
    needed = ["frame", "time_s", "track", "face_px", measure_column(table, measure)]
    own = PersonRule.for_detector(viewer.detector) if rule and viewer.detector else rule
    return [seat[needed] for seat in viewers_in(table, own)]


def _is_in_film(seat: pd.DataFrame, offset_s: float, film_s: float | None) -> bool:
    """Return whether somebody is seen during the film; else they would count as looking away."""
    times_s = seat["time_s"] + offset_s
    return bool(((times_s >= 0) & (times_s < (film_s or float("inf")))).any())


def _problems(reports: Sequence[ViewerReport]) -> list[str]:
    """Say what befell recordings, each problem once, as thousands may have the same one."""
    befell: dict[str, list[str]] = {}
    for report in reports:
        if report.problem:
            befell.setdefault(report.problem, []).append(report.viewer)
    return [f"{few_of(who)}: {problem}" for problem, who in befell.items()]


def _film_length_s(film: Path) -> float:
    with VideoReader(film) as reader:
        length_s = reader.duration_s
        if not length_s or clock_shifts_s(film):  # undeclared, or declared for its last part
            for frame in reader:
                length_s = frame.time_s + 1 / reader.fps
    if length_s > LONGEST_FILM_S:
        raise ValueError(
            f"Expected a film of at most {LONGEST_FILM_S / 3600:g} hours. Received: {film}, which "
            f"declares {length_s / 3600:.0f}. Convert it anew, as its header may be wrong."
        )
    return length_s


def _too_far_apart(starts: Mapping[str, float]) -> str:
    """Say which recordings cannot be of one film, by when each viewer's began."""
    told = [f"{name} begins at {starts[name]:.0f} s" for name in sorted(starts, key=starts.get)]
    return (
        f"Expected recordings of one film, within {LONGEST_FILM_S / 3600:g} hours. Received: "
        f"{told[0]}, {told[-1]}. Say when each began: VIEWER@+SECONDS, or --offsets."
    )


def _by_viewer(
    reports: Sequence[ViewerReport], seats: Mapping[str, Sequence[pd.DataFrame]]
) -> tuple[dict[str, pd.DataFrame], dict[str, float]]:
    """Return viewer -> timeline, and when it began; several in a recording are numbered."""
    tables, starts, taken = {}, {}, {report.viewer.casefold() for report in reports}
    for report in reports:
        there = seats.get(report.viewer, ())
        for number, seat in enumerate(there[: report.people], start=1):
            name = report.viewer
            if len(there) > 1:
                name = unused_name(f"{report.viewer} #{number}", taken)
            tables[name], starts[name] = seat, report.offset_s
    return tables, starts


OUT_FILES = (
    *("highlights.csv", "viewers.csv", "reactions.csv", "highlights.png"),
    *("highlights.edl", "highlights.ffconcat", "trailer.mp4"),
)
"""What a search writes to its folder; what it does not write, it removes."""


def check_folder(out: Path, viewers: Sequence[Viewer], film: Path | None) -> None:
    """Refuse a folder in which an input, or a file not from a search, would be replaced.

    Raises:
        ValueError: If there is such a file; names it.
    """
    made = [
        f"timelines/{v.name}.csv" for v in viewers if v.path.suffix.lower() not in TABLE_SUFFIXES
    ]
    outputs = {name: out / name for name in (*OUT_FILES, *made)}
    check_outputs(outputs, [*(viewer.path for viewer in viewers), *([film] if film else [])])
    check_own(out / "viewers.csv", "viewer,offset_s,")
    for name in made:  # those of an aborted search may be replaced
        check_own(out / name, ",".join(FIRST_COLUMNS[:3]))
    there = [name for name in OUT_FILES if (out / name).exists()]
    if there and not (out / "viewers.csv").is_file():
        raise ValueError(
            f"Expected a new folder for --out, or that of an earlier search. {out} holds {there}, "
            "which would be replaced. Name another folder."
        )


def check_measure(viewers: Sequence[Viewer], measure: str, emotions: Iterable[str]) -> None:
    """Refuse a measure that a viewer's timeline lacks, before any recording is watched.

    Args:
        viewers: The viewers.
        measure: `arousal`, `valence`, `intensity` or an emotion.
        emotions: Emotions of the model that watches recordings.

    Raises:
        ValueError: If there is such a viewer; names the first.
    """
    if measure in AFFECT:
        return
    for viewer in viewers:
        is_table = viewer.path.suffix.lower() in TABLE_SUFFIXES
        try:
            own = list(read_emotions(viewer.path) if is_table else emotions)
        except (OSError, ValueError):  # `watch` says why it is left out
            continue
        if measure not in own:
            raise ValueError(
                f"Expected one of {[*AFFECT, *own]} for the viewer {viewer.name!r}. Received: "
                f"measure={measure!r}."
            )


def _remarks(
    seen: pd.DataFrame,
    highlights: Sequence[Highlight],
    span_s: tuple[float, float],
    settings: HighlightSettings,
) -> list[str]:
    """Return why there are no highlights, or how far those found can be trusted."""
    if seen.empty:
        return ["No viewer was seen in any recording, so there are no highlights."]
    viewers = seen.shape[1]
    if viewers == 1 and highlights:
        return ["One viewer alone: what moved them need not move others."]
    shaky = [one for one in highlights if one.trust != AGREED]
    if not highlights and settings.only_agreed and viewers > 1:
        from_s, to_s = span_s
        shaky = find_highlights(seen, to_s, replace(settings, only_agreed=False), from_s=from_s)
    if shaky and viewers > 1:
        kept = "They are cut all the same." if highlights else "Nothing is cut (--force does)."
        return [
            f"Nothing moved the {viewers} viewers together at {len(shaky)} of the moments that "
            f"stand out: that takes {settings.least_agreement:.0%} of those seen at "
            f"{settings.clear_sigmas:g} sigma or more, and a 95 % interval of their median "
            f"above 0. {kept}"
        ]
    lucky = [one for one in highlights if one.chance is not None and one.chance > MOST_CHANCE]
    if lucky:
        return [
            f"{len(lucky)} of these moments may be chance: {viewers} viewers who react each for "
            f"themselves give one as high in {min(one.chance for one in lucky):.0%} of films or "
            "more (column chance). More viewers, or a longer film, would tell."
        ]
    if not highlights:
        return [
            f"No moment stands out by {settings.prominence:g} sigma in {settings.signal.measure}: "
            "no highlights. Try a lower --prominence or another --by."
        ]
    return []


def _write_tables(
    out: Path,
    highlights: list[Highlight],
    reports: list[ViewerReport],
    seen: pd.DataFrame,
    settings: HighlightSettings,
) -> list[Path]:
    """Write the tables; before, remove what an earlier search wrote, as it may be of other moments.

    `viewers.csv` is the first, as it marks the folder as that of a search (`check_folder`).
    """
    table = pd.DataFrame([asdict(report) for report in reports]).round(4)
    with replacing(out / "viewers.csv") as partial:
        table.to_csv(partial, index=False)
    for name in set(OUT_FILES) - {"viewers.csv"}:
        (out / name).unlink(missing_ok=True)
    files = [write_highlights(out / "highlights.csv", highlights, settings.signal.measure)]
    common = seen.copy()
    if len(seen):
        common.insert(0, "median", common_reaction(seen.to_numpy(), settings.least_share))
    with replacing(out / "reactions.csv") as partial:
        common.round(4).to_csv(partial)
    return [*files, out / "viewers.csv", out / "reactions.csv"]


def _write_cuts(
    out: Path, clip: Path | None, highlights: list[Highlight], offset_s: float
) -> list[Path]:
    """Write the lists and the trailer.

    Args:
        out: Folder to write to.
        clip: What is cut; None writes nothing.
        highlights: In seconds of the film.
        offset_s: When the clip began, in seconds of the film.
    """
    names = ("highlights.edl", "highlights.ffconcat", "trailer.mp4")
    edl, concat, trailer = (out / name for name in names)
    if clip is None or not highlights:
        return []
    with VideoReader(clip) as reader:
        fps, sound, start_s = reader.fps, reader.has_audio, reader.start_s
    cuts = cuts_of(highlights, fps, offset_s)
    write_edl(edl, clip, cuts, fps, sound=sound)
    write_ffconcat(concat, clip, cuts, fps, start_s)
    _logger.info("Cutting %s", trailer)
    return [edl, concat, cut_trailer(clip, cuts, trailer)]


def describe(highlight: Highlight) -> str:
    """Describe a highlight in a line of text."""
    interval = (
        ""
        if highlight.score_low is None
        else f" (95 % {highlight.score_low:+.2f} ... {highlight.score_high:+.2f})"
    )
    return (
        f"{highlight.rank:2d}. {highlight.start_s:8.2f} - {highlight.end_s:8.2f} s  "
        f"score {highlight.score:+.2f}{interval}, {highlight.agreeing} of {highlight.viewers} "
        f"viewers ({highlight.trust}), peak at {highlight.peak_s:.2f} s"
    )
