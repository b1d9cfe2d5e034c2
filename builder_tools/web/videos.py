"""Turns a video, read once frame by frame, into an annotated video, tables and highlights."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from builder_tools.drawing import DrawBox
from builder_tools.inference import ResultStream
from builder_tools.timeline.people import PersonRule
from builder_tools.timeline.summary import Summary, SummaryMaker
from builder_tools.timeline.writer import TimelineWriter
from builder_tools.tracking.flicker import periods_shown
from builder_tools.web.engine import OWN, Choice, Engine
from builder_tools.web.limits import Limits, Refused, check_duration, check_video

SMOOTH_S = 0.3
TELL_EVERY_S = 0.5
MOST_FPS = 250
"""Most images per second, over the longest video that is accepted."""
MOST_POINTS = 300
"""Most points of a curve."""
MOST_PEOPLE = 8
"""Most people shown, those seen longest; all are counted."""
FRAMES_A_POINT = 3
"""Least frames per point, as they are spaced unevenly."""
FILES = {
    "video": "annotated.mp4",
    "csv": "timeline.csv",
    "json": "frames.jsonl",
    "highlights": "highlights.csv",
}


@dataclass(frozen=True)
class VideoProgress:
    """Progress of a video.

    Args:
        frame: Frames done.
        total: Frames expected, or None if the header does not say.
        fps: Frames processed per second.
    """

    frame: int
    total: int | None
    fps: float

    @property
    def left_s(self) -> float | None:
        """Seconds left, or None if unknown."""
        known = self.total is not None and self.fps > 0
        return max(self.total - self.frame, 0) / self.fps if known else None


@dataclass(frozen=True)
class Curves:
    """Means over one or more people in time, at most `MOST_POINTS` points.

    Args:
        times_s: `(n,)` midpoints of equal time intervals.
        emotions: Emotion -> `(n,)` mean probability, NaN where nobody was seen.
        valence: `(n,)` mean, NaN where nobody was seen.
        arousal: `(n,)` mean, NaN where nobody was seen.
        duration_s: Duration of the video.
    """

    times_s: np.ndarray
    emotions: Mapping[str, np.ndarray]
    valence: np.ndarray
    arousal: np.ndarray
    duration_s: float


@dataclass(frozen=True)
class VideoAnswer:
    """What a video shows; the files of `FILES` are in its folder.

    Args:
        frames: Number of frames read.
        with_face: Number of frames with a face.
        people: The people seen, longest in view first.
        left_out: Number of tracks too short or weak to be a person.
        curves: Emotions over time, or None if nobody was seen.
        curves_by_person: Track -> its own curves, for the `MOST_PEOPLE` seen longest; empty if
            there is only one person.
        highlights: From `builder_tools.timeline.highlights`, best first.
        warning: What part of the video could not be read, or None.
        duration_s: Duration of the part that was read.
    """

    frames: int
    with_face: int
    people: tuple[Summary, ...]
    left_out: int
    curves: Curves | None
    curves_by_person: Mapping[int, Curves]
    highlights: tuple
    warning: str | None
    duration_s: float


def watch_video(
    path: Path,
    folder: Path,
    engine: Engine,
    limits: Limits,
    choice: Choice = OWN,
    drawer: DrawBox | None = None,
) -> Iterator[VideoProgress | VideoAnswer]:
    """Process a video; yield its progress from time to time, and the answer at the end.

    Closing the iterator early stops the work and leaves no half-written video or table.

    Args:
        path: The video.
        folder: Folder to write the files of `FILES` to.
        engine: The models and detectors.
        limits: What is accepted.
        choice: Model, detector and decision.
        drawer: Draws the annotated video; `DrawBox()` if None.

    Raises:
        Refused: If the video is not accepted, cannot be read, or turns out to be too long or to
            have too many images.
    """
    check_video(path, limits)
    rule = PersonRule.for_detector(choice.detector or engine.default.detector)
    maker = SummaryMaker(tuple(engine.classifier(choice).emotions), rule)
    settings = {"draw_box_obj": drawer or DrawBox(), "smooth_s": SMOOTH_S}
    with ExitStack() as opened:
        inference = opened.enter_context(engine.inference(choice, "video_rec", **settings))
        try:
            stream = opened.enter_context(inference.run(path, out=folder / FILES["video"]))
        except (ValueError, OSError) as error:
            raise Refused("corrupt_video") from error
        last_s = yield from _watch(stream, folder, limits, maker)
        warning, fps = stream.source.warning, stream.source.fps
    duration_s = last_s + 1 / fps
    if warning is not None:
        warning = warning.replace(f"{path}: ", "")  # show none of this machine's folders
    yield _answer(folder, maker, duration_s, warning)


def _watch(
    stream: ResultStream, folder: Path, limits: Limits, maker: SummaryMaker
) -> Iterator[VideoProgress]:
    """Write the results of every frame; yield progress, and return the last frame's time."""
    seconds, fps = stream.source.duration_s, stream.source.fps
    total = round(seconds * fps) if seconds else None
    most = round(limits.max_video_s * MOST_FPS)
    begin = told = time.monotonic()
    last_s = 0.0
    lines_path = folder / FILES["json"]
    with (
        TimelineWriter(folder / FILES["csv"], maker.emotions) as writer,
        lines_path.open("w", encoding="utf-8") as lines,
    ):
        yield VideoProgress(0, total, 0.0)
        for result in stream:
            check_duration(result.time_s, limits)
            if maker.num_frames >= most:
                raise Refused("too_many_images", limit=most)
            writer.write(result)
            maker.add(result)
            told_of = {**result.to_dict(), "source": "video"}
            lines.write(json.dumps(told_of, ensure_ascii=False) + "\n")
            last_s, now = result.time_s, time.monotonic()
            if now - told >= TELL_EVERY_S:
                told = now
                yield VideoProgress(maker.num_frames, total, maker.num_frames / (now - begin))
    yield VideoProgress(maker.num_frames, maker.num_frames, 0.0)
    return last_s


