"""What visitors felt at each exhibit: dwell time, emotions, affect, with uncertainty.

Only figures of groups leave this module: an exhibit with fewer visitors than the minimum group
size shows nothing at all, not even how many there were. No face, no image and no single
visitor's figures are stored.

A visit is a track: the same person at two exhibits, or back after a while, is two visits, since
nobody is recognised. Intervals are 95 % percentile bootstraps over visits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from builder_tools.fields import check_fields, check_keys, is_number, is_text, is_whole, read_toml
from builder_tools.inference import Inference
from builder_tools.media import IMAGE_SUFFIXES, read_image
from builder_tools.media.partial import replacing
from builder_tools.results import FrameResult
from builder_tools.timeline.people import PersonRule
from builder_tools.timeline.summary import Summary, SummaryMaker

VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv", ".avi", ".webm", ".mpg", ".mpeg", ".gif")
STILL_SUFFIXES = tuple(suffix for suffix in IMAGE_SUFFIXES if suffix not in VIDEO_SUFFIXES)
LEAST_GROUP = 5
INTERVAL = (2.5, 97.5)
DEFAULT_CAMERA_S = 60.0
SHAPE_MEASURES = ("turned_away", "not_seen", "eyes_closed")
"""Only where the geometry of faces was asked for."""
MEASURES = ("dwell_s", "intensity", "valence", "arousal", *SHAPE_MEASURES)
"""What is estimated besides emotions."""


_EXHIBIT_KINDS = {
    "name": (is_text, "a text"),
    "source": (
        lambda source: is_text(source) or (is_whole(source) and source >= 0),
        "a path or address (a text), or a camera's index (0, 1, ...)",
    ),
    "seconds": (lambda value: is_number(value) and value > 0, "a number of seconds above 0"),
}
_CONFIG_KINDS = {
    "title": (is_text, "a text"),
    "minimum_group": (is_whole, "a whole number"),
    "minimum_dwell_s": (is_number, "a number of seconds"),
    "rank_by": (is_text, "a text"),
    "resamples": (lambda count: is_whole(count) and count <= 1_000_000, "a whole number"),
    "seed": (lambda seed: is_whole(seed) and seed >= 0, "a whole number, at least 0"),
}


@dataclass(frozen=True)
class Exhibit:
    """A place to watch.

    Args:
        name: What it is called in the report.
        source: Folder of videos and images, a video, a camera's index or an address.
        seconds: How long to watch a camera.
    """

    name: str
    source: str | int
    seconds: float = DEFAULT_CAMERA_S

    def __post_init__(self) -> None:
        check_fields(f"the exhibit {self.name!r}", vars(self), _EXHIBIT_KINDS)

    @property
    def is_camera(self) -> bool:
        """Whether the source never ends by itself."""
        return isinstance(self.source, int) or "://" in self.source


@dataclass(frozen=True)
class ExhibitConfig:
    """What `builder-tools exhibits` reads.

    Args:
        exhibits: Where to look.
        title: Of the report.
        minimum_group: Visits an exhibit needs before anything of it is shown.
        minimum_dwell_s: Shorter visits are passers-by and do not count (images have no dwell).
        rank_by: One of `MEASURES`, or an emotion.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.

    Raises:
        ValueError: If something is out of its range.
    """

    exhibits: tuple[Exhibit, ...]
    title: str = "Exhibits"
    minimum_group: int = LEAST_GROUP
    minimum_dwell_s: float = 1.0
    rank_by: str = "intensity"
    resamples: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        check_fields("the configuration", vars(self), _CONFIG_KINDS)
        names = [exhibit.name for exhibit in self.exhibits]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"Expected one or more exhibits of distinct names. Received: {names}.")
        if self.minimum_group < 2 or not self.minimum_dwell_s >= 0 or self.resamples < 1:
            raise ValueError(
                "Expected minimum_group >= 2 (one visitor is nobody's group), minimum_dwell_s >= 0 "
                f"and resamples >= 1. Received: {self.minimum_group}, {self.minimum_dwell_s}, "
                f"{self.resamples}."
            )


def read_config(path: str | Path) -> ExhibitConfig:
    """Read a configuration.

    ```toml
    title = "Spring show"
    minimum_group = 5        # all of these are optional
    minimum_dwell_s = 1.0
    rank_by = "intensity"

    [[exhibit]]
    name = "Room 1"
    source = "recordings/room1"   # relative to this file

    [[exhibit]]
    name = "Entrance"
    source = 0                    # a camera, watched for so many seconds
    seconds = 120
    ```

    Raises:
        FileNotFoundError: If it, or a source it names, does not exist.
        ValueError: If it is no TOML, or a key is unknown or missing; says which.
    """
    path = Path(path)
    content, rows = read_toml(path, "exhibit")
    exhibits = tuple(_exhibit(row, path.parent) for row in rows)
    check_keys(str(path), content, set(ExhibitConfig.__dataclass_fields__) - {"exhibits"})
    return ExhibitConfig(exhibits, **content)


def _exhibit(row: dict[str, Any], folder: Path) -> Exhibit:
    check_keys("an [[exhibit]]", row, set(Exhibit.__dataclass_fields__), {"name", "source"})
    check_fields(f"the exhibit {row['name']!r}", row, _EXHIBIT_KINDS)
    source = row["source"]
    if isinstance(source, str) and "://" not in source:
        source = str(folder / source)
        if not Path(source).exists():
            raise FileNotFoundError(f"Exhibit {row['name']!r}: nothing at {source!r}.")
    return Exhibit(**{**row, "source": source})


@dataclass(frozen=True)
class Visit:
    """A visitor before an exhibit; kept in memory only.

    Args:
        dwell_s: First to last sight, seconds; None in a still image.
        summary: What they showed.
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
    """Return the visits to an exhibit, and what could not be read.

    Args:
        exhibit: Where.
        video: `Inference` in `video` mode, with tracking.
        camera: In `online` mode, with tracking.
        minimum_dwell_s: Shorter visits are left out.
        progress: Wraps the frames of each recording.
    """
    if exhibit.is_camera:
        with camera.run(exhibit.source) as results:
            frames = _for_seconds(results, exhibit.seconds)
            people = _people(progress(frames, exhibit.name), camera)
            failed = [results.source.error] if results.source.error else []
        return _visits(people, minimum_dwell_s), failed
    visits: list[Visit] = []
    failed: list[str] = []
    for path in _recordings(Path(exhibit.source)):
        try:
            if path.suffix.lower() in STILL_SUFFIXES:
                visits += _image_visits(path, video)
                continue
            with video.run(path) as results:
                people = _people(progress(results, f"{exhibit.name}: {path.name}"), video)
                failed += [results.source.warning] if results.source.warning else []
        except (OSError, ValueError) as error:
            failed.append(f"{path}: {error}")
            continue
        visits += _visits(people, minimum_dwell_s)
    return visits, failed


