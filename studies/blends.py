"""Faces made from others for teachers to label: warped ones, and blends of two.

Teachers know the faces they were trained on by heart, so what they predict for those teaches
little beyond the labels. A face that is strongly warped, or blended with another, is new to them
(Beyer et al., 2022, arXiv:2106.05237).
"""

from __future__ import annotations

import argparse
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from builder_tools.augmentation import AUGMENTATIONS, augmentation_model
from builder_tools.datasets.ferplus import load_ferplus
from builder_tools.datasets.unlabelled import unlabelled_faces
from builder_tools.media import replacing
from studies.command import command

SIZE = 48
"""Side of the faces written, px."""
BLENDED = 0.5
"""Share of the faces that are blended with another one."""
LEAST, MOST = 0.1, 0.4
"""Bounds of the other face's weight in a blend, drawn uniformly between them."""
BATCH = 500
"""Faces that are warped at a time."""


def blends(faces: np.ndarray, count: int, seed: int):
    """Yield new faces made from others: half of them warped, half warped and blended in pairs.

    Args:
        faces: `(n, 48, 48)` grey uint8.
        count: How many to make.
        seed: Seed for the choice of faces and how they are changed.

    Yields:
        `(48, 48)` uint8.
    """
    rng = np.random.default_rng(seed)
    augment = augmentation_model(AUGMENTATIONS["strong"], seed=seed)
    for start in range(0, count, BATCH):
        n = min(BATCH, count - start)
        chosen = faces[rng.integers(len(faces), size=2 * n)].astype(np.float32)[..., None]
        warped = np.asarray(augment(chosen, training=True))[..., 0]
        of_other = np.where(rng.random(n) < BLENDED, rng.uniform(LEAST, MOST, n), 0)
        mixed = warped[:n] + of_other[:, None, None] * (warped[n:] - warped[:n])
        yield from np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def _write(options: argparse.Namespace) -> None:
    from tqdm import tqdm

    if options.faces < 1:
        raise ValueError(f"Expected --faces of at least 1. Received: {options.faces}.")
    train = load_ferplus(options.source).split("train")
    faces = train.images[train.table["index"].to_numpy(np.int64)]
    if options.unlabelled:
        found = unlabelled_faces(options.unlabelled, size_px=SIZE, grey=True)
        faces = np.concatenate([faces, found])
    options.out.parent.mkdir(parents=True, exist_ok=True)
    made = blends(faces, options.faces, options.seed)
    bar = tqdm(made, "faces", options.faces, delay=2, disable=None, file=sys.stderr)
    with replacing(options.out) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for number, face in enumerate(bar):
            archive.writestr(f"{number:06d}.png", cv2.imencode(".png", face)[1].tobytes())
    print(f"{options.faces} faces in {options.out}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m studies.blends",
        description="Make unlabelled faces from others, for `builder-tools train --unlabelled`: "
        "half of them warped, half warped and blended in pairs.",
        epilog="example:\n  python -m studies.blends --out runs/blends.zip --faces 40000",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="ZIP", help="file to write; replaced if there")
    add("--faces", type=int, default=40_000, help="how many to make (default: %(default)s)")
    add("--unlabelled", nargs="*", default=[], metavar="FOLDER|ZIP",
        help="faces to make them from, besides FER+ train")  # fmt: skip
    add("--seed", type=int, default=0)
    add("--source", type=Path, help="zip or folder of FER+ (see data/README.md)")
    return command(parser, _write, arguments)


if __name__ == "__main__":
    sys.exit(main())
