"""What surrounds a command: signals that end it, and where its words go."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from types import FrameType, TracebackType

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
"""Ctrl-C; `kill`, `docker stop` and the system's end; a terminal or connection that closes."""
ONE_END_S = 2.0
"""Signals that follow so soon are the same end: many senders send two."""
READER_GONE = 141
"""As a shell has it for SIGPIPE."""
AGAIN_S = 0.05
"""An end that was lost comes again after so long."""


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
    being ended (a pool that takes no more, say) is that end, too. No end is lost: raised where
    nothing can pass it on (a destructor, Python called by C), it comes again until it is heard; and
    so it does where a lock is being taken, which would stay so for ever.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ends: list[Ended] = []
    again: list[threading.Timer] = []
    last_s, over = [-ONE_END_S], [False]
    excepthook, unraisablehook = sys.excepthook, sys.unraisablehook

    def end(number: int, frame: FrameType | None) -> None:
        before_s, last_s[0] = last_s[0], time.monotonic()
        if last_s[0] - before_s < ONE_END_S or over[0]:
            return
        if _is_at_lock(frame):
            come_again(number)
            return
        ends.append(Ended(number))
        raise ends[-1]

    def come_again(number: int) -> None:
        last_s[0] = -ONE_END_S
        again.append(threading.Timer(AGAIN_S, _signal_main_thread, [number]))
        again[-1].daemon = True
        again[-1].start()

    def print_error(kind: type, error: BaseException, trace: TracebackType | None) -> None:
        if not isinstance(error, Ended):  # Cython prints what it cannot pass on
            excepthook(kind, error, trace)

    def send_again(lost: sys.UnraisableHookArgs) -> None:
        if not isinstance(lost.exc_value, Ended):
            unraisablehook(lost)
            return
        come_again(lost.exc_value.number)

    unhandled = (signal.SIG_DFL, signal.default_int_handler)
    numbers = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
    handlers = {n: signal.signal(n, end) for n in numbers if signal.getsignal(n) in unhandled}
    sys.excepthook, sys.unraisablehook = print_error, send_again
    try:
        yield
        if ends:
            raise ends[-1]
    except Exception as error:
        if ends:
            raise ends[-1] from error
        raise
    finally:
        over[0] = True
        for timer in again:
            timer.cancel()
            timer.join()
        sys.excepthook, sys.unraisablehook = excepthook, unraisablehook
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _is_at_lock(frame: FrameType | None) -> bool:
    """Return whether a condition's lock is being taken or let go there.

    That is Python code, at every step of which a signal can come; other locks are C's.
    """
    if frame is None or frame.f_globals.get("__name__") != threading.__name__:
        return False
    return frame.f_code.co_name in ("__enter__", "__exit__")


def _signal_main_thread(number: int) -> None:
    """Send a signal from another thread, even to a main thread that waits for something."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident, number)
    else:
        signal.raise_signal(number)


def exit_code_of(end: KeyboardInterrupt) -> int:
    """Return the exit code that says by which signal a command was ended: 130 for Ctrl-C."""
    return 128 + getattr(end, "number", signal.SIGINT)


def say_reader_is_gone(verb: str, files: Sequence[str]) -> int:
    """End a command whose stdout nobody reads any more (`| head`); return the exit code.

    That is no error, but files that were to be written would be missing without a word.

    Args:
        verb: Of the command.
        files: Files and folders that it was to write.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if not files:
        return 0
    print(
        f"builder-tools {verb}: ended early, as nobody reads the results any more. Missing, or "
        f"there in part only: {', '.join(files)}. Try > FILE in place of the pipe.",
        file=sys.stderr,
    )
    return READER_GONE


def open_closed_streams() -> None:
    """Let nothing else take the place of a stream that is closed, as stderr by `2>&-`.

    What is printed to such a stderr would go to stdout, and what a library says there into the
    file that is opened next.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115


def advice_on_place() -> str:
    """Return what to say after an error where the current folder is gone, else ""."""
    try:
        os.getcwd()
    except OSError:
        return ". The current folder was removed: change to another one."
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
