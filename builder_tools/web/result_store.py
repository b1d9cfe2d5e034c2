"""Files to download from the page, each under an unguessable name, and their deletion.

Uploads are kept in the same folders until they are used. Nothing survives the process.
"""

from __future__ import annotations

import logging
import math
import os
import secrets
import shutil
import stat
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from builder_tools.web.limits import Refused

SWEEP_S = 15.0
MEASURED_S = 2.0

_logger = logging.getLogger(__name__)


class ResultStore:
    """Folders of results and uploads by token, kept during a job and for a while afterwards.

    Args:
        root: A private folder; created if needed.
        keep_s: How long results are kept, in seconds.
        most_bytes: Most bytes of both together; None for as much as the disk holds. Results count
            once they are there, so those of the running job may exceed it.
    """

    def __init__(self, root: Path, keep_s: float = 900.0, most_bytes: int | None = None) -> None:
        self.root, self.keep_s, self.most_bytes = Path(root), keep_s, most_bytes
        self._results = self.root / "results"
        self._make_private()
        self._lock, self._deleting = threading.Lock(), threading.Lock()
        self._ends: dict[str, float] = {}
        self._promised: Counter[str] = Counter()
        self._measured: Counter[str] = Counter()
        self._measured_at = -math.inf
        self._stopped = threading.Event()
        self._sweeper: threading.Thread | None = None

    def start(self) -> None:
        """Start sweeping in a separate thread."""
        self._sweeper = threading.Thread(target=self._sweep_often, daemon=True, name="sweeper")
        self._sweeper.start()

    def stop(self) -> None:
        """Stop sweeping and delete everything."""
        self._stopped.set()
        if self._sweeper is not None:
            self._sweeper.join(timeout=5)
        remove_or_warn(self.root)

    def new(self, coming: int = 0) -> tuple[str, Path]:
        """Create a folder for an upload and its results; return its token and its path.

        Args:
            coming: Bytes of the upload, which count as stored from now on until it is finished.

        Raises:
            Refused: `full`.
            OSError: If the folder cannot be created.
        """
        token = secrets.token_urlsafe(18)
        folder = self._results / token
        with self._lock:
            self._check_room(coming)
            self._make_private()  # whatever cleans /tmp may have deleted it
            folder.mkdir(mode=0o700)
            self._ends[token] = math.inf  # until it is finished
            self._promised[token] = coming
        return token, folder

    def promise(self, token: str, more: int) -> None:
        """Count more bytes as stored until the job is finished, before they are written.

        Raises:
            Refused: `full`.
        """
        with self._lock:
            self._check_room(more)
            self._promised[token] += more

    def finish(self, token: str) -> None:
        """Start the countdown to the deletion of the results."""
        with self._lock:
            if self._ends.get(token) == math.inf:
                self._ends[token] = time.monotonic() + self.keep_s
                del self._promised[token]
                self._measured_at = -math.inf

    def delete(self, token: str) -> bool:
        """Delete results now; return whether there were any.

        Raises:
            Refused: `not_deleted`, if some are left. Nobody can fetch them, and the sweep tries
                again.
        """
        with self._lock:
            known = token in self._ends
        if not self.drop(token):
            raise Refused("not_deleted")
        return known

    def drop(self, token: str) -> bool:
        """Delete results, now or in a later sweep; return whether none are left."""
        with self._deleting:
            with self._lock:
                end = self._ends.get(token)
                if end is None:
                    return True
                self._ends[token] = -math.inf  # not to be found from now on
            try:
                remove_folder(self._results / token)
            except OSError as error:
                if end > -math.inf:  # else that was said before
                    _logger.warning("Results could not be deleted: %s. Trying again.", error)
                return False
            with self._lock:
                del self._ends[token], self._promised[token], self._measured[token]
            return True

    def find(self, token: str, name: str) -> Path:
        """Return a finished file of the results.

        Raises:
            Refused: `gone`, also for names with a folder in them.
        """
        with self._lock:
            known = time.monotonic() < self._ends.get(token, -math.inf) < math.inf
        path = self._results / token / name
        if not known or Path(name).name != name or name.startswith(".") or not path.is_file():
            raise Refused("gone")
        return path

    def sweep(self) -> None:
        """Delete whatever has expired."""
        now = time.monotonic()
        with self._lock:
            over = [token for token, end in self._ends.items() if end < now]
        for token in over:
            self.drop(token)

    def _make_private(self) -> None:
        for folder in (self.root, self._results):
            folder.mkdir(exist_ok=True, mode=0o700)
            if not is_own_folder(folder):
                raise OSError(f"{folder} is not this server's: somebody made it in its place.")

    def _check_room(self, coming: int) -> None:
        """Refuse bytes that do not fit; each token has those promised or those there, if more."""
        if self.most_bytes is None:
            return
        now = time.monotonic()
        if now - self._measured_at > MEASURED_S:
            self._measured, self._measured_at = _bytes_by_token(self._results), now
        if (self._promised | self._measured).total() + coming > self.most_bytes:
            raise Refused("full")

    def _sweep_often(self) -> None:
        while not self._stopped.wait(SWEEP_S):
            self.sweep()


def is_own_folder(path: Path) -> bool:
    """Return whether a path is a folder of this user, and no link."""
    try:
        facts = path.lstat()
    except FileNotFoundError:  # another server has just deleted it
        return False
    user = os.getuid() if hasattr(os, "getuid") else facts.st_uid  # Windows has no numbers
    return stat.S_ISDIR(facts.st_mode) and facts.st_uid == user


def remove_folder(path: Path) -> None:
    """Delete a folder and as much in it as can be deleted; do nothing if it is gone already.

    Raises:
        OSError: If anything is left; says why.
    """
    shutil.rmtree(path, ignore_errors=True)  # goes on after what it cannot delete
    with suppress(FileNotFoundError):
        shutil.rmtree(path)  # says why the rest stays


def remove_or_warn(path: Path) -> None:
    """Delete a folder for good, or warn that people's files are left in it."""
    try:
        remove_folder(path)
    except OSError as error:
        _logger.warning("Uploads or results are left in %s: %s. Delete them.", path, error)


def _bytes_by_token(results: Path) -> Counter[str]:
    """Return the total size of each token's files; what is deleted meanwhile counts as nothing."""
    sizes: Counter[str] = Counter()
    for folder, _, names in os.walk(results):
        token = os.path.relpath(folder, results).partition(os.sep)[0]
        for name in names:
            with suppress(FileNotFoundError):
                about = os.lstat(os.path.join(folder, name))
                sizes[token] += about.st_size if stat.S_ISREG(about.st_mode) else 0
    return sizes
