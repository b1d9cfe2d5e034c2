"""Keeps the chatter of native libraries off stderr, which is for progress and errors.

TensorFlow's C++ code writes a dozen lines about drivers and instruction sets straight to file
descriptor 2, whatever its log level. That output is filtered here; Python's own is not.
"""

from __future__ import annotations

import io
import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

CHATTER = re.compile(
    rb"WARNING: All log messages before absl::"
    rb"|[IWE]\d{4} \d\d:\d\d:\d\d"  # Abseil's
    rb"|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IWE] "  # TensorFlow's own
    rb"|To enable the following instructions: "
    rb"|INFO: Created TensorFlow Lite "
)
"""What lines of chatter begin with."""
LAST_WORDS_S = 1.0
"""How long to wait at the end for lines from child processes."""


@contextmanager
def without_chatter() -> Iterator[None]:
    """Filter what is written to file descriptor 2 within the `with` block."""
    try:
        terminal = os.dup(2)
    except OSError:  # started without stderr
        yield
        return
    reader, writer = os.pipe()
    before, sys.stderr = sys.stderr, _straight_to(terminal, sys.stderr)
    os.dup2(writer, 2)
    os.close(writer)
    filtering = threading.Thread(target=_filter, args=(reader, terminal), daemon=True)
    filtering.start()
    try:
        yield
    finally:
        sys.stderr.flush()
        sys.stderr = before
        os.dup2(terminal, 2)
        filtering.join(LAST_WORDS_S)  # `terminal` stays open: a logger may hold it


def _straight_to(terminal: int, stream):
    """Return Python's stderr, redirected to bypass the filter if it would pass through it."""
    try:
        filtered = stream.fileno() == 2
    except (AttributeError, OSError, ValueError):
        filtered = False  # a notebook's stream, or a test's
    if not filtered:
        return stream
    stream.flush()
    file = open(terminal, "wb", closefd=False)  # noqa: SIM115 - it stays open
    return io.TextIOWrapper(
        file, encoding=stream.encoding, errors=stream.errors, line_buffering=True
    )


def _filter(reader: int, terminal: int) -> None:
    with open(reader, "rb") as lines:
        for line in lines:
            if not CHATTER.match(line):
                os.write(terminal, line)
