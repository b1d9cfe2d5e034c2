"""The verb `balance`."""

from __future__ import annotations

import argparse
import sys
from contextlib import nullcontext
from pathlib import Path

from builder_tools.cli.verb import Verb, positive, seed
from builder_tools.detectors import DETECTORS


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", type=Path, help="class folders, optionally under train/ val/ test/"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="new folder to write"
    )
    parser.add_argument(
        "--value",
        type=positive,
        metavar="N",
        help="images per class (default: as in the largest class)",
    )
    parser.add_argument(
        "--modify-coef", type=float, default=0.5, metavar="X",
        help="share of missing images to make by interpolation, 0...1",
    )  # fmt: skip
    parser.add_argument(
        "--train-part", type=float, default=0.3, metavar="X",
        help="share of originals from which nothing is made, 0...1",
    )  # fmt: skip
    parser.add_argument(
        "--space", choices=("pixel", "pca"), default="pixel", help="where to look for neighbours"
    )
    parser.add_argument(
        "--neighbours", type=positive, default=5, metavar="K", help="neighbours of each face"
    )
    parser.add_argument(
        "--size", type=positive, metavar="PX", help="side to resize to; needed where sizes differ"
    )
    parser.add_argument("--detector", choices=list(DETECTORS), help="crop the largest face first")
    parser.add_argument("--seed", type=seed, default=0, help="seed of what is made")


def _run(options: argparse.Namespace) -> None:
    from builder_tools.cli.release import need_study

    need_study()
    from builder_tools.balancing import FaceSMOTE
    from builder_tools.detectors import make_detector

    with make_detector(options.detector) if options.detector else nullcontext() as detector:
        manifest = FaceSMOTE(
            options.folder,
            options.out,
            options.value,
            face_detector=detector,
            image_size=options.size,
            train_part=options.train_part,
            modify_coef=options.modify_coef,
            k_neighbors=options.neighbours,
            space=options.space,
            random_state=options.seed,
        ).run()
    train = manifest[manifest["split"].isin(("train", ""))]
    counts = train.groupby(["emotion", "origin"]).size().unstack(fill_value=0)
    print(counts.assign(all=counts.sum(axis=1)).to_string())
    print(f"Written: {options.out} ({len(manifest)} images, manifest.csv)", file=sys.stderr)


VERBS = {
    "balance": Verb(
        "bring every class in a folder to the same number of images",
        (
            "builder-tools balance faces/ --out balanced/ --value 1000",
            "builder-tools balance faces/ --out b/ --value 500 --modify-coef 1 --space pca",
            "builder-tools balance photos/ --out b/ --value 200 --detector mediapipe --size 48",
        ),
        _options,
        _run,
        extra="study",
    ),
}
