"""A journal of work in progress, so that interrupted work resumes where it stopped.

It has one JSON line per item, after a first line that identifies the work. A line is added when
its item is done; an incomplete line is removed on resuming. Only one process may use it at a time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Self, TypeVar

RUN_MARK = '{"run": '
"""Text that every journal begins with."""

Item = TypeVar("Item")


class Journal:
    """A journal, locked against other processes; use it in a `with` statement.

    Args:
        path: The file; it is created, and kept if the work is not finished.
        run: Identifies the work by its inputs and settings.
        of: What identifies the work, in words, for errors ("images and settings").

    Raises:
        BlockingIOError: If another process is using it.
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
        """Return the finished items and truncate the file after them.

        Args:
            read: Turns a value passed to `add` back into an item; raises ValueError, TypeError or
                KeyError for anything else.
            holds: Tells whether an item (its position and the value passed to `add`) is still
                valid: the first that is not, and all after it, are done again.
            restart: Whether to discard all items.

        Raises:
            ValueError: If the file belongs to other work or is damaged; it is left unchanged.
        """
        self._file.seek(0)
        lines = [] if restart else self._file.read().splitlines(keepends=True)
        lines = [line for line in lines if line.endswith(b"\n")]
        try:
            head, *values = [json.loads(line) for line in lines] or [{"run": self.run}]
            items = [read(value) for value in values] if head == {"run": self.run} else None
        except (ValueError, TypeError, KeyError):
            items = None  # These are not lines of a journal at all.
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
        """Append an item as a JSON line, in ASCII so that no character can be cut in two."""
        self._file.write(f"{json.dumps(value)}\n".encode("ascii"))
        self._file.flush()

    def remove(self) -> None:
        """Delete the file once the work is done."""
        self.path.unlink()


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Make other users of the same folder wait until the `with` block ends; leave no file."""
    with _opened_folder(folder) as place:
        _lock(place, wait=True)
        yield


@contextmanager
def only_one_in(folder: Path) -> Iterator[None]:
    """Refuse other users of the same folder until the `with` block ends; leave no file.

    Raises:
        BlockingIOError: If another process, or another call in this one, uses the folder.
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
def among_others_in(folder: Path) -> Iterator[Callable[[], bool]]:
    """Use a folder together with others that call this, until the `with` block ends.

    Yields:
        A function to call last: it returns whether nobody else uses the folder. If so, others that
        begin wait until the block ends. Where there are no locks, nobody knows: it returns False.
    """
    with _opened_folder(folder) as place:
        is_locked = _lock(place, wait=True, shared=True)

        def alone() -> bool:
            try:
                return is_locked and _lock(place)
            except BlockingIOError:
                return False

        yield alone


@contextmanager
def _opened_folder(folder: Path) -> Iterator[int]:
    """Open a folder so that it can be locked; Windows supports neither."""
    if os.name == "nt":
        yield -1
        return
    place = os.open(folder, os.O_RDONLY)
    try:
        yield place
    finally:
        os.close(place)


def _opened_alone(path: Path) -> IO[bytes]:
    """Open a file for appending, unless another process has opened it this way."""
    while True:
        file = open(path, "a+b")  # noqa: SIM115 - it stays open
        try:
            _lock(file)
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except FileNotFoundError:
            pass  # another process has just finished and removed it
        except BlockingIOError as error:
            file.close()
            raise BlockingIOError(
                f"Expected to be the only one to write {path}. Another process is at it: wait for "
                "it, or write elsewhere."
            ) from error
        file.close()


def _lock(file: IO[bytes] | int, *, wait: bool = False, shared: bool = False) -> bool:
    """Lock an open file; if another process holds the lock, wait or raise BlockingIOError.

    Return whether it is locked: not every system has locks.
    """
    try:
        import fcntl
    except ImportError:  # Windows: a second process fails when it replaces the open file
        return False
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(file, kind if wait else kind | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return False  # a file system without locks
    return True
