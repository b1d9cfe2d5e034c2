"""Rerun the study's comparisons: `python -m studies.experiments screening`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from builder_tools.cli.release import need_study
from builder_tools.cli.verb import positive
from studies.command import command


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("plan", choices=["screening", "ablations", "report"])
    parser.add_argument("--source", type=Path, help="FER+ as a zip or folder")
    parser.add_argument("--table", type=Path, default=Path("reports/experiments.csv"))
    parser.add_argument("--runs", type=Path, default=Path("runs/experiments"), help="checkpoints")
    parser.add_argument("--jobs", type=positive, default=1, help="trials beside each other")
    parser.add_argument("--group", nargs="+", default=[], help="only these groups")
    parser.add_argument("--minutes", type=float, help="begin no trial after so long")
    parser.add_argument("--list", action="store_true", help="print what is pending, run nothing")
    parser.add_argument("--trial", help="run this one in this process; adds no row")


def _run(options: argparse.Namespace) -> int | None:
    need_study()
    from studies.experiments.plans import find_trial
    from studies.experiments.schedule import pending_trials, run_plan
    from studies.experiments.trial import run_trial

    if options.plan == "report":
        return _report(options)
    if options.trial:
        run_trial(find_trial(options.plan, options.trial), options.runs, source=options.source)
        return None
    if options.list:
        for trial in pending_trials(options.plan, options.table, options.group):
            print(trial.key)
        return None
    failed = run_plan(
        options.plan,
        table=options.table,
        runs=options.runs,
        source=options.source,
        jobs=options.jobs,
        groups=options.group,
        minutes=options.minutes,
    )
    return 1 if failed else 0


def _report(options: argparse.Namespace) -> None:
    from studies.experiments.report import write_reports
    from studies.experiments.schedule import PREDICTIONS

    predictions = options.table.with_name(PREDICTIONS)
    for path in write_reports(options.table, predictions, options.table.parent, options.source):
        print(path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m studies.experiments")
    _options(parser)
    return command(parser, _run, arguments)


if __name__ == "__main__":
    sys.exit(main())
