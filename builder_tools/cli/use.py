"""Verbs that use a model: pictures, folders, videos, cameras."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path

from builder_tools.cli.over_time import (
    SHOWN_SMOOTH_S,
    add_time_options,
    check_plot,
    ended_by_ctrl_c,
    plot_timeline,
    writing_timeline,
)
from builder_tools.cli.verb import Verb, positive
from builder_tools.decisions import DECISIONS
from builder_tools.detectors import DEFAULT_DETECTOR, DETECTORS
from builder_tools.results import FrameResult


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `make_inference`."""
    parser.add_argument("--model", help="name or folder of a model (see `models`)")
    parser.add_argument("--detector", choices=list(DETECTORS), default=DEFAULT_DETECTOR)
    parser.add_argument("--min-score", type=float, help="leave out faces scored lower, 0...1")
    parser.add_argument("--min-face", type=float, default=0, help="leave out smaller faces, px")
    parser.add_argument("--threads", type=positive, default=1, help="CPU threads of the model")
    parser.add_argument(
        "--decision",
        choices=DECISIONS,
        default="natural",
        help="balanced: for pictures in which all emotions are about equally frequent",
    )
    parser.add_argument(
        "--flip-average",
        action=argparse.BooleanOptionalAction,
        help="average with the mirrored face, 2x time (default: as the model's card says)",
    )


def make_inference(options: argparse.Namespace, mode: str, show: str = "none", **more):
    """Gives the `Inference` that the options describe."""
    from builder_tools.classifier import EmotionClassifier
    from builder_tools.drawing import DrawBox
    from builder_tools.inference import Inference

    drawer = DrawBox(show_bars=True) if getattr(options, "bars", False) else None
    return Inference(
        EmotionClassifier(
            options.model,
            threads=options.threads,
            flip_average=options.flip_average,
            decision=options.decision,
        ),
        draw_box_obj=drawer,
        show_state_mode=show,
        inference_mode=mode,
        detector=options.detector,
        detector_options=_detector_options(options),
        **more,
    )


def _detector_options(options: argparse.Namespace) -> dict[str, float]:
    given = {"min_score": options.min_score, "min_size_px": options.min_face or None}
    return {name: value for name, value in given.items() if value is not None}


def _print_json(result: FrameResult) -> None:
    print(json.dumps(result.to_dict(), ensure_ascii=False), flush=True)


def _print_text(result: FrameResult, doubtful_below: float | None) -> None:
    if not result.faces:
        print(f"{result.source}: no face found")
    for number, face in enumerate(result.faces, start=1):
        x1, y1, x2, y2 = (round(value) for value in face.face.box.xyxy)
        doubt = ", doubtful" if face.probability < (doubtful_below or 0) else ""
        print(
            f"{result.source}: face {number} of {len(result.faces)}: {face.emotion} "
            f"{face.probability:.0%}{doubt} at x {x1}...{x2}, y {y1}...{y2}"
        )


def _img_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", nargs="+", metavar="IMAGE")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write the drawn pictures here")
    parser.add_argument("--json", action="store_true", help="one JSON line a picture")
    parser.add_argument("--bars", action="store_true", help="draw every emotion's probability")
    parser.add_argument("--show", action="store_true", help="show each picture in a window")
    add_model_options(parser)


def _run_img(options: argparse.Namespace) -> int:
    from builder_tools.media import PICTURE_ERRORS, write_image

    failed = []
    out_names = _unique_names(options.images)
    show = "cv2" if options.show else "none"
    with make_inference(options, "img", show) as inference:
        for image in progress_bar(options.images, "pictures", least=8):
            try:
                result = inference.run(image)
            except PICTURE_ERRORS as error:
                failed.append(f"{image}: {error}")
                continue
            if options.json:
                _print_json(result)
            else:
                _print_text(result, inference.model.card.abstain_below)
            if options.out:
                write_image(options.out / out_names[image], result.image)
    return _report_failures(failed)


def _unique_names(images: list[str]) -> dict[str, str]:
    """Gives each picture a name to be drawn under; same names of two folders get a number."""
    names: dict[str, str] = {}
    for image in images:
        path, number = Path(image), 1
        name = f"{path.stem}.png"
        while name in names.values() and image not in names:
            number += 1
            name = f"{path.stem}_{number}.png"
        names.setdefault(image, name)
    return names


