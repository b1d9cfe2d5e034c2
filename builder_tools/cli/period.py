"""Options of the reports from a site's database: how to group them, and which days."""

from __future__ import annotations

import argparse
import sys
from datetime import date


def add_period_options(parser: argparse.ArgumentParser, of: str) -> None:
    """Add `--by`, `--since` and `--until`.

    Args:
        parser: The verb's parser.
        of: What is reported, for the help texts.
    """
    parser.add_argument(
        "--by", default="exhibit", choices=("exhibit", "hour", "weekday", "day"),
        help=f"what to group {of} by (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--since", type=_day, metavar="DAY", help=f"first day of {of}, e.g. 2026-11-01"
    )
    parser.add_argument("--until", type=_day, metavar="DAY", help=f"last day of {of}, inclusive")


def tell_of_differences(options: argparse.Namespace) -> None:
    """Say on stderr what two reports on periods can tell together."""
    if options.since or options.until:
        print(
            "Reports on periods that overlap can be subtracted from each other, and then tell of "
            "few visits: give out only those of periods that do not.",
            file=sys.stderr,
        )


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected a day as 2026-11-01, received {text!r}"
        ) from None
