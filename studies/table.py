"""One resumable table for every study: a row per configuration, made once, kept in a csv.

A row is identified by the hash of its configuration, so a table that was interrupted, killed or
extended resumes where it stopped. Further seeds are further rows.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from builder_tools.release import add_rows, read_rows

CONFIG = "config_sha256"
"""The column that identifies rows."""

NO_TIME = "no time"


@dataclass(frozen=True)
class Job:
    """A row to be made, or the few rows that one computation gives.

    Args:
        key: Name of the job in messages.
        config: Everything that decides the outcome, as JSON values.
        make: Function that makes the row or the rows: column -> value.
    """

    key: str
    config: Mapping[str, Any]
    make: Callable[[], Mapping[str, Any] | Sequence[Mapping[str, Any]]]

    @property
    def config_sha256(self) -> str:
        """Hash of the configuration, 16 hexadecimal digits."""
        return hash_of(self.config)


def hash_of(config: Mapping[str, Any]) -> str:
    """Return the hash of a configuration of JSON values, 16 hexadecimal digits."""
    text = json.dumps(config, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def what_differs(config: Any) -> dict[str, Any]:
    """Return the fields of a dataclass that are not at their defaults, as JSON values.

    A field that is added later and left at its default therefore changes no hash.
    """
    found = {}
    for field in dataclasses.fields(config):
        value, default = getattr(config, field.name), field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        if value != default:
            found[field.name] = _as_json(value)
    return found


def pending(jobs: Iterable[Job], csv: Path) -> list[Job]:
    """Return the jobs whose rows a csv does not hold."""
    done = {row.get(CONFIG) for row in read_rows(csv)}
    return [job for job in jobs if job.config_sha256 not in done]


def made_rows(csv: Path, study: str | None = None, **reading: Any) -> pd.DataFrame:
    """Return the rows that a study has made.

    Args:
        csv: The table.
        study: Its name in the column `study`, if several studies share the table.
        **reading: Options of `pandas.read_csv`.

    Raises:
        ValueError: If there are none.
    """
    rows = pd.read_csv(csv, **reading) if csv.is_file() else pd.DataFrame()
    if len(rows) and study is not None:
        rows = rows[rows["study"] == study]
    if rows.empty:
        wanted = "rows" if study is None else f"rows of {study}"
        raise ValueError(
            f"Expected {wanted} in {csv}. Received: none. Run the study without --report, or name "
            "the folder of its tables with --reports."
        )
    return rows


def run_table(
    jobs: Iterable[Job], csv: Path, *, at_once: int = 1, minutes: float | None = None
) -> dict[str, str]:
    """Make the rows that a csv does not hold, and add each as soon as it is ready.

    A row that cannot be made does not stop the others: it is named in the result, and the next run
    tries it again.

    Args:
        jobs: Rows that the table should have, in the order in which to make them.
        csv: The table; its rows stay as they are.
        at_once: Number of jobs in parallel, each in a thread.
        minutes: Start no job after this many minutes; None for no limit.

    Returns:
        Key of each job without a row -> reason.
    """
    from tqdm import tqdm

    ends_at = time.monotonic() + (math.inf if minutes is None else 60 * minutes)
    todo, missing = pending(jobs, csv), {}
    made = _made(todo, ends_at, at_once)
    for job, found in tqdm(made, "rows", len(todo), delay=2, disable=None, file=sys.stderr):
        if isinstance(found, str):
            missing[job.key] = found
            continue
        rows = [found] if isinstance(found, Mapping) else found
        add_rows(csv, [_cells(row) | {CONFIG: job.config_sha256} for row in rows])
    return missing


def say_missing(missing: Mapping[str, str]) -> int:
    """Print the missing rows to stderr, and return the exit code: 1 if there are any, else 0."""
    if missing:
        print(f"Rows that are missing: {len(missing)}", file=sys.stderr)
    for key, why in missing.items():
        print(f"    {key}: {why}", file=sys.stderr)
    return 1 if missing else 0


def _made(todo: Sequence[Job], ends_at: float, at_once: int) -> Iterator[tuple[Job, Any]]:
    """Yield each job with its rows, or with the message that says why there are none."""

    def make(job: Job) -> Any:
        if time.monotonic() >= ends_at:
            return NO_TIME
        try:
            return job.make()
        except Exception as error:  # whatever fails one row is reported, and stops no other
            return str(error) or type(error).__name__

    if at_once == 1:
        yield from ((job, make(job)) for job in todo)
        return
    pool = ThreadPoolExecutor(at_once)
    try:
        waiting = {pool.submit(make, job): job for job in todo}
        yield from ((waiting[future], future.result()) for future in as_completed(waiting))
    finally:
        pool.shutdown(cancel_futures=True)


def _cells(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with NaN replaced by an empty string."""
    missing = {n for n, v in row.items() if isinstance(v, float | np.floating) and np.isnan(v)}
    return {name: "" if name in missing else value for name, value in row.items()}


def _as_json(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return what_differs(value)
    if isinstance(value, list | tuple):
        return [_as_json(each) for each in value]
    return value
