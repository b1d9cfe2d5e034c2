"""The verb `benchmark`, which times the package on this machine."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import sys
from dataclasses import asdict

from builder_tools.cli.verb import Verb, positive
from builder_tools.detectors import DEFAULT_DETECTOR, DETECTORS


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "images", nargs="*", metavar="IMAGE", help="your own images; without any, models alone"
    )
    parser.add_argument(
        "--models", nargs="+", action="extend", help="names or folders (default: all installed)"
    )
    parser.add_argument(
        "--detectors",
        nargs="+",
        action="extend",
        metavar="DETECTOR",
        choices=list(DETECTORS),
        help=f"one or more of {', '.join(DETECTORS)} (default: {DEFAULT_DETECTOR})",
    )
    parser.add_argument("--repeats", type=positive, default=20, help="repeats of each image")
    parser.add_argument("--json", action="store_true", help="print one JSON line per row")


def _run(options: argparse.Namespace) -> None:
    from builder_tools.cards import find_model, list_models
    from builder_tools.cli.model import progress_bar
    from builder_tools.media import read_image
    from builder_tools.timing import time_images, time_models

    models = options.models or [card.name for card in list_models()]
    detectors = options.detectors or [DEFAULT_DETECTOR]
    for model in models:
        find_model(model)
    images = [read_image(image) for image in options.images]
    rows = itertools.chain(
        time_models(models, repeats=5 * options.repeats),
        time_images(images, detectors=detectors, models=models, repeats=options.repeats)
        if images
        else (),
    )
    count = len(models) * (1 + len(detectors) * bool(images))
    print(f"{platform.machine()}, {os.cpu_count()} cores", file=sys.stderr)
    if not options.json:
        print(f"{'detector':<12}{'model':<12}{'images':>9}{'faces':>7}{'median':>11}{'95 %':>11}")
    for row in progress_bar(rows, "timed", total=count):
        line = (
            f"{row.detector or '(alone)':<12}{row.model:<12}{row.images:>9}{row.faces:>7}"
            f"{row.median_ms:>8.2f} ms{row.p95_ms:>8.2f} ms"
        )
        print(json.dumps(asdict(row)) if options.json else line, flush=True)


VERBS = {
    "benchmark": Verb(
        "time models and detectors on this machine, on your own images",
        (
            "builder-tools benchmark",
            "builder-tools benchmark photo.jpg group.jpg --detectors mediapipe yunet",
        ),
        _options,
        _run,
    ),
}
