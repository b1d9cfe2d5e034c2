"""The verb `highlights`, which finds what moved viewers most and cuts it from the film."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from builder_tools.cli.model import add_model_options, make_inference, progress_bar
from builder_tools.cli.over_time import SMOOTH_S
from builder_tools.cli.verb import Verb, folder_to_write, need_video, positive, print_escaped, seed


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "recordings",
        nargs="+",
        metavar="VIEWER",
        help="recording of a viewer, its timeline (.csv, .parquet), or an `archive` folder with "
        "those of many; VIEWER@+1.25 began 1.25 s after the film, VIEWER@-0.4 before it; else the "
        "start is found from its sound",
    )
    parser.add_argument(
        "--offsets", type=Path, metavar="CSV",
        help="when the recordings began, for many of them: viewer,offset_s (as in viewers.csv); "
        "VIEWER@+1.25 counts more",
    )  # fmt: skip
    parser.add_argument("--film", type=Path, help="what they watched; the trailer is cut from it")
    parser.add_argument(
        "--out",
        type=folder_to_write,
        required=True,
        metavar="DIR",
        help="folder for trailer, tables and plot",
    )
    parser.add_argument("--count", type=positive, default=5, help="maximum number of segments")
    parser.add_argument(
        "--seconds", type=float, help="length of a segment (default: 6, less for a short film)"
    )
    parser.add_argument(
        "--viewers", choices=("all", "largest"), default="all",
        help="count all viewers in a recording, or only the largest face (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--agreement", type=float, default=0.5, metavar="SHARE",
        help="share of viewers who must clearly react at a peak; their median's 95 %% interval "
        "must also lie above 0 (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--clear", type=float, default=1.0, metavar="SIGMAS",
        help="how far above the usual face counts as a clear reaction (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--force", action="store_true", help="also cut peaks on which viewers do not agree"
    )
    parser.add_argument(
        "--by",
        default="arousal",
        help="arousal, valence, intensity, or one of the model's emotions",
    )
    parser.add_argument(
        "--prominence", type=float, default=1.0, help="minimum rise of a peak, sigmas"
    )
    parser.add_argument("--reaction", type=float, default=1.0, help="delay of facial reactions, s")
    parser.add_argument("--baseline", type=float, default=60.0, help="window for the usual face, s")
    parser.add_argument("--seed", type=seed, default=0, help="seed of the bootstrap over viewers")
    add_model_options(parser)


def _run(options: argparse.Namespace) -> int:
    need_video()
    from builder_tools.media.pipes import refuse_pipe
    from builder_tools.timeline.highlights import HighlightSettings
    from builder_tools.timeline.people import PersonRule
    from builder_tools.timeline.recordings import parse_viewers, read_offsets, with_offsets
    from builder_tools.timeline.signals import SignalSettings
    from builder_tools.timeline.viewers import describe, search

    settings = HighlightSettings(
        count=options.count,
        seconds=options.seconds,
        prominence=options.prominence,
        reaction_s=options.reaction,
        clear_sigmas=options.clear,
        least_agreement=options.agreement,
        only_agreed=not options.force,
        seed=options.seed,
        signal=SignalSettings(measure=options.by, baseline_s=options.baseline),
    )
    viewers = parse_viewers(options.recordings)
    if options.offsets is not None:
        viewers = with_offsets(viewers, read_offsets(options.offsets))
    rule = PersonRule.for_detector(options.detector) if options.viewers == "all" else None
    if options.film is not None:
        refuse_pipe(options.film)
    if options.film is not None and not options.film.is_file():
        raise FileNotFoundError(f"No film at {str(options.film)!r}. Check the spelling.")

    def progress(results, name: str, total: float):
        return progress_bar(results, f"frames of {name}", total=round(total) or None)

    with make_inference(options, "video", smooth_s=SMOOTH_S) as inference:
        found = search(viewers, options.film, options.out, inference, settings, progress, rule=rule)
    for highlight in found.highlights:
        print(describe(highlight))
    _draw(found, settings, options.out / "highlights.png")
    for line in found.problems:
        print_escaped(line)
    print(f"Written: {', '.join(str(path) for path in found.files)}", file=sys.stderr)
    return 1 if any(report.problem for report in found.reports) else 0


def _draw(found, settings, path: Path) -> None:
    if not len(found.viewers):
        return
    from builder_tools.cli.figures import save_figure, without_screen

    without_screen()
    from builder_tools.plots.timeline import plot_highlights
    from builder_tools.timeline.chance import common_reaction

    common = common_reaction(found.viewers.to_numpy(), settings.least_share)
    segments = [(highlight.start_s, highlight.end_s) for highlight in found.highlights]
    ax = plot_highlights(found.viewers, common, segments, settings.signal.measure)
    found.files.append(save_figure(ax.figure, path))


VERBS = {
    "highlights": Verb(
        "find what moved a film's viewers most, and cut a trailer from it",
        (
            "builder-tools highlights anna.mp4 ben.mp4 --film film.mp4 --out cut --count 5",
            "builder-tools highlights anna.mp4@+1.25 ben.mp4@-0.4 --film film.mp4 --out cut",
            "builder-tools highlights cut/timelines/anna.csv@+1.25 --by surprise --out again",
            "builder-tools highlights anna.mp4 --out cut",
            "builder-tools highlights archive@+0 --film film.mp4 --out cut",
        ),
        _options,
        _run,
        extra="video",
    ),
}
