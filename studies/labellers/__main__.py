"""Measure the valence-arousal labellers: `python -m studies.labellers`.

- `time`: landmark ISOMAP labels for every training face of FER+, each round in its own process;
  seconds from faces in memory to labels, and the process's peak memory.
- `choose`: neighbours and landmarks by residual variance (on the landmarks) and by trustworthiness
  and continuity (on the faces of valid).
- `exact`: ISOMAP on every face at once against landmarks; the distances between all training faces
  alone take 3.3 GB (`--subset` takes fewer faces).
- `pull`: agreement with the votes for every strength of the shift towards the class, on valid.
- `compare`: every labeller against the vote-weighted anchors, on valid, and what its labels tell
  beyond the class.

Each step keeps its rows in `reports/valence_arousal_<step>.csv`; steps may be run separately.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np

from builder_tools.datasets.ferplus import ferplus_table
from builder_tools.datasets.sampling import stratified_sample
from builder_tools.machine import describe_machine
from builder_tools.valence_arousal import ValenceArousalLabeller, faces_of, make_labeller
from builder_tools.valence_arousal.reducers import IsomapReducer
from studies.command import command, study_parser
from studies.labellers.choice import scan_manifolds, scan_pull
from studies.labellers.compare import CANDIDATES, Candidate, compare
from studies.labellers.report import write_report
from studies.labellers.validation import procrustes_distance, residual_variance
from studies.table import Job, pending, run_table, say_missing

NEIGHBOURS = (5, 8, 10, 15, 20, 30)
LANDMARKS = (1000, 2000, 4000)
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 0.875, 0.95, 1.0)
PULLED = {"ISOMAP": "isomap", "PCA": "pca", "ISOMAP on network": "isomap-network"}
ROWS_JUDGED = 1000
"""Faces whose geodesics to all others the residual variance is computed from."""
PACKAGES = ("scikit-learn", "scipy", "numpy")


def time_jobs(options: argparse.Namespace) -> Iterator[Job]:
    """Yield the rounds of landmark ISOMAP."""
    for number in range(options.rounds):
        make = partial(_in_a_process, "landmarks", options)
        yield Job(f"round {number}", {"step": "time", "round": number}, make)


def choice_jobs(options: argparse.Namespace) -> Iterator[Job]:
    """Yield the scan of neighbours and landmarks."""

    def make() -> list[dict]:
        train, valid = _splits(options.source)
        labeller = ValenceArousalLabeller(landmarks=500).fit(faces_of(train), train.labels)
        points, held_out = (labeller.points(faces_of(part)) for part in (train, valid))
        sizes = {"neighbours": NEIGHBOURS, "landmarks": LANDMARKS}
        return _rounded(scan_manifolds(points, train.labels, held_out, **sizes))

    config = {"step": "choose", "neighbours": NEIGHBOURS, "landmarks": LANDMARKS}
    yield Job("neighbours and landmarks", config, make)


def exact_jobs(options: argparse.Namespace) -> Iterator[Job]:
    """Yield the exact run, compared with landmarks on the same faces."""
    config = {"step": "exact", "faces": options.subset or "all", "landmarks": LANDMARKS}
    yield Job(f"exact on {config['faces']}", config, partial(_in_a_process, "exact", options))


def pull_jobs(options: argparse.Namespace) -> Iterator[Job]:
    """Yield the scans of the strength of the shift, one per labeller."""

    def make(name: str, labeller: str) -> list[dict]:
        train, valid = _splits(options.source)
        fitted = make_labeller(labeller).fit(faces_of(train), train.labels)
        return _rounded(scan_pull(fitted, valid, STRENGTHS).assign(labeller=name))

    for name, labeller in PULLED.items():
        config = {"step": "pull", "labeller": labeller, "strengths": STRENGTHS}
        yield Job(name, config, partial(make, name, labeller))


def compare_jobs(options: argparse.Namespace) -> Iterator[Job]:
    """Yield every labeller, judged on valid."""

    @cache
    def points() -> np.ndarray:
        train, valid = _splits(options.source)
        pixels = ValenceArousalLabeller(manifold="pca", landmarks=500)
        return pixels.fit(faces_of(train), train.labels).points(faces_of(valid))

    def make(candidate: Candidate) -> list[dict]:
        train, valid = _splits(options.source)
        return [_round_row(row) for row in compare(candidate, train, valid, points=points())]

    for candidate in CANDIDATES:
        config = {"step": "compare", "split": "valid", **dataclasses.asdict(candidate)}
        yield Job(candidate.name, config, partial(make, candidate))


STEPS = {
    "time": time_jobs,
    "choose": choice_jobs,
    "exact": exact_jobs,
    "pull": pull_jobs,
    "compare": compare_jobs,
}


def child_landmarks(options: argparse.Namespace) -> dict[str, object]:
    """Label all training faces once; return the row of the time step."""
    train = ferplus_table(options.source).split("train")
    before = _peak_mb()
    labeller = ValenceArousalLabeller()
    start, busy = time.perf_counter(), time.process_time()
    labeller.fit_transform(faces_of(train), train.labels)
    return {
        "faces": len(train),
        "landmarks": len(labeller.landmark_rows_),
        "neighbours": labeller.neighbours,
        "seconds": round(time.perf_counter() - start, 2),
        "processor_seconds": round(time.process_time() - busy, 2),
        "peak_mb": round(_peak_mb()),
        "peak_before_mb": round(before),
        "machine": describe_machine(PACKAGES),
    }


def child_exact(options: argparse.Namespace) -> list[dict[str, object]]:
    """Run exact and landmark ISOMAP on the same faces; return the rows of the exact step."""
    train = ferplus_table(options.source).split("train")
    chosen = stratified_sample(train.labels, options.subset or None, np.random.default_rng(0))
    subset = train.rows(np.isin(np.arange(len(train)), chosen))
    labeller = ValenceArousalLabeller(manifold="pca").fit(faces_of(subset), subset.labels)
    points = labeller.points(faces_of(subset))
    reducer = partial(IsomapReducer, neighbours=labeller.neighbours, n_jobs=options.jobs)
    start, busy = time.perf_counter(), _busy_s()
    whole = reducer().fit(points)
    cost = time.perf_counter() - start, _busy_s() - busy, _peak_mb(options.jobs)
    judged = np.sort(np.random.default_rng(0).permutation(len(points))[:ROWS_JUDGED])
    kept = whole.geodesics_[judged], whole.embedding_, judged
    rows = [_exact_row(kept, whole.embedding_, len(points), cost)]
    del whole
    for count in (size for size in LANDMARKS if size < len(points)):
        some = stratified_sample(subset.labels, count, np.random.default_rng(0))
        start, busy = time.perf_counter(), _busy_s()
        places = reducer().fit(points[some]).transform(points)
        cost = time.perf_counter() - start, _busy_s() - busy, None
        rows.append(_exact_row(kept, places, len(some), cost))
    return rows


CHILDREN = {"landmarks": child_landmarks, "exact": child_exact}


def _exact_row(kept: tuple, places: np.ndarray, landmarks: int, cost: tuple) -> dict[str, object]:
    geodesics, reference, judged = kept
    seconds, busy, peak = cost
    return _round_row({
        "faces": len(reference),
        "landmarks": landmarks,
        "procrustes_distance": procrustes_distance(places, reference),
        "residual_variance": residual_variance(geodesics, places, judged),
        "seconds": round(seconds, 1),
        "processor_seconds": round(busy, 1),
        "peak_mb": None if peak is None else round(peak),
        "machine": describe_machine(PACKAGES),
    })  # fmt: skip


def _splits(source: Path | None):
    table = ferplus_table(source)
    return table.split("train"), table.split("valid")


def _busy_s() -> float:
    """Return the processor seconds of this process and of those it has waited for."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def _peak_mb(jobs: int = 0) -> float:
    """Return the peak memory of this process plus `jobs` times that of its largest child, MiB."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss if jobs > 1 else 0
    return (own + jobs * child) / 1024


def _in_a_process(child: str, options: argparse.Namespace):
    words = [sys.executable, "-m", "studies.labellers", "--child", child]
    words += ["--subset", str(options.subset), "--jobs", str(options.jobs)]
    words += ["--source", str(options.source)] if options.source else []
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def _rounded(table) -> list[dict]:
    return [_round_row(row) for row in table.to_dict("records")]


def _round_row(row: dict) -> dict:
    """Return a row with floats rounded to six significant digits, as kept in the csv."""
    return {k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in row.items()}


def _act(options: argparse.Namespace) -> int:
    if options.child:
        print(json.dumps(CHILDREN[options.child](options)))
        return 0
    missing: dict[str, str] = {}
    for step in [] if options.report else options.steps:
        csv, jobs = options.reports / f"valence_arousal_{step}.csv", list(STEPS[step](options))
        if options.list:
            print("".join(f"{step}: {job.key}\n" for job in pending(jobs, csv)), end="")
        else:
            missing |= run_table(jobs, csv, minutes=options.minutes)
    if not options.list:
        for path in write_report(options.reports):
            print(path)
    return say_missing(missing)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = study_parser(
        "labellers",
        __doc__.partition("\n\n")[2].strip(),
        ("--steps compare", "--steps exact --subset 10000", "--report"),
        seeds=None,
    )
    add = parser.add_argument
    add("--steps", nargs="+", default=list(STEPS), choices=list(STEPS))
    add("--subset", type=int, default=0, help="faces of the exact run; 0 for all")
    add("--rounds", type=int, default=3, help="repeats of each time measured")
    add("--jobs", type=int, default=2, help="processes of the exact run")
    add("--child", choices=list(CHILDREN), help=argparse.SUPPRESS)
    return command(parser, _act, arguments)


if __name__ == "__main__":
    sys.exit(main())
