"""Does reading faces from files keep the trainer waiting?

Trains the compact network on 48 px at batch 64 with augmentation, and compares the time of a step
with faces from memory, from FER+ as 48 px PNG files, and from 224 px JPEG files made from them
(decoded and shrunk to 48 px) with the time of a step that gets the same batch again and again.
The sources take turns, so that other work on the machine affects all alike. Then the readers run
alone, to show how fast a trainer they could feed.

    python benchmarks/starvation.py [--steps 8] [--rounds 12] [--workers 2] [--faces 4096]

Prints Markdown: median milliseconds per step; the median over the rounds of the ratio to the
repeated batch in the same round (required: <= 1.05); the processor time of reading a batch, and its
share of that of a step with the repeated batch. Wall time means nothing while other work fills the
machine; the share does: it is the most that reading can cost when training itself fills every core
(and reading costs nothing when a core is free).
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2
import keras
import numpy as np
from machine import describe_machine
from tqdm import tqdm

from builder_tools.augmentation import FaceBatches, augmentation_model, with_augmentation
from builder_tools.datasets.ferplus import load_ferplus, vote_distribution
from builder_tools.datasets.table import ResizedImages, table_of_files
from builder_tools.emotions import NINE_EMOTIONS
from builder_tools.media import write_image
from builder_tools.networks import build_network

SIZE_PX, JPEG_PX, BATCH = 48, 224, 64
QUEUE = 2
"""Batches read ahead: few, so that a short epoch does not live on batches read before it."""
MUST = 1.05
SKIPPED_STEPS = 2
REPEATED = "one batch repeated"


class Repeated(keras.utils.PyDataset):
    """The same batch again and again: the cost of training without any reading."""

    def __init__(self, batch: tuple[np.ndarray, np.ndarray], steps: int) -> None:
        super().__init__()
        self.batch, self.steps = batch, steps

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, index: int):
        return self.batch


class FirstSteps(FaceBatches):
    """Batches of an epoch that ends after `steps` batches."""

    steps = 0

    def __len__(self) -> int:
        return self.steps


class StepTimer(keras.callbacks.Callback):
    """Records when each step ends: wall and processor time."""

    def on_epoch_begin(self, epoch, logs=None):
        self.ends_s = []

    def on_train_batch_end(self, batch, logs=None):
        self.ends_s.append((time.perf_counter(), time.process_time()))

    def step_s(self) -> np.ndarray:
        """Return the mean wall and processor seconds per step, without the first steps."""
        ends = np.array(self.ends_s[SKIPPED_STEPS:])
        return (ends[-1] - ends[0]) / (len(ends) - 1)


def write_files(folder: Path, images: np.ndarray, suffix: str, size_px: int) -> ResizedImages:
    """Write faces to files with a given side; return them as images read back at 48 px."""
    paths = [folder / f"{number}{suffix}" for number in range(len(images))]
    for path, image in zip(tqdm(paths, f"writing {suffix}", delay=2), images, strict=True):
        if image.shape[0] != size_px:
            image = cv2.resize(image, (size_px, size_px), interpolation=cv2.INTER_CUBIC)
        write_image(path, image)
    emotions = ["neutral"] * len(paths)
    return table_of_files([p.name for p in paths], paths, emotions, NINE_EMOTIONS).resized(SIZE_PX)


def training_model() -> keras.Model:
    """Return the compact network with its augmentation, in the precision it is trained in."""
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy("mixed_bfloat16")
    network = build_network("compact", len(NINE_EMOTIONS), None)
    model = with_augmentation(network, augmentation_model(), size=SIZE_PX, channels=3)
    model.compile(keras.optimizers.AdamW(1e-3), "categorical_crossentropy")
    return model


def sources_of(folder: Path, count: int) -> tuple[dict[str, object], np.ndarray]:
    """Return the faces by source, and their targets."""
    faces = load_ferplus().split("train")
    images, targets = faces.images[:count], vote_distribution(faces.votes[:count])
    sources = {
        "memory": np.repeat(images[..., None], 3, axis=-1),
        "FER+ 48 px PNG files": write_files(folder / "png", images, ".png", SIZE_PX),
        "224 px JPEG files": write_files(folder / "jpeg", images, ".jpg", JPEG_PX),
    }
    return sources, targets


def rounds_of(sources, targets, options: argparse.Namespace) -> Iterator[dict[str, np.ndarray]]:
    """Yield the wall and processor seconds per step by source, round by round."""
    model, timer = training_model(), StepTimer()
    steps = options.steps + SKIPPED_STEPS
    batches: dict[str, keras.utils.PyDataset] = {}
    for name, faces in sources.items():
        workers = 1 if name == "memory" else options.workers
        batches[name] = FirstSteps(
            faces,
            targets,
            batch_size=BATCH,
            shuffle_seed=0,
            workers=workers,
            max_queue_size=QUEUE,
        )
        batches[name].steps = steps
    batches[REPEATED] = Repeated(batches["memory"][0], steps)
    model.fit(batches[REPEATED], verbose=0)
    names = list(batches)
    for number in tqdm(range(options.rounds), "rounds"):
        found = {}
        for name in names[number % len(names) :] + names[: number % len(names)]:
            if name != REPEATED:
                batches[name].start_epoch(number)
            model.fit(batches[name], shuffle=False, verbose=0, callbacks=[timer])
            found[name] = timer.step_s()
        yield found


def reading_s(faces, targets, repeats: int = 24) -> float:
    """Return the median processor seconds for reading a batch while nothing else is done."""
    batches = FaceBatches(faces, targets, batch_size=BATCH, shuffle_seed=1)
    times = []
    for index in range(min(repeats, len(batches))):
        start = time.process_time()
        batches[index]
        times.append(time.process_time() - start)
    return statistics.median(times)


def report(rounds: list[dict[str, np.ndarray]], sources, targets) -> Iterator[str]:
    """Yield the lines of the table."""
    yield "| faces from | ms a step | ratio to repeated | reading, CPU ms a batch | share |"
    yield "|---|---|---|---|---|"
    step_ms = {n: statistics.median(r[n][0] for r in rounds) * 1e3 for n in rounds[0]}
    cpu_s = statistics.median(found[REPEATED][1] for found in rounds)
    yield f"| {REPEATED} | {step_ms[REPEATED]:.0f} | 1 | (a step: {cpu_s * 1e3:.0f}) | |"
    for name, faces in sources.items():
        ratio = statistics.median(found[name][0] / found[REPEATED][0] for found in rounds)
        verdict = "met" if ratio <= MUST else "NOT met"
        own_s = reading_s(faces, targets)
        yield (
            f"| {name} | {step_ms[name]:.0f} | {ratio:.3f} ({verdict}) | {own_s * 1e3:.1f} "
            f"| {own_s / cpu_s:.1%} |"
        )


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=8, help="timed steps a source and round")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--workers", type=int, default=2, help="threads that read files")
    parser.add_argument("--faces", type=int, default=4096)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sources, targets = sources_of(Path(folder), options.faces)
        rounds = list(rounds_of(sources, targets, options))
        print("\n".join(report(rounds, sources, targets)))
    print(f"\n{describe_machine(['keras', 'tensorflow'])}")


if __name__ == "__main__":
    main()
