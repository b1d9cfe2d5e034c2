"""What a thread has to itself while it uses it, and gives back: networks' sessions, and memory.

A session hands out the memory of its layers' results to whoever runs it. Two threads that share one
get what the other core wrote last, which has to be fetched from there: small images take them half
as long again, or twice as long, as two threads with a session each.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np


class Sessions:
    """As many sessions of a network, each on one thread, as threads run it at once.

    Args:
        network: An ONNX file.
        one_size: Whether all images are of one size: then ONNX Runtime plans its memory once; for
            others it would for each size of image, and keep 80 MB more.
    """

    def __init__(self, network: bytes, *, one_size: bool = False) -> None:
        self._network, self._one_size = network, one_size
        self._idle: list[Any] = []

    @contextmanager
    def lent(self) -> Iterator[Any]:
        """Lend a session."""
        try:
            session = self._idle.pop()
        except IndexError:
            session = self._new()
        try:
            yield session
        finally:
            self._idle.append(session)

    def _new(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_mem_pattern = self._one_size
        options.log_severity_level = 3
        providers = ["CPUExecutionProvider"]
        return onnxruntime.InferenceSession(self._network, options, providers=providers)


class Memory:
    """Memory for arrays: new memory for each image costs ten times what filling it does."""

    def __init__(self) -> None:
        self._idle: list[np.ndarray] = []
        self._lock = threading.Lock()

    @contextmanager
    def lent(self, *shape: int) -> Iterator[np.ndarray]:
        """Lend a float32 array, whatever it holds."""
        size = math.prod(shape)
        with self._lock:
            fits = [number for number, one in enumerate(self._idle) if one.size >= size]
            best = min(fits, key=lambda number: self._idle[number].size, default=None)
            if best is None and self._idle:
                self._idle.pop()  # too small: in its place comes what is larger
            memory = np.empty(size, np.float32) if best is None else self._idle.pop(best)
        try:
            yield memory[:size].reshape(shape)
        finally:
            with self._lock:
                self._idle.append(memory)
