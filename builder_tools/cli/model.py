"""Shared by the verbs that use a model: its options, objects made from them, printed results."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable

from builder_tools.cards import DEFAULT_MODEL
from builder_tools.classifier.runtimes import DEVICES
from builder_tools.cli.drawing import drawer_of
from builder_tools.cli.process import speaks_unicode
from builder_tools.cli.verb import positive
from builder_tools.decisions import DECISIONS
from builder_tools.detectors import DEFAULT_DETECTOR, DEFAULT_MIN_SCORES, DETECTORS
from builder_tools.detectors.turning import ROTATIONS
from builder_tools.results import FaceEmotion, FrameResult


def add_model_option(parser: argparse.ArgumentParser) -> None:
    """Add --model."""
    parser.add_argument(
        "--model", help=f"name or folder of a model (see `models`; default: {DEFAULT_MODEL})"
    )


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `make_inference`."""
    add_model_option(parser)
    parser.add_argument(
        "--detector",
        choices=list(DETECTORS),
        default=DEFAULT_DETECTOR,
        help="face detector (default: %(default)s, with YuNet for small faces and crowds)",
    )
    own = ", ".join(f"{name} {score:g}" for name, score in DEFAULT_MIN_SCORES.items())
    parser.add_argument(
        "--min-score",
        type=float,
        metavar="SCORE",
        help=f"leave out faces with a lower score, 0...1 (default: the detector's own: {own})",
    )
    parser.add_argument(
        "--min-face",
        type=float,
        default=0,
        metavar="PX",
        help="leave out smaller faces, px (default: %(default)s)",
    )
    parser.add_argument(
        "--threads",
        type=positive,
        default=1,
        metavar="N",
        help="CPU threads for the model (default: %(default)s)",
    )
    parser.add_argument(
        "--device",
        choices=DEVICES,
        default="cpu",
        help="device the model runs on; cuda needs onnxruntime-gpu (default: %(default)s)",
    )
    parser.add_argument(
        "--decision",
        choices=DECISIONS,
        default="natural",
        help="natural: for emotions as frequent as in the training data; balanced: for images in "
        "which all emotions are about equally frequent (default: %(default)s)",
    )
    parser.add_argument(
        "--flip-average",
        action=argparse.BooleanOptionalAction,
        help="average with the mirrored face, 2x the time (default: as the model's card says)",
    )


def add_rotate_option(parser: argparse.ArgumentParser, usual: str) -> None:
    """Add --rotate; `usual` describes the default."""
    parser.add_argument(
        "--rotate",
        choices=ROTATIONS,
        default=usual,
        help="rotate images clockwise by this many degrees first; auto rotates none, but also "
        "finds faces lying on their side or upside down, and reports their tilt (default: "
        "%(default)s)",
    )


def add_geometry_options(parser: argparse.ArgumentParser, *, mesh: bool = True) -> None:
    """Add --geometry and, where faces are drawn, --mesh."""
    parser.add_argument(
        "--geometry",
        action="store_true",
        help="also report each face's head pose, 52 blendshapes, and how far eyes and mouth are "
        "open (needs 'builder-tools[geometry]'; about 7 ms per face); a face turned by more than "
        "50 degrees is doubtful",
    )
    if mesh:
        parser.add_argument(
            "--mesh", action="store_true", help="draw the landmark mesh; needs --geometry"
        )


def make_inference(
    options: argparse.Namespace, mode: str, show: str = "none", draw: bool = True, **more
):
    """Return the `Inference` that the options describe; `draw=False` if no image is shown."""
    from builder_tools.inference import Inference

    return Inference(
        make_classifier(options),
        draw_box_obj=drawer_of(options, draw),
        show_state_mode=show,
        inference_mode=mode,
        detector=options.detector,
        detector_options=detector_options(options),
        geometry=getattr(options, "geometry", False),
        rotate=getattr(options, "rotate", None),
        mirror=getattr(options, "mirror", False),
        **more,
    )


def make_classifier(options: argparse.Namespace):
    """Return the `EmotionClassifier` that the options describe."""
    from builder_tools.classifier import EmotionClassifier

    return EmotionClassifier(
        options.model,
        threads=options.threads,
        flip_average=options.flip_average,
        decision=options.decision,
        device=options.device,
    )


def detector_options(options: argparse.Namespace) -> dict[str, float]:
    """Return the keyword arguments of the detector that the options describe."""
    given = {"min_score": options.min_score, "min_size_px": options.min_face or None}
    return {name: value for name, value in given.items() if value is not None}


def print_json(result: FrameResult) -> None:
    """Print a result as one line of JSON."""
    print(json.dumps(result.to_dict(), ensure_ascii=not speaks_unicode()), flush=True)


def shown_text(face: FaceEmotion) -> str:
    """Return a face's emotion and, if it was compared with its resting face, that emotion too."""
    shown = f"{face.emotion} {face.probability:.0%}"
    if face.relative_probabilities is None:
        return shown
    return f"{shown} (from rest: {face.relative_emotion} {face.relative_probability:.0%})"


def progress_bar(
    items: Iterable, unit: str, *, total: int | None = None, least: int = 0
) -> Iterable:
    """Return a progress bar on stderr, hidden for few items or if stderr is not a terminal."""
    if least and len(items) < least:
        return items
    from tqdm import tqdm

    return tqdm(items, unit=f" {unit}", total=total, file=sys.stderr, disable=None, delay=2)