def _report_failures(failed: list[str]) -> int:
    for line in failed:
        print(f"failed: {line}", file=sys.stderr)
    return 1 if failed else 0


def _batch_options(parser: argparse.ArgumentParser) -> None:
    from builder_tools.inference.batch import MULTI_FACE_POLICIES, NO_FACE_POLICIES

    parser.add_argument("folder", type=Path)
    parser.add_argument("--csv", type=Path, required=True, metavar="OUT", help="csv to write")
    parser.add_argument("--sample", type=Path, help="sample_submission.csv whose order to follow")
    parser.add_argument("--batch-size", type=positive, default=32)
    parser.add_argument("--workers", type=positive, help="threads (default: number of cores)")
    parser.add_argument("--no-face", choices=NO_FACE_POLICIES, default="whole")
    parser.add_argument("--multi-face", choices=list(MULTI_FACE_POLICIES), default="largest")
    parser.add_argument("--restart", action="store_true", help="do not go on with a broken run")
    parser.add_argument("--strict", action="store_true", help="exit 1 if a picture is unreadable")
    add_model_options(parser)


def _run_batch(options: argparse.Namespace) -> int:
    from builder_tools.inference import BatchTable
    from builder_tools.submission import make_submission, plan_submission

    job = plan_submission(options.folder, options.sample)
    settings = {
        "batch_size": options.batch_size,
        "workers": options.workers,
        "no_face": options.no_face,
        "multi_face": options.multi_face,
    }
    with make_inference(options, "img_batch", **settings) as inference:
        rows = make_submission(inference, job, options.csv, restart=options.restart)
        table = BatchTable(progress_bar(rows, "pictures", total=len(job.names)))
    _report_batch(table, job, options.csv)
    return 1 if options.strict and table.with_status("unreadable") else 0


def _report_batch(table, job, csv: Path) -> None:
    from builder_tools.inference import STATUSES
    from builder_tools.submission import log_path

    counts = ", ".join(f"{len(table.with_status(status))} {status}" for status in STATUSES)
    print(f"{csv}: {len(table)} rows ({counts}); details in {log_path(csv)}", file=sys.stderr)
    for row in table.with_status("unreadable"):
        print(f"unreadable: {row.image_path}: {row.reason}", file=sys.stderr)
    if job.extra:
        print(
            f"left out, not in the sample: {len(job.extra)} pictures ({', '.join(job.extra[:5])}"
            f"{', ...' if len(job.extra) > 5 else ''})",
            file=sys.stderr,
        )
    for sentence in job.left_out:
        print(sentence, file=sys.stderr)


def _video_options(parser: argparse.ArgumentParser) -> None:
    _add_video_options(parser)
    add_time_options(parser, smooth_s=0.0)
    parser.add_argument("--plot", type=Path, metavar="OUT.png", help="draw the --timeline")


def _add_video_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file")
    parser.add_argument("--json", action="store_true", help="one JSON line a frame")
    parser.add_argument("--show", action="store_true", help="show the frames in a window")
    parser.add_argument("--max-frames", type=positive)
    parser.add_argument("--bars", action="store_true", help="draw every emotion's probability")
    parser.add_argument(
        "--detect-every",
        type=positive,
        default=1,
        metavar="N",
        help="search every N frames for faces; between them, faces move evenly (default: 1)",
    )
    add_model_options(parser)


def _run_video(options: argparse.Namespace) -> int:
    if options.plot:
        check_plot(options)
    show = "cv2" if options.show else "none"
    with (
        make_inference(options, "video", show, **_time_settings(options)) as inference,
        inference.run(options.file, max_frames=options.max_frames) as results,
    ):
        total = _frame_count(results.source, options.max_frames)
        code = _consume(results, options, total=total, emotions=inference.model.emotions)
    if options.plot:
        plot_timeline(options.timeline, options.plot)
    return code


def _time_settings(options: argparse.Namespace) -> dict[str, float]:
    return {"smooth_s": options.smooth, "detect_every": options.detect_every}


def _record_options(parser: argparse.ArgumentParser) -> None:
    _add_video_options(parser)
    add_time_options(parser, smooth_s=SHOWN_SMOOTH_S)
    parser.add_argument("--out", type=Path, required=True, metavar="OUT.mp4")


