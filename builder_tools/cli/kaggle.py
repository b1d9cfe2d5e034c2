"""The verb `submit`, which sends a CSV file to the competition."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from builder_tools.cli.verb import Verb


def _submit_options(parser: argparse.ArgumentParser) -> None:
    from builder_tools.submission import COMPETITION

    parser.add_argument("csv", type=Path, help="submission made by img-batch")
    parser.add_argument("--message", default="builder_tools", help="message shown beside the score")
    parser.add_argument(
        "--competition", default=COMPETITION, help="name of the competition on Kaggle"
    )
    parser.add_argument(
        "--sample",
        type=Path,
        help="sample_submission.csv to check against; without it, the csv's log or itself only",
    )
    parser.add_argument(
        "--send", action="store_true", help="actually send; without it, the command is only printed"
    )


def _run_submit(options: argparse.Namespace) -> None:
    from builder_tools.emotions import NINE_EMOTIONS
    from builder_tools.submission import send_submission, standard_submission

    csv, against = standard_submission(options.csv, NINE_EMOTIONS, options.sample)
    print(
        f"{options.csv}: header, words and ids are valid; checked against {against}",
        file=sys.stderr,
    )
    if csv != options.csv:
        print(f"It was written in another form; the standard one is {csv}", file=sys.stderr)
    command = send_submission(
        csv, options.message, competition=options.competition, dry_run=not options.send
    )
    print(shlex.join(command))
    if not options.send:
        print("Nothing was sent; --send does that.", file=sys.stderr)


VERBS = {
    "submit": Verb(
        "submit a csv to the Kaggle competition with Kaggle's client; a dry run unless --send",
        (
            "builder-tools submit out.csv --sample sample_submission.csv",
            "builder-tools submit out.csv --message 'fast, balanced' --send",
        ),
        _submit_options,
        _run_submit,
        reads=("csv", "sample"),
        also={"kaggle": "--send"},
    ),
}
