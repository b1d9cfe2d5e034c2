"""The verb `clean`."""

from __future__ import annotations

import argparse
import sys
import textwrap
from pathlib import Path

from builder_tools.cleaning.config import FORMATS, POLICIES
from builder_tools.cli.verb import Verb, positive, print_escaped
from builder_tools.detectors import DEFAULT_DETECTOR, DETECTORS

SETTINGS = (
    "no_face",
    "multi_face",
    "too_small",
    "blurred",
    "duplicates",
    "conflicts",
    "leaks",
    "min_face_px",
    "min_sharpness",
    "crop",
    "margin",
    "shift_y",
    "align_eyes",
    "size_px",
    "format",
)

WHAT_IS_KEPT = textwrap.fill(
    "By default everything listed here is dropped except conflicts, which are reported; nothing "
    "counts as blurred without --min-sharpness. Expressions of one person against one background "
    "are not duplicates. The test split never loses an image as a duplicate. What is kept despite "
    "a fault is flagged in manifest.csv."
)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", type=Path, help="class folders, the competition's, or a flat folder"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="new folder to write"
    )
    parser.add_argument(
        "--detector", choices=list(DETECTORS), default=DEFAULT_DETECTOR, help="face detector"
    )
    parser.add_argument(
        "--min-score",
        type=float,
        metavar="SCORE",
        help="leave out faces with a lower score, 0...1 (default: the detector's own, as in `img`)",
    )
    parser.add_argument("--workers", type=positive, help="threads (default: number of cores)")
    parser.add_argument(
        "--restart",
        action="store_true",
        help="start over instead of resuming an earlier run; a finished result is replaced once "
        "the new one is complete",
    )
    parser.add_argument(
        "--preview",
        action="store_true",
        help="dry run: write contact sheets of what would be dropped; then rerun without it",
    )
    parser.add_argument(
        "--max-dropped",
        type=float,
        default=0.2,
        metavar="SHARE",
        help="stop, with a preview, if more than this share of the readable images (and more than "
        "two) would be dropped",
    )
    parser.add_argument(
        "--strict", action="store_true", help="exit with 1 if an image is unreadable"
    )
    _add_writing_options(parser.add_argument_group("what is written"))
    _add_keeping_options(parser.add_argument_group("what is kept", WHAT_IS_KEPT))


def _add_writing_options(group) -> None:
    group.add_argument(
        "--size",
        dest="size_px",
        type=_size,
        metavar="PX|none",
        help="side of the images written (default: none, as it is)",
    )
    group.add_argument(
        "--margin",
        type=float,
        help="side of the crop relative to the face's box (default: the detector's own)",
    )
    group.add_argument(
        "--shift-y",
        type=float,
        help="vertical shift of the crop, share of the box, up < 0 (default: the detector's own)",
    )
    group.add_argument(
        "--align-eyes", action="store_true", help="turn faces upright using the eyes"
    )
    group.add_argument(
        "--no-crop", dest="crop", action="store_const", const="whole", help="write whole images"
    )
    group.add_argument(
        "--already-cropped",
        action="store_true",
        help="the images are already faces (FER2013): --no-crop --no-face keep "
        "--multi-face largest --too-small keep",
    )
    group.add_argument(
        "--format", choices=FORMATS, help="format of the images written (default: png)"
    )


def _add_keeping_options(group) -> None:
    group.add_argument(
        "--min-face",
        dest="min_face_px",
        type=float,
        metavar="PX",
        help="minimum side of a face (default: 24)",
    )
    group.add_argument(
        "--min-sharpness", type=float, metavar="X", help="minimum sharpness (default: none)"
    )
    group.add_argument(
        "--no-face", choices=POLICIES["no_face"], help="drop, or keep the whole image"
    )
    group.add_argument(
        "--multi-face",
        "--many-faces",
        choices=POLICIES["multi_face"],
        help="drop, or keep the largest face",
    )
    group.add_argument("--too-small", choices=POLICIES["too_small"], help="faces under --min-face")
    group.add_argument("--blurred", choices=POLICIES["blurred"], help="faces under --min-sharpness")
    group.add_argument(
        "--duplicates", choices=POLICIES["duplicates"], help="the same photo in one class"
    )
    group.add_argument(
        "--conflicts", choices=POLICIES["conflicts"], help="the same photo in two classes"
    )
    group.add_argument("--leaks", choices=POLICIES["leaks"], help="test photos in train or valid")


def _size(text: str) -> int | None:
    return None if text == "none" else positive(text)


def _run(options: argparse.Namespace) -> int:
    from builder_tools.cleaning import CleaningConfig, clean_folder

    given = {name: getattr(options, name) for name in SETTINGS}
    # Not `in`: 0 is a valid value but equals False.
    changes = {k: v for k, v in given.items() if v is not None and v is not False}
    make = CleaningConfig.already_cropped if options.already_cropped else CleaningConfig
    report = clean_folder(
        options.folder,
        options.out,
        detector=options.detector,
        detector_options={} if options.min_score is None else {"min_score": options.min_score},
        config=make(**changes),
        workers=options.workers,
        restart=options.restart,
        preview=options.preview,
        max_dropped=options.max_dropped,
    )
    if options.preview:
        dropped = report.manifest[~report.manifest["kept"]]["status"].value_counts().items()
        counts = ", ".join(f"{count} {status}" for status, count in dropped) or "none"
        print(
            f"{report.out}: contact sheets and manifest.csv; {report.num_dropped} of "
            f"{len(report.manifest)} images would go ({counts}). Nothing was dropped yet."
        )
        return 0
    _print_summary(report)
    unreadable = report.counts["unreadable"]
    return 1 if (options.strict and unreadable) or not report.num_kept else 0


def _print_summary(report) -> None:
    counts = ", ".join(f"{count} {status}" for status, count in report.counts.items() if count)
    print(
        f"{report.out}: {report.num_kept} kept and {report.num_dropped} dropped of "
        f"{len(report.manifest)} images ({counts}); details in {report.out / 'manifest.csv'}"
    )
    failed = report.with_status("unreadable")
    for path, error in zip(failed["image_path"], failed["error"], strict=True):
        print_escaped(f"unreadable: {path}: {error}")
    if report.num_kept and report.emptied:
        print_escaped(f"No image was kept of: {', '.join(report.emptied)}.")
    if not report.num_kept:
        print(
            "No image was kept. For images that are faces already try --already-cropped; "
            "else try another --detector, or --no-face keep.",
            file=sys.stderr,
        )


VERBS = {
    "clean": Verb(
        "write the faces in a folder's images to a new folder, leaving out unfit ones",
        (
            "builder-tools clean photos/ --out faces/ --preview",
            "builder-tools clean photos/ --out faces/",
            "builder-tools clean photos/ --out faces/ --size 224 --align-eyes --multi-face largest",
            "builder-tools clean fer2013/ --out cleaned/ --already-cropped",
            "builder-tools clean skillbox-computer-vision-project/ --out cleaned/ --detector yunet",
        ),
        _options,
        _run,
        extra="study",
        also={"heif": "HEIC images"},
    )
}