def _run_record(options: argparse.Namespace) -> int:
    show = "cv2" if options.show else "none"
    with (
        make_inference(options, "video_rec", show, **_time_settings(options)) as inference,
        inference.run(options.file, out=options.out, max_frames=options.max_frames) as results,
    ):
        total = _frame_count(results.source, options.max_frames)
        code = _consume(
            results, options, total=total, text=False, emotions=inference.model.emotions
        )
    print(f"Written: {options.out}", file=sys.stderr)
    return code


def _online_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--camera", default="0", help="index (0) or URL (MJPEG over HTTP, RTSP)")
    window = parser.add_mutually_exclusive_group()
    window.add_argument("--window", action="store_true", help="show a window (the default)")
    window.add_argument("--headless", action="store_true", help="no window; lines on stdout")
    parser.add_argument("--json", action="store_true", help="one JSON line a frame")
    parser.add_argument("--max-frames", type=positive)
    parser.add_argument("--bars", action="store_true", help="draw every emotion's probability")
    parser.add_argument("--snapshots", type=Path, default=Path(), help="folder for the s key")
    add_time_options(parser, smooth_s=SHOWN_SMOOTH_S)
    add_model_options(parser)


def _run_online(options: argparse.Namespace) -> int:
    camera = int(options.camera) if options.camera.isdecimal() else options.camera
    show = "none" if options.headless else "cv2"
    settings = {"snapshot_folder": options.snapshots, "smooth_s": options.smooth}
    with (
        make_inference(options, "online", show, **settings) as inference,
        inference.run(camera, max_frames=options.max_frames) as results,
    ):
        code = _consume(results, options, text=options.headless, emotions=inference.model.emotions)
        print(f"{results.dropped} frames dropped to stay live", file=sys.stderr)
        return code


def _consume(results, options, *, emotions, total: int | None = None, text: bool = True) -> int:
    """Prints the results of a stream; 1 if its source broke off."""
    with writing_timeline(options.timeline, emotions) as write, ended_by_ctrl_c(options):
        for result in progress_bar(results, "frames", total=total):
            write(result)
            if options.json:
                _print_json(result)
            elif text:
                _print_frame(result)
    broken = getattr(results.source, "error", None) or getattr(results.source, "warning", None)
    return 1 if broken else 0


def _print_frame(result: FrameResult) -> None:
    faces = ", ".join(f"{face.emotion} {face.probability:.0%}" for face in result.faces)
    print(f"{result.time_s:9.3f} s  {faces or 'no face'}", flush=True)


def _frame_count(reader, max_frames: int | None) -> int | None:
    known = round(reader.duration_s * reader.fps) if reader.duration_s else None
    return min(filter(None, (known, max_frames)), default=None)


def progress_bar(
    items: Iterable, unit: str, *, total: int | None = None, least: int = 0
) -> Iterable:
    """A bar on stderr, not drawn for a few items or where stderr is no terminal."""
    if least and len(items) < least:
        return items
    from tqdm import tqdm

    return tqdm(items, unit=f" {unit}", total=total, file=sys.stderr, disable=None, delay=2)


VERBS = {
    "img": Verb(
        "find the faces in pictures and tell their emotions",
        (
            "builder-tools img photo.jpg",
            "builder-tools img *.jpg --out drawn/ --bars",
            "builder-tools img photo.jpg --json",
        ),
        _img_options,
        _run_img,
    ),
    "img-batch": Verb(
        "classify a folder of pictures into a csv (Kaggle format)",
        (
            "builder-tools img-batch test_kaggle/ --csv submission.csv",
            "builder-tools img-batch test_kaggle/ --csv s.csv --sample sample_submission.csv",
        ),
        _batch_options,
        _run_batch,
    ),
    "video": Verb(
        "tell the emotions in a video, frame by frame",
        (
            "builder-tools video film.mp4",
            "builder-tools video film.mp4 --json > film.jsonl",
            "builder-tools video film.mp4 --timeline film.csv --plot film.png",
        ),
        _video_options,
        _run_video,
    ),
    "video-rec": Verb(
        "draw the emotions into a copy of a video, with its sound",
        ("builder-tools video-rec film.mp4 --out drawn.mp4",),
        _record_options,
        _run_record,
    ),
    "online": Verb(
        "watch a camera (q or Esc quits, s saves a snapshot)",
        (
            "builder-tools online",
            "builder-tools online --camera http://192.0.2.7:8080/video",
            "builder-tools online --headless --json --max-frames 100",
            "builder-tools online --timeline visit.csv",
        ),
        _online_options,
        _run_online,
    ),
}
