"""The parts of an archive made on a Ray cluster: an actor a core, wherever the nodes are.

Every node needs this package, the sources and the folder of the archive under the same paths (a
shared file system). An actor that dies with its node is begun anew on another one, and what it
worked on is made again: parts appear whole, so nothing is there twice.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from builder_tools.archive.items import Item
from builder_tools.archive.work import Outcome, Settings, Worker, died, make_or_tell

MOST_DEATHS = 3
"""Of a cluster, nodes die, too: a file is given up later than on one machine."""
MOST_FALSE_STARTS = 3
ANSWER_S = 10.0


def on_cluster(
    todo: Sequence[Item], settings: Settings, parts: Path, address: str, workers: int | None
) -> Iterator[Outcome]:
    """Make parts on a cluster.

    Args:
        todo: Which.
        settings: How.
        parts: Their folder, shared by all nodes.
        address: Of the cluster; `auto` for the one this machine belongs to.
        workers: Actors; None for as many as the cluster has cores for.

    Raises:
        ImportError: If Ray is not installed; says how to install it.
        ConnectionError: If there is no such cluster.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
    try:
        import ray
    except ImportError as error:
        raise ImportError("--ray needs Ray: pip install 'builder-tools[cluster]'") from error
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdecimal():  # Ray itself tries for minutes where nobody answers
        try:
            socket.create_connection((host, int(port)), timeout=ANSWER_S).close()
        except OSError as error:
            raise ConnectionError(
                f"No Ray cluster answers at {address} ({error}). Begin one with `ray start --head`."
            ) from error
    ended_by = signal.getsignal(signal.SIGTERM)
    ray.init(address=address, log_to_driver=False, logging_level="ERROR", ignore_reinit_error=True)
    if ended_by is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, ended_by)  # Ray's own would end the process on the spot
    try:
        if workers is None:
            workers = int(ray.cluster_resources().get("CPU", 1)) // settings.threads
        yield from _made(ray, todo, settings, str(parts.absolute()), max(workers, 1))
    finally:
        ray.shutdown()


def _made(ray, todo, settings: Settings, parts: str, workers: int) -> Iterator[Outcome]:
    kind = ray.remote(num_cpus=settings.threads, max_restarts=0, max_task_retries=0)(_Maker)
    waiting, deaths, idle = deque(todo), Counter(), []
    begun: dict[Any, tuple[Any, Item | None]] = {}  # what makers do: get ready, or an item

    def hire() -> None:
        maker = kind.remote(settings, parts)
        begun[maker.get_ready.remote()] = (maker, None)

    for _ in range(min(workers, len(todo))):
        hire()
    while waiting or any(item is not None for _, item in begun.values()):
        while idle and waiting:
            maker, item = idle.pop(), waiting.popleft()
            begun[maker.make.remote(item)] = (maker, item)
        (ended,), _ = ray.wait(list(begun), num_returns=1)
        maker, item = begun.pop(ended)
        try:
            problems = ray.get(ended)
            idle.append(maker)
        except ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None)
            if item is not None and isinstance(cause, OSError):
                raise cause from error  # the disk is full
            hire()  # it gets ready as soon as some node has room for it
            if item is None:
                deaths[""] += 1
                if deaths[""] > MOST_FALSE_STARTS * workers:
                    raise RuntimeError(f"No node could begin to work: {error}") from error
                continue
            deaths[item.identity] += 1
            if deaths[item.identity] < MOST_DEATHS:
                waiting.append(item)
                continue
            problems = died(item, MOST_DEATHS)
        if item is not None:
            yield item, problems


class _Maker:
    """An actor: model and detector loaded once, items made one by one."""

    def __init__(self, settings: Settings, parts: str) -> None:
        self._worker = Worker(settings, parts)

    def get_ready(self) -> None:
        """Answer once model and detector are loaded."""

    def make(self, item: Item) -> list[dict[str, str]]:
        return make_or_tell(self._worker, item)
