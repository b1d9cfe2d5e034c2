"""The verb `rest`, which makes a resting face from neutral images."""

from __future__ import annotations

import argparse
from hashlib import sha256
from pathlib import Path

from builder_tools.cli.model import add_model_options, make_inference
from builder_tools.cli.over_time import check_rest_place, write_rest
from builder_tools.cli.verb import Verb, print_escaped


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help="neutral images of one person, preferably from several days; the largest face counts",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="JSON to write")
    add_model_options(parser)


def _run(options: argparse.Namespace) -> int:
    from builder_tools.media import IMAGE_ERRORS, read_image
    from builder_tools.rest import RestingFace, population_of

    check_rest_place(options.out)
    failed, rows, known = [], [], {}
    with make_inference(options, "img") as inference:
        population_of(inference.model.emotions)  # refused before the images are read
        for image in options.images:
            try:
                pixels = read_image(image)
                content = pixels.shape, sha256(pixels).digest()
                if content in known:
                    words = f"left out: {image}: the same image as {known[content]}"
                    print_escaped(words)
                    continue
                known[content] = image
                faces = inference.analyse(pixels)
            except IMAGE_ERRORS as error:
                failed.append(f"{image}: {error}")
                continue
            if faces:
                rows.append(list(faces[0].probabilities.values()))
            else:
                failed.append(f"{image}: no face found")
        for line in failed:
            print_escaped(f"failed: {line}")
        model = inference.model
        shown = model.natural(rows) if rows else rows
        rest = RestingFace.from_probabilities(shown, emotions=model.emotions, model=model.identity)
    write_rest(rest, options.out)
    return 1 if failed else 0


VERBS = {
    "rest": Verb(
        "learn a person's resting face from neutral images, for --rest FILE",
        ("builder-tools rest me1.jpg me2.jpg me3.jpg --out me.json",),
        _options,
        _run,
        reads=("images",),
        writes=("out",),
    ),
}
