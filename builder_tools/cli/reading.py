"""Options of every verb that reads a labelled data set."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from builder_tools.datasets import DATASETS
from builder_tools.fields import is_number


def add_data_options(parser: argparse.ArgumentParser, *, sources: str | None = None) -> None:
    """Add --data, --source and the reading options.

    Args:
        parser: The parser to add them to.
        sources: How many sources (argparse's `nargs`); None for one.
    """
    parser.add_argument(
        "--data", default="ferplus", choices=list(DATASETS), help="the data set (see `data list`)"
    )
    parser.add_argument(
        "--source",
        type=Path,
        nargs=sources,
        action="extend" if sources == "+" else "store",
        help="zip, folder or table of the data (see data/README.md)",
    )
    add_reading_options(parser)


def add_reading_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for a labelled folder's class words, columns and split shares."""
    parser.add_argument(
        "--classes",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=CLASS",
        help="what class names in --data folders mean, where synonyms, case and language do not "
        "settle it (angry=anger; NAME= leaves a class out)",
    )
    parser.add_argument(
        "--columns",
        nargs="+",
        action="extend",
        default=[],
        metavar="WHAT=NAME",
        help="names of the columns path, emotion, split and person in a table of labels",
    )
    parser.add_argument(
        "--shares",
        metavar="TRAIN/TEST",
        help="shares for images without splits: 80/20 (valid is then taken from train), or "
        "train/valid/test, 70/15/15 (default)",
    )


def reading_options(options: argparse.Namespace) -> dict[str, Any]:
    """Return the reading options that were given, as arguments of the loaders in `DATASETS`.

    Raises:
        ValueError: If a value is malformed.
    """
    from builder_tools.datasets.class_words import parse_classes

    found: dict[str, Any] = {}
    if options.classes:
        found["classes"] = parse_classes(options.classes)
    if options.columns:
        pairs = [text.partition("=") for text in options.columns]
        if not all(what and name for what, _, name in pairs):
            raise ValueError(
                f"Expected --columns as path=NAME emotion=NAME. Received: {options.columns}."
            )
        found["columns"] = {what: name for what, _, name in pairs}
    if options.shares:
        try:
            shares = [float(part) for part in options.shares.split("/")]
        except ValueError:
            shares = []
        possible = all(is_number(share) and share >= 0 for share in shares)
        if len(shares) not in (2, 3) or not possible or not shares[0]:
            raise ValueError(
                f"Expected --shares as 80/20 (train/test) or 70/15/15 (train/valid/test). "
                f"Received: {options.shares!r}."
            )
        test = shares[-1] / sum(shares)
        valid = shares[1] / sum(shares) if len(shares) == 3 else 0.15 * (1 - test)
        found |= {"valid": round(valid, 6), "test": round(test, 6)}
    return found
