"""One part of the data set: a video or several images, analysed and written atomically.

A part is a Parquet file with the rows of `video --timeline`, preceded by the column `source`; the
summary of each of its files is stored in the part's own metadata, so rows and summary always stay
together.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from builder_tools.archive.items import Item
from builder_tools.cards import ModelCard, find_model
from builder_tools.media import read_image
from builder_tools.media.images import IMAGE_ERRORS
from builder_tools.media.partial import replacing
from builder_tools.results import FrameResult
from builder_tools.timeline.archived import KIND, SOURCE, VIDEO
from builder_tools.timeline.people import PersonRule
from builder_tools.timeline.summary import SummaryMaker
from builder_tools.timeline.writer import columns_of, parquet_schema, rows_of

SUMMARY_KEY = b"builder_tools.files"
PATHS = "paths"
"""Where the files of a part lay when it was made; parts of earlier versions do not tell it."""
ROWS_A_GROUP = 4096
DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})

Outcome = tuple[Item, list[dict[str, str]]]
"""An item that was processed, and its failed files: `source` and `reason`."""


@dataclass(frozen=True)
class Settings:
    """How the files of an archive are analysed, as set by command-line options.

    Args:
        model: Name or folder of a model; None for the default.
        detector: Name in `DETECTORS`.
        detector_options: Keyword arguments of the detector.
        decision: `natural` or `balanced`.
        flip_average: Whether to average with the mirrored face; None for what the card says.
        threads: Threads of the model, per worker.
        device: Device that the model runs on.
        smooth_s: Time constant of the smoothing in videos, in seconds.
    """

    model: str | None = None
    detector: str = "mediapipe"
    detector_options: dict[str, float] = field(default_factory=dict)
    decision: str = "natural"
    flip_average: bool | None = None
    threads: int = 1
    device: str = "cpu"
    smooth_s: float = 0.3

    @property
    def rule(self) -> PersonRule:
        """Which tracks are people."""
        return PersonRule.for_detector(self.detector)

    @property
    def sha256(self) -> str:
        """Hash of everything that affects a row: the model's card, but not threads and device."""
        facts = {k: v for k, v in asdict(self).items() if k not in ("threads", "device")}
        facts["model"] = ModelCard.read(find_model(self.model)).answers_sha256
        if self.rule != PersonRule():  # parts of earlier versions had this one, always
            facts["people"] = asdict(self.rule)
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


class Worker:
    """Makes the parts of items; model and detector are loaded once.

    Args:
        settings: How the files are analysed.
        out: Folder of the parts.
    """

    def __init__(self, settings: Settings, out: str | Path) -> None:
        from builder_tools.classifier import EmotionClassifier
        from builder_tools.inference import Inference

        self.out = Path(out)
        model = EmotionClassifier(
            settings.model,
            threads=settings.threads,
            flip_average=settings.flip_average,
            decision=settings.decision,
            device=settings.device,
        )
        self.emotions, self.rule = tuple(model.emotions), settings.rule
        self._warning: str | None = None
        self._video = Inference(
            model,
            show_state_mode="none",
            inference_mode="video",
            detector=settings.detector,
            detector_options=settings.detector_options,
            smooth_s=settings.smooth_s,
            workers=1,
        )

    def make(self, item: Item) -> list[dict[str, str]]:
        """Write a part under its name; return the failed files and the reasons.

        Raises:
            OSError: If the part cannot be written.
        """
        failed: list[dict[str, str]] = []
        summaries: list[dict[str, Any]] = []
        final = self.out / item.part
        with replacing(final) as partial, _Part(partial, self.emotions) as part:
            for path, name in zip(item.paths, item.names, strict=True):
                maker, faces = SummaryMaker(self.emotions, self.rule), 0
                try:
                    for result in self._results(item.kind, path):
                        part.add(name, result)
                        maker.add(result)
                        faces += len(result.faces)
                except IMAGE_ERRORS as error:
                    if _nothing_can_be_written(error):
                        raise
                    failed.append({SOURCE: name, "reason": " ".join(str(error).split())})
                    if item.kind == VIDEO:
                        raise Failed(failed) from error
                    continue
                if self._warning:  # keep what could be read, and report what could not
                    failed.append({SOURCE: name, "reason": self._warning})
                # In an image, nobody is seen long enough to be one of the `people` of a video.
                people = len(maker.people()) if item.kind == VIDEO else faces
                summaries.append(_summary(name, item.kind, maker, people))
            part.describe(summaries, failed, item.paths)
        return failed

    def _results(self, kind: str, path: str) -> Iterator[FrameResult]:
        self._warning = None
        if kind == VIDEO:
            with self._video.run(path) as results:
                yield from results
            self._warning = results.source.warning
            return
        faces = self._video.analyse(read_image(path))
        yield FrameResult(path, 0, 0.0, faces)


