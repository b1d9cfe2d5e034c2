"""The campaign of hostile files: none may end a run, hang it, lose a row or leave a file behind.

Images go through `builder-tools img-batch`, as a user would pass them, a hundred per folder; videos
through `Inference` in `video` mode and zips through the page's unpacking, in a separate process
that is watched: whatever ends that process is a crash, and it is restarted after the file that
caused it. The following are counted:

- crashes: a process that ended by a signal or with a traceback, or an unexpected exception;
- hangs: a file or a folder that exceeded its time limit;
- missing rows: images without a row in the csv of the log;
- left files: anything left in the output folder or the temporary folder;
- peak memory of the processes, which has a stated bound.

Raw requests to the page are made and sent by `requests.py`.

    python benchmarks/hostile                        # 10,000 inputs, an hour or so
    python benchmarks/hostile --images 400 --videos 40 --zips 60 --seed 7 --no-report
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from machine import describe_machine, peak_mb

from hostile import inputs, requests

PROGRAM = Path(__file__).resolve().parent
REPORT = PROGRAM.parent.parent / "reports" / "reliability.md"
START, END = "<!-- hostile.py: begin -->", "<!-- hostile.py: end -->"
FOLDER = 100
"""Images per run of `img-batch`."""
MEMORY_BOUND_MB = 1_200
"""Bound for `img-batch` on two threads: about 200 MB for the program plus 256 MB per thread for
decoding, or one image alone (the largest in the campaign have 36 megapixels, about 430 MB)."""
FOLDER_S, FILE_S = 300.0, 60.0
WATCH_S = 0.02
"""Interval at which a process's memory is checked."""


@dataclass(frozen=True)
class Outcome:
    """Outcome of a part of the campaign.

    Args:
        kind: Kind of input.
        inputs: Number of files or requests.
        answered: Number of inputs that gave a result; the rest were refused with a message.
        crashes, hangs, missing_rows, left_files: Counts; all should be 0.
        peak_mb: Largest memory of a process.
        seconds: Duration.
        notes: What went wrong: which file, and its message.
    """

    kind: str
    inputs: int = 0
    answered: int = 0
    crashes: int = 0
    hangs: int = 0
    missing_rows: int = 0
    left_files: int = 0
    peak_mb: float = 0.0
    seconds: float = 0.0
    notes: tuple[str, ...] = field(default=())

    @property
    def faults(self) -> int:
        """Number of things that went wrong; memory over the bound counts as one."""
        over = self.peak_mb > MEMORY_BOUND_MB
        return self.crashes + self.hangs + self.missing_rows + self.left_files + over

    def __add__(self, other: Outcome) -> Outcome:
        return Outcome(
            self.kind,
            *(getattr(self, name) + getattr(other, name) for name in _COUNTS),
            peak_mb=max(self.peak_mb, other.peak_mb),
            seconds=self.seconds + other.seconds,
            notes=self.notes + other.notes,
        )


_COUNTS = ("inputs", "answered", "crashes", "hangs", "missing_rows", "left_files")


def try_images(seed: int, count: int, work: Path) -> Outcome:
    """Give images to `img-batch`, a folder at a time."""
    total = Outcome("images")
    for start in range(0, count, FOLDER):
        numbers = range(start, min(start + FOLDER, count))
        with tempfile.TemporaryDirectory(dir=work) as place:
            total += _try_folder(seed, numbers, Path(place))
    return total


def _try_folder(seed: int, numbers: range, place: Path) -> Outcome:
    images, out, temporary = (place / name for name in ("images", "out", "tmp"))
    for folder in (images, out, temporary):
        folder.mkdir()
    names = {inputs.put_image(images, seed, number).name for number in numbers}
    command = [sys.executable, "-m", "builder_tools", "img-batch", str(images)]
    command += ["--csv", str(out / "s.csv"), "--workers", "2"]
    done = _watched(command, FOLDER_S, temporary)
    rows = _rows(out / "s.log.csv")
    left = [*temporary.rglob("*"), *(p for p in out.iterdir() if p.name not in _WRITTEN)]
    crashed = done.code not in (0, 1) or "Traceback" in done.errors
    notes = []
    if crashed and not done.hung:
        notes.append(f"seed {seed}, {numbers}: exit {done.code}: {done.errors[-300:]}")
    if missing := names - set(rows):
        notes.append(f"seed {seed}, {numbers}: no row of {sorted(missing)[:5]}")
    notes += [f"seed {seed}, {numbers}: left {path.name}" for path in left[:5]]
    return Outcome(
        "images",
        len(names),
        sum(status != "unreadable" for status in rows.values()),
        int(crashed and not done.hung),
        int(done.hung),
        len(missing),
        len(left),
        done.peak_mb,
        done.seconds,
        tuple(notes),
    )


_WRITTEN = ("s.csv", "s.log.csv")


def _rows(log: Path) -> dict[str, str]:
    if not log.is_file():
        return {}
    with open(log, newline="", encoding="utf-8", errors="surrogateescape") as file:
        return {row["image_path"]: row["status"] for row in csv.DictReader(file)}


@dataclass(frozen=True)
class _Done:
    code: int
    hung: bool
    errors: str
    peak_mb: float
    seconds: float


