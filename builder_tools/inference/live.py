"""Live work in stages, each on a thread of its own: the newest wins between them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

CLOSE_TIMEOUT_S = 2.0


class Live(Protocol[Item]):
    """What a stage works on: a camera, or another stage.

    Attributes:
        ended: Whether nothing will follow.
    """

    ended: bool

    def read(self, timeout_s: float | None = None) -> Item | None:
        """Wait for something newer than the last; None when the time is over or at the end."""
        ...

    def close(self) -> None:
        """End; may be called twice."""
        ...


class Stage(Generic[Item, Result]):
    """Does one kind of work on whatever is newest, and keeps the newest result only.

    So no stage waits for a slower one after it, and what comes out is never older than the time
    the stages take, however seldom anybody looks.

    Args:
        source: Gives items; a stage owns it and closes it.
        work: What to do with each.
        name: Of the thread.

    Attributes:
        ended: Whether no result will follow.
    """

    def __init__(self, source: Live[Item], work: Callable[[Item], Result], name: str) -> None:
        self.ended = False
        self._source, self._work = source, work
        self._news = threading.Condition()
        self._newest: Result | None = None
        self._error: Exception | None = None
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def read(self, timeout_s: float | None = None) -> Result | None:
        """Wait for a result newer than the last one given.

        Args:
            timeout_s: The longest wait; None waits until there is one or none will follow.

        Returns:
            The newest result, or None when the time is over or nothing will follow (`ended`).

        Raises:
            Exception: What the work, or a stage before, ended with; after its last result.
        """
        with self._news:
            self._news.wait_for(lambda: self._newest is not None or self.ended, timeout_s)
            if self._newest is None and self._error is not None:
                raise self._error
            newest, self._newest = self._newest, None
            return newest

    def close(self) -> None:
        """Stop the stages before and this one; may be called twice."""
        self._stopped = True
        self._source.close()
        self._thread.join(timeout=CLOSE_TIMEOUT_S)

    def _run(self) -> None:
        try:
            while not self._stopped and (item := self._source.read()) is not None:
                self._publish(self._work(item))
        except Exception as error:  # it is the reader's
            self._error = error
        finally:
            with self._news:
                self.ended = True
                self._news.notify_all()

    def _publish(self, result: Result) -> None:
        with self._news:
            self._newest = result
            self._news.notify_all()


def awaited(
    source: Live[Item], goes_on: Callable[[], bool], *, every_s: float = 0.05
) -> Iterator[Item]:
    """Yield what a live source gives; ask at least so often whether to go on."""
    while True:
        ended = source.ended  # asked before, so that a last item just coming is not lost
        item = source.read(every_s)
        if item is not None:
            yield item
        elif ended or not goes_on():
            return
