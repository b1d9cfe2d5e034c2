"""Folders written whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from builder_tools.media.partial import partial_path


def check_new_folder(path: str | Path) -> Path:
    """Return the path of a folder that may be written: it does not exist, or is empty.

    Raises:
        FileExistsError: If something is there.
    """
    path = Path(path)
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        raise FileExistsError(
            f"Expected a new or empty folder to write. Received: {path}, which is not empty. "
            "Name another one, or remove it first."
        )
    return path


def check_folder_outside(path: str | Path, source: str | Path) -> Path:
    """Return the path of a folder that may be written and is not inside the source.

    Raises:
        FileExistsError: If something is there.
        ValueError: If it is in the source.
    """
    path, source = check_new_folder(path), Path(source)
    if source.resolve() in (path.resolve(), *path.resolve().parents):
        raise ValueError(
            f"Expected an output folder outside {source}, which is left as it is. Received: {path}."
        )
    return path


def followed(path: Path) -> Path:
    """Return the target of a link, which need not exist yet; otherwise the path as it is."""
    return path.resolve() if path.is_symlink() else path


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """Lend a temporary folder; rename it to `path` on success, remove it on any exception.

    If `path` is a link, its target folder is written.

    Raises:
        FileExistsError: If `path` exists and is not empty; nothing is lent then.
    """
    path = followed(check_new_folder(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_path(path)
    partial.mkdir()
    try:
        yield partial
        os.replace(partial, path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
