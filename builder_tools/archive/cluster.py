"""Making the parts of an archive on a Ray cluster, with one actor per core on all nodes.

Every node needs this package, the sources and the folder of the archive under the same paths (a
shared file system). An actor that dies with its node is restarted on another one, and its item is
processed again: parts are written atomically, so nothing is duplicated.
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
"""In a cluster, nodes die, too, so a file is given up later than on a single machine."""
MOST_FALSE_STARTS = 3
ANSWER_S = 10.0


def on_cluster(
    todo: Sequence[Item], settings: Settings, parts: Path, address: str, workers: int | None
) -> Iterator[Outcome]:
    """Make parts on a cluster.

    Args:
        todo: Items to make.
        settings: How the files are analysed.
        parts: Folder of the parts, shared by all nodes.
        address: Address of the cluster; `auto` for the one that this machine belongs to.
        workers: Number of actors; None for as many as the cluster has cores for.

    Raises:
        ImportError: If Ray is not installed; says how to install it.
        ConnectionError: If there is no such cluster.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # report nothing to anybody
    try:
        import ray
    except ImportError as error:
        raise ImportError("--ray needs Ray: pip install 'builder-tools[cluster]'") from error
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdecimal():  # Ray itself would try for minutes if nobody answers
        try:
            socket.create_connection((host, int(port)), timeout=ANSWER_S).close()
        except OSError as error:
            raise ConnectionError(
                f"No Ray cluster answers at {address} ({error}). Begin one with `ray start --head`."
            ) from error
    ended_by = signal.getsignal(signal.SIGTERM)
    ray.init(address=address, log_to_driver=False, logging_level="ERROR", ignore_reinit_error=True)
    if ended_by is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, ended_by)  # Ray's own would end the process immediately
    try:
        if workers is None:
            workers = int(ray.cluster_resources().get("CPU", 1)) // settings.threads
        yield from _made(ray, todo, settings, str(parts.absolute()), max(workers, 1))
    finally:
        ray.shutdown()


def _made(ray, todo, settings: Settings, parts: str, workers: int) -> Iterator[Outcome]:
    kind = ray.remote(num_cpus=settings.threads, max_restarts=0, max_task_retries=0)(_Maker)
    waiting, deaths, idle = deque(todo), Counter(), []
    begun: dict[Any, tuple[Any, Item | None]] = {}  # what makers do: get ready (None), or an item

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
            hire()  # it gets ready as soon as a node has room for it
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
    """An actor that loads model and detector once and makes items one by one."""

    def __init__(self, settings: Settings, parts: str) -> None:
        self._worker = Worker(settings, parts)

    def get_ready(self) -> None:
        """Return once model and detector are loaded."""

    def make(self, item: Item) -> list[dict[str, str]]:
        return make_or_tell(self._worker, item)
