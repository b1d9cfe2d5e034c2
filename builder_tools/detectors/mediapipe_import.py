"""Import MediaPipe without its heavy dependencies, and keep its native log out of the terminal.

MediaPipe imports TensorFlow if it is installed (for a documentation decorator), Matplotlib (to plot
landmarks) and sounddevice (to record sound). None is needed to find a face; together they cost
seconds and hundreds of megabytes. During that one import, TensorFlow cannot be imported, except for
a stand-in for its decorator, and the other two are stand-ins that import the real module when one
of its attributes is first used. Afterwards all can be imported as before.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import logging
import os
import re
import sys
import tempfile
import threading
import weakref
from collections.abc import Iterator
from types import ModuleType
from typing import Any

BLOCKED = "tensorflow"
DOCUMENTATION = "tensorflow.tools.docs"
DEFERRED = ("matplotlib", "matplotlib.pyplot", "sounddevice")

_NATIVE_CHATTER = re.compile(rb"^(INFO: |WARNING: |[IW]\d{4} )")
_STDERR = 2

logger = logging.getLogger(__name__)
_import_lock = threading.Lock()
_stderr_lock = threading.Lock()
_open_tasks: weakref.WeakSet[Any] = weakref.WeakSet()


class _Deferred(ModuleType):
    """A stand-in for a module until one of its attributes is used."""

    def __getattr__(self, name: str) -> Any:
        real = importlib.import_module(self.__name__)
        if real is self or name.startswith("__"):
            raise AttributeError(name)
        return getattr(real, name)


def import_mediapipe() -> ModuleType:
    """Return the `mediapipe` module, imported without TensorFlow, Matplotlib and sounddevice.

    Any of them that the process has already imported stays as it is. Another thread that imports
    TensorFlow for the first time during these 0.2 s is told it is missing.

    Raises:
        ImportError: If MediaPipe is not installed; says how to install it.
    """
    with _import_lock:
        if "mediapipe" not in sys.modules:
            # Registered before MediaPipe's own exit handler, so as to run after it.
            atexit.register(_close_open_tasks)
        try:
            with _stand_ins():
                return importlib.import_module("mediapipe")
        except ModuleNotFoundError as error:
            raise ImportError(
                "The mediapipe face detector needs MediaPipe. Try: pip install mediapipe"
            ) from error


def close_at_exit(task: Any) -> None:
    """Close a MediaPipe task at the end of the process, if it has not been closed before.

    A task still open at that point prints an exception from its destructor.
    """
    _open_tasks.add(task)


def without_reports(base_options: Any) -> Any:
    """Return MediaPipe's `BaseOptions`, modified so that no usage report reaches its maker.

    MediaPipe 1.2 sends versions and timings (no images) to its maker and has no switch for it
    (google-ai-edge/mediapipe, issue 6291). Given an empty file of certificate authorities, it
    trusts no server, so it still connects but sends nothing. This was verified with our own server
    under that name, whose certificate the system trusted.
    """
    original = base_options.to_ctypes

    def to_ctypes() -> Any:
        options = original()
        options.ca_bundle_path = os.devnull.encode()
        return options

    base_options.to_ctypes = to_ctypes
    return base_options


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Keep the native library's log lines off the terminal; they go to `logging` as DEBUG.

    The library has no switch for them. File descriptor 2 is redirected meanwhile, for the whole
    process, so keep it short; any other lines are printed afterwards.
    """
    with _stderr_lock, contextlib.ExitStack() as undo:
        try:
            saved = os.dup(_STDERR)
        except OSError:  # No stderr, so nothing to keep quiet.
            yield
            return
        aside = undo.enter_context(tempfile.TemporaryFile())
        undo.callback(_relay, aside)
        undo.callback(os.close, saved)
        undo.callback(os.dup2, saved, _STDERR)
        os.dup2(aside.fileno(), _STDERR)
        yield


def _relay(aside: Any) -> None:
    aside.seek(0)
    for line in aside.read().splitlines(keepends=True):
        if _NATIVE_CHATTER.match(line):
            logger.debug("%s", line.decode(errors="replace").rstrip())
        else:
            os.write(_STDERR, line)


@contextlib.contextmanager
def _stand_ins() -> Iterator[None]:
    absent = [name for name in (BLOCKED, *DEFERRED) if name not in sys.modules]
    stand_ins: dict[str, ModuleType | None] = {name: _Deferred(name) for name in absent}
    if {"matplotlib", "matplotlib.pyplot"} <= set(absent):
        stand_ins["matplotlib"].__dict__["pyplot"] = stand_ins["matplotlib.pyplot"]
    if BLOCKED in absent:
        # Only the decorator is provided, so that nothing even looks for TensorFlow.
        stand_ins |= {BLOCKED: None, DOCUMENTATION: _documentation_stand_in()}
    sys.modules.update(stand_ins)  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in stand_ins:
            sys.modules.pop(name, None)


def _documentation_stand_in() -> ModuleType:
    module, controls = ModuleType(DOCUMENTATION), ModuleType("doc_controls")
    controls.do_not_generate_docs = lambda decorated: decorated
    module.doc_controls = controls
    return module


def _forked() -> None:
    """Reset locks in a forked process; closing the parent's tasks would wait for its threads."""
    global _import_lock, _stderr_lock
    _import_lock, _stderr_lock = threading.Lock(), threading.Lock()
    for task in _open_tasks:
        task._handle = None  # so that its `close` does nothing
    _open_tasks.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def _close_open_tasks() -> None:
    for task in list(_open_tasks):
        with quiet_stderr():
            task.close()
