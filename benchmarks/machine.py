"""The machine in one line, for the head of every table, and the most memory a process has held."""

from pathlib import Path

from builder_tools.machine import describe_machine

__all__ = ["describe_machine", "peak_mb"]


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
