"""What surrounds a command: signals that end it, and where its words go."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import FrameType

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
"""Ctrl-C; `kill`, `docker stop` and the system's end; a terminal or connection that closes."""
ONE_END_S = 2.0
"""Signals that follow so soon are the same end: many senders send two."""


class Ended(KeyboardInterrupt):
    """A signal asks the process to end; whatever tidies up after Ctrl-C does after this too.

    Args:
        number: The signal's.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Have `SIGNALS` raise `Ended` in the main thread within a `with`.

    One that is ignored (as by `nohup`) or handled already stays so. What fails because the work is
    being ended (a pool that takes no more, say) is that end, too.
    """
    handlers, ends = {}, []
    if threading.current_thread() is threading.main_thread():
        last_s = [-ONE_END_S]

        def end(number: int, frame: FrameType | None) -> None:
            before_s, last_s[0] = last_s[0], time.monotonic()
            if last_s[0] - before_s >= ONE_END_S:
                ends.append(Ended(number))
                raise ends[-1]

        unhandled = (signal.SIG_DFL, signal.default_int_handler)
        numbers = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
        handlers = {n: signal.signal(n, end) for n in numbers if signal.getsignal(n) in unhandled}
    try:
        yield
    except Exception as error:
        if ends:
            raise ends[-1] from error
        raise
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def exit_code_of(end: KeyboardInterrupt) -> int:
    """Return the exit code that says by which signal a command was ended: 130 for Ctrl-C."""
    return 128 + getattr(end, "number", signal.SIGINT)


def advice_on_place() -> str:
    """Return what to say after an error where the current folder is gone, else ""."""
    try:
        os.getcwd()
    except OSError:
        return " The current folder was removed: change to another one."
    return ""


def allow_any_letter() -> None:
    """Have stdout and stderr write letters they cannot show as escapes, and not fail.

    A name of 笑.jpg must not end a batch where the terminal speaks cp1252 or ASCII.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def keep_any_name_in_tables() -> None:
    """Have pandas keep names that are no UTF-8: the strings of Arrow, where it is, refuse them."""
    if find_spec("pandas"):
        import pandas as pd

        pd.set_option("mode.string_storage", "python")


def speaks_unicode() -> bool:
    """Whether stdout can show every letter."""
    return (getattr(sys.stdout, "encoding", None) or "utf-8").lower().startswith("utf")
