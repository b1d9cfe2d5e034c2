"""Forks wait for native code to rest: its locks would stay locked in the child for ever."""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

LONGEST_WAIT_S = 10.0
"""Work that takes longer is not waited for, nor is a fork."""

_turn = threading.Condition()
_num_at_work = 0
_forking = False
_own = threading.local()


@contextmanager
def at_work() -> Iterator[None]:
    """Have forks wait for the end of a `with`, and its beginning for the end of a fork."""
    global _num_at_work
    if getattr(_own, "at_work", False):
        yield
        return
    turn = _turn  # a child has another one
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
    # Later handlers are called earlier. That of this module locks executors, which work may need.
    importlib.import_module("concurrent.futures.thread")
    os.register_at_fork(
        before=_wait_for_rest, after_in_parent=_go_on, after_in_child=_begin_in_child
    )