class Failed(Exception):
    """A video from which no part can be made; holds what to report about it."""

    def __init__(self, files: list[dict[str, str]]) -> None:
        super().__init__(files)
        self.files = files


def make_or_tell(worker: Worker, item: Item) -> list[dict[str, str]]:
    """Make an item; return the failed files and the reasons, whatever went wrong with them.

    Raises:
        OSError: If no part can be written any more, so that all further files would fail, too.
    """
    try:
        return worker.make(item)
    except Failed as failed:
        return failed.files
    except Exception as error:  # a single file must not end the run; it is reported
        if _nothing_can_be_written(error):
            raise OSError(error.errno, f"Cannot write to {worker.out}: {error}") from error
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return [{SOURCE: name, "reason": reason} for name in item.names]


def _nothing_can_be_written(error: Exception) -> TypeGuard[OSError]:
    """Return whether the disk is at fault: full, or now read-only."""
    return isinstance(error, OSError) and error.errno in DISK_ERRORS


def died(item: Item, times: int) -> list[dict[str, str]]:
    """Return what is reported about files whose worker died repeatedly."""
    reason = f"the process that worked on it died {times} times"
    return [{SOURCE: name, "reason": reason} for name in item.names]


def told_by(part: Path) -> dict[str, Any] | None:
    """Return what a part tells of its files: summaries (`files`), those that `failed`, `paths`.

    None if there is no whole part of an archive; after a power failure, it may be damaged.
    """
    import pyarrow.parquet

    try:
        metadata = pyarrow.parquet.read_metadata(part).metadata
    except (OSError, ValueError):
        return None
    return json.loads(metadata[SUMMARY_KEY]) if metadata and SUMMARY_KEY in metadata else None


class _Part:
    """A Parquet file being written, in bounded memory."""

    def __init__(self, path: Path, emotions: tuple[str, ...]) -> None:
        import pyarrow
        import pyarrow.parquet

        self._arrow, self._emotions = pyarrow, emotions
        rows = parquet_schema(columns_of(emotions))
        self._schema = rows.insert(0, pyarrow.field(SOURCE, pyarrow.string()))
        self._writer = pyarrow.parquet.ParquetWriter(path, self._schema)
        self._waiting: list[list[Any]] = []

    def add(self, name: str, result: FrameResult) -> None:
        self._waiting += ([name, *row] for row in rows_of(result, self._emotions))
        if len(self._waiting) >= ROWS_A_GROUP:
            self._flush()

    def describe(self, summaries: list[dict], failed: list[dict], paths: Sequence[str]) -> None:
        own = [os.path.realpath(path) for path in paths]
        told = json.dumps({"files": summaries, "failed": failed, PATHS: own})
        self._writer.add_key_value_metadata({SUMMARY_KEY: told.encode()})

    def __enter__(self) -> _Part:
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is None:
            self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._waiting:
            columns = [list(column) for column in zip(*self._waiting, strict=True)]
            self._writer.write_batch(self._arrow.record_batch(columns, schema=self._schema))
            self._waiting = []


def _summary(name: str, kind: str, maker: SummaryMaker, people: int) -> dict[str, Any]:
    whole = maker.whole()
    found = {
        SOURCE: name,
        KIND: kind,
        "frames": maker.num_frames,
        "with_face": maker.with_face,
        "people": people,
        "seconds": None if whole is None else round(whole.last_s - whole.first_s, 3),
        "emotion": None if whole is None else whole.emotion,
        "valence": None if whole is None else _rounded(whole.valence),
        "arousal": None if whole is None else _rounded(whole.arousal),
    }
    for emotion in maker.emotions:
        share = None if whole is None else round(whole.probabilities[emotion], 5)
        found[f"p_{emotion}"] = share
    return found


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 5)
