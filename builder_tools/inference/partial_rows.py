"""The rows of a batch under way, kept so that an interrupted run can go on.

One JSON line a row, after a line that says which run it is. With each row stands what its image's
file was when it was read: rows from the first file on that is another now are made again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Self

from builder_tools.inference.batch import BatchRow

RUN_MARK = '{"run": '
"""How the file of a run begins."""

Stamp = tuple[int, int, int] | None


def stamp_of(path: Path) -> Stamp:
    """Return size, time of change and of its entry (ns): they tell a file from its successor.

    None where there is no file.
    """
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


class PartialRows:
    """The file of an interrupted run, locked against other processes; use it in a `with`.

    Args:
        path: The file; it is made, and stays if the work is not finished.
        fingerprint: Names the images, the model and the settings of the run.

    Raises:
        BlockingIOError: If another process works on it.
        OSError: If it cannot be written.
    """

    def __init__(self, path: Path, fingerprint: str) -> None:
        self.path, self.fingerprint = path, fingerprint
        self._file = _opened_alone(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def begin(self, paths: Sequence[Path], *, restart: bool) -> list[BatchRow]:
        """Return the rows that still hold; what follows them in the file is cut off.

        Args:
            paths: The images in the order of the rows.
            restart: Throw all rows away.

        Raises:
            ValueError: If the file is of another run; it is left as it is.
        """
        lines = [] if restart else self._whole_lines()
        rows, stamps = self._read(lines)
        changed = (i for i, (path, was) in enumerate(zip(paths, stamps)) if stamp_of(path) != was)  # noqa: B905
        kept = next(changed, len(rows))
        size = sum(map(len, lines[: kept + 1]))
        self._file.truncate(size)
        if not size:
            self._write({"run": self.fingerprint})
        return rows[:kept]

    def add(self, row: BatchRow, stamp: Stamp) -> None:
        """Put a row on disk.

        Args:
            row: The row.
            stamp: Of its image, from before it was read.
        """
        self._write({"row": asdict(row), "stamp": stamp})

    def remove(self) -> None:
        """Delete the file: the work is done."""
        self.path.unlink()

    def _write(self, value: dict) -> None:
        """Append a JSON line in ASCII: what breaks off never breaks a letter."""
        self._file.write(f"{json.dumps(value)}\n".encode("ascii"))
        self._file.flush()

    def _whole_lines(self) -> list[bytes]:
        self._file.seek(0)
        lines = self._file.read().splitlines(keepends=True)
        return [line for line in lines if line.endswith(b"\n")]

    def _read(self, lines: list[bytes]) -> tuple[list[BatchRow], list[Stamp]]:
        try:
            head, *found = [json.loads(line) for line in lines] or [{"run": self.fingerprint}]
            if head == {"run": self.fingerprint}:
                stamps = [tuple(one["stamp"]) if one["stamp"] else None for one in found]
                rows = [{**one["row"], "faces": tuple(one["row"]["faces"])} for one in found]
                return [BatchRow(**row) for row in rows], stamps
        except (ValueError, TypeError, KeyError):
            pass  # Not even lines of such a file.
        raise ValueError(
            f"Expected {self.path} to be an interrupted run of the same images, model and "
            "settings. It is of others, or damaged. Use those, or start anew with --restart."
        )


def _opened_alone(path: Path) -> IO[bytes]:
    """Open a file for appending that no other process may have open so."""
    while True:
        file = open(path, "a+b")  # noqa: SIM115 - it stays open
        try:
            _lock(file)
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except FileNotFoundError:
            pass  # the other process has just finished and removed it
        except BlockingIOError as error:
            file.close()
            raise BlockingIOError(
                f"Expected to be the only one to write {path}. Another process is at it: wait for "
                "it, or write another csv."
            ) from error
        file.close()


def _lock(file: IO[bytes]) -> None:
    try:
        import fcntl
    except ImportError:  # Windows: a second process fails when it replaces the open file
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return  # a file system without locks
