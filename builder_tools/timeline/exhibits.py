"""What visitors felt at each exhibit: dwell time, emotions and affect, with uncertainty.

Only group figures leave this module: for an exhibit with fewer visits than the minimum group
size nothing is shown, not even their number. No face, no image and no individual visitor's
figures are stored.

A visit is a track: the same person at two exhibits, or back after a while, counts as two visits,
since nobody is recognised. Intervals are 95 % bootstraps over visits, widened for small groups
(`small_groups`) and ending where no visit can lie beyond.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from builder_tools.inference import Inference
from builder_tools.media import IMAGE_SUFFIXES, read_image
from builder_tools.media.listing import files_below
from builder_tools.media.partial import replacing
from builder_tools.results import FrameResult
from builder_tools.timeline.archived import (
    VIDEO,
    archived_files,
    is_archive,
    read_rows,
    results_of,
)
from builder_tools.timeline.exhibits_config import Exhibit, ExhibitConfig
from builder_tools.timeline.people import PersonRule
from builder_tools.timeline.reading import emotions_of, read_emotions
from builder_tools.timeline.small_groups import widening
from builder_tools.timeline.summary import Summary, SummaryMaker

logger = logging.getLogger(__name__)

VIDEO_SUFFIXES = (
    *(".mp4", ".mov", ".m4v", ".mkv", ".avi", ".webm", ".mpg", ".mpeg", ".gif"),
    *(".mts", ".m2ts", ".ts", ".vob", ".wmv", ".asf", ".flv", ".3gp", ".ogv"),
)
STILL_SUFFIXES = tuple(suffix for suffix in IMAGE_SUFFIXES if suffix not in VIDEO_SUFFIXES)
SHAPE_MEASURES = ("turned_away", "not_seen", "eyes_closed")
"""Measures available only if the geometry of faces was requested."""
INTERVAL = (2.5, 97.5)
_LIMITS = {"dwell_s": (0.0, math.inf), "valence": (-1.0, 1.0), "arousal": (-1.0, 1.0)}
"""Least and greatest value of the measures that are not between 0 and 1."""
DRAWN_AT_ONCE = 1_000_000
"""Visits that the bootstrap draws at once, so that its memory does not grow with their number."""
MEASURES = ("dwell_s", "intensity", "valence", "arousal", *SHAPE_MEASURES)
"""What is estimated besides emotions."""


@dataclass(frozen=True)
class Visit:
    """One visit to an exhibit; kept only in memory.

    Args:
        dwell_s: Seconds from first to last sighting; None in a still image.
        summary: What the visitor showed.
    """

    dwell_s: float | None
    summary: Summary


def watch_exhibit(
    exhibit: Exhibit,
    video: Inference,
    camera: Inference,
    *,
    minimum_dwell_s: float,
    progress: Callable[[Iterable, str], Iterable] = lambda items, name: items,
) -> tuple[list[Visit], list[str]]:
    """Return the visits to an exhibit, and messages on what could not be read.

    Args:
        exhibit: The exhibit.
        video: `Inference` in `video` mode, with tracking.
        camera: `Inference` in `online` mode, with tracking.
        minimum_dwell_s: Shorter visits are left out.
        progress: Wraps the frames of each recording.

    Raises:
        ValueError: If the exhibit's folder has no videos or images.
    """
    if exhibit.is_camera:
        try:
            with camera.run(exhibit.source) as results:
                frames = progress(_for_seconds(results, exhibit.seconds), exhibit.name)
                people = _people(frames, tuple(camera.model.emotions), _detector_of(camera))
                failed = [results.source.error] if results.source.error else []
        except ConnectionError as error:
            return [], [str(error)]
        return _visits(people, minimum_dwell_s), failed
    if is_archive(exhibit.source):
        return _archived_visits(exhibit, video, minimum_dwell_s, progress), []
    visits: list[Visit] = []
    failed: list[str] = []
    emotions = tuple(video.model.emotions)
    paths = [Path(exhibit.source)]
    if paths[0].is_dir():
        paths, failed = _recordings(paths[0])
    if not paths:
        raise ValueError(f"Expected videos or images in {str(exhibit.source)!r}. Found none.")
    for path in paths:
        try:
            if path.suffix.lower() in STILL_SUFFIXES:
                found = FrameResult(str(path), 0, 0.0, video.analyse(read_image(path)))
                visits += _image_visits(found, emotions)
                continue
            with video.run(path) as results:
                frames = progress(results, f"{exhibit.name}: {path.name}")
                people = _people(frames, emotions, _detector_of(video))
                failed += [results.source.warning] if results.source.warning else []
        except (OSError, ValueError) as error:
            failed.append(f"{path}: {error}")
            continue
        visits += _visits(people, minimum_dwell_s)
    return visits, failed


def emotions_at(exhibit: Exhibit, inference: Inference) -> list[str]:
    """Return the emotions that an exhibit's visits will have, without watching it.

    Raises:
        FileNotFoundError, ValueError: If it is an archive without its files.
    """
    if exhibit.is_camera or not is_archive(exhibit.source):
        return list(inference.model.emotions)
    first, *_ = archived_files(exhibit.source, exhibit.files)
    return list(read_emotions(first.part))


def check_same_emotions(exhibits: Iterable[tuple[str, Iterable[str]]]) -> None:
    """Check that all exhibits have the same emotions, in any order, so that they can be compared.

    Args:
        exhibits: Names of exhibits and their emotions; a name may come several times.

    Raises:
        ValueError: If two of them differ; names both.
    """
    first: tuple[str, list[str]] | None = None
    for name, emotions in exhibits:
        own = list(emotions)
        first = first or (name, own)
        if set(own) != set(first[1]):
            raise ValueError(
                "Expected the emotions of one model at all exhibits. Received: "
                f"{first[0]!r} with {first[1]}, {name!r} with {own}. Make each archive with the "
                "model of the others (--model), or report on these exhibits apart."
            )


def check_rank_by(measure: str, emotions: Iterable[str], *, has_shape: bool) -> None:
    """Check, before anything is watched, that exhibits can be ranked by a measure.

    Args:
        measure: What `rank_by` says.
        emotions: The emotions of the visits.
        has_shape: Whether visits will have the geometry of faces, and so `SHAPE_MEASURES`.

    Raises:
        ValueError: If it is neither one of `MEASURES` that there will be nor an emotion.
    """
    lacking = () if has_shape else SHAPE_MEASURES
    known = [*(name for name in MEASURES if name not in lacking), *emotions]
    if measure not in known:
        raise ValueError(f"Expected rank_by to be one of {known}. Received: rank_by={measure!r}.")


def _recordings(folder: Path) -> tuple[list[Path], list[str]]:
    """Return the videos and images in a folder, each once, and unreadable files; log the rest."""
    found = list(files_below(folder))
    unreadable = [f"{path}: {reason}" for path, reason in found if reason is not None]
    paths: dict[str, Path] = {}
    for path in sorted(path for path, reason in found if reason is None):
        if path.suffix.lower() not in (*VIDEO_SUFFIXES, *STILL_SUFFIXES):
            logger.info("left out: %s: neither a video nor an image by its name", path)
            continue
        known = paths.setdefault(os.path.realpath(path), path)
        if known != path:
            logger.info("left out: %s: the same file as %s", path, known)
    return list(paths.values()), unreadable


def _for_seconds(results: Iterable[FrameResult], seconds: float) -> Iterable[FrameResult]:
    for result in results:
        yield result
        if result.time_s >= seconds:
            return


def _archived_visits(
    exhibit: Exhibit,
    video: Inference,
    minimum_dwell_s: float,
    progress: Callable[[Iterable, str], Iterable],
) -> list[Visit]:
    """Return the visits in an archive: the same as its videos and images would give."""
    visits: list[Visit] = []
    for file in progress(archived_files(exhibit.source, exhibit.files), exhibit.name):
        table = read_rows(file)
        results, emotions = results_of(table, file.name), tuple(emotions_of(table))
        if file.kind == VIDEO:
            detector = file.detector or _detector_of(video)
            visits += _visits(_people(results, emotions, detector), minimum_dwell_s)
        else:
            visits += [visit for one in results for visit in _image_visits(one, emotions)]
    return visits


def _detector_of(inference: Inference) -> str:
    return inference.describe()["detector"]["name"]


def _people(
    results: Iterable[FrameResult], emotions: tuple[str, ...], detector: str
) -> list[Summary]:
    maker = SummaryMaker(emotions, PersonRule.for_detector(detector))
    for result in results:
        maker.add(result)
    return maker.people()


def _image_visits(result: FrameResult, emotions: tuple[str, ...]) -> list[Visit]:
    """Return the faces in a still image as visits without dwell time."""
    maker = SummaryMaker(emotions, PersonRule(0.0, 0.0))
    named = tuple(
        replace(face, face=replace(face.face, track=number))
        for number, face in enumerate(result.faces, start=1)
    )
    maker.add(replace(result, faces=named))
    return [Visit(None, person) for person in maker.people()]


def _visits(people: Iterable[Summary], minimum_dwell_s: float) -> list[Visit]:
    visits = [Visit(person.last_s - person.first_s, person) for person in people]
    return [visit for visit in visits if visit.dwell_s >= minimum_dwell_s - 1e-6]


class Estimate(NamedTuple):
    """A mean and its 95 % interval; NaN where unknown."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ExhibitResult:
    """What a group of visitors felt.

    Args:
        name: Name of the exhibit.
        rank: 1 is the highest by `ExhibitConfig.rank_by`; None for groups that are too small.
        visits: Number of visits; None for groups that are too small.
        estimates: Measure or emotion -> estimate; empty for groups that are too small.
        group: What else its visits have in common, such as an hour or a weekday, by name.
    """

    name: str
    rank: int | None
    visits: int | None
    estimates: dict[str, Estimate]
    group: dict[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Title of the group in one line."""
        return ", ".join((self.name, *self.group.values()))


def judge_exhibits(
    visits: dict[str, Sequence[Visit]], config: ExhibitConfig
) -> list[ExhibitResult]:
    """Return the exhibits by rank; those with too few visits come last and are empty.

    Args:
        visits: Exhibit -> its visits.
        config: Group size, ranking and bootstrap.

    Raises:
        ValueError: If `rank_by` is neither a measure nor an emotion of the model, or the visits
            to exhibits that are shown have different emotions.
    """
    large = {name: v for name, v in visits.items() if len(v) >= config.minimum_group}
    check_same_emotions((name, v.summary.probabilities) for name in large for v in large[name])
    has_shape = config.rank_by in SHAPE_MEASURES or any(
        v.summary.turned_away is not None for group in large.values() for v in group
    )
    shapes = SHAPE_MEASURES if has_shape else ()
    found = {name: _estimates(group, config, shapes) for name, group in large.items()}
    for estimates in found.values():
        if config.rank_by not in estimates:
            raise ValueError(
                f"Expected rank_by to be one of {list(estimates)}. "
                f"Received: rank_by={config.rank_by!r}."
            )
    values = {name: estimates[config.rank_by].value for name, estimates in found.items()}
    order = sorted(found, key=lambda name: (math.isnan(values[name]), -values[name]))
    ranked = [
        ExhibitResult(name, rank, len(large[name]), found[name])
        for rank, name in enumerate(order, start=1)
    ]
    return ranked + [ExhibitResult(name, None, None, {}) for name in visits if name not in large]


def _estimates(
    group: Sequence[Visit], config: ExhibitConfig, shapes: Sequence[str]
) -> dict[str, Estimate]:
    emotions = list(group[0].summary.probabilities)
    columns = {
        "dwell_s": [visit.dwell_s for visit in group],
        "intensity": [visit.summary.intensity for visit in group],
        "valence": [visit.summary.valence for visit in group],
        "arousal": [visit.summary.arousal for visit in group],
        **{name: [getattr(visit.summary, name) for visit in group] for name in shapes},
        **{name: [visit.summary.probabilities[name] for visit in group] for name in emotions},
    }
    values = np.array(list(columns.values()), float).T
    known = np.isfinite(values)
    counts = known.sum(axis=0)
    drawn_sums, drawn_counts = _redrawn(np.where(known, values, 0.0), known, config)
    estimates = {}
    for place, name in enumerate(columns):
        if counts[place] < config.minimum_group:  # known for too few visits
            estimates[name] = Estimate(math.nan, math.nan, math.nan)
            continue
        there = drawn_counts[:, place] > 0
        means = drawn_sums[there, place] / drawn_counts[there, place]
        mean = float(values[known[:, place], place].mean())
        ends = mean + widening(int(counts[place])) * (np.percentile(means, INTERVAL) - mean)
        low, high = np.clip(ends, *_LIMITS.get(name, (0.0, 1.0))).tolist()
        estimates[name] = Estimate(mean, low, high)
    return estimates


def _redrawn(
    values: np.ndarray, known: np.ndarray, config: ExhibitConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Return the sums and counts of known values over bootstrap samples of visits.

    Args:
        values: `(visits, m)`, 0 where unknown.
        known: `(visits, m)` bool.
        config: Number of samples n, and their seed.

    Returns:
        Two arrays `(n, m)`.
    """
    rng, size = np.random.default_rng(config.seed), len(values)
    both, found = np.hstack([values, known]), []
    at_once = max(DRAWN_AT_ONCE // size, 1)
    for first in range(0, config.resamples, at_once):
        draws = rng.integers(0, size, (min(at_once, config.resamples - first), size))
        weights = np.stack([np.bincount(one, minlength=size) for one in draws])
        found.append(weights.astype(float) @ both)
    sums, counts = np.hsplit(np.concatenate(found), 2)
    return sums, counts


def write_exhibits(path: Path, results: Sequence[ExhibitResult], config: ExhibitConfig) -> Path:
    """Write a row per result: `exhibit, rank, visits, note, <measure>, <measure>_low, ...`.

    The columns of `ExhibitResult.group`, if any, follow `exhibit`.
    """
    rows = []
    for result in results:
        note = "" if result.rank else too_few(config)
        row = {"exhibit": result.name, **result.group, "rank": result.rank}
        row |= {"visits": result.visits, "note": note}
        for name, estimate in result.estimates.items():
            row |= {
                name: estimate.value,
                f"{name}_low": estimate.low,
                f"{name}_high": estimate.high,
            }
        rows.append(row)
    columns = None if rows else ["exhibit", "rank", "visits", "note"]
    table = pd.DataFrame(rows, columns=columns).astype({"rank": "Int64", "visits": "Int64"})
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        table.round(4).to_csv(partial, index=False)
    return path


def too_few(config: ExhibitConfig) -> str:
    """Return the note on a group that is too small."""
    return f"fewer than {config.minimum_group} visits: not shown"
