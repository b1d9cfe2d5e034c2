"""Writes files completely or not at all.

The caller removes a partial path. If a signal prevents that, it is removed when the process ends.
"""

from __future__ import annotations

import atexit
import errno
import io
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

_MOST_REMEMBERED = 256
_FULL = frozenset({errno.ENOSPC, errno.EFBIG, errno.EDQUOT})
_given: list[tuple[Path, int]] = []
"""Partial paths that may still exist, and the process each belongs to."""


def partial_path(path: Path) -> Path:
    """Return an unused name in the folder of `path`, to be renamed to `path` when complete.

    The name does not repeat the final one, so it stays short enough for any file system.

    Raises:
        ValueError: If a device or a pipe is there, or the name is the system's (`refuse_device`).
    """
    refuse_device(path)
    partial = path.with_name(f".{uuid.uuid4().hex}.part")
    if len(_given) >= _MOST_REMEMBERED:
        _given[:] = [given for given in _given if given[0].exists()]
    _given.append((partial.absolute(), os.getpid()))
    return partial


def refuse_device(path: str | os.PathLike) -> None:
    """Refuse to write to a device or a pipe, which would be replaced by a file.

    So are names such as `/dev/stdout`, a link that every program of the system uses; where it
    leads to may well be a file.

    Raises:
        ValueError: Names it.
    """
    folder = os.path.realpath(os.path.dirname(os.path.abspath(path)))
    if folder == "/dev" or f"{folder}/".startswith("/proc/"):
        raise ValueError(
            f"Expected a file to write. Received a name of the system's: {path}, which a file "
            "would replace. Name a file."
        )
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise ValueError(
            f"Expected a file to write. Received a device or a pipe: {path}, which a file would "
            "replace. Name a file."
        )


def check_place(path: Path, *, folder: Path | None = None) -> None:
    """Refuse, before hours of work, a path that cannot be written; create its folder.

    Args:
        path: Path to write to later.
        folder: Folder to create files in; that of the path if None.

    Raises:
        OSError: Names the path, and why.
    """
    folder = path.parent if folder is None else folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tried = partial_path(folder / "any")
        tried.touch()
        tried.unlink()
    except OSError as error:
        raise OSError(
            f"Cannot write {path}: {error.strerror or error}. Try another folder."
        ) from error


def append(file: io.FileIO, data: bytes) -> None:
    """Add all of the bytes at the end of an unbuffered file, or none, as when the disk is full.

    Raises:
        OSError: If there is no room for them, or they cannot be written.
    """
    end, rest = file.seek(0, os.SEEK_END), memoryview(data)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except BaseException:
        file.truncate(end)
        raise


@atexit.register
def _remove_left() -> None:
    for partial, process in _given:
        if process != os.getpid():  # a forked process inherits its parent's list
            continue
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            with suppress(OSError):
                partial.unlink(missing_ok=True)


@contextmanager
def naming_full(path: str | Path) -> Iterator[None]:
    """Have an error of a full disk in the `with` block name the file that found no room.

    Raises:
        OSError: The same, with the file.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextmanager
def replacing(path: Path, *, overwrite: bool = True) -> Iterator[Path]:
    """Yield a temporary path; rename it to `path` on success, remove it on any exception.

    Raises:
        OSError: If the temporary file cannot be written or renamed; names `path` instead.
        FileExistsError: If nothing may be overwritten and something is there by then, also if
            another process was just quicker.
    """
    partial, is_claimed = partial_path(path), False
    try:
        with naming_full(path):
            yield partial
        if not overwrite:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL))
            is_claimed = True
        os.replace(partial, path)
    except BaseException as error:
        with suppress(OSError):  # the error at hand says what is wrong with its place
            partial.unlink()
        if is_claimed:
            path.unlink(missing_ok=True)
        if isinstance(error, OSError) and str(error.filename) == str(partial):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def kept_array(path: Path, shape: tuple[int | None, ...]) -> np.ndarray | None:
    """Return the memory-mapped array of a cached `.npy` file; None if it is absent or damaged.

    After a power failure, even a file that was written this way may be cut short.

    Args:
        path: The file.
        shape: Shape that the array must have; None for any length.
    """
    try:
        found = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None
    fits = isinstance(found, np.ndarray) and len(found.shape) == len(shape)
    fits = fits and all(want in (None, have) for have, want in zip(found.shape, shape, strict=True))
    return found if fits else None
