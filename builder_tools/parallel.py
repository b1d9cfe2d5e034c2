"""Work on several threads whose results keep the order of what they were made of."""

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
    """Yield `function(item)` for each item, in order; close it to stop early.

    No thread is at work any more when it has ended, however it ends.

    Args:
        function: Called on `workers` threads; what it raises is raised in its turn.
        items: Read on the caller's thread; what they raise is raised after the last result.
        workers: Threads.
        ahead: Most items read and not yet given; at least 1.
        weigh: Returns the weight of an item.
        most_weight: Of the items read and not yet given, but for the last.
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
