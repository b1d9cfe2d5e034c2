"""The verb `archive`, which works on whole archives."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from builder_tools.cli.model import add_model_options, detector_options, progress_bar
from builder_tools.cli.over_time import SMOOTH_S
from builder_tools.cli.verb import Verb, counted, need_extra, positive, print_escaped

MOST_NAMES = 3
"""Parts that were left and are named; their number is always told."""


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sources",
        nargs="+",
        help="videos, images, folders, globs, or .txt lists with one path per line",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="the data set; resumes there"
    )
    parser.add_argument(
        "--workers", type=positive, metavar="N",
        help="processes (default: 1), or actors on a cluster (default: all it has cores for)",
    )  # fmt: skip
    parser.add_argument(
        "--ray", metavar="ADDRESS", help="run on a Ray cluster: its address, or auto"
    )
    parser.add_argument(
        "--smooth", type=float, default=SMOOTH_S, metavar="SECONDS",
        help="time constant for smoothing in videos (default: %(default)s)",
    )  # fmt: skip
    add_model_options(parser)


def _run(options: argparse.Namespace) -> int:
    need_extra("video", "pyarrow", "pandas")
    from builder_tools.archive import Settings, archive
    from builder_tools.timeline.archived import PARTS

    settings = Settings(
        model=options.model,
        detector=options.detector,
        detector_options=detector_options(options),
        decision=options.decision,
        flip_average=options.flip_average,
        threads=options.threads,
        device=options.device,
        smooth_s=options.smooth,
    )
    report = archive(
        options.sources,
        options.out,
        settings,
        workers=options.workers,
        ray=options.ray,
        progress=lambda done, total: progress_bar(done, "parts", total=total),
    )
    for line in report.left_out:
        print_escaped(f"left out: {line}")
    for one in report.failed:
        print_escaped(f"failed: {one['source']}: {one['reason']}")
    if report.removed:
        removed = counted(report.removed, "part")
        print(f"{removed} of replaced, removed or regrouped files removed", file=sys.stderr)
    if report.missing:
        print(
            f"{counted(len(report.missing), 'part')} left in {options.out / PARTS} "
            f"({_first_of(report.missing)}): their files are missing, with all others of their "
            "folders. If they were removed, remove these parts, too; not if only a disk is away.",
            file=sys.stderr,
        )
    if report.untold:
        print(
            f"{counted(len(report.untold), 'part')} of an earlier version left in "
            f"{options.out / PARTS} ({_first_of(report.untold)}): whoever reads that folder finds "
            "rows of them, too, which other parts may have now. Remove them, or make the archive "
            "anew elsewhere.",
            file=sys.stderr,
        )
    print(
        f"{counted(report.files, 'file')} in {options.out} ({counted(report.made, 'part')} made "
        f"now, {counted(len(report.failed), 'file')} failed)"
    )
    return 1 if report.failed else 0


def _first_of(names: Sequence[str]) -> str:
    return ", ".join(names[:MOST_NAMES]) + (" ..." if len(names) > MOST_NAMES else "")


VERBS = {
    "archive": Verb(
        "analyse thousands of videos and images, once each, into a Parquet data set",
        (
            "builder-tools archive recordings/ --out archive --workers 4",
            "builder-tools archive 'viewers/*.mp4' more.txt --out archive",
            "builder-tools archive /shared/films --out /shared/archive --ray auto",
        ),
        _options,
        _run,
        extra="video",
        also={"cluster": "--ray"},
    ),
}