def _for_seconds(results: Iterable[FrameResult], seconds: float) -> Iterable[FrameResult]:
    for result in results:
        yield result
        if result.time_s >= seconds:
            return


def _recordings(source: Path) -> list[Path]:
    """Return a video itself, or a folder's videos and images by name.

    Raises:
        ValueError: If the folder has none.
    """
    if not source.is_dir():
        return [source]
    kinds = {*VIDEO_SUFFIXES, *STILL_SUFFIXES}
    found = sorted(path for path in source.rglob("*") if path.suffix.lower() in kinds)
    if not found:
        raise ValueError(f"Expected videos or images in {str(source)!r}. Found none.")
    return found


def _people(results: Iterable[FrameResult], inference: Inference) -> list[Summary]:
    rule = PersonRule.for_detector(inference.describe()["detector"]["name"])
    maker = SummaryMaker(tuple(inference.model.emotions), rule)
    for result in results:
        maker.add(result)
    return maker.people()


def _image_visits(path: Path, inference: Inference) -> list[Visit]:
    """Return a still image's faces as visits without dwell."""
    maker = SummaryMaker(tuple(inference.model.emotions), PersonRule(0.0, 0.0))
    found = inference.analyse(read_image(path))
    named = tuple(
        replace(face, face=replace(face.face, track=number))
        for number, face in enumerate(found, start=1)
    )
    maker.add(FrameResult(str(path), 0, 0.0, named))
    return [Visit(None, person) for person in maker.people()]


def _visits(people: Iterable[Summary], minimum_dwell_s: float) -> list[Visit]:
    visits = [Visit(person.last_s - person.first_s, person) for person in people]
    return [visit for visit in visits if visit.dwell_s >= minimum_dwell_s]


@dataclass(frozen=True)
class Estimate:
    """A mean and its 95 % interval; NaN where unknown."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ExhibitResult:
    """What a group of visitors felt.

    Args:
        name: Of the exhibit.
        rank: 1 is the highest of `ExhibitConfig.rank_by`; None for groups that are too small.
        visits: How many; None for groups that are too small.
        estimates: By measure and emotion; empty for groups that are too small.
    """

    name: str
    rank: int | None
    visits: int | None
    estimates: dict[str, Estimate]


def judge_exhibits(
    visits: dict[str, Sequence[Visit]], config: ExhibitConfig
) -> list[ExhibitResult]:
    """Return the exhibits by rank; those with too few visits last and empty.

    Args:
        visits: By exhibit.
        config: Group size, ranking, bootstrap.

    Raises:
        ValueError: If `rank_by` is no measure and no emotion of the model.
    """
    large = {name: v for name, v in visits.items() if len(v) >= config.minimum_group}
    has_shape = any(v.summary.turned_away is not None for group in large.values() for v in group)
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
    draws = np.random.default_rng(config.seed).integers(
        0, len(group), (config.resamples, len(group))
    )
    return {
        name: _estimate(np.array(values, float), draws, config.minimum_group)
        for name, values in columns.items()
    }


def _estimate(values: np.ndarray, draws: np.ndarray, minimum_group: int) -> Estimate:
    """Return a mean over those of whom it is known, if they are enough for a group."""
    known = np.isfinite(values)
    if known.sum() < minimum_group:
        return Estimate(math.nan, math.nan, math.nan)
    sums, counts = np.where(known, values, 0.0)[draws].sum(axis=1), known[draws].sum(axis=1)
    means = sums[counts > 0] / counts[counts > 0]
    low, high = np.percentile(means, INTERVAL)
    return Estimate(float(values[known].mean()), float(low), float(high))


def write_exhibits(path: Path, results: Sequence[ExhibitResult], config: ExhibitConfig) -> Path:
    """Write a row an exhibit: `exhibit, rank, visits, note, <measure>, <measure>_low, ...`."""
    rows = []
    for result in results:
        note = "" if result.rank else too_few(config)
        row = {"exhibit": result.name, "rank": result.rank, "visits": result.visits, "note": note}
        for name, estimate in result.estimates.items():
            row |= {
                name: estimate.value,
                f"{name}_low": estimate.low,
                f"{name}_high": estimate.high,
            }
        rows.append(row)
    table = pd.DataFrame(rows).astype({"rank": "Int64", "visits": "Int64"})
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        table.round(4).to_csv(partial, index=False)
    return path


def too_few(config: ExhibitConfig) -> str:
    """Return what is said of a group that is too small."""
    return f"fewer than {config.minimum_group} visits: not shown"
