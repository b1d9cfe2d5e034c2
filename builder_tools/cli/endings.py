"""Signals that end a command: what they raise, and how none of them gets lost."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Self

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
"""Ctrl-C; `kill`, `docker stop` or system shutdown; a terminal or connection that closes."""
ONE_END_S = 2.0
"""Signals within this many seconds count as one: many senders send two."""
AGAIN_S = 0.05
"""Seconds after which a lost signal is sent again."""


class Ended(KeyboardInterrupt):
    """Raised when a signal asks the process to end; code that cleans up after Ctrl-C handles it.

    Args:
        number: Signal number.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Have `SIGNALS` raise `Ended` in the main thread within the `with` block.

    Signals that are already ignored (as under `nohup`) or handled are left alone. An error caused
    by the shutdown itself (a pool that accepts no more work, say) is raised as `Ended`, too. No
    signal is lost: raised where nothing can propagate it (a destructor, Python called from C), it
    is sent again until it gets through. It is also postponed while a lock is being acquired, as
    the lock would otherwise stay locked forever.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with _Ends() as ends:
        try:
            yield
        except Exception as error:
            if ends.last:
                raise ends.last from error
            raise
        if ends.last:
            raise ends.last


def exit_code_of(end: KeyboardInterrupt) -> int:
    """Return the exit code for the signal that ended a command: 130 for Ctrl-C."""
    return 128 + getattr(end, "number", signal.SIGINT)


class _Ends:
    """The signal handlers within a `with` block.

    Attributes:
        last: The exception raised last; None before the first.
    """

    def __init__(self) -> None:
        self.last: Ended | None = None
        self._heard_s = -ONE_END_S
        self._again: list[threading.Timer] = []
        self._over = False

    def __enter__(self) -> Self:
        unhandled = (signal.SIG_DFL, signal.default_int_handler)
        numbers = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
        numbers = [number for number in numbers if signal.getsignal(number) in unhandled]
        self._handlers = {number: signal.signal(number, self._end) for number in numbers}
        self._hooks = sys.excepthook, sys.unraisablehook
        sys.excepthook, sys.unraisablehook = self._print_error, self._send_again
        return self

    def __exit__(self, *error: object) -> None:
        self._over = True
        for timer in self._again:
            timer.cancel()
            timer.join()
        sys.excepthook, sys.unraisablehook = self._hooks
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _end(self, number: int, frame: FrameType | None) -> None:
        before_s, self._heard_s = self._heard_s, time.monotonic()
        if self._heard_s - before_s < ONE_END_S or self._over:
            return
        if _is_at_lock(frame):
            self._come_again(number)
            return
        self.last = Ended(number)
        raise self.last

    def _come_again(self, number: int) -> None:
        self._heard_s = -ONE_END_S
        self._again.append(threading.Timer(AGAIN_S, _signal_main_thread, [number]))
        self._again[-1].daemon = True
        self._again[-1].start()

    def _print_error(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        if not isinstance(error, Ended):  # Cython prints what it cannot propagate
            self._hooks[0](kind, error, trace)

    def _send_again(self, lost: sys.UnraisableHookArgs) -> None:
        if isinstance(lost.exc_value, Ended):
            self._come_again(lost.exc_value.number)
        else:
            self._hooks[1](lost)


def _is_at_lock(frame: FrameType | None) -> bool:
    """Return whether a condition's lock is being acquired or released in the frame.

    That is Python code, which a signal can interrupt at any step; other locks are implemented in C.
    """
    if frame is None or frame.f_globals.get("__name__") != threading.__name__:
        return False
    return frame.f_code.co_name in ("__enter__", "__exit__")


def _signal_main_thread(number: int) -> None:
    """Send a signal to the main thread from another one, even if the main thread is waiting."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident, number)
    else:
        signal.raise_signal(number)
