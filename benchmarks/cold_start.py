"""Measure a light start: `builder-tools img PHOTO --json` in fresh processes.

Prints Markdown: time from process start to the result (first line on stdout) and to the end,
peak memory, the packages that take longest to import, and, with `--disk`, the size of a base
install. Only the standard library is used here, so that this process stays small: on Linux, a
child's peak memory is never reported below that of the process that started it.

    python benchmarks/cold_start.py [--runs 10] [--photo FILE] [--python FILE] [--disk]
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from demo_photo import write_photo
from machine import describe_machine

ROOT = Path(__file__).resolve().parents[1]
MEGABYTE = 1e6
IMPORT_LINE = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)")
FORBIDDEN = ("tensorflow", "keras", "sklearn", "pandas", "seaborn")


@dataclass(frozen=True)
class Target:
    """Upper limits of the contract: what must be met, and what to strive for."""

    must: float
    strive: float
    unit: str

    def verdict(self, value: float) -> str:
        """Return which of the two limits `value` meets."""
        if value <= self.strive:
            return "strive met"
        return "must met" if value <= self.must else "MISSED"


START = Target(1.2, 0.6, "s")
MEMORY = Target(260, 160, "MB")
DISK = Target(760, 500, "MB")


@dataclass(frozen=True)
class Run:
    """One fresh process: seconds to the first line on stdout and to the end, peak memory."""

    result_s: float
    end_s: float
    peak_mb: float


def timed_run(command: list[str]) -> Run:
    """Run `command` once from the repository root and measure it.

    Raises:
        RuntimeError: If it fails or prints no result; the message includes its stderr.
    """
    with tempfile.TemporaryFile() as messages:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=messages, bufsize=0
        )
        result = process.stdout.readline()
        result_s = time.perf_counter() - start
        process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        end_s = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stdout.close()
        messages.seek(0)
        if process.returncode or not result:
            raise RuntimeError(f"{command} failed: {messages.read().decode()}")
    return Run(result_s, end_s, _peak_mb(usage.ru_maxrss))


def _peak_mb(ru_maxrss: int) -> float:
    unit_bytes = 1 if sys.platform == "darwin" else 1024
    return ru_maxrss * unit_bytes / MEGABYTE


def import_costs(command: list[str]) -> dict[str, tuple[int, int]]:
    """Return import time in microseconds and module count by top-level package, slowest first."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return summarise_imports(done.stderr)


def summarise_imports(report: str) -> dict[str, tuple[int, int]]:
    """Add up the self times in an `-X importtime` report by top-level package, slowest first."""
    costs: dict[str, list[int]] = defaultdict(list)
    for self_us, module in IMPORT_LINE.findall(report):
        costs[module.split(".")[0]].append(int(self_us))
    totals = {package: (sum(times), len(times)) for package, times in costs.items()}
    return dict(sorted(totals.items(), key=lambda item: -item[1][0]))


def base_install_mb() -> float:
    """Return the megabytes that `pip install .` adds to site-packages of a fresh environment."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        before_mb = _size_mb(Path(folder))
        subprocess.run([python, "-m", "pip", "install", "-q", str(ROOT)], check=True)
        return _size_mb(Path(folder)) - before_mb


def _size_mb(folder: Path) -> float:
    files = (path for path in folder.rglob("site-packages/**/*") if not path.is_symlink())
    return sum(path.lstat().st_blocks * 512 for path in files) / MEGABYTE


def print_table(rows: list[tuple[str, float, Target]]) -> None:
    """Print measured values and their targets as a Markdown table."""
    print("| what | measured | must | strive | verdict |\n|---|---|---|---|---|")
    for what, value, target in rows:
        limits = f"<= {target.must:g} {target.unit} | <= {target.strive:g} {target.unit}"
        print(f"| {what} | {value:.3g} {target.unit} | {limits} | {target.verdict(value)} |")


def print_imports(costs: dict[str, tuple[int, int]], top: int = 10) -> list[str]:
    """Print the slowest packages to import; return those that a light start must not load."""
    total_ms = sum(us for us, _ in costs.values()) / 1000
    print(f"\nImports, {total_ms:.0f} ms in all (own time, `-X importtime` slows them):\n")
    print("| package | ms | modules |\n|---|---|---|")
    for package, (self_us, modules) in list(costs.items())[:top]:
        print(f"| {package} | {self_us / 1000:.0f} | {modules} |")
    found = [package for package in FORBIDDEN if package in costs]
    print(f"\nHeavy packages loaded: {', '.join(found) or 'none'}")
    return found


def measured_rows(command: list[str], runs: int) -> list[tuple[str, float, Target]]:
    """Return medians over `runs` fresh processes, after one that warms the disk cache."""
    timed_run(command)
    measured = [timed_run(command) for _ in range(runs)]
    return [
        ("cold start to result", statistics.median(r.result_s for r in measured), START),
        ("cold start to end of process", statistics.median(r.end_s for r in measured), START),
        ("peak memory", statistics.median(r.peak_mb for r in measured), MEMORY),
    ]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure a light start.")
    parser.add_argument("--runs", type=int, default=10, help="fresh processes (default: 10)")
    parser.add_argument("--photo", type=Path, help="image (default: the astronaut)")
    parser.add_argument("--python", default=sys.executable, help="interpreter to measure")
    parser.add_argument("--disk", action="store_true", help="also make and weigh a base install")
    return parser.parse_args()


def main() -> int:
    """Print every table; return 1 if a heavy package was loaded, else 0."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        photo = arguments.photo or write_photo(Path(folder) / "astronaut.png")
        command = ["-m", "builder_tools", "img", str(photo.resolve()), "--json"]
        rows = measured_rows([arguments.python, *command], arguments.runs)
        costs = import_costs([arguments.python, "-X", "importtime", *command])
    if arguments.disk:
        rows.append(("disk of a base install", base_install_mb(), DISK))
    print(f"{describe_machine()}; medians of {arguments.runs} fresh processes; MB = 10^6 bytes\n")
    print_table(rows)
    return 1 if print_imports(costs) else 0


if __name__ == "__main__":
    sys.exit(main())
