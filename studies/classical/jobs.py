"""The rows of the table as jobs: the plan, networks trained from scratch, and hybrids."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from builder_tools.release import read_rows
from studies.classical.faces import StudyFaces
from studies.classical.hybrids import hybrid_keys, run_hybrid
from studies.classical.network import NETWORK, curve_key, run_network
from studies.classical.plan import Entry
from studies.classical.rows import DEEP_KEY, deep_row, run_entry
from studies.table import NO_TIME, Job, run_table, what_differs


def run_all(
    entries: Iterable[Entry],
    study: StudyFaces,
    csv: Path,
    *,
    hybrids: bool = True,
    networks: Sequence[float] = (),
    search: bool = True,
    minutes: float | None = None,
) -> dict[str, str]:
    """Make the rows of a seed that the csv does not hold yet, hybrids last.

    Args:
        entries: Rows to make.
        study: The data and the seed.
        csv: The table; its other rows are left as they are.
        hybrids: Whether to combine the best classical models with the deep one afterwards.
        networks: Fractions of the training faces to train the learning-curve network on.
        search: Whether to search for the parameters of each row.
        minutes: Start no row after this many minutes.

    Returns:
        Rows that are missing: key -> reason.
    """
    started = time.monotonic()
    jobs = [*plan_jobs(entries, study, search=search), *network_jobs(networks, study)]
    missing = run_table(jobs, csv, minutes=minutes)
    if hybrids and NO_TIME not in missing.values():
        left = None if minutes is None else minutes - (time.monotonic() - started) / 60
        missing |= run_table(hybrid_jobs(study, csv), csv, minutes=left)
    return missing


def plan_jobs(entries: Iterable[Entry], study: StudyFaces, *, search: bool = True) -> Iterator[Job]:
    """Yield the deep model, then the rows of a plan."""
    yield _job(DEEP_KEY, study, {"deep": study.deep}, partial(deep_row, study))
    for entry in entries:
        config = what_differs(entry) | ({} if search else {"search": False})
        yield _job(entry.key, study, config, partial(run_entry, entry, study, search=search))


def network_jobs(fractions: Sequence[float], study: StudyFaces) -> Iterator[Job]:
    """Yield networks trained from scratch on parts of the training faces."""
    for fraction in fractions:
        config = {"network": NETWORK, "fraction": fraction}
        yield _job(curve_key(fraction), study, config, partial(run_network, fraction, study))


def hybrid_jobs(study: StudyFaces, csv: Path) -> Iterator[Job]:
    """Yield the hybrids possible with the table's rows of this data and seed."""
    rows = rows_of(csv, study)
    for key, (kind, members) in hybrid_keys(rows, next(iter(study.protocols))).items():
        config = {"kind": kind, "members": list(members), "deep": study.deep}
        yield _job(key, study, config, partial(run_hybrid, key, kind, members, study, rows))


def expect_rows_of(csv: Path, study: StudyFaces) -> None:
    """Refuse a table with rows of other data, whose figures cannot be compared.

    Raises:
        ValueError: If there are any.
    """
    own = study.data_sha256[:12]
    others = sorted({row["data_sha256"] for row in read_rows(csv)} - {own})
    if others:
        raise ValueError(
            f"Expected rows of the data {own} (data_sha256) in {csv}. Received: those of {others}. "
            "Name another folder with --reports for these data, and with --runs."
        )


def rows_of(csv: Path, study: StudyFaces) -> list[dict[str, str]]:
    """Return the rows of this data and seed."""
    wanted = (study.data_sha256[:12], str(study.seed))
    return [row for row in read_rows(csv) if (row["data_sha256"], row["seed"]) == wanted]


def _job(key: str, study: StudyFaces, config: dict, make: Callable[[], dict[str, Any]]) -> Job:
    def timed() -> dict[str, Any]:
        started = time.perf_counter()
        row = make()
        return row | {"total_s": round(time.perf_counter() - started, 1)}

    return Job(key, config | {"data_sha256": study.data_sha256, "seed": study.seed}, timed)
