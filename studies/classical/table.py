"""The whole table: rows of the plan, hybrids of the best, one csv; goes on where it stopped."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from builder_tools.cards import ModelCard, find_model
from builder_tools.release.log import add_rows, read_rows
from studies.classical.faces_of_study import StudyFaces
from studies.classical.hybrid_rows import hybrid_keys, run_hybrid
from studies.classical.network_curve import curve_key, run_network
from studies.classical.plan import Entry
from studies.classical.rows import described, figures, gains, run_entry, speed

DEEP_KEY = "deep"
"""Key of the row of the deep model that the others are compared with."""

NO_TIME = "no time"


def run_table(
    entries: Sequence[Entry],
    study: StudyFaces,
    csv: str | Path,
    *,
    hybrids: bool = True,
    networks: Sequence[float] = (),
    search: bool = True,
    minutes: float | None = None,
    seed: int = 0,
) -> dict[str, str]:
    """Run what the csv does not hold yet, and add a row as soon as it is there.

    A row that cannot be made does not end the table.

    Args:
        entries: Rows to make.
        study: The data.
        csv: The table; rows of other data or of another seed are left as they are.
        hybrids: Whether to join the best classical models with the deep one, afterwards.
        networks: Parts of the training faces to train the network of the learning curves on.
        search: Whether each row searches for its parameters.
        minutes: Begin no row after so long.
        seed: Of everything random.

    Returns:
        Rows that are missing: key -> why.
    """
    from tqdm import tqdm

    csv, ends_at = Path(csv), time.monotonic() + 60 * (minutes or float("inf"))
    left: dict[str, str] = {}
    jobs = _jobs(entries, study, search=search, seed=seed)
    todo = [(key, job) for key, job in jobs if key not in _done(csv, study, seed)]
    for key, job in tqdm(todo, "rows", delay=2, disable=None, file=sys.stderr):
        _run(key, job, csv, ends_at, left)
    for fraction in networks:
        key = curve_key(fraction)
        if key not in _done(csv, study, seed):
            _run(key, partial(run_network, fraction, study, seed=seed), csv, ends_at, left)
    if hybrids and NO_TIME not in left.values():
        for key, job in _hybrid_jobs(study, csv, seed=seed):
            if key not in _done(csv, study, seed):
                _run(key, job, csv, ends_at, left)
    return left


def rows_of(csv: str | Path, study: StudyFaces, seed: int = 0) -> list[dict[str, str]]:
    """Return the rows of this data and seed."""
    wanted = (study.data_sha256[:12], str(seed))
    return [row for row in read_rows(Path(csv)) if (row["data_sha256"], row["seed"]) == wanted]


def _run(key: str, job: Callable, csv: Path, ends_at: float, left: dict[str, str]) -> None:
    if time.monotonic() > ends_at:
        left[key] = NO_TIME
        return
    started = time.perf_counter()
    try:
        row = job()
    except (ValueError, MemoryError) as error:
        left[key] = str(error) or type(error).__name__
        return
    row["total_s"] = round(time.perf_counter() - started, 1)
    add_rows(csv, [row])


def _done(csv: Path, study: StudyFaces, seed: int) -> set[str]:
    return {row["key"] for row in rows_of(csv, study, seed)}


def _jobs(
    entries: Sequence[Entry], study: StudyFaces, *, search: bool, seed: int
) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    yield DEEP_KEY, partial(_deep_row, study, seed)
    for entry in entries:
        yield entry.key, partial(run_entry, entry, study, search=search, seed=seed)


def _hybrid_jobs(
    study: StudyFaces, csv: Path, *, seed: int
) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    rows = rows_of(csv, study, seed)
    prefix = next(iter(study.protocols))
    for key, (kind, members) in hybrid_keys(rows, prefix).items():
        yield key, partial(run_hybrid, key, kind, members, study, rows, seed=seed)


def _deep_row(study: StudyFaces, seed: int) -> dict[str, Any]:
    """Return the row of the deep model as it is shipped."""
    folder = find_model(study.deep)
    card = ModelCard.read(folder)
    found = {split: study.deep_probabilities(split) for split in ("valid", "test")}
    minutes = card.training.get("budget", {}).get("minutes")
    return {
        **described(DEEP_KEY, study, seed),
        "features": "",
        "model": card.name,
        "sampler": "none",
        "fraction": 1.0,
        "train_faces": card.training.get("pictures", {}).get("train"),
        "params": "{}",
        "fit_s": None if minutes is None else 60 * minutes,
        **speed(folder, study.faces["test"]),
        "size_mb": round((folder / card.file).stat().st_size / 1e6, 3),
        "needs_mb": 0.0,
        "temperature": card.temperature,
        **figures({split: study.judge(split, each) for split, each in found.items()}),
        **gains(study, found["test"]),
    }
