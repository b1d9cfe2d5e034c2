"""Models on labelled data sets they have never seen, with `fer`'s model in the same run.

Each is judged on the classes it shares with a set, matched by synonyms, with predictions among
these classes only. Both read whole images or, with `--detect`, the largest face found by their own
detectors, and the whole image where these find none.

    python benchmarks/crossdata.py SET... [--models fast tiny] [--detect] [--no-peer]

SET is a labelled folder, table or zip; the default is the development sets in the data folder.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from machine import describe_machine
from peers import FerPeer

from builder_tools.cards import list_models
from builder_tools.datasets.ferplus import data_folder
from builder_tools.detectors import DEFAULT_DETECTOR
from builder_tools.evaluation import format_cross_table, judge_common
from builder_tools.media import replacing
from builder_tools.release.labelled_sets import LabelledSet, judge_on, labelled_set

DEVELOPMENT_SETS = ("wild_dev.zip", "posed_dev.zip")


def main() -> None:
    """Judge the models, print the table, and write it if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*", type=Path, help="labelled folders, tables or zips")
    parser.add_argument("--models", nargs="+", default=[card.name for card in list_models()])
    parser.add_argument("--detect", action="store_true", help="find the face first, as in use")
    parser.add_argument("--decision", choices=("natural", "balanced"), default="natural")
    parser.add_argument("--no-peer", dest="peer", action="store_false", help="leave fer out")
    parser.add_argument("--out", type=Path, help="a Markdown file to write")
    options = parser.parse_args()
    places = options.sets or [data_folder() / name for name in DEVELOPMENT_SETS]
    sets = [labelled_set(place) for place in places]
    rows = []
    for name in options.models:
        detector = DEFAULT_DETECTOR if options.detect else None
        judged = judge_on(name, sets, detector=detector, decision=options.decision)
        rows += [each.to_dict() | {"model": name} for each in judged]
    if options.peer:
        peer = FerPeer()
        rows += [_of_peer(peer, each, options.detect) | {"model": "fer"} for each in sets]
    rows.sort(key=lambda row: [each.name for each in sets].index(row["set"]))
    how = "the largest face found" if options.detect else "whole images"
    text = "\n\n".join(
        [
            "# Other people's faces",
            f"Written by `python benchmarks/crossdata.py`; {how}, {options.decision} decision; "
            "95 % intervals by the bootstrap, over people where the images column counts them, "
            "otherwise over faces.",
            describe_machine(["onnxruntime"]),
            format_cross_table(rows),
        ]
    )
    print(text)
    if options.out:
        with replacing(options.out) as partial:
            partial.write_text(f"{text}\n", encoding="utf-8")


def _of_peer(peer: FerPeer, each: LabelledSet, detect: bool) -> dict:
    table = each.images
    images = [table.image(row) for row in range(len(table))]
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images]
    probabilities, found = np.array(peer.predict(grey), np.float64), None
    if detect:
        faces = [next(iter(peer.analyse(image)), None) for image in images]
        found = np.array([face is not None for face in faces])
        for row in np.flatnonzero(found):
            probabilities[row] = [faces[row][name] for name in peer.emotions]
    words = table.table["emotion"].tolist()
    return judge_common(
        each.name,
        words,
        probabilities,
        peer.emotions,
        groups=table.table.get("person"),
        found=found,
    ).to_dict()


if __name__ == "__main__":
    main()
