"""What belongs to the process that opened it: threads do not come along into a forked one."""

from __future__ import annotations

import os


class OwnProcess:
    """Remembers the process that opened something.

    Args:
        what: What was opened.
        advice: What to do in another process.
    """

    def __init__(self, what: str, advice: str) -> None:
        self._what, self._advice, self._process = what, advice, os.getpid()

    def check(self) -> None:
        """Refuse another process, where waiting for the threads left behind would never end.

        Raises:
            RuntimeError: If this is another process than the one that opened it.
        """
        if os.getpid() != self._process:
            raise RuntimeError(
                f"Expected {self._what} in the process that opened it ({self._process}). "
                f"Received: a fork of it ({os.getpid()}). {self._advice}"
            )
