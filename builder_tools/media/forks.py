"""Makes forks wait for native code: a lock it holds would stay locked in the child forever."""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

LONGEST_WAIT_S = 10.0
"""The longest wait of a fork for work, and of work for a fork."""

_turn = threading.Condition()
_num_at_work = 0
_forking = False
_own = threading.local()


@contextmanager
def at_work() -> Iterator[None]:
    """Make forks wait for the end of the `with` block, and its start wait for a running fork."""
    global _num_at_work
    if getattr(_own, "at_work", False):
        yield
        return
    turn = _turn  # a forked child has its own
    with turn:
        turn.wait_for(lambda: not _forking, LONGEST_WAIT_S)
        _num_at_work += 1
    _own.at_work = True
    try:
        yield
    finally:
        _own.at_work = False
        if turn is _turn:
            with turn:
                _num_at_work -= 1
                turn.notify_all()


def _wait_for_rest() -> None:
    global _forking
    with _turn:
        _forking = True
        _turn.wait_for(lambda: _num_at_work == 0, LONGEST_WAIT_S)


def _go_on() -> None:
    global _forking
    with _turn:
        _forking = False
        _turn.notify_all()


def _begin_in_child() -> None:
    global _turn, _num_at_work, _forking
    _turn, _num_at_work, _forking = threading.Condition(), 0, False


if hasattr(os, "register_at_fork"):
    # Handlers registered later run first. The one of concurrent.futures locks executors, which the
    # work may need, so import it before.
    importlib.import_module("concurrent.futures.thread")
    os.register_at_fork(
        before=_wait_for_rest, after_in_parent=_go_on, after_in_child=_begin_in_child
    )
