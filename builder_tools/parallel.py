"""Work on several threads, with results in the order of their inputs."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered_map(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int,
    ahead: int,
    weigh: Callable[[Item], float] = lambda item: 0,
    most_weight: float = math.inf,
) -> Iterator[Result]:
    """Yield `function(item)` for each item, in order; close the iterator to stop early.

    However it ends, no thread is working any more afterwards.

    Args:
        function: Called on `workers` threads; its exceptions are raised when its result is due.
        items: Read on the caller's thread; their exceptions are raised after the last result.
        workers: Number of threads.
        ahead: Largest number of items read whose results are not yet yielded; at least 1.
        weigh: Returns the weight of an item.
        most_weight: Largest total weight of these items, not counting the last.
    """
    waiting: deque[tuple[Future[Result], float]] = deque()
    failures: list[Exception] = []
    with ThreadPoolExecutor(workers, thread_name_prefix="ordered") as pool:
        try:
            for item in _until_failure(items, failures):
                waiting.append((pool.submit(function, item), weigh(item)))
                while waiting and (
                    len(waiting) >= ahead or sum(weight for _, weight in waiting) > most_weight
                ):
                    yield waiting.popleft()[0].result()
            while waiting:
                yield waiting.popleft()[0].result()
        finally:
            for future, _ in waiting:
                future.cancel()
    for failure in failures:
        raise failure


def _until_failure(items: Iterable[Item], failures: list[Exception]) -> Iterator[Item]:
    try:
        yield from items
    except Exception as error:
        failures.append(error)
