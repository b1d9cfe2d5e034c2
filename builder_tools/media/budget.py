"""Memory that threads share for images: who needs much waits until there is room."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

BYTES_PER_WORKER = 256_000_000
"""Memory for images that are decoded and looked at, a thread; all threads share it."""


class Budget:
    """A number of bytes that is lent out and comes back.

    Args:
        most: Bytes lent at once. Who needs more gets all of them, alone.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._free = most
        self._back = threading.Condition()

    @contextmanager
    def lend(self, needed: int) -> Iterator[None]:
        """Wait for so many bytes, and hold them for the length of a `with`."""
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
