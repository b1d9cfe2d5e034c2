"""Things a thread has to itself while using them, then returns: network sessions, and memory.

A session reuses the memory of its layers' results for whoever runs it. Two threads that share one
get memory last written by the other core, from which it has to be fetched: small images then take
one and a half to two times as long as with one session per thread.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np


class Sessions:
    """Single-threaded sessions of a network, one for each thread that runs it at the same time.

    Args:
        network: Content of an ONNX file.
        one_size: Whether all images are of one size, so that ONNX Runtime can plan its memory
            once; otherwise it would do so for each image size, and keep 80 MB more.
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
    """Reusable memory for arrays: allocating it anew costs ten times as much as filling it."""

    def __init__(self) -> None:
        self._idle: list[np.ndarray] = []
        self._lock = threading.Lock()

    @contextmanager
    def lent(self, *shape: int) -> Iterator[np.ndarray]:
        """Lend an uninitialised float32 array."""
        size = math.prod(shape)
        with self._lock:
            fits = [number for number, one in enumerate(self._idle) if one.size >= size]
            best = min(fits, key=lambda number: self._idle[number].size, default=None)
            if best is None and self._idle:
                self._idle.pop()  # too small: a larger one takes its place
            memory = np.empty(size, np.float32) if best is None else self._idle.pop(best)
        try:
            yield memory[:size].reshape(shape)
        finally:
            with self._lock:
                self._idle.append(memory)
