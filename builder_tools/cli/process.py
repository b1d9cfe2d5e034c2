"""The surroundings of a command: its output streams, and what they can print."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TextIO

WRONG_USAGE = 2
READER_GONE = 141
"""Exit code that a shell reports for SIGPIPE."""


def say_reader_is_gone(verb: str, files: Sequence[str]) -> int:
    """End a command whose stdout is no longer read (`| head`); return the exit code.

    That is not an error, but output files would otherwise go missing silently.

    Args:
        verb: Verb of the command.
        files: Files and folders that it should have written.
    """
    _write_to_nothing(sys.stdout)
    if not files:
        return 0
    try:
        print(
            f"builder-tools {verb}: ended early, as nobody reads the results any more. Missing, or "
            f"there in part only: {', '.join(files)}. Try > FILE in place of the pipe.",
            file=sys.stderr,
        )
    except OSError:  # nobody reads messages either (`2>&1 | head`)
        _write_to_nothing(sys.stderr)
    return READER_GONE


def write_out(code: int) -> int:
    """Write what is left of the results to stdout; return the exit code.

    Python does this when it exits, but then a reader that is gone or a full disk ends in code 120.

    Args:
        code: Exit code of the command, whose files are written.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _write_to_nothing(sys.stdout)
    except OSError as error:
        _write_to_nothing(sys.stdout)
        if code < WRONG_USAGE:
            print(f"builder-tools: Cannot write the results to stdout: {error}.", file=sys.stderr)
        return WRONG_USAGE
    return code


def _write_to_nothing(stream: TextIO) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def open_closed_streams() -> None:
    """Reopen closed streams on the null device, such as stderr after `2>&-`.

    Otherwise text printed to stderr would go to stdout, and messages of libraries into whichever
    file is opened next.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115


def hear_only_errors_of_opencv() -> None:
    """Keep OpenCV, imported later, from warning about broken images: the verbs report them."""
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")


def advice_on_place() -> str:
    """Return advice to add to an error message if the current folder is gone, else ""."""
    try:
        os.getcwd()
    except OSError:
        return ". The current folder was removed: change to another one."
    return ""


def allow_any_letter() -> None:
    """Have stdout and stderr escape characters they cannot encode instead of failing.

    A file called 笑.jpg must not end a batch because the terminal uses cp1252 or ASCII.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def keep_any_name_in_tables() -> None:
    """Have pandas keep names that are not UTF-8: Arrow strings, if installed, would refuse them."""
    if find_spec("pandas"):
        import pandas as pd

        pd.set_option("mode.string_storage", "python")


def speaks_unicode() -> bool:
    """Return whether stdout can show every character."""
    return (getattr(sys.stdout, "encoding", None) or "utf-8").lower().startswith("utf")
