"""The verb `watch`, which watches the cameras of a site and reports what it saw."""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import closing
from pathlib import Path

from builder_tools.cli.model import add_model_options, detector_options, make_classifier
from builder_tools.cli.period import add_period_options, tell_of_differences
from builder_tools.cli.verb import Verb, need_extra, port, positive


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "config", type=Path, metavar="CONFIG.toml", nargs="?", help="cameras, exhibits, database"
    )
    parser.add_argument(
        "--example", action="store_true", help="print a configuration to start from"
    )
    parser.add_argument(
        "--status", action="store_true", help="show how the cameras of a running service are doing"
    )
    parser.add_argument("--report", action="store_true", help="print what was seen, as a csv")
    add_period_options(parser, "--report")
    parser.add_argument(
        "--health-port", type=port, metavar="PORT", help="serve /health on this machine"
    )
    parser.add_argument(
        "--for", dest="for_s", type=positive, metavar="S", help="stop after S seconds"
    )
    add_model_options(parser)


def _run(options: argparse.Namespace) -> int:
    from builder_tools.watch.config import EXAMPLE, read_site

    if options.example:
        print(EXAMPLE, end="")
        return 0
    if options.config is None:
        raise ValueError("Expected a configuration: builder-tools watch CONFIG.toml (--example).")
    if options.status and options.report:
        raise ValueError("Expected --status or --report. Received: both. Run them one by one.")
    if not options.report and (options.by != "exhibit" or options.since or options.until):
        raise ValueError("--by, --since and --until are of --report. Add it, or leave them out.")
    need_extra("watch", "sqlalchemy", "alembic")
    site = read_site(options.config)
    from builder_tools.watch.database import Database

    is_read = options.status or options.report
    open_database = Database.with_visits if is_read else Database
    with closing(open_database(site.database, site.zone_info)) as database:
        if options.status:
            return _print_status(site, database)
        if options.report:
            return _print_report(site, database, options)
        return _watch(site, database, options)


def _watch(site, database, options: argparse.Namespace) -> int:
    from builder_tools.inference.threads import DetectorPool
    from builder_tools.watch.health import serve_health
    from builder_tools.watch.service import Watch

    end_s = time.monotonic() + (options.for_s or float("inf"))
    with closing(DetectorPool(None, options.detector, detector_options(options))) as detectors:
        watch = Watch(site, database, make_classifier(options), detectors)
        if site.keep_days:
            watch.forget()
        server = serve_health(options.health_port, watch.health) if options.health_port else None
        cameras = f"{len(site.cameras)} cameras" if len(site.cameras) > 1 else "one camera"
        print(f"Watching {cameras} into {database.address}; Ctrl-C ends.", file=sys.stderr)
        try:
            watch.run(lambda: time.monotonic() < end_s)
        finally:
            if server is not None:
                server.shutdown()
    return 0


def _print_status(site, database) -> int:
    """Print a line per configured camera; return 1 if any of them is not well."""
    from builder_tools.watch.health import silence

    states = {one["camera"]: one for one in database.states()}
    well = bool(states)
    for camera in site.cameras if states else ():
        if camera.name not in states:
            print(f"{camera.name}: no service has told of it yet")
            well = False
            continue
        one = states[camera.name]
        state = silence(one["told_at"])
        if state:  # what it told then does not hold now
            print(f"{camera.name}: {state}")
            well = False
            continue
        well &= one["state"] in ("watching", "ended")
        print(
            f"{camera.name}: {one['state']}, {one['answers_per_s']:g} answers a second, "
            f"{one['in_sight']} in sight" + (f" ({one['message']})" if one["message"] else "")
        )
    if not states:
        print("No service has told of itself yet.")
    return 0 if well else 1


def _print_report(site, database, options: argparse.Namespace) -> int:
    import csv

    from builder_tools.watch.report import GROUPINGS, figures, rank

    found = figures(
        database,
        by=options.by,
        since=options.since,
        until=options.until,
        minimum_group=site.minimum_group,
    )
    if options.by == "exhibit":
        found = rank(found, site.rank_by)
    for line in filter(None, (site.title, site.consent)):
        print(line, file=sys.stderr)
    measures = list(found[0].means) if found else []
    writer = csv.writer(sys.stdout, lineterminator="\n")
    columns = [column for name in measures for column in (name, f"{name}_low", f"{name}_high")]
    writer.writerow([*GROUPINGS[options.by], "visits", *columns])
    for one in found:
        means = (one.means[name] for name in measures)
        cells = [value for mean in means for value in (mean.value, mean.low, mean.high)]
        rounded = ["" if value is None else round(value, 4) for value in cells]
        writer.writerow([*one.group.values(), one.visits, *rounded])
    tell_of_differences(options)
    if not found:
        print(
            f"No group of {site.minimum_group} visits or more in this period: nothing is shown.",
            file=sys.stderr,
        )
    return 0


VERBS = {
    "watch": Verb(
        "watch the cameras of a site all day and keep visits, but no faces, in a database",
        (
            "builder-tools watch --example > show.toml",
            "builder-tools watch show.toml --health-port 8090",
            "builder-tools watch show.toml --status",
            "builder-tools watch show.toml --report --by hour --since 2026-11-01 > hours.csv",
        ),
        _options,
        _run,
        extra="watch",
    ),
}
