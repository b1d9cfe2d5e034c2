"""Files to be fetched from the page, each under a name nobody can guess, and their end.

Everything lies in one folder of this process; nothing survives it.
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
LEFTOVER_S = 3600.0
"""Uploads that nobody ever used are deleted after this long."""
BROKEN_OFF_S = 60.0
"""And those that broke off, of which no more came for this long."""
GRACE_S = 10.0
"""Used uploads go after this long: somebody else may have just sent the same file, which Gradio
keeps under the same name."""

_logger = logging.getLogger(__name__)


class ResultStore:
    """Folders of results, by token, for a while; and uploads, until they are used.

    Args:
        root: A private folder; made if need be.
        keep_s: How long results are kept, seconds.
        most_bytes: How much there may be of both, together; None for what the disk takes.
    """

    def __init__(self, root: Path, keep_s: float = 900.0, most_bytes: int | None = None) -> None:
        self.root, self.keep_s, self.most_bytes = Path(root), keep_s, most_bytes
        self.uploads = self.root / "uploads"
        self._results = self.root / "results"
        for folder in (self.uploads, self._results):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = threading.Lock()
        self._ends: dict[str, float] = {}
        self._used: dict[Path, float] = {}
        self._held, self._measured_at = 0, -math.inf
        self._stopped = threading.Event()
        self._sweeper: threading.Thread | None = None

    def start(self) -> None:
        """Begin to sweep, in a thread of its own."""
        self._sweeper = threading.Thread(target=self._sweep_often, daemon=True, name="sweeper")
        self._sweeper.start()

    def stop(self) -> None:
        """Stop sweeping and delete everything."""
        self._stopped.set()
        if self._sweeper is not None:
            self._sweeper.join(timeout=5)
        shutil.rmtree(self.root, ignore_errors=True)

    def new(self) -> tuple[str, Path]:
        """Make a folder for results; return its token and its path."""
        token = secrets.token_urlsafe(18)
        folder = self._results / token
        folder.mkdir(mode=0o700)
        with self._lock:
            self._ends[token] = float("inf")  # until it is finished
        return token, folder

    def finish(self, token: str) -> None:
        """Start the time after which the results are deleted."""
        with self._lock:
            if token in self._ends:
                self._ends[token] = time.monotonic() + self.keep_s

    def delete(self, token: str) -> bool:
        """Delete results now; say whether there were any."""
        with self._lock:
            known = self._ends.pop(token, None) is not None
        if known:
            shutil.rmtree(self._results / token, ignore_errors=True)
        return known

    def find(self, token: str, name: str) -> Path:
        """Return a finished file of the results.

        Raises:
            Refused: `gone`, also for names that are no bare names.
        """
        with self._lock:
            known = time.monotonic() < self._ends.get(token, 0.0) < float("inf")
        path = self._results / token / name
        if not known or Path(name).name != name or name.startswith(".") or not path.is_file():
            raise Refused("gone")
        return path

    def has_room(self, coming: int) -> bool:
        """Return whether so many bytes more may come; if so, they count as if they were there.

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

    def take(self, upload: str | Path, folder: Path) -> Path:
        """Move an upload into a job's folder by a second name, and have the first one deleted.

        Raises:
            Refused: `gone`, if it is not an upload or no longer there.
        """
        source = self._own(upload)
        target = folder / f".upload{source.suffix.lower()[:8]}"
        number = 0
        while target.exists():
            number += 1
            target = folder / f".upload{number}{source.suffix.lower()[:8]}"
        try:
            target.hardlink_to(source)
        except FileNotFoundError as error:
            raise Refused("gone") from error
        self.used(source)
        return target

    def read(self, upload: str | Path, limit: int) -> bytes:
        """Return the bytes of an upload, at most one more than `limit`; have it deleted.

        Raises:
            Refused: `gone`, if it is not an upload or no longer there.
        """
        source = self._own(upload)
        try:
            with source.open("rb") as file:
                data = file.read(limit + 1)
        except OSError as error:
            raise Refused("gone") from error
        self.used(source)
        return data

    def used(self, upload: Path) -> None:
        """Have an upload deleted in a moment."""
        with self._lock:
            self._used[upload] = time.time()

    def sweep(self) -> None:
        """Delete what has had its time."""
        self._sweep_results()
        self._sweep_used()
        now = time.time()
        for path in list(self.uploads.rglob("*")):
            # Gradio gives a file its own folder when it is whole.
            kept_s = BROKEN_OFF_S if path.parent == self.uploads else LEFTOVER_S
            if path.is_file() and _sent_at(path) < now - kept_s:
                _remove(path)

    def _sweep_results(self) -> None:
        now = time.monotonic()
        with self._lock:
            over = [token for token, end in self._ends.items() if end < now]
        for token in over:
            self.delete(token)

    def _sweep_used(self) -> None:
        with self._lock:
            used = dict(self._used)
        for path, since in used.items():
            sent = _sent_at(path)
            over = sent <= since and time.time() - since > GRACE_S
            if over:
                _remove(path)
            if over or sent > since:  # sent again: its next use counts
                with self._lock:
                    self._used.pop(path, None)

    def is_upload(self, path: str | Path) -> bool:
        """Return whether a path is that of a whole upload: a plain file in a folder of its own, and
        no other way of writing that path, no link, device or pipe."""
        try:
            about = Path(path).lstat()
            folder = Path(path).parent
            is_own = stat.S_ISREG(about.st_mode) and stat.S_ISDIR(folder.lstat().st_mode)
        except (OSError, ValueError):
            return False
        plain = str(path) == str(self.uploads / folder.name / Path(path).name)
        return is_own and plain and ".." not in Path(path).parts

    def _own(self, upload: str | Path) -> Path:
        if not self.is_upload(upload):
            raise Refused("gone")
        return Path(upload)

    def _sweep_often(self) -> None:
        while not self._stopped.wait(SWEEP_S):
            try:
                self.sweep()
            except OSError as error:
                _logger.warning("sweeping %s: %s", self.root, error)


def _bytes_below(folder: Path) -> int:
    """Return the size of all files; one that goes while it is looked at counts as nothing."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            about = path.lstat()
            total += about.st_size if stat.S_ISREG(about.st_mode) else 0
    return total


def _sent_at(path: Path) -> float:
    """Return when an upload was written; 0 if it is no longer there."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _remove(path: Path) -> None:
    """Delete an upload, and the folder Gradio made for it alone."""
    path.unlink(missing_ok=True)
    try:
        path.parent.rmdir()
    except OSError:
        return  # not empty: something else lies there
