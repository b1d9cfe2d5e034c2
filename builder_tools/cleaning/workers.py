"""Threads that examine images, each with its own detector."""

from __future__ import annotations

import os
import queue
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from typing import Any

from builder_tools.cleaning.judging import Look
from builder_tools.detectors import FaceDetector, make_detector
from builder_tools.parallel import ordered_map


def in_parallel(function, items: Sequence[int], workers: int) -> Iterator[Look]:
    """Yield `function(item)` for each item, in order, computed on several threads."""
    return ordered_map(function, items, workers=workers, ahead=4 * workers)


def progress(items: Iterator[Look], *, total: int, initial: int) -> Iterator[Look]:
    """Show a progress bar after two seconds."""
    from tqdm import tqdm

    return tqdm(items, total=total, initial=initial, unit=" images", disable=None, delay=2)


def detectors(
    stack: ExitStack, detector: str | FaceDetector, options: dict[str, Any], workers: int
) -> queue.SimpleQueue:
    """Return a queue with a detector per worker; those made here are closed with `stack`."""
    free: queue.SimpleQueue = queue.SimpleQueue()
    for _ in range(workers):
        if isinstance(detector, str):
            free.put(stack.enter_context(closing(make_detector(detector, **options))))
        else:
            free.put(detector)
    return free


def checked_workers(workers: int | None) -> int:
    """Return the number of threads; None means one per core."""
    if workers is not None and (not isinstance(workers, int) or workers < 1):
        raise ValueError(f"Expected workers >= 1, or None for one a core. Received: {workers!r}.")
    return workers or os.cpu_count() or 1


def describe_detector(detector: str | FaceDetector, options: dict[str, Any]) -> dict[str, Any]:
    """Return the facts that identify a detector, as plain values."""
    if isinstance(detector, str):
        return {"name": detector, **options}
    plain = {k: v for k, v in vars(detector).items() if isinstance(v, str | int | float)}
    return {"name": type(detector).__name__, **plain}
