"""The table of classical and hybrid models: `python -m studies.classical`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from builder_tools.cli.reading import add_data_options, reading_options
from builder_tools.cli.release import need_study
from studies.command import command

TABLE = "classical.csv"


def _fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number in (0, 1], received {text!r}")
    return value


def _options(parser: argparse.ArgumentParser) -> None:
    add_data_options(parser)
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/classical"),
        metavar="FOLDER",
        help="models, predictions and features; goes on there (default: runs/classical)",
    )
    parser.add_argument("--reports", type=Path, default=Path("reports"), metavar="FOLDER")
    parser.add_argument(
        "--features", nargs="+", default=[], metavar="NAME", help="one or more joined by +"
    )
    parser.add_argument("--models", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--samplers", nargs="+", default=[], metavar="NAME")
    parser.add_argument(
        "--fraction",
        nargs="+",
        type=_fraction,
        default=[],
        metavar="X",
        help="parts of the training faces, 0...1",
    )
    parser.add_argument("--minutes", type=float, help="begin no row after so long")
    parser.add_argument("--deep", default="fast", metavar="MODEL", help="to compare and join with")
    parser.add_argument("--jobs", type=int, default=-1, help="processes (default: all cores)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-search", action="store_true", help="default parameters only")
    parser.add_argument("--no-hybrids", action="store_true")
    parser.add_argument(
        "--networks",
        action="store_true",
        help="train a network on 1, 5 and 25 %% of the faces, too, for the learning curves (about "
        "40 minutes on two quiet cores)",
    )
    parser.add_argument("--list", action="store_true", help="print the rows, run nothing")


def _run(options: argparse.Namespace) -> int:
    need_study()
    from builder_tools.release import load_data
    from studies.classical.faces_of_study import StudyFaces
    from studies.classical.plan import FRACTIONS, chosen_plan
    from studies.classical.report import write_report
    from studies.classical.table import DEEP_KEY, run_table

    entries = chosen_plan(options.features, options.models, options.samplers, options.fraction)
    if options.list:
        print("\n".join(entry.key for entry in entries))
        return 0
    table = load_data(options.data, options.source, **reading_options(options))
    study = StudyFaces(table, options.out, deep=options.deep, n_jobs=options.jobs)
    csv = options.reports / TABLE
    left = run_table(
        entries,
        study,
        csv,
        hybrids=not options.no_hybrids,
        networks=FRACTIONS if options.networks else (),
        search=not options.no_search,
        minutes=options.minutes,
        seed=options.seed,
    )
    if DEEP_KEY not in left:
        for path in write_report(csv, options.reports):
            print(path)
    if left:
        print(f"Rows that are missing: {len(left)}", file=sys.stderr)
    for key, why in left.items():
        print(f"    {key}: {why}", file=sys.stderr)
    return 1 if left else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m studies.classical")
    _options(parser)
    return command(parser, _run, arguments)


if __name__ == "__main__":
    sys.exit(main())
