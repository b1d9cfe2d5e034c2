"""The verb `exhibits`, which reports what visitors felt at each exhibit."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from builder_tools.cli.figures import without_screen
from builder_tools.cli.model import (
    add_geometry_options,
    add_model_options,
    make_inference,
    progress_bar,
)
from builder_tools.cli.over_time import SMOOTH_S
from builder_tools.cli.period import add_period_options, tell_of_differences
from builder_tools.cli.verb import Verb, need_extra, need_video, print_escaped


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "config", type=Path, metavar="CONFIG.toml", nargs="?",
        help="exhibits and their recordings, or a `watch` site, whose database is read",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder for exhibits.csv, exhibits.html"
    )
    parser.add_argument(
        "--example", action="store_true", help="print a configuration to start from"
    )
    add_period_options(parser, "a database's report")
    add_geometry_options(parser, mesh=False)
    add_model_options(parser)


def _run(options: argparse.Namespace) -> int:
    need_video()
    without_screen()
    from builder_tools.timeline.exhibits_config import EXAMPLE, names_cameras

    if options.example:
        print(EXAMPLE, end="")
        return 0
    if options.config is None or options.out is None:
        raise ValueError(
            "Expected a configuration and a folder: builder-tools exhibits CONFIG.toml --out DIR "
            "(--example prints a configuration)."
        )
    report = _of_database if names_cameras(options.config) else _of_recordings
    return report(options)


def _of_recordings(options: argparse.Namespace) -> int:
    from builder_tools.timeline.archived import is_archive
    from builder_tools.timeline.exhibits import (
        check_rank_by,
        check_same_emotions,
        emotions_at,
        judge_exhibits,
        watch_exhibit,
    )
    from builder_tools.timeline.exhibits_config import read_config

    config = read_config(options.config)
    if options.by != "exhibit" or options.since or options.until:
        raise ValueError(
            f"--by, --since and --until are of the database of `watch`. {options.config} names "
            "recordings, whose hours nobody knows."
        )
    _check(options, [exhibit.source for exhibit in config.exhibits])
    visits, failed = {}, []
    with (
        make_inference(options, "video", smooth_s=SMOOTH_S) as video,
        make_inference(options, "online", smooth_s=SMOOTH_S) as camera,
    ):
        check_same_emotions((one.name, emotions_at(one, video)) for one in config.exhibits)
        watched = [one for one in config.exhibits if one.is_camera or not is_archive(one.source)]
        check_rank_by(
            config.rank_by,
            emotions_at(config.exhibits[0], video),
            has_shape=bool(options.geometry and watched),
        )
        for exhibit in config.exhibits:
            visits[exhibit.name], problems = watch_exhibit(
                exhibit,
                video,
                camera,
                minimum_dwell_s=config.minimum_dwell_s,
                progress=lambda frames, name: progress_bar(frames, f"frames of {name}"),
            )
            failed += [f"{exhibit.name}: {problem}" for problem in problems]
    _write(options, judge_exhibits(visits, config), config)
    for line in failed:
        print_escaped(f"failed: {line}")
    return 1 if failed else 0


def _of_database(options: argparse.Namespace) -> int:
    need_extra("watch", "sqlalchemy", "alembic")
    from builder_tools.watch.config import read_site
    from builder_tools.watch.database import Database
    from builder_tools.watch.exhibit_results import (
        exhibit_results,
        report_config,
        report_paragraphs,
    )
    from builder_tools.watch.report import figures

    if options.geometry:
        raise ValueError(
            f"--geometry is of recordings. {options.config} names cameras, of whose visits the "
            "database has none. Leave it out."
        )
    site = read_site(options.config)
    _check(options, [site.database])
    period = {"since": options.since, "until": options.until}
    with closing(Database.with_visits(site.database, site.zone_info)) as database:
        found = figures(database, by=options.by, **period, minimum_group=site.minimum_group)
    results = exhibit_results(found, site, options.by)
    _write(options, results, report_config(site, results), report_paragraphs(site, **period))
    tell_of_differences(options)
    if not results:
        print(
            f"No group of {site.minimum_group} visits or more in this period: nothing is shown.",
            file=sys.stderr,
        )
    return 0


def _check(options: argparse.Namespace, read: Sequence[str | int]) -> None:
    """Refuse to overwrite an input, or a file that this verb did not write."""
    from builder_tools.media.guarding import check_outputs, check_own
    from builder_tools.timeline.exhibits_page import PAGE_START

    files = {name: options.out / name for name in ("exhibits.csv", "exhibits.html")}
    check_outputs(files, [options.config, *read])
    check_own(files["exhibits.csv"], "exhibit,")
    check_own(files["exhibits.html"], PAGE_START)


def _write(options: argparse.Namespace, results, config, paragraphs=None) -> None:
    from builder_tools.timeline.exhibits import too_few, write_exhibits
    from builder_tools.timeline.exhibits_page import write_report

    for result in results:
        if not result.rank:
            print(f" -  {result.name}: {too_few(config)}")
            continue
        by = result.estimates[config.rank_by]
        told = f"{by.value:.3f} (95 % {by.low:.3f} ... {by.high:.3f})"
        print(
            f"{result.rank:2d}. {result.title}: {result.visits} visits, {config.rank_by} "
            + ("known of too few" if math.isnan(by.value) else told)
        )
    page = options.out / "exhibits.html"
    table = write_exhibits(options.out / "exhibits.csv", results, config)
    page.unlink(missing_ok=True)  # it would be of an earlier report, if this one is interrupted
    write_report(page, results, config, paragraphs)
    print(f"Written: {table}, {page}", file=sys.stderr)


VERBS = {
    "exhibits": Verb(
        "report what groups of visitors felt at each exhibit, without keeping any faces",
        (
            "builder-tools exhibits --example > show.toml",
            "builder-tools exhibits show.toml --out report",
            "builder-tools exhibits site.toml --by hour --since 2026-11-01 --out report",
        ),
        _options,
        _run,
        extra="video",
        also={"geometry": "--geometry", "watch": "the site of `watch`"},
    ),
}
