"""`clean_folder`: examines every image, writes the faces worth keeping and reports on all images.

During a run, its files are kept in `OUT.unfinished/` next to the output folder: a journal with one
line per image, and the images to write, named by number. Once all images are examined, duplicates
are resolved, the images kept are moved to their places, `manifest.csv` and `cleaning.json` are
written, and the folder is renamed in one step: if `OUT` exists, it is complete. An interrupted run
resumes from its journal with the same result. An existing `OUT` may be a separate disk, to which
folders cannot be renamed from outside; a run's files are kept in `OUT/.cleaning/` instead, and an
earlier result stays next to them until the new one is complete. The journal's lock keeps other
processes away until the run ends.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import queue
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from builder_tools import __version__
from builder_tools.cleaning.config import CleaningConfig
from builder_tools.cleaning.judging import Look, faults, look_at, verdict
from builder_tools.cleaning.manifest import (
    CleaningReport,
    make_manifest,
    read_manifest,
    tell_what_can_be_read_by_now,
    write_manifest,
)
from builder_tools.cleaning.near_duplicates import same_face_faults, same_face_groups
from builder_tools.cleaning.placing import MANIFEST, RECORD, put_in_place, result_files
from builder_tools.cleaning.preview import write_preview
from builder_tools.cleaning.sources import RawImage, list_raw_images, output_names
from builder_tools.cleaning.workers import (
    checked_workers,
    describe_detector,
    detectors,
    in_parallel,
    progress,
)
from builder_tools.csv_files import any_name_in_tables
from builder_tools.datasets.duplicates import MINIATURE_PX
from builder_tools.datasets.made_images import columns_to_carry
from builder_tools.datasets.new_folder import followed
from builder_tools.detectors import DEFAULT_DETECTOR, FaceDetector
from builder_tools.journal import RUN_MARK, Journal
from builder_tools.media import write_image
from builder_tools.media.budget import BYTES_PER_WORKER, Budget
from builder_tools.media.partial import replacing

WORK_FOLDER, JOURNAL = ".cleaning", "journal.jsonl"
UNFINISHED, CLEANED, PREVIEW = ".unfinished", "cleaned", "preview"
MAX_DROPPED = 0.2
STOPS_FROM = 3
"""Fewest dropped images that can stop a run: one or two never do."""

_logger = logging.getLogger(__name__)


@any_name_in_tables()
def clean_folder(
    source: str | Path,
    out: str | Path,
    *,
    detector: str | FaceDetector = DEFAULT_DETECTOR,
    detector_options: Mapping[str, Any] | None = None,
    config: CleaningConfig | None = None,
    workers: int | None = None,
    restart: bool = False,
    preview: bool = False,
    max_dropped: float = MAX_DROPPED,
) -> CleaningReport:
    """Write the faces of a folder's images to a new folder, and a manifest of all images.

    The source is only read. An unreadable image is reported and does not stop the run. Calling
    the function again resumes an interrupted run; after a finished run, it only returns the report.

    Args:
        source: Class folders (with or without `train/ val/ test/`), the Kaggle competition's
            folder, or a flat folder of images.
        out: A new or empty folder, or one of an interrupted run; not within the source.
        detector: A name in `DETECTORS`, or an object, which is shared by all workers and stays
            open.
        detector_options: Keyword arguments for a detector given by name.
        config: What to keep and what to write; None for the defaults.
        workers: Number of threads; None for one per core.
        restart: Whether to start over: an unfinished run is discarded, a finished result is
            replaced once the new one is complete. If this is interrupted or previewed, a call
            without `restart` goes on, unless the finished result is of the same settings.
        preview: Whether to only examine the images and write a contact sheet for each status that
            indicates a problem; the next call continues from there.
        max_dropped: Share of the readable images that may be dropped, in [0, 1]. If more would be
            dropped (and not just one or two), a preview is written and the run stops: a limit may
            be wrong rather than the images.

    Returns:
        The report; its manifest is also written to `out/manifest.csv`.

    Raises:
        ValueError: If an argument is invalid, the source holds no images, `out` holds a run with
            other images or settings, or more than `max_dropped` would be dropped.
        FileNotFoundError: If there is no such source.
        FileExistsError: If `out` holds other files.
        BlockingIOError: If another process is cleaning to `out`.
        OSError: If a file cannot be written (disk full); the run can be resumed afterwards.
    """
    run = _Run.plan(Path(source), followed(Path(out)), detector, detector_options, config)
    workers = checked_workers(workers)
    if not 0 <= max_dropped <= 1:
        raise ValueError(f"Expected max_dropped in [0, 1]. Received: {max_dropped}.")
    if not restart and run.is_finished():
        run.remove_leftovers()
        tell_what_can_be_read_by_now(run.images, report := run.report())
        return report
    run.check_out(restart=restart)
    with ExitStack() as stack:
        free = detectors(stack, detector, dict(detector_options or {}), workers)
        try:
            with run.journal() as journal:
                if restart:
                    run.discard_unfinished()
                elif run.is_finished():  # by another process, meanwhile
                    shutil.rmtree(run.work, ignore_errors=True)
                    return run.report()
                manifest = run.judge(run.look_at_all(journal, free, workers, restart=restart))
                if preview:
                    return CleaningReport(run.show(manifest), manifest)
                run.check_dropped(manifest, max_dropped)
                run.finish(manifest)
        except BlockingIOError:
            raise
        except OSError as error:
            raise run.explained(error) from error
        except KeyboardInterrupt:
            run.tell_how_to_go_on()
            raise
    return run.report()


@dataclass(frozen=True)
class _Run:
    """One run: what has to be done, and where its files are."""

    out: Path
    images: Sequence[RawImage]
    config: CleaningConfig
    facts: Mapping[str, Any]

    @classmethod
    def plan(cls, source: Path, out: Path, detector, detector_options, config) -> _Run:
        config = config or CleaningConfig()
        raw, made = source.resolve(), out.resolve()
        if raw == made or raw in made.parents or made in raw.parents:
            raise ValueError(
                f"Expected an output folder apart from the source, which stays as it is. Received: "
                f"source={str(source)!r}, out={str(out)!r}."
            )
        images = list_raw_images(source)
        digest = hashlib.sha256()  # name, class, split, size and modification time of each
        for image in images:
            state = image.path.stat() if image.path.exists() else None
            change = (state.st_size, state.st_mtime_ns) if state else None
            fact = [image.name, image.emotion, image.split, change]
            digest.update(json.dumps(fact).encode())
        facts = {
            "version": __version__,
            "config": asdict(config),
            "detector": describe_detector(detector, dict(detector_options or {})),
            "miniature_px": MINIATURE_PX,
            "images": len(images),
            "images_sha256": digest.hexdigest(),
        }
        return cls(out, images, config, facts)

    @property
    def work(self) -> Path:
        """The folder for files of an unfinished run."""
        beside = self.out.with_name(self.out.name + UNFINISHED)
        return self.out / WORK_FOLDER if self.out.is_dir() and not beside.is_dir() else beside

    @property
    def made(self) -> Path:
        """The folder in which the result is assembled."""
        return self.work / CLEANED

    @property
    def name(self) -> str:
        """A hash that identifies the images and the settings."""
        return hashlib.sha256(json.dumps(self.facts, sort_keys=True).encode()).hexdigest()

    def is_finished(self) -> bool:
        """Return whether this run is finished; raise if another is that it does not replace."""
        record = self.out / RECORD
        if not record.is_file() or not (self.out / MANIFEST).is_file():
            return False
        earlier = json.loads(record.read_text(encoding="utf-8"))
        if earlier.get("run") != self.name:
            if self._is_begun():
                return False
            changed = [key for key, value in self.facts.items() if earlier.get(key) != value]
            raise ValueError(
                f"Expected {self.out} to be new, or of the same images and settings. It is of "
                f"others (what differs: {', '.join(changed) or 'the run'}). Choose another "
                "folder, or start anew with --restart."
            )
        return True

    def _is_begun(self) -> bool:
        """Return whether the work folder is of this same run."""
        journal = self.work / JOURNAL
        if not journal.is_file():
            return False
        with open(journal, "rb") as file:
            return file.readline().startswith(f'{RUN_MARK}"{self.name}"'.encode("ascii"))

    def check_out(self, *, restart: bool) -> None:
        """Refuse a folder that holds other files than, on a restart, those of an earlier result."""
        if self.out.exists() and not self.out.is_dir():
            raise NotADirectoryError(f"Expected a folder to write. Received a file: {self.out}.")
        work = self.out / WORK_FOLDER
        goes_on = not restart and self.work.is_dir()
        if not self.out.is_dir() or (goes_on and self.work == work):
            return
        is_begun = goes_on and any((place / RECORD).is_file() for place in (self.out, self.made))
        own = result_files(self.out) if restart or is_begun else []
        strangers = set(self.out.rglob("*") if own else self.out.iterdir())
        strangers -= {*own, *(folder for path in own for folder in path.parents)}
        strangers -= {work, *work.rglob("*")}
        if strangers:
            besides = " besides an earlier result" if own else ""
            name = min(path.relative_to(self.out).as_posix() for path in strangers)
            raise FileExistsError(
                f"Expected {self.out} to be new or empty. It holds {len(strangers)} files or "
                f"folders{besides}, such as {name!r}. Choose another folder."
            )

    def journal(self) -> Journal:
        """Return the run's journal, locked against other processes."""
        self.work.mkdir(parents=True, exist_ok=True)
        return Journal(self.work / JOURNAL, self.name, of="images and settings")

    def discard_unfinished(self) -> None:
        """Remove the files of an unfinished run, except the journal, which is locked."""
        (self.made / RECORD).unlink(missing_ok=True)  # first: no part of it counts as complete
        for path in self.work.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != JOURNAL:
                path.unlink()

    def look_at_all(
        self, journal: Journal, free: queue.SimpleQueue, workers: int, *, restart: bool
    ) -> list[Look]:
        """Examine the images not yet in the journal; return the looks at all images, in order."""
        work = partial(self._look_and_write, free, Budget(BYTES_PER_WORKER * workers))
        looks = journal.begin(
            Look.of_line,
            holds=lambda n, look: Look.of_line(look).still_holds(n, self.images[n].path),
            restart=restart,
        )
        todo = range(len(looks), len(self.images))
        with closing(in_parallel(work, todo, workers)) as found:
            for look in progress(found, total=len(self.images), initial=len(looks)):
                journal.add(asdict(look))
                looks.append(look)
        return looks

    def show(self, manifest: pd.DataFrame) -> Path:
        """Write contact sheets of what would be dropped or flagged, and return their folder."""
        folder = self.work / PREVIEW
        folder.mkdir(exist_ok=True)
        write_preview(folder, self.images, manifest)
        with replacing(folder / MANIFEST) as file:
            write_manifest(file, manifest)
        return folder

    def check_dropped(self, manifest: pd.DataFrame, most: float) -> None:
        """Stop, before anything is written, if more images would be dropped than allowed."""
        readable = manifest[manifest["status"] != "unreadable"]
        dropped = readable[~readable["kept"]]
        share = len(dropped) / max(len(readable), 1)
        if share > most and len(dropped) >= STOPS_FROM:
            counts = ", ".join(
                f"{n} {name}" for name, n in dropped["status"].value_counts().items()
            )
            raise ValueError(
                f"Expected to drop at most {most:.0%} of {len(readable)} images. Received: "
                f"{len(dropped)} would go ({counts}). Nothing was dropped. Look at them in "
                f"{self.show(manifest)}; then keep more (see --help), or allow it with "
                f"--max-dropped {np.ceil(share * 100) / 100:g}."
            )

    def finish(self, manifest: pd.DataFrame) -> None:
        """Assemble the result, then put it in place of an earlier one."""
        if not (self.made / RECORD).is_file():  # otherwise, an interrupted run has assembled it
            self._assemble(manifest)
        put_in_place(self.made, self.out)
        shutil.rmtree(self.work, ignore_errors=True)

    def _assemble(self, manifest: pd.DataFrame) -> None:
        """Move the kept images to their places and write the manifest and, last, the record."""
        made = self.made
        made.mkdir(exist_ok=True)
        for number, out_path in enumerate(manifest["out_path"]):
            if not out_path:
                continue
            waiting, place = self._waiting(number), made / out_path
            if waiting.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                os.replace(waiting, place)
            elif not place.exists():
                raise ValueError(
                    f"Expected {waiting.name} in {self.work}, as the journal says. It is gone: "
                    "start anew with --restart."
                )
        with replacing(made / MANIFEST) as file:
            write_manifest(file, manifest)
        counts = manifest["status"].value_counts().to_dict()
        record = {"run": self.name, **self.facts, "kept": int(manifest["kept"].sum())}
        with replacing(made / RECORD) as file:
            text = json.dumps({**record, "statuses": counts}, indent=2, sort_keys=True)
            file.write_text(text + "\n", encoding="utf-8")

    def report(self) -> CleaningReport:
        return CleaningReport(self.out, read_manifest(self.out / MANIFEST))

    def remove_leftovers(self) -> None:
        """Remove the work folder of a finished run, unless another process is replacing it."""
        if self.work.is_dir():
            with self.journal():
                shutil.rmtree(self.work, ignore_errors=True)

    def explained(self, error: OSError) -> OSError:
        """Return a write error with the progress so far and how to resume."""
        text = (error.strerror or str(error)).rstrip(".")
        said = (
            f"Cannot write to {self.out}: {text}. {self._progress_so_far()} Make room, or see to "
            "it that the folder can be written, and run the same again without --restart: it goes "
            "on from there."
        )
        return OSError(error.errno, said) if error.errno else OSError(said)

    def tell_how_to_go_on(self) -> None:
        """Log the progress so far after an interruption."""
        _logger.warning(
            "%s They wait in %s; run the same again without --restart: it goes on from there.",
            *(self._progress_so_far(), self.work),
        )

    def _progress_so_far(self) -> str:
        journal = self.work / JOURNAL
        done = max(len(journal.read_bytes().splitlines()) - 1, 0) if journal.is_file() else 0
        return f"{done} of {len(self.images)} images are done."

    def _look_and_write(self, free: queue.SimpleQueue, budget: Budget, number: int) -> Look:
        detector = free.get()
        try:
            raw = self.images[number]
            look, image = look_at(number, raw.path, detector, self.config, budget)
        finally:
            free.put(detector)
        if image is not None and self._suffix:
            write_image(self._waiting(number), image)
        elif image is not None:
            with replacing(self._waiting(number)) as copy:
                shutil.copyfile(raw.path, copy)
        return look

    def judge(self, looks: Sequence[Look]) -> pd.DataFrame:
        """Decide on every image and return the manifest."""
        own = [faults(look, self.config) for look in looks]
        kept = {i for i, found in enumerate(own) if not any(fault.drops for fault in found)}
        repeated = same_face_faults(
            self.images, same_face_groups(self.images, looks), kept, self.config
        )
        verdicts = [verdict([*found, *repeated.get(i, [])]) for i, found in enumerate(own)]
        outputs = output_names(self.images, self._suffix)
        manifest = make_manifest(self.images, looks, verdicts, outputs)
        return manifest.assign(**columns_to_carry([image.path for image in self.images]))

    @property
    def _suffix(self) -> str:
        """The suffix of the written images, "" if files are copied unchanged."""
        copies = self.config.crop == "whole" and self.config.size_px is None
        return "" if copies else f".{self.config.format}"

    def _waiting(self, number: int) -> Path:
        suffix = self._suffix or self.images[number].path.suffix.lower()
        return self.work / f"{number:07d}{suffix}"
