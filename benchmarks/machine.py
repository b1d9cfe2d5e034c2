"""The machine in one line, for the head of every table, and the peak memory of a process."""

from pathlib import Path

from builder_tools.machine import describe_machine

__all__ = ["describe_machine", "peak_mb"]


def peak_mb(pid: int | str = "self") -> float:
    """Return the peak memory of a running process, MiB; 0 if it has ended.

    Linux only. The value from `getrusage` would start at the size of the parent process.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return 0.0
    found = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(found[0]) / 1024 if found else 0.0
