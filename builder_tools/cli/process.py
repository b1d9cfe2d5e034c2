"""What surrounds a command: where its words go, and that it can say them."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec

READER_GONE = 141
"""As a shell has it for SIGPIPE."""


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


def hear_only_errors_of_opencv() -> None:
    """Have OpenCV, which is imported later, not warn of images that are broken: verbs name them."""
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")


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
