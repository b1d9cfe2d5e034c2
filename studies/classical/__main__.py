"""Compare classical and hybrid models with the deep one: `python -m studies.classical`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from builder_tools.cli.reading import add_reading_options, reading_options
from builder_tools.cli.release import need_study
from studies.command import command, study_parser
from studies.table import pending, say_missing

TABLE = "classical.csv"


def _parser() -> argparse.ArgumentParser:
    from builder_tools.datasets import DATASETS

    parser = study_parser(
        "classical",
        "Compare classical and hybrid models with the deep one.",
        (
            "--features hog hog+landmarks --models rbf_svm --minutes 10",
            "--features hog --models logistic --fraction 0.01 0.05 --seeds 0 1 2",
            "--networks",
        ),
    )
    add = parser.add_argument
    add("--data", default="ferplus", choices=list(DATASETS))
    add_reading_options(parser)
    add("--features", nargs="+", default=[], metavar="NAME", help="one or more joined by +")
    add("--models", nargs="+", default=[], metavar="NAME")
    add("--samplers", nargs="+", default=[], metavar="NAME")
    add("--fraction", nargs="+", type=float, default=[], metavar="X",
        help="shares of the training faces, 0...1")  # fmt: skip
    add("--deep", default="fast", metavar="MODEL", help="network to compare and combine with")
    add("--jobs", type=int, default=-1, help="processes (default: all cores)")
    add("--no-search", action="store_true", help="default parameters only")
    add("--no-hybrids", action="store_true")
    add("--networks", action="store_true",
        help="also train a network on 1, 5 and 25 %% of the faces for the learning curves (about "
        "40 minutes on two quiet cores)")  # fmt: skip
    return parser


def _act(options: argparse.Namespace) -> int:
    need_study()
    from builder_tools.release import load_data
    from studies.classical.faces import StudyFaces
    from studies.classical.jobs import expect_rows_of, network_jobs, plan_jobs, run_all
    from studies.classical.plan import FRACTIONS, chosen_plan
    from studies.classical.report import write_report

    csv, missing = options.reports / TABLE, {}
    entries = chosen_plan(options.features, options.models, options.samplers, options.fraction)
    networks, search = FRACTIONS if options.networks else (), not options.no_search
    if not options.report:
        table = load_data(options.data, options.source, **reading_options(options))
        about = {"deep": options.deep, "n_jobs": options.jobs}
        studies = [StudyFaces(table, options.runs, seed=n, **about) for n in options.seeds]
        expect_rows_of(csv, studies[0])
        if options.list:
            jobs = [[*plan_jobs(entries, one, search=search), *network_jobs(networks, one)]
                    for one in studies]  # fmt: skip
            keys = [job.key for own in jobs for job in pending(own, csv)]
            print("".join(f"{key}\n" for key in keys), end="")
            return 0
        for one in studies:
            missing |= run_all(
                entries,
                one,
                csv,
                hybrids=not options.no_hybrids,
                networks=networks,
                search=search,
                minutes=options.minutes,
            )
    code = say_missing(missing)
    for path in write_report(csv, options.reports):
        print(path)
    return code


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    return command(_parser(), _act, arguments)


if __name__ == "__main__":
    sys.exit(main())
