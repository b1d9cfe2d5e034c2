"""Measures the valence-arousal labellers: time and memory, what landmarks lose, what labels say.

    python benchmarks/isomap.py [--steps time choose exact pull compare] [--exact] [--rounds 3]

- `time`: landmark ISOMAP labels for every training face of FER+, each round in a process of its
  own; seconds from faces in memory to labels, and the process's peak memory.
- `choose`: neighbours and landmarks by residual variance (on the landmarks) and trustworthiness
  and continuity on the faces of the valid split.
- `exact`: ISOMAP on every face at once against landmarks, on `--subset` faces; `--exact` takes all
  of them, whose distances alone fill 3.3 GB.
- `pull`: agreement with the votes for every strength of the shift towards the class, on valid.
- `compare`: every labeller against the vote-weighted anchors, on test, and what it says beyond
  the class.

Each step keeps its rows in `reports/valence_arousal_<step>.csv`; steps may be run apart, and a
labeller that has its rows is not measured again (`--again` forgets them). Figures and
`reports/valence_arousal.md` are written from what is there.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pandas as pd
from tqdm import tqdm

from builder_tools.datasets.ferplus import ferplus_table
from builder_tools.datasets.sampling import stratified_sample
from builder_tools.machine import describe_machine
from builder_tools.media.partial import replacing
from builder_tools.valence_arousal import ValenceArousalLabeller, faces_of, make_labeller
from builder_tools.valence_arousal.reducers import IsomapReducer
from studies.labellers.choice import scan_manifolds, scan_pull
from studies.labellers.compare import CANDIDATES, compare
from studies.labellers.report import write_figures, write_report
from studies.labellers.validation import procrustes_distance, residual_variance

REPORTS = Path(__file__).resolve().parents[2] / "reports"
NEIGHBOURS = (5, 8, 10, 15, 20, 30)
LANDMARKS = (1000, 2000, 4000)
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 0.875, 0.95, 1.0)
PULLED = {"ISOMAP": "isomap", "PCA": "pca", "ISOMAP on network": "isomap-network"}
ROWS_JUDGED = 1000
"""Faces whose geodesics to all others residual variance is taken over."""
PACKAGES = ("scikit-learn", "scipy", "numpy")


def main() -> None:
    """Run the steps and write the report."""
    options = _parser().parse_args()
    if options.child:
        print(json.dumps(CHILDREN[options.child](options)))
        return
    if options.again:
        for step in options.steps:
            _file(step).unlink(missing_ok=True)
    for step in options.steps:
        STEPS[step](options)
    write_figures(REPORTS)
    write_report(REPORTS)


def time_landmarks(options: argparse.Namespace) -> None:
    """Measure labels for all training faces, a process a round."""
    rounds = range(options.rounds)
    for _ in tqdm(rounds, "rounds of landmark ISOMAP", file=sys.stderr):
        _add(_file("time"), [_in_a_process("landmarks", options)])


def choose(options: argparse.Namespace) -> None:
    """Scan neighbours and landmarks."""
    table = ferplus_table(options.source)
    train, valid = table.split("train"), table.split("valid")
    labeller = ValenceArousalLabeller(landmarks=500).fit(faces_of(train), train.labels)
    points = (labeller.points(faces_of(part)) for part in (train, valid))
    train_points, valid_points = points
    found = scan_manifolds(
        train_points, train.labels, valid_points, neighbours=NEIGHBOURS, landmarks=LANDMARKS
    )
    _write(_file("choose"), found)


def exact(options: argparse.Namespace) -> None:
    """Compare landmarks with the exact run."""
    _add(_file("exact"), _in_a_process("exact", options))


def pull(options: argparse.Namespace) -> None:
    """Scan the strength of the shift."""
    table = ferplus_table(options.source)
    train, valid = table.split("train"), table.split("valid")
    for name, method in tqdm(PULLED.items(), "labellers pulled", file=sys.stderr):
        if not _has(_file("pull"), name):
            labeller = make_labeller(method).fit(faces_of(train), train.labels)
            found = scan_pull(labeller, valid, STRENGTHS)
            _add(_file("pull"), found.assign(labeller=name).to_dict("records"))


def compare_all(options: argparse.Namespace) -> None:
    """Judge every labeller on test."""
    table = ferplus_table(options.source)
    train, test = table.split("train"), table.split("test")
    pixels = ValenceArousalLabeller(manifold="pca", landmarks=500)
    points = pixels.fit(faces_of(train), train.labels).points(faces_of(test))
    chosen = [one for one in CANDIDATES if one.labeller not in options.leave_out]
    for candidate in tqdm(chosen, "labellers", file=sys.stderr):
        if not _has(_file("compare"), candidate.name):
            _add(_file("compare"), list(compare(candidate, train, test, points=points)))


STEPS = {
    "time": time_landmarks,
    "choose": choose,
    "exact": exact,
    "pull": pull,
    "compare": compare_all,
}


def child_landmarks(options: argparse.Namespace) -> dict[str, object]:
    """Labels all training faces once; gives the row of the time step."""
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
    """Run exact ISOMAP and landmarks on the same faces; return the rows of the exact step."""
    train = ferplus_table(options.source).split("train")
    size = None if options.exact else options.subset
    subset = train.rows(_mask(stratified_sample(train.labels, size, _rng()), len(train)))
    labeller = ValenceArousalLabeller(manifold="pca").fit(faces_of(subset), subset.labels)
    points = labeller.points(faces_of(subset))
    start, busy = time.perf_counter(), _busy_s()
    whole = _reducer(options).fit(points)
    cost = time.perf_counter() - start, _busy_s() - busy, _peak_mb(options.jobs)
    judged = np.sort(_rng().permutation(len(points))[:ROWS_JUDGED])
    kept = whole.geodesics_[judged], whole.embedding_, judged
    rows = [_exact_row(kept, whole.embedding_, len(points), cost)]
    del whole
    for count in (size for size in LANDMARKS if size < len(points)):
        chosen = stratified_sample(subset.labels, count, _rng())
        start, busy = time.perf_counter(), _busy_s()
        places = _reducer(options).fit(points[chosen]).transform(points)
        cost = time.perf_counter() - start, _busy_s() - busy, float("nan")
        rows.append(_exact_row(kept, places, len(chosen), cost))
    return rows


CHILDREN = {"landmarks": child_landmarks, "exact": child_exact}


def _exact_row(kept: tuple, places: np.ndarray, landmarks: int, cost: tuple) -> dict[str, object]:
    geodesics, reference, judged = kept
    seconds, busy, peak = cost
    return {
        "faces": len(reference),
        "landmarks": landmarks,
        "procrustes_distance": procrustes_distance(places, reference),
        "residual_variance": residual_variance(geodesics, places, judged),
        "seconds": round(seconds, 1),
        "processor_seconds": round(busy, 1),
        "peak_mb": None if np.isnan(peak) else round(peak),
        "machine": describe_machine(PACKAGES),
    }


def _reducer(options: argparse.Namespace) -> IsomapReducer:
    return IsomapReducer(neighbours=ValenceArousalLabeller().neighbours, n_jobs=options.jobs)


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


def _mask(rows: np.ndarray, length: int) -> np.ndarray:
    mask = np.zeros(length, bool)
    mask[rows] = True
    return mask


def _busy_s() -> float:
    """Return the processor seconds of this process and of those it has waited for."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def _peak_mb(jobs: int = 0) -> float:
    """Return the peak memory of this process, and `jobs` times that of its largest child."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss if jobs > 1 else 0
    return (own + jobs * child) / 1024


def _in_a_process(child: str, options: argparse.Namespace):
    words = [sys.executable, __file__, "--child", child, "--subset", str(options.subset)]
    words += ["--jobs", str(options.jobs), *(["--exact"] if options.exact else [])]
    words += ["--source", str(options.source)] if options.source else []
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    print(json.dumps(found, indent=1))
    return found


def _file(step: str) -> Path:
    return REPORTS / f"valence_arousal_{step}.csv"


def _has(path: Path, labeller: str) -> bool:
    return path.is_file() and labeller in set(pd.read_csv(path)["labeller"])


def _add(path: Path, rows: list[dict[str, object]]) -> None:
    before = [pd.read_csv(path)] if path.is_file() else []
    _write(path, pd.concat([*before, pd.DataFrame(rows)], ignore_index=True))


def _write(path: Path, rows: pd.DataFrame) -> None:
    with replacing(path) as partial:
        rows.to_csv(partial, index=False, lineterminator="\n", float_format="%.6g")
    print(rows.to_string())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", nargs="*", default=list(STEPS), choices=list(STEPS))
    parser.add_argument("--source", type=Path, help="FER+ (see data/README.md)")
    parser.add_argument("--exact", action="store_true", help="the exact run takes all faces")
    parser.add_argument("--subset", type=int, default=10_000, help="faces of the exact run")
    parser.add_argument("--leave-out", nargs="*", default=[], help="of compare, e.g. umap")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2, help="processes of the exact run")
    parser.add_argument("--again", action="store_true", help="forget the steps' rows first")
    parser.add_argument("--child", choices=list(CHILDREN), help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    main()
