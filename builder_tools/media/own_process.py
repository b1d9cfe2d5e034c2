"""Objects usable only in the process that opened them: a fork does not inherit their threads."""

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
        """Refuse use in another process, which would wait forever for threads it does not have.

        Raises:
            RuntimeError: If this is not the process that opened it.
        """
        if os.getpid() != self._process:
            raise RuntimeError(
                f"Expected {self._what} in the process that opened it ({self._process}). "
                f"Received: a fork of it ({os.getpid()}). {self._advice}"
            )