def _answer(
    folder: Path, maker: SummaryMaker, duration_s: float, warning: str | None
) -> VideoAnswer:
    from builder_tools.timeline.cuts import write_highlights
    from builder_tools.timeline.highlights import highlights_of
    from builder_tools.timeline.reading import read_timeline
    from builder_tools.timeline.signals import SignalSettings

    table, people = read_timeline(folder / FILES["csv"]), maker.people()
    tracks = [person.track for person in people]
    own = table[table["track"].isin(tracks) | table["track"].isna()]
    highlights = highlights_of(own, duration_s, maker.rule) if people else []
    write_highlights(folder / FILES["highlights"], highlights, SignalSettings().measure)
    ranked = tuple(sorted(people, key=lambda person: -person.seen_s))
    apart = sorted(one.track for one in ranked[:MOST_PEOPLE]) if len(ranked) > 1 else []
    return VideoAnswer(
        frames=maker.num_frames,
        with_face=maker.with_face,
        people=ranked,
        left_out=maker.left_out,
        curves=curves_of(table, tracks, maker.emotions, duration_s) if people else None,
        curves_by_person={
            track: curves_of(table, [track], maker.emotions, duration_s) for track in apart
        },
        highlights=tuple(highlights),
        warning=warning,
        duration_s=duration_s,
    )


def curves_of(
    table, tracks: Collection[int], emotions: tuple[str, ...], duration_s: float
) -> Curves:
    """Return means over some people in equal time intervals.

    Args:
        table: A timeline, as `read_timeline` returns it, of every frame.
        tracks: The people.
        emotions: Class order of the model.
        duration_s: Duration of the video.
    """
    bins = min(MOST_POINTS, max(int(table["frame"].nunique()) // FRAMES_A_POINT, 1))
    edges = np.linspace(0, max(duration_s, 1e-6), bins + 1)
    places = np.clip(np.searchsorted(edges, table["time_s"], side="right") - 1, 0, bins - 1)
    shown = periods_shown(places, bins, edges[1])
    is_theirs = table["track"].isin(tracks).to_numpy()
    place, seen = places[is_theirs], table[is_theirs]
    counts = np.bincount(place, minlength=bins)

    def mean(column: str) -> np.ndarray:
        sums = np.bincount(place, seen[column].to_numpy(float), bins)
        means = np.divide(sums, counts, out=np.full(bins, np.nan), where=counts > 0)
        return np.where(shown >= 0, means[shown], np.nan)

    return Curves(
        times_s=(edges[:-1] + edges[1:]) / 2,
        emotions={name: mean(f"p_{name}") for name in emotions},
        valence=mean("valence"),
        arousal=mean("arousal"),
        duration_s=duration_s,
    )
