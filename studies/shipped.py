"""Train the shipped networks again: `python -m studies.shipped fast --unlabelled ...`.

The trainings use `builder-tools train`: first a wide network, then the network that is shipped,
taught by people's votes, the wide network and others; `third` finally by votes alone. Interrupted
trainings resume where they stopped.

Their teacher `accurate` was an earlier one (file bc6348ee3aa3), since today's contains `fast`. It
is in `saved_models` of commit 0b47eac79328; `--teacher` takes its folder.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from builder_tools.cli import main as builder_tools

MODELS = {
    "fast": "--network compact --stages 48:56 --learning-rate 0.003",
    "tiny": "--network compact_tiny --stages 48:56 --learning-rate 0.003",
    "third": "--network face_mobilenet --weights pretrained --stages 96:18 --learning-rate 0.001",
}
"""Model -> its network and its stages of training; `third` is a member of `accurate`."""
MILD = {
    "third": "--network face_mobilenet --stages 96:3:42 --cache-features 3 --learning-rate 0.0003"
    " --batch-size 64 --precision float32 --seed 1 --int8"
}
"""Model -> how its upper layers are then trained on votes alone."""
WIDE = (
    "--network compact_wide --stages 48:20 --learning-rate 0.003 --batch-size 128"
    " --class-weight-power 0.2 --teachers {teacher}=0.85 face_expression=0.15 --teacher-share 0.5"
    " --original-share 0.1 --degrade 0.25 --ema-decay 0.999 --seed 0"
)
TAUGHT = (
    "--batch-size 128 --class-weight-power 0.2"
    " --teachers {teacher}=0.55 {wide}=0.28 face_expression=0.17 --teacher-share 0.7"
    " --degrade 0.2 --ema-decay 0.999"
)


def trainings(
    name: str, seed: int, runs: Path, unlabelled: Sequence[str], *, teacher: str = "accurate"
) -> list[list[str]]:
    """Return the options of the trainings that lead to a model, in order.

    Args:
        name: Name in `MODELS`.
        seed: Seed of the network taught; the wide network is trained only once.
        runs: Folder of the runs.
        unlabelled: Folders and zips of faces without labels.
        teacher: Name or folder of the accurate teacher.
    """
    wide, last = runs / "wide", f"{name}_{seed}"
    first = WIDE.format(teacher=teacher).split()
    taught = TAUGHT.format(teacher=teacher, wide=wide / "last.keras").split()
    taught += [*MODELS[name].split(), "--seed", str(seed)]
    faces = ["--unlabelled", *unlabelled]
    steps = [
        [*first, "--name", "wide", "--run", str(wide), *faces, "--train-only"],
        [*taught, "--name", last, "--run", str(runs / last), *faces],
    ]
    if name not in MILD:
        return [steps[0], [*steps[1], "--int8"]]
    mild = [*MILD[name].split(), "--weights", str(runs / last / "last.keras")]
    mild += ["--name", last, "--run", str(runs / f"{last}_mild")]
    return [steps[0], [*steps[1], "--train-only"], mild]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code of the first training that fails, else 0."""
    parser = argparse.ArgumentParser(
        prog="python -m studies.shipped",
        description="Train `fast`, `tiny` or a member of `accurate` as shipped, from what taught "
        "them. Hours on a CPU, minutes on a GPU (KERAS_BACKEND=jax).",
        epilog="example:\n  python -m studies.shipped fast --unlabelled faces.zip cut_faces/",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("model", choices=MODELS)
    add("--unlabelled", nargs="+", required=True, metavar="FOLDER|ZIP",
        help="faces without labels. Shipped models saw 8,544 from films and news, as they are and "
        "as `builder-tools clean --size 48` cuts them")  # fmt: skip
    add("--teacher", default="accurate", metavar="MODEL",
        help="the accurate teacher, by name or folder (default: today's %(default)s; shipped "
        "models had that of commit 0b47eac79328)")  # fmt: skip
    add("--seed", type=int, default=0)
    add("--runs", type=Path, default=Path("runs/shipped"), metavar="FOLDER",
        help="checkpoints; resumes there (default: %(default)s)")  # fmt: skip
    add("--models", type=Path, default=Path("saved_models"), metavar="FOLDER",
        help="where MODEL_SEED is written (default: %(default)s)")  # fmt: skip
    add("--source", help="zip or folder of FER+ (see data/README.md)")
    options = parser.parse_args(arguments)
    shared = ["train", "--data", "ferplus", "--models", str(options.models)]
    shared += ["--source", options.source] if options.source else []
    given = (options.model, options.seed, options.runs, options.unlabelled)
    for step in trainings(*given, teacher=options.teacher):
        code = builder_tools([*shared, *step])
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
