"""The journal of work under way, so that what was interrupted goes on where it stopped.

One JSON line an item, after a first line that says which work it is. A line is added when its item
is done; a line that broke off is cut off when the work goes on. One process at a time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Self, TypeVar

RUN_MARK = '{"run": '
"""How a journal begins."""

Item = TypeVar("Item")


class Journal:
    """A journal, locked against other processes; use it in a `with`.

    Args:
        path: The file; it is made, and stays if the work is not finished.
        run: Names the work: its inputs and settings.
        of: What work is told by, in words, for errors ("images and settings").

    Raises:
        BlockingIOError: If another process works on it.
        OSError: If it cannot be written.
    """

    def __init__(self, path: Path, run: str, *, of: str) -> None:
        self.path, self.run, self.of = path, run, of
        self._file = _opened_alone(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def begin(
        self,
        read: Callable[[dict[str, Any]], Item],
        *,
        holds: Callable[[int, dict[str, Any]], bool] = lambda place, value: True,
        restart: bool = False,
    ) -> list[Item]:
        """Return the items that are done; what follows them in the file is cut off.

        Args:
            read: Makes an item of what `add` was given; raises ValueError, TypeError or KeyError
                for what it never was given.
            holds: Whether an item (its place and what `add` was given) still holds: the first
                that does not, and all after it, are done again.
            restart: Forget all items.

        Raises:
            ValueError: If the file is of other work, or damaged; it is left as it is.
        """
        self._file.seek(0)
        lines = [] if restart else self._file.read().splitlines(keepends=True)
        lines = [line for line in lines if line.endswith(b"\n")]
        try:
            head, *values = [json.loads(line) for line in lines] or [{"run": self.run}]
            items = [read(value) for value in values] if head == {"run": self.run} else None
        except (ValueError, TypeError, KeyError):
            items = None  # Not even lines of a journal.
        if items is None:
            raise ValueError(
                f"Expected {self.path} to be an interrupted run of the same {self.of}. It is of "
                "others, or damaged. Use those, write elsewhere, or start anew with --restart."
            )
        stale = (place for place, value in enumerate(values) if not holds(place, value))
        kept = next(stale, len(items))
        self._file.truncate(sum(map(len, lines[: kept + 1])))
        if not lines:
            self.add({"run": self.run})
        return items[:kept]

    def add(self, value: dict[str, Any]) -> None:
        """Put an item on disk, as a JSON line in ASCII: what breaks off never breaks a letter."""
        self._file.write(f"{json.dumps(value)}\n".encode("ascii"))
        self._file.flush()

    def remove(self) -> None:
        """Delete the file: the work is done."""
        self.path.unlink()


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Have others who ask for the same folder wait until the `with` ends; leaves no file."""
    with _opened_folder(folder) as place:
        _lock(place, wait=True)
        yield


@contextmanager
def only_one_in(folder: Path) -> Iterator[None]:
    """Refuse others who ask for the same folder until the `with` ends; leaves no file.

    Raises:
        BlockingIOError: If another process, or another place in this one, is there.
    """
    with _opened_folder(folder) as place:
        try:
            _lock(place)
        except BlockingIOError as error:
            raise BlockingIOError(
                f"Expected to be the only one to work in {folder}. Another process is at it: wait "
                "for it, or name another folder."
            ) from error
        yield


@contextmanager
def _opened_folder(folder: Path) -> Iterator[int]:
    """Open a folder so that it can be locked; Windows opens none, and has no such locks."""
    if os.name == "nt":
        yield -1
        return
    place = os.open(folder, os.O_RDONLY)
    try:
        yield place
    finally:
        os.close(place)


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
                "it, or write elsewhere."
            ) from error
        file.close()


def _lock(file: IO[bytes] | int, *, wait: bool = False) -> None:
    """Lock what is open; where another process has, wait for it or raise BlockingIOError."""
    try:
        import fcntl
    except ImportError:  # Windows: a second process fails when it replaces the open file
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return  # a file system without locks
