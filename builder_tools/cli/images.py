"""Verbs that run a model on still images: single ones, or a whole folder."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from builder_tools.cli.drawing import add_drawing_options, expect_none_asked
from builder_tools.cli.drawn_images import (
    DrawnImages,
    check_drawing,
    draw_batch,
    drawn_name,
    named_warnings,
)
from builder_tools.cli.model import (
    add_geometry_options,
    add_model_options,
    add_rotate_option,
    make_inference,
    print_json,
    progress_bar,
    shown_text,
)
from builder_tools.cli.verb import Verb, counted, escaped, positive, print_escaped
from builder_tools.detectors.turning import AUTO
from builder_tools.rest import RestingFace
from builder_tools.results import FrameResult

OUT_FORMATS = ("jpg", "png", "webp", "bmp")


def _print_text(result: FrameResult) -> None:
    source = escaped(result.source)
    if not result.faces:
        print(f"{source}: no face found")
    for number, face in enumerate(result.faces, start=1):
        x1, y1, x2, y2 = (round(value) for value in face.face.box.xyxy)
        doubt = ", doubtful" if face.doubtful else ""
        shape = f"; no geometry: {face.no_geometry}" if face.no_geometry else ""
        if face.geometry is not None:
            doubt += f" ({face.doubtful_because})" if doubt else ""
            yaw, pitch, roll = face.geometry.pose_deg
            eyes = "closed" if face.geometry.are_eyes_closed else "open"
            shape = f"; yaw {yaw:+.0f}, pitch {pitch:+.0f}, roll {roll:+.0f} degrees, eyes {eyes}"
        turned_deg = face.face.turned_deg
        turn = f"; turned by {turned_deg} degrees" if turned_deg else ""
        print(
            f"{source}: face {number} of {len(result.faces)}: "
            f"{shown_text(face)}{doubt} at x {x1}...{x2}, y {y1}...{y2}{turn}{shape}"
        )


def _out_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="write the drawn images here; existing files stay, and new ones get a number",
    )
    parser.add_argument(
        "--out-format",
        choices=OUT_FORMATS,
        help="format of the drawn images (default: each image's own where it can be written, else "
        "jpg for photo formats and png for others)",
    )
    add_drawing_options(parser)


def _img_options(parser: argparse.ArgumentParser) -> None:
    from builder_tools.media.limits import LIMITS_IN_WORDS

    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help=f"files, http(s) addresses, or - for standard input; {LIMITS_IN_WORDS}",
    )
    _out_options(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON line per image")
    parser.add_argument(
        "--show", action="store_true", help="show each image in a window until a key is pressed"
    )
    add_geometry_options(parser)
    parser.add_argument(
        "--rest",
        type=Path,
        metavar="FILE",
        help="also report what the faces, all of one person, show compared with that person's "
        "resting face (from `builder-tools rest`)",
    )
    add_rotate_option(parser, AUTO)
    add_model_options(parser)


def _run_img(options: argparse.Namespace) -> int:
    from builder_tools.media import IMAGE_ERRORS
    from builder_tools.media.images import name_of

    _check_out(options)
    failed: list[str] = []
    drawn, written = DrawnImages(), set()
    bare = 0
    show = "cv2" if options.show else "none"
    rest = RestingFace.load(options.rest) if options.rest else None
    draw = bool(options.out or options.show)
    with make_inference(options, "img", show, draw=draw, rest=rest) as inference:
        for image in progress_bar(options.images, "images", least=8):
            try:
                with named_warnings(image):
                    result = inference.analyse_image(image, draw=draw)
            except IMAGE_ERRORS as error:
                failed.append(f"{name_of(image)}: {error}")
                continue
            print_json(result) if options.json else _print_text(result)
            bare += not result.faces
            try:
                if options.out and image not in written:
                    drawn.write(result.image, options.out / drawn_name(image, options.out_format))
                    written.add(image)
            except (OSError, ValueError) as error:
                failed.append(f"{image}: cannot write it drawn: {error}")
    for line in failed:
        print_escaped(f"failed: {line}")
    _tell_bare(bare, options)
    return 1 if failed else 0


def _check_out(options: argparse.Namespace) -> None:
    from builder_tools.media.partial import check_place

    if options.out and options.out.exists() and not options.out.is_dir():
        raise ValueError(f"Expected a folder for --out. Received a file: {options.out}.")
    if options.out:
        check_place(options.out, folder=options.out)
        return
    if getattr(options, "out_format", None):
        raise ValueError(
            "Expected --out DIR with --out-format. Received: none, so no image would be drawn."
        )
    by_window = hasattr(options, "show")
    if not (by_window and options.show):
        expect_none_asked(options, "--out DIR or --show" if by_window else "--out DIR")


def _tell_bare(bare: int, options: argparse.Namespace) -> None:
    """Warn about written images in which no face was found, and so none blurred."""
    if bare and options.blur_faces and options.out:
        print(
            f"No face was found in {bare} of the images, so nothing is blurred in them: look at "
            "them before you show them.",
            file=sys.stderr,
        )


def _batch_options(parser: argparse.ArgumentParser) -> None:
    from builder_tools.inference.batch import MULTI_FACE_POLICIES, NO_FACE_POLICIES
    from builder_tools.media.limits import LIMITS_IN_WORDS

    parser.add_argument(
        "folder", type=Path, help=f"folder of images, including sub-folders; {LIMITS_IN_WORDS}"
    )
    parser.add_argument("--csv", type=Path, required=True, metavar="OUT", help="csv to write")
    parser.add_argument(
        "--faces-csv",
        type=Path,
        metavar="OUT",
        help="csv of every face: box, all probabilities, valence, arousal, whether doubtful",
    )
    _out_options(parser)
    parser.add_argument("--sample", type=Path, help="sample_submission.csv whose order to follow")
    parser.add_argument(
        "--batch-size", type=positive, metavar="N", default=32, help="images classified together"
    )
    parser.add_argument(
        "--workers", type=positive, metavar="N", help="threads (default: number of cores)"
    )
    parser.add_argument(
        "--no-face",
        choices=NO_FACE_POLICIES,
        default="whole",
        help="where no face is found: classify the whole image, or answer with the most frequent "
        "class",
    )
    parser.add_argument(
        "--multi-face",
        choices=list(MULTI_FACE_POLICIES),
        default="largest",
        help="which of several faces counts: the largest or the surest",
    )
    parser.add_argument(
        "--person",
        metavar="folder|PATTERN|TABLE.csv",
        help="also report, in the log and --faces-csv, what faces show compared with their "
        "person's resting face; the person is the image's folder, the group of a regular "
        "expression on its name, or the column person of a csv with image_path (and emotion, "
        "where neutral is known)",
    )
    parser.add_argument(
        "--neutral",
        metavar="PATTERN",
        help="images whose names match this are neutral (default: those that look neutral)",
    )
    parser.add_argument(
        "--restart", action="store_true", help="start over instead of resuming an interrupted run"
    )
    add_geometry_options(parser, mesh=False)
    add_rotate_option(parser, AUTO)
    add_model_options(parser)


def _run_batch(options: argparse.Namespace) -> int:
    from builder_tools.inference import BatchTable
    from builder_tools.persons import persons_of
    from builder_tools.submission import make_submission, plan_submission
    from builder_tools.submission.resuming import stamp_of

    _check_out(options)
    if options.out and options.folder.exists() and options.out.samefile(options.folder):
        raise ValueError(
            f"Expected --out other than the folder that is read. Received {options.out} for both: "
            "the next run would read the drawn images, too. Try a subfolder, which is left out."
        )
    if options.geometry and options.faces_csv is None:
        raise ValueError("Expected --faces-csv with --geometry: it gets the columns.")
    if options.neutral is not None and options.person is None:
        raise ValueError("Expected --person with --neutral: rests are a person's.")
    job = plan_submission(options.folder, options.sample, without=options.out)
    if options.out:
        check_drawing(job, options)
    persons = None
    if options.person is not None:
        persons = persons_of(job.files, options.person, options.neutral, called=job.names)
    settings = {
        "batch_size": options.batch_size,
        "workers": options.workers,
        "no_face": options.no_face,
        "multi_face": options.multi_face,
        "every_face": bool(options.faces_csv or options.out or persons),
    }
    stamps = [stamp_of(path) for path in job.paths] if options.out else []
    with make_inference(options, "img_batch", **settings) as inference:
        rows = make_submission(
            inference,
            job,
            options.csv,
            faces_csv=options.faces_csv,
            persons=persons,
            restart=options.restart,
        )
        table = BatchTable(progress_bar(rows, "images", total=len(job.names)))
    _report_batch(table, job, options.csv)
    failed = 0
    if options.out:
        failed = draw_batch(table, job, stamps, options)
        _tell_bare(len(table.with_status("no_face")), options)
    return 1 if failed or table.with_status("unreadable") else 0


def _report_batch(table, job, csv: Path) -> None:
    from builder_tools.inference import STATUSES
    from builder_tools.submission import log_path

    counts = ", ".join(f"{len(table.with_status(status))} {status}" for status in STATUSES)
    print(
        f"{csv}: {counted(len(table), 'row')} ({counts}); details in {log_path(csv)}",
        file=sys.stderr,
    )
    for row in table.with_status("unreadable"):
        print_escaped(f"unreadable: {row.image_path}: {row.reason}")
    if job.extra:
        names = escaped(", ".join(job.extra[:5])) + (", ..." if len(job.extra) > 5 else "")
        print(f"left out, not in the sample: {len(job.extra)} images ({names})", file=sys.stderr)
    for sentence in job.left_out:
        print_escaped(sentence)


VERBS = {
    "img": Verb(
        "find the faces in images and recognise their emotions",
        (
            "builder-tools img photo.jpg",
            "builder-tools img *.jpg --out drawn/ --bars",
            "builder-tools img photo.heic --out drawn/ --out-format webp",
            "builder-tools img photo.jpg --json",
            "builder-tools img photo.jpg --rest me.json",
        ),
        _img_options,
        _run_img,
        also={"geometry": "--geometry", "heif": "HEIC images"},
    ),
    "img-batch": Verb(
        "classify a folder of images into a csv (Kaggle format)",
        (
            "builder-tools img-batch test_kaggle/ --csv submission.csv",
            "builder-tools img-batch test_kaggle/ --csv s.csv --sample sample_submission.csv",
            "builder-tools img-batch photos/ --csv out.csv --faces-csv faces.csv",
            "builder-tools img-batch people/ --csv out.csv --person folder --neutral neutral",
            "builder-tools img-batch photos/ --csv out.csv --out drawn/ --blur-faces",
        ),
        _batch_options,
        _run_batch,
        reads=("folder", "sample", "person"),
        writes=("csv", "faces_csv"),
        also={"geometry": "--geometry", "heif": "HEIC images"},
    ),
}
