"""Videos from a pipe: standard input, a FIFO or a shell's process substitution.

A pipe can be read only once and forward, but a video's index may be at its end, and its sound is
read a second time. So the data is kept in a temporary file, which is removed with the pipe.
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
    """The data of a pipe, readable from any position and any number of times.

    Data is read from the pipe only when, and as far as, it is asked for.

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
        """Return the first bytes, waiting for all of them."""
        self._pull(size)
        return self.bytes_at(0, size)

    def has_late_index(self) -> bool:
        """Return whether it is an MP4 (or MOV) whose images precede the index needed to read them.

        Waits until one of the two arrives.
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
        """Return a reader that starts at the beginning and does not wait for more than there is."""
        return _Forward(_View(self))

    def view(self) -> io.RawIOBase:
        """Return a seekable file object; asking for its size waits for the end of the pipe."""
        return _View(self)

    def bytes_at(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes at an offset, as many as have arrived; b"" at the end."""
        self._pull(offset + 1)
        self._kept.seek(offset)
        return self._kept.read(size)

    def size(self) -> int:
        """Return the total number of bytes, waiting for the end."""
        self._pull(sys.maxsize)
        return self._size

    def close(self) -> None:
        """Discard the data; may be called twice."""
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
            self._ended = True  # or decoders would try again
            raise


class Interrupted(RuntimeError):
    """Carries a `KeyboardInterrupt` (its cause) through C decoders, which only propagate errors.

    `pyav.explained` turns it back.
    """


@contextmanager
def _passed_on() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as interruption:
        raise Interrupted("Interrupted while a pipe was read.") from interruption


class _View(io.RawIOBase):
    """One independent reader of a pipe."""

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
    """A reader that cannot seek."""

    def __init__(self, view: _View) -> None:
        self.name, self.read = view.name, view.read


def standard_input(what: str, example: str) -> BinaryIO:
    """Return standard input as a binary stream.

    Args:
        what: What is expected there, for the message.
        example: A command line that provides it, without `builder-tools`.

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
    """Return whether a source is standard input (`-`) or the path of a pipe."""
    if source == STANDARD_INPUT:
        return True
    try:
        return stat.S_ISFIFO(os.stat(source).st_mode)
    except (OSError, ValueError):
        return False


def refuse_pipe(source: str | Path) -> None:
    """Refuse a pipe, for uses that read the file several times.

    Raises:
        ValueError: If it is one.
    """
    if is_pipe(str(source)):
        raise ValueError(
            f"Expected a file, which is read several times. Received a pipe: {str(source)!r}. "
            "Save it first."
        )


def check_file(source: str) -> None:
    """Refuse a path that certainly holds no video.

    Raises:
        FileNotFoundError: If there is nothing.
        ValueError: If it is a folder, a device or an empty file.
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
