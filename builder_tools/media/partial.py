"""Writing files whole or not at all."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def partial_path(path: Path) -> Path:
    """Gives an unused name in the folder of `path`, to be renamed to `path` when complete.

    The name does not repeat the final one, so it stays short enough for any file system.
    """
    return path.with_name(f".{uuid.uuid4().hex}.part")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Lends a temporary path; renames it to `path` on success, removes it on any exception."""
    partial = partial_path(path)
    try:
        yield partial
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
