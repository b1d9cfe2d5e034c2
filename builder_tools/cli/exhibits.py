"""The verb that tells what visitors felt at each exhibit."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from builder_tools.cli.figures import without_screen
from builder_tools.cli.model import (
    add_geometry_options,
    add_model_options,
    make_inference,
    progress_bar,
)
from builder_tools.cli.verb import Verb, need_video


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", type=Path, metavar="CONFIG.toml")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    add_geometry_options(parser, mesh=False)
    add_model_options(parser)


def _run(options: argparse.Namespace) -> int:
    need_video()
    without_screen()
    from builder_tools.media.guarding import check_outputs, check_own
    from builder_tools.timeline.exhibits import judge_exhibits, read_config, write_exhibits
    from builder_tools.timeline.exhibits_page import write_report

    config = read_config(options.config)
    files = {name: options.out / name for name in ("exhibits.csv", "exhibits.html")}
    check_outputs(files, [options.config, *(exhibit.source for exhibit in config.exhibits)])
    check_own(files["exhibits.csv"], "exhibit,rank,visits,")
    visits, failed = _watch_all(config, options)
    results = judge_exhibits(visits, config)
    for result in results:
        print(_line(result, config))
    table = write_exhibits(files["exhibits.csv"], results, config)
    page = write_report(files["exhibits.html"], results, config)
    for line in failed:
        print(f"failed: {line}", file=sys.stderr)
    print(f"Written: {table}, {page}", file=sys.stderr)
    return 1 if failed else 0


def _watch_all(config, options: argparse.Namespace):
    from builder_tools.timeline.exhibits import watch_exhibit

    visits, failed = {}, []
    with make_inference(options, "video") as video, make_inference(options, "online") as camera:
        for exhibit in config.exhibits:
            visits[exhibit.name], problems = watch_exhibit(
                exhibit,
                video,
                camera,
                minimum_dwell_s=config.minimum_dwell_s,
                progress=lambda frames, name: progress_bar(frames, f"frames of {name}"),
            )
            failed += [f"{exhibit.name}: {problem}" for problem in problems]
    return visits, failed


def _line(result, config) -> str:
    from builder_tools.timeline.exhibits import too_few

    if not result.rank:
        return f" -  {result.name}: {too_few(config)}"
    by = result.estimates[config.rank_by]
    return (
        f"{result.rank:2d}. {result.name}: {result.visits} visits, {config.rank_by} "
        f"{by.value:.3f} (95 % {by.low:.3f} ... {by.high:.3f})"
    )


VERBS = {
    "exhibits": Verb(
        "tell what groups of visitors felt at each exhibit, without keeping a face",
        ("builder-tools exhibits show.toml --out report",),
        _options,
        _run,
        extra="video",
        also={"geometry": "--geometry"},
    ),
}
