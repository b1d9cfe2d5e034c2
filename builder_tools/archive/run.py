"""The run over an archive: missing parts are made by one or several processes, then summarised."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import signal
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from builder_tools.archive.cluster import on_cluster
from builder_tools.archive.items import Item, find_items
from builder_tools.archive.outdated import remove_outdated
from builder_tools.archive.work import (
    Outcome,
    Settings,
    Worker,
    died,
    make_or_tell,
    told_by,
)
from builder_tools.csv_files import csv_writer
from builder_tools.journal import among_others_in
from builder_tools.media.guarding import check_own
from builder_tools.media.images import can_be_read
from builder_tools.media.limits import image_limits
from builder_tools.media.partial import replacing
from builder_tools.timeline.archived import DETECTOR, IMAGES, PART, PARTS, SOURCE, SUMMARY

ERRORS = "errors.csv"
MOST_DEATHS = 2
"""Deaths of processes on a file after which it is reported as failed, as it may be the cause."""

ENDING_S = 5.0
"""How long a process that is ended may take to remove what it has not finished."""
STALE_S = 86_400.0
"""An unfinished part not written to for this long is abandoned."""


@dataclass(frozen=True)
class ArchiveReport:
    """The result of a run.

    Args:
        files: Number of files now in the data set.
        made: Number of parts made by this run; the others already existed.
        failed: `source` and `reason` of every file that could not be read.
        left_out: Files that are neither videos nor images or cannot be read, with the reasons.
        removed: Number of parts removed, as their files were replaced, removed or regrouped.
        untold: Names of the parts of earlier versions that were left as they are: they do not tell
            where their files lay, so nobody knows whether other parts have rows of them now.
        missing: Parts that were left as they are, each with one of its files. These are missing,
            with all others of their folders, so nobody knows whether they were removed.
    """

    files: int
    made: int
    failed: tuple[dict[str, str], ...]
    left_out: tuple[str, ...]
    removed: int = 0
    untold: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def archive(
    sources: Sequence[str | Path],
    out: str | Path,
    settings: Settings,
    *,
    workers: int | None = None,
    ray: str | None = None,
    progress: Callable[[Iterable, int], Iterable] = lambda done, total: done,
) -> ArchiveReport:
    """Analyse every file once and keep the rows in `out/parts`, a Parquet data set.

    Also write `summary.csv`, with one row per file, and `errors.csv`, with one row per failed file;
    the next run tries those again, except videos that could be read in part. A part that lacks
    images is made again once one of them can be read. A run may be killed at any moment; the next
    one resumes. In the end, parts are removed that `remove_outdated` finds, unless another run is
    writing to the same folder.

    Args:
        sources: Videos, images, folders, globs, `.txt` lists.
        out: Folder of the archive.
        settings: How the files are analysed.
        workers: Number of processes, or of actors in a cluster; None for one process, or as many
            actors as the cluster has room for.
        ray: Address of a Ray cluster, or `auto`; None for this machine.
        progress: Wraps the iterable of finished parts, given their total number.

    Raises:
        FileNotFoundError, ValueError: If a source matches nothing, there is no video or image, or
            a table to be written would replace a file that is not an archive's.
        RuntimeError: If a limit in the environment is wrong.
        OSError: If the folder cannot be written to.
    """
    out = Path(out)
    image_limits()  # A wrong one in the environment would fail every image.
    for table in (SUMMARY, ERRORS):
        check_own(out / table, SOURCE)
    parts = out / PARTS
    parts.mkdir(parents=True, exist_ok=True)
    for left in parts.glob(".*.part"):  # left by a run that was killed, or still being written
        with suppress(FileNotFoundError):
            if time.time() - left.stat().st_mtime > STALE_S:
                left.unlink()
    with among_others_in(parts) as is_alone:
        items, left_out = find_items(sources, settings.sha256)
        todo = [item for item in items if _is_to_be_made(parts, item)]
        todo.sort(key=lambda item: -item.size)
        failed: list[dict[str, str]] = []
        made = 0
        if not todo:
            work = iter(())
        elif ray is not None:
            work = on_cluster(todo, settings, parts, ray, workers)
        elif (workers or 1) > 1:
            work = _together(todo, settings, parts, workers)
        else:
            worker = Worker(settings, parts)
            work = ((item, make_or_tell(worker, item)) for item in todo)
        for item, problems in progress(work, len(todo)):
            made += told_by(parts / item.part) is not None
            failed += problems
        summaries, kept_failures = _read_back(parts, items, settings)
        failed = [*kept_failures, *(one for one in failed if one not in kept_failures)]
        failed.sort(key=lambda one: one[SOURCE])
        _write_csv(out / SUMMARY, summaries)
        _write_csv(out / ERRORS, failed, columns=[SOURCE, "reason"])
        removed, untold, missing = remove_outdated(parts, items) if is_alone() else (0, (), ())
    return ArchiveReport(
        len(summaries), made, tuple(failed), tuple(left_out), removed, untold, missing
    )


def _is_to_be_made(parts: Path, item: Item) -> bool:
    """Return whether a part is missing, or lacks images that can be read by now."""
    told = told_by(parts / item.part)
    if told is None or item.kind != IMAGES:
        return told is None
    failed = {one[SOURCE] for one in told["failed"]}
    named = zip(item.paths, item.names, strict=True)
    return any(can_be_read(path) for path, name in named if name in failed)


def _together(
    todo: Sequence[Item], settings: Settings, parts: Path, workers: int
) -> Iterator[Outcome]:
    """Make parts in several processes; an item whose worker died is tried once more."""
    waiting, deaths = deque(todo), Counter()
    hands = [_Hand(settings, parts) for _ in range(min(workers, len(todo)))]
    try:
        while True:
            for hand in hands:
                if hand.item is None and waiting:
                    hand.begin(waiting.popleft())
            busy = {hand.answers: hand for hand in hands if hand.item is not None}
            if not busy:
                return
            for ready in multiprocessing.connection.wait(list(busy)):
                hand, item = busy[ready], busy[ready].item
                problems = hand.end()
                if problems is None:
                    deaths[item.identity] += 1
                    if deaths[item.identity] < MOST_DEATHS:
                        waiting.append(item)
                        continue
                    problems = died(item, MOST_DEATHS)
                yield item, problems
    finally:
        for hand in hands:
            hand.stop()  # all at once: each may need some time
        for hand in hands:
            hand.close()


class _Hand:
    """A process with a `Worker`, and the item that it works on."""

    def __init__(self, settings: Settings, parts: Path) -> None:
        self._given = (settings, str(parts))
        self.item: Item | None = None
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.answers, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, *self._given), daemon=True)
        self._process.start()
        theirs.close()

    def begin(self, item: Item) -> None:
        """Start making an item; if the process is dead, `end` reports it."""
        self.item = item
        with suppress(OSError):
            self.answers.send(item)

    def end(self) -> list[dict[str, str]] | None:
        """Return the failures, or None if the process died, which is then replaced.

        Raises:
            Exception: If something prevents all work, such as a missing model or a full disk.
        """
        self.item = None
        try:
            answer = self.answers.recv()
        except (EOFError, OSError):
            self.close()
            self._start()
            return None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def stop(self) -> None:
        self._process.terminate()

    def close(self) -> None:
        self.stop()
        self._process.join(ENDING_S)
        self._process.kill()  # a decoder may never return
        self._process.join()
        self.answers.close()


def _work(commands: Connection, settings: Settings, parts: str) -> None:
    """Make items until there are no more; end when the parent does, or sends SIGTERM."""
    for name in ("SIGINT", "SIGHUP"):  # a terminal sends them to all; the parent then ends this one
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    try:
        worker = Worker(settings, parts)
    except Exception as error:  # other processes would fail, too: this ends the run
        commands.send(error)
        return
    while True:
        try:
            item = commands.recv()
        except EOFError:
            return
        try:
            commands.send(make_or_tell(worker, item))
        except OSError as error:  # the disk failed, or the parent is gone and gets no answer
            commands.send(error)
            return


def _end(number: int, frame: object) -> None:
    """End the process, which removes the part that it is writing; a second signal does not stop it.

    Both the group of the processes and the parent may send one.
    """
    signal.signal(number, signal.SIG_IGN)
    sys.exit()


def _read_back(
    parts: Path, items: Sequence[Item], settings: Settings
) -> tuple[list[dict], list[dict[str, str]]]:
    """Return the summaries and failures stored in the parts themselves."""
    summaries: list[dict[str, Any]] = []
    failed: list[dict[str, str]] = []
    for item in items:
        told = told_by(parts / item.part)
        if told is None:
            continue
        own = {DETECTOR: settings.detector, PART: item.part}
        summaries += ({**one, **own} for one in told["files"])
        failed += told["failed"]
    return sorted(summaries, key=lambda one: one[SOURCE]), failed


def _write_csv(path: Path, rows: Sequence[dict], columns: Sequence[str] | None = None) -> None:
    columns = list(columns or (rows[0] if rows else [SOURCE]))
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv_writer(file)
        writer.writerow(columns)
        writer.writerows([row[column] for column in columns] for row in rows)
