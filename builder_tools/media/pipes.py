"""Videos that come through a pipe: standard input, a FIFO, a shell's process substitution.

A pipe can be read once and forward only; a video's index may stand at its end, and its sound is
read a second time. So what has come is kept in a temporary file, which goes with the pipe.
"""

from __future__ import annotations

import io
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from builder_tools.media.addresses import STANDARD_INPUT


class Pipe:
    """What comes through a pipe, to be read from anywhere and any number of times.

    Nothing is read before somebody asks for it, and only so far as is asked for.

    Args:
        source: `-` for standard input, or the path of a FIFO.

    Raises:
        ValueError: If standard input is closed or a terminal.
        OSError: If the FIFO cannot be opened.
    """

    def __init__(self, source: str) -> None:
        self.name = source
        if source != STANDARD_INPUT:
            self._stream = open(source, "rb", 0)  # noqa: SIM115
        else:
            self._stream = standard_input("a video", "video - < film.mp4")
        self._kept = tempfile.TemporaryFile(prefix="builder_tools_")  # noqa: SIM115
        self._size, self._ended = 0, False

    def __str__(self) -> str:
        return self.name

    def start(self, size: int = 16) -> bytes:
        """Return the first bytes; waits for all of them."""
        self._pull(size)
        return self.bytes_at(0, size)

    def has_late_index(self) -> bool:
        """Whether it is an MP4 (or MOV) whose images come before the index one needs for them.

        Waits for whichever of the two comes first.
        """
        place = 0
        while True:
            self._pull(place + 16)
            head = self.bytes_at(place, 16)
            size, kind = int.from_bytes(head[:4], "big"), head[4:8]
            if kind in (b"mdat", b"moov") or not (place or kind == b"ftyp"):
                return kind == b"mdat"
            if size == 1:
                size = int.from_bytes(head[8:], "big")
            if size < 8:
                return False
            place += size

    def forward(self) -> _Forward:
        """Return what reads it from its beginning, without waiting for more than there is."""
        return _Forward(_View(self))

    def view(self) -> io.RawIOBase:
        """Return a file object that reads it from anywhere; its size is known at its end only."""
        return _View(self)

    def bytes_at(self, offset: int, size: int) -> bytes:
        """Return up to so many bytes from a place, as many as there are by now; b"" at the end."""
        self._pull(offset + 1)
        self._kept.seek(offset)
        return self._kept.read(size)

    def size(self) -> int:
        """Return how many bytes there are in all, which waits for the end."""
        self._pull(sys.maxsize)
        return self._size

    def close(self) -> None:
        """Forget what came; may be called twice."""
        self._kept.close()
        self._ended = True
        if self._stream is not sys.stdin.buffer:
            self._stream.close()

    def _pull(self, needed: int) -> None:
        try:
            while self._size < needed and not self._ended:
                data = os.read(self._stream.fileno(), 1 << 16)
                self._ended = not data
                self._kept.seek(self._size)
                self._kept.write(data)
                self._size += len(data)
        except KeyboardInterrupt:
            self._ended = True  # decoders would try again
            raise


class Interrupted(RuntimeError):
    """A `KeyboardInterrupt`, its cause, as decoders can pass it on: their C code knows errors only.

    `pyav.explained` turns it back.
    """


@contextmanager
def _passed_on() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as interruption:
        raise Interrupted("Interrupted while a pipe was read.") from interruption


class _View(io.RawIOBase):
    """One reading of a pipe."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe, self._place = pipe, 0
        self.name = pipe.name

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        with _passed_on():
            data = self._pipe.bytes_at(self._place, len(buffer))
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._place}
        with _passed_on():
            self._place = offset + (start[whence] if whence in start else self._pipe.size())
        return self._place

    def tell(self) -> int:
        return self._place


class _Forward:
    """A reading that cannot seek."""

    def __init__(self, view: _View) -> None:
        self.name, self.read = view.name, view.read


def standard_input(what: str, example: str) -> BinaryIO:
    """Return standard input, to read bytes from.

    Args:
        what: What is expected there, for the message.
        example: A command line that gives it, without `builder-tools`.

    Raises:
        ValueError: If it is closed or a terminal.
    """
    if sys.stdin is None or sys.stdin.closed:
        raise ValueError(f"Expected {what} on standard input (-). It is closed.")
    if sys.stdin.isatty():
        raise ValueError(
            f"Expected {what} on standard input (-). It is a terminal. Try: builder-tools {example}"
        )
    return sys.stdin.buffer


def is_pipe(source: str) -> bool:
    """Whether a source is standard input (`-`) or the path of a pipe."""
    if source == STANDARD_INPUT:
        return True
    try:
        return stat.S_ISFIFO(os.stat(source).st_mode)
    except (OSError, ValueError):
        return False


def refuse_pipe(source: str | Path) -> None:
    """Refuse a pipe where a file is read several times.

    Raises:
        ValueError: If it is one.
    """
    if is_pipe(str(source)):
        raise ValueError(
            f"Expected a file, which is read several times. Received a pipe: {str(source)!r}. "
            "Save it first."
        )


def check_file(source: str) -> None:
    """Refuse a path that holds no video for sure.

    Raises:
        FileNotFoundError: If nothing is there.
        ValueError: If it is a folder, a device or empty.
    """
    path = Path(source)
    if not path.exists():
        raise FileNotFoundError(f"No video at {source!r}. Check the spelling and the folder.")
    if path.is_dir():
        raise ValueError(f"Expected a video file. Received a folder: {source!r}.")
    if not path.is_file():
        raise ValueError(
            f"Expected a video file. Received a device or socket: {source!r}. "
            "Try online --camera for cameras."
        )
    if path.stat().st_size == 0:
        raise ValueError(f"Expected a video. Received an empty file (0 bytes): {source!r}.")
