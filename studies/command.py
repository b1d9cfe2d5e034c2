"""What the studies' commands share: options, exit codes, and messages instead of tracebacks."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from builder_tools.cli.endings import ended_by_signals, exit_code_of
from builder_tools.cli.quiet import without_chatter
from builder_tools.cli.verb import seed

WRONG_USAGE = 2


def study_parser(
    module: str, about: str, examples: Sequence[str], seeds: Sequence[int] | None = (0,)
) -> argparse.ArgumentParser:
    """Return a parser with the options that all studies share.

    Args:
        module: Name of the study's module in `studies`; runs are kept in `runs/<module>`.
        about: What the study measures; shown first in its help.
        examples: Options of example commands.
        seeds: Default seeds; None if nothing is repeated.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m studies.{module}",
        description=about,
        epilog="examples:\n" + "\n".join(f"  python -m studies.{module} {e}" for e in examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--source", type=Path, help="zip or folder of FER+ (see data/README.md)")
    add("--reports", type=Path, default=Path("reports"), metavar="FOLDER",
        help="tables and pages (default: reports)")  # fmt: skip
    add("--runs", type=Path, default=Path("runs") / module, metavar="FOLDER",
        help=f"checkpoints and models; resumes there (default: runs/{module})")  # fmt: skip
    if seeds is not None:
        add("--seeds", type=seed, nargs="+", action=_Distinct, metavar="N", default=list(seeds),
            help=f"one row each (default: {' '.join(map(str, seeds))})")  # fmt: skip
    add("--minutes", type=_minutes, help="start no row after this long")
    add("--list", action="store_true", help="print the missing rows, run nothing")
    add("--report", action="store_true", help="write the pages from the tables, run nothing")
    return parser


class _Distinct(argparse.Action):
    """Keeps each value once, in the order given."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        setattr(namespace, self.dest, list(dict.fromkeys(values)))


def _minutes(text: str) -> float:
    """Parse a time of at least 0 minutes."""
    try:
        minutes = float(text)
    except ValueError:
        minutes = math.nan
    if not minutes >= 0:
        raise argparse.ArgumentTypeError(f"expected minutes >= 0, received {text!r}")
    return minutes


def command(
    parser: argparse.ArgumentParser,
    act: Callable[[argparse.Namespace], int | None],
    arguments: Sequence[str] | None = None,
) -> int:
    """Parse, act, and return the exit code: 0 done, 1 rows missing, 2 wrong usage or an error."""
    options = parser.parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        with without_chatter(), ended_by_signals():
            return act(options) or 0
    except KeyboardInterrupt as end:
        print(f"{parser.prog}: interrupted ({str(end) or 'SIGINT'})", file=sys.stderr)
        return exit_code_of(end)
    except (ValueError, OSError, RuntimeError, ImportError, MemoryError) as error:
        print(f"{parser.prog}: {error or 'out of memory'}", file=sys.stderr)
        return WRONG_USAGE