def _watched(command: list[str], limit_s: float, temporary: Path) -> _Done:
    """Run a process until it ends, or kill it at the limit; return how it went and peak memory."""
    begin_s = time.monotonic()
    environment = {**os.environ, "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    late = threading.Timer(limit_s, process.kill)
    late.start()
    peaks = [0.0]
    watch = threading.Thread(target=_watch_memory, args=(process, peaks))
    watch.start()
    errors = process.stderr.read().decode(errors="replace")
    process.wait()
    hung = not late.is_alive()
    late.cancel()
    watch.join()
    seconds = time.monotonic() - begin_s
    return _Done(process.returncode, hung, errors, max(peaks), seconds)


def _watch_memory(process: subprocess.Popen, peaks: list[float]) -> None:
    while process.poll() is None:
        peaks.append(peak_mb(process.pid))
        time.sleep(WATCH_S)


def try_files(kind: str, seed: int, count: int, work: Path) -> Outcome:
    """Give videos or zips to a process that tries them in turn; restart it whenever it ends."""
    total, number = Outcome(kind), 0
    while number < count:
        with tempfile.TemporaryDirectory(dir=work) as place:
            command = [sys.executable, str(PROGRAM), "--worker", kind]
            command += [str(seed), str(number), str(count), place]
            begin_s = time.monotonic()
            told, done = _followed(command, Path(place))
            ended = [line for line in told if "peak_mb" in line]
            answered = sum(line["answered"] for line in ended)
            bad = [line for line in ended if line["error"] or line["left"]]
            part = Outcome(
                kind,
                len(ended),
                answered,
                sum(bool(line["error"]) for line in ended),
                left_files=sum(line["left"] for line in ended),
                peak_mb=max((line["peak_mb"] for line in ended), default=0.0),
                notes=tuple(
                    f"seed {seed}, {kind} {line['number']}: {line['error'] or 'left files'}"
                    for line in bad
                ),
            )
            number += len(ended)
            if number < count:  # this file ended it
                part = replace(
                    part,
                    inputs=part.inputs + 1,
                    crashes=part.crashes + (not done.hung),
                    hangs=part.hangs + done.hung,
                    notes=(*part.notes, f"seed {seed}, {kind} {number}: exit {done.code}"),
                )
                number += 1
            total += replace(part, seconds=time.monotonic() - begin_s)
    return total


def _followed(command: list[str], temporary: Path) -> tuple[list[dict], _Done]:
    """Read a worker's output line by line; kill it if one file takes too long."""
    environment = {**os.environ, "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    told, hung = [], threading.Event()

    def kill() -> None:
        hung.set()
        process.kill()

    late = threading.Timer(FILE_S, kill)
    late.start()
    for line in process.stdout:
        late.cancel()
        told.append(json.loads(line))
        late = threading.Timer(FILE_S, kill)
        late.start()
    code = process.wait()
    late.cancel()
    return told, _Done(code, hung.is_set(), "", 0.0, 0.0)


def try_requests(seed: int, count: int) -> Outcome:
    """Send raw requests to the page."""
    begin_s = time.monotonic()
    found = dict(requests.campaign(seed, count))
    return Outcome("requests", **{"seconds": time.monotonic() - begin_s, **found})


def run_campaign(
    seed: int, *, images: int = 0, videos: int = 0, zips: int = 0, num_requests: int = 0
) -> list[Outcome]:
    """Run the campaign; return one outcome per kind of input."""
    with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
        work = Path(folder)
        outcomes = [
            try_images(seed, images, work) if images else None,
            try_files("videos", seed, videos, work) if videos else None,
            try_files("zips", seed, zips, work) if zips else None,
            try_requests(seed, num_requests) if num_requests else None,
        ]
    return [outcome for outcome in outcomes if outcome is not None]


_HEADER = (
    *("inputs", "number", "answered", "crashes", "hangs", "missing rows", "left files"),
    *("peak MB", "min"),
)


def table(outcomes: list[Outcome], seed: int) -> str:
    """Return this campaign's part of the report in Markdown."""
    lines = [
        f"{describe_machine(['opencv-contrib-python', 'pillow', 'av', 'mediapipe'])}. Seed {seed}.",
        "",
        f"| {' | '.join(_HEADER)} |",
        "|---" * len(_HEADER) + "|",
    ]
    for one in outcomes:
        counts = f"{one.crashes} | {one.hangs} | {one.missing_rows} | {one.left_files}"
        lines.append(
            f"| {one.kind} | {one.inputs:,} | {one.answered:,} | {counts} | {one.peak_mb:.0f} | "
            f"{one.seconds / 60:.1f} |"
        )
    notes = [f"- {note}" for one in outcomes for note in one.notes[:20]]
    return "\n".join([*lines, "", *(notes or ["Nothing happened that should not have."])])


def write_report(text: str) -> None:
    """Write this campaign's part between its marks in the report; the rest stays."""
    before, after = "# Reliability\n\nHostile inputs, made by scripts of this project.\n\n", "\n"
    if REPORT.is_file():
        whole = REPORT.read_text(encoding="utf-8")
        before, after = (*whole.split(START), "\n")[:2] if START in whole else (f"{whole}\n", "\n")
        after = after.split(END)[-1]
    about = "## Files and requests\n\n" + _ABOUT
    REPORT.write_text(f"{before}{START}\n{about}\n\n{text}\n{END}{after}", encoding="utf-8")


_ABOUT = f"""`python benchmarks/hostile` makes the inputs from a seed (nobody's images) and
counts what went wrong. Images go through `img-batch`; "answered" are those that could be read;
the rest got a row as unreadable, with the reason. Stated memory bound: {MEMORY_BOUND_MB:,} MB."""
