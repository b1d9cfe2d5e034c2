"""Verbs that run a model over time: on videos and cameras."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from builder_tools.cli.drawing import add_drawing_options, expect_none_asked
from builder_tools.cli.model import (
    add_geometry_options,
    add_model_options,
    add_rotate_option,
    make_inference,
    print_json,
    progress_bar,
    shown_text,
)
from builder_tools.cli.over_time import (
    add_plot_options,
    add_rest_option,
    add_time_options,
    check_plot,
    keep_rest,
    person_rule,
    plot_timeline,
    rest_of,
    writing_timeline,
)
from builder_tools.cli.verb import Verb, counted, positive
from builder_tools.media.partial import check_place
from builder_tools.results import FrameResult
from builder_tools.timeline.faces import BestSights
from builder_tools.timeline.people import PersonRule
from builder_tools.tracking.resting import AUTO


def _video_options(parser: argparse.ArgumentParser) -> None:
    _add_video_options(parser)
    add_time_options(parser)
    add_rest_option(parser, "from the whole film; with --show, as it goes")
    add_plot_options(parser)


def _add_video_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="a video, an address, or - for standard input")
    parser.add_argument("--json", action="store_true", help="print one JSON line per frame")
    parser.add_argument(
        "--show", action="store_true", help="show the frames in a window (q or Esc quits)"
    )
    parser.add_argument("--max-frames", type=positive, metavar="N", help="stop after N frames")
    add_drawing_options(parser)
    parser.add_argument(
        "--detect-every",
        type=positive,
        default=1,
        metavar="N",
        help="look at every Nth frame only, more often at cuts and where N frames take over 200 "
        "MB; in between, faces move evenly (default: 1)",
    )
    add_geometry_options(parser)
    add_rotate_option(parser, "0")
    add_model_options(parser)


def _run_video(options: argparse.Namespace) -> int:
    check_plot(options)
    rule = person_rule(options)
    if not options.show:
        expect_none_asked(options, "--show")
    sights = BestSights()
    show = "cv2" if options.show else "none"
    with (
        make_inference(options, "video", show, **_time_settings(options)) as inference,
        inference.run(options.file, max_frames=options.max_frames) as results,
    ):
        total = _frame_count(results.source, options.max_frames)
        if results.comes_at_end:
            print(
                "Rests are learned from all of the film: results come after its end",
                file=sys.stderr,
            )
        elif options.rest == AUTO and not options.show:
            print(
                "The film does not tell its length: rests are learned as it goes", file=sys.stderr
            )
        code = _consume(results, options, rule, total=total, model=inference.model, also=sights.add)
    if options.plot:
        plot_timeline(options, sights)
    return code


def _time_settings(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "smooth_s": options.smooth,
        "detect_every": options.detect_every,
        "rest": rest_of(options.rest, options.rest_out),
    }


def _record_options(parser: argparse.ArgumentParser) -> None:
    _add_video_options(parser)
    add_time_options(parser)
    add_rest_option(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="OUT.mp4", help="video to write")


def _run_record(options: argparse.Namespace) -> int:
    rule = person_rule(options)
    show = "cv2" if options.show else "none"
    with (
        make_inference(options, "video_rec", show, **_time_settings(options)) as inference,
        inference.run(options.file, out=options.out, max_frames=options.max_frames) as results,
    ):
        total = _frame_count(results.source, options.max_frames)
        code = _consume(results, options, rule, total=total, text=False, model=inference.model)
    print(f"Written: {options.out}", file=sys.stderr)
    return code


def _online_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--camera", default="0", help="index (0, 1, ...) or address (MJPEG over HTTP, RTSP)"
    )
    parser.add_argument("--mirror", action="store_true", help="swap left and right")
    window = parser.add_mutually_exclusive_group()
    window.add_argument("--window", action="store_true", help="show a window (the default)")
    window.add_argument("--headless", action="store_true", help="no window; print lines to stdout")
    parser.add_argument("--json", action="store_true", help="print one JSON line per frame")
    parser.add_argument("--max-frames", type=positive, metavar="N", help="stop after N frames")
    add_drawing_options(parser)
    parser.add_argument(
        "--record", type=Path, metavar="OUT.mp4", help="record what is shown as a video"
    )
    parser.add_argument(
        "--snapshots", type=Path, metavar="DIR",
        help="folder for snapshots taken with the s key (default: the current one)",
    )  # fmt: skip
    add_time_options(parser)
    add_rest_option(parser)
    add_geometry_options(parser)
    add_rotate_option(parser, "0")
    add_model_options(parser)


def _run_online(options: argparse.Namespace) -> int:
    rule = person_rule(options)
    camera = int(options.camera) if options.camera.isdecimal() else options.camera
    show = "none" if options.headless else "cv2"
    if options.headless and not options.record:
        expect_none_asked(options, "--record OUT.mp4 or --window")
    if options.snapshots:
        check_place(options.snapshots, folder=options.snapshots)
    settings = {
        "snapshot_folder": options.snapshots or Path(),
        "smooth_s": options.smooth,
        "rest": rest_of(options.rest, options.rest_out),
    }
    with (
        make_inference(options, "online", show, **settings) as inference,
        inference.run(camera, out=options.record, max_frames=options.max_frames) as results,
    ):
        code = _consume(results, options, rule, text=options.headless, model=inference.model)
        print(f"{counted(results.dropped, 'frame')} dropped to stay live", file=sys.stderr)
    return code


def _consume(
    results,
    options,
    rule: PersonRule,
    *,
    model,
    total: int | None = None,
    text: bool = True,
    also: Callable[[FrameResult], None] = lambda result: None,
) -> int:
    """Print the results of a stream or, with a timeline, a summary.

    Args:
        results: The stream.
        options: Options of the verb.
        rule: Which tracks count as people in the summary.
        model: The model that read the faces.
        total: Number of frames expected.
        text: Whether to print a line for each result.
        also: Also called with each result.

    Returns:
        1 if the source broke off, or if no resting face was seen to be written; else 0.
    """
    summary = sys.stderr if options.json else sys.stdout
    columns = {"relative": options.rest != "off", "geometry": options.geometry}
    try:
        with writing_timeline(options.timeline, model.emotions, summary, rule, **columns) as write:
            for result in progress_bar(results, "frames", total=total):
                write(result)
                also(result)
                if options.json:
                    print_json(result)
                elif text and not options.timeline:
                    faces = ", ".join(map(shown_text, result.faces))
                    print(f"{result.time_s:9.3f} s  {faces or 'no face'}", flush=True)
    finally:
        restless = keep_rest(results.rests, model, options.rest_out)
    broken = getattr(results.source, "error", None) or getattr(results.source, "warning", None)
    return 1 if broken or restless else 0


def _frame_count(reader, max_frames: int | None) -> int | None:
    known = round(reader.duration_s * reader.fps) if reader.duration_s else None
    return min(filter(None, (known, max_frames)), default=None)


VERBS = {
    "video": Verb(
        "recognise the emotions in a video, frame by frame",
        (
            "builder-tools video film.mp4",
            "builder-tools video film.mp4 --json > film.jsonl",
            "builder-tools video film.mp4 --timeline film.csv --plot film.png",
            "builder-tools video film.mp4 --rest auto --json > film.jsonl",
        ),
        _video_options,
        _run_video,
        reads=("file",),
        writes=("timeline", "plot", "rest_out"),
        also={"geometry": "--geometry", "video": "--plot, .parquet tables"},
    ),
    "video-rec": Verb(
        "draw the emotions onto a copy of a video, keeping its sound",
        ("builder-tools video-rec film.mp4 --out drawn.mp4",),
        _record_options,
        _run_record,
        reads=("file",),
        writes=("out", "timeline", "rest_out"),
        also={"geometry": "--geometry", "video": ".parquet tables"},
    ),
    "online": Verb(
        "watch a camera (q or Esc quits, s saves a snapshot, c restarts --rest)",
        (
            "builder-tools online",
            "builder-tools online --camera http://192.0.2.7:8080/video",
            "builder-tools online --headless --json --max-frames 100",
            "builder-tools online --timeline visit.csv --record visit.mp4",
            "builder-tools online --rest 3s --rest-out me.json",
        ),
        _online_options,
        _run_online,
        reads=("camera",),
        writes=("record", "timeline", "rest_out"),
        also={"geometry": "--geometry", "video": ".parquet tables"},
    ),
}
