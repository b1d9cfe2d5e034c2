"""What a verb of the command line is, and options that several share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Verb:
    """A verb: its help, its options, what it does.

    Args:
        help: One line, lower case.
        examples: Command lines that work.
        add_options: Adds the options to the verb's parser.
        run: Called with the parsed options; gives the exit code, or None for 0.
    """

    help: str
    examples: tuple[str, ...]
    add_options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int | None]


def positive(text: str) -> int:
    """Parses a whole number of at least 1."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number >= 1, received {text!r}")
    return value
