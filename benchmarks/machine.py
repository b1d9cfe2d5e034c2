"""The machine in one line, for the head of every table."""

import os
import platform
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path


def describe_machine(packages: Iterable[str] = ()) -> str:
    """Return processor, cores, load, Python and the versions of some packages."""
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    versions = "".join(f", {name} {version(name)}" for name in packages)
    return (
        f"Machine: {_processor()}, {os.cpu_count()} cores{load}; "
        f"Python {platform.python_version()}{versions}"
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return (names or [platform.processor() or platform.machine()])[0]


def peak_mb(pid: int | str = "self") -> float:
    """Return the most memory that a running process has held, MB; 0 where it has ended.

    Of Linux only: what `getrusage` gives begins at the size of the process that started this one.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return 0.0
    found = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(found[0]) / 1024 if found else 0.0
