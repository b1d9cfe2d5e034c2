"""Files to download from the page, each under an unguessable name, and their deletion.

Uploads are kept in the same folders until they are used. Nothing survives the process.
"""

from __future__ import annotations

import logging
import math
import secrets
import shutil
import stat
import threading
import time
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
        most_bytes: Most bytes of both together; None for as much as the disk holds.
    """

    def __init__(self, root: Path, keep_s: float = 900.0, most_bytes: int | None = None) -> None:
        self.root, self.keep_s, self.most_bytes = Path(root), keep_s, most_bytes
        self._results = self.root / "results"
        self._results.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = threading.Lock()
        self._ends: dict[str, float] = {}
        self._held, self._measured_at = 0, -math.inf
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
        shutil.rmtree(self.root, ignore_errors=True)

    def new(self) -> tuple[str, Path]:
        """Create a folder for results; return its token and its path."""
        token = secrets.token_urlsafe(18)
        folder = self._results / token
        folder.mkdir(mode=0o700)
        with self._lock:
            self._ends[token] = float("inf")  # until it is finished
        return token, folder

    def finish(self, token: str) -> None:
        """Start the countdown to the deletion of the results."""
        with self._lock:
            if token in self._ends:
                self._ends[token] = time.monotonic() + self.keep_s

    def delete(self, token: str) -> bool:
        """Delete results now; return whether there were any."""
        with self._lock:
            known = self._ends.pop(token, None) is not None
        if known:
            shutil.rmtree(self._results / token, ignore_errors=True)
        return known

    def find(self, token: str, name: str) -> Path:
        """Return a finished file of the results.

        Raises:
            Refused: `gone`, also for names with a folder in them.
        """
        with self._lock:
            known = time.monotonic() < self._ends.get(token, 0.0) < float("inf")
        path = self._results / token / name
        if not known or Path(name).name != name or name.startswith(".") or not path.is_file():
            raise Refused("gone")
        return path

    def has_room(self, coming: int) -> bool:
        """Return whether there is room for more bytes; if so, count them as if already stored.

        The folder is measured every `MEASURED_S` seconds, so it is full at about `most_bytes`.
        """
        if self.most_bytes is None:
            return True
        with self._lock:
            now = time.monotonic()
            if now - self._measured_at > MEASURED_S:
                self._held, self._measured_at = _bytes_below(self.root), now
            fits = self._held + coming <= self.most_bytes
            self._held += coming if fits else 0
        return fits

    def sweep(self) -> None:
        """Delete whatever has expired."""
        now = time.monotonic()
        with self._lock:
            over = [token for token, end in self._ends.items() if end < now]
        for token in over:
            self.delete(token)

    def _sweep_often(self) -> None:
        while not self._stopped.wait(SWEEP_S):
            try:
                self.sweep()
            except OSError as error:
                _logger.warning("sweeping %s: %s", self.root, error)


def _bytes_below(folder: Path) -> int:
    """Return the total size of all files; one deleted in the meantime counts as nothing."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            about = path.lstat()
            total += about.st_size if stat.S_ISREG(about.st_mode) else 0
    return total
