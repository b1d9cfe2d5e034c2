"""Memory that threads share for images: a thread that needs much waits until there is room."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

BYTES_PER_WORKER = 256_000_000
"""Memory per thread for decoding and processing images; the total is shared by all threads."""


class Budget:
    """A number of bytes to lend out and take back.

    Args:
        most: Bytes lent at once. A request for more gets all of them to itself.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._free = most
        self._back = threading.Condition()

    @contextmanager
    def lend(self, needed: int) -> Iterator[None]:
        """Wait until this many bytes are free, and hold them within the `with` block."""
        amount = min(needed, self.most)
        with self._back:
            self._back.wait_for(lambda: amount <= self._free)
            self._free -= amount
        try:
            yield
        finally:
            with self._back:
                self._free += amount
                self._back.notify_all()
