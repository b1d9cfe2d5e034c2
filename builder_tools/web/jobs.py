"""Long jobs: each has a folder, their number is limited, progress is streamed to the client."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Callable, Generator
from typing import Any

import anyio
from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from builder_tools.web.limits import Refused
from builder_tools.web.result_store import ResultStore, remove_folder

MOST_JOBS = 16
"""Jobs that may be running or waiting for their turn; any more are refused."""


class Jobs:
    """Creates jobs.

    Args:
        store: Where their uploads and results are kept.
    """

    def __init__(self, store: ResultStore) -> None:
        self.store = store
        self._free = threading.Semaphore(MOST_JOBS)

    def begin(self, coming: int = 0) -> Job:
        """Return a new job, which the caller closes.

        Args:
            coming: Bytes of its upload.

        Raises:
            Refused: `busy` or `full`.
            OSError: If its folder cannot be created.
        """
        if not self._free.acquire(blocking=False):
            raise Refused("busy")
        try:
            return Job(self.store, coming, self._free.release)
        except BaseException:
            self._free.release()
            raise


class Job:
    """A folder for uploads and results; deleted with its contents unless kept.

    Args:
        store: The store that holds it.
        coming: Bytes of the upload.
        ended: Called once, at the end.
    """

    def __init__(self, store: ResultStore, coming: int, ended: Callable[[], None]) -> None:
        self.store, self._ended = store, ended
        self.token, self.folder = store.new(coming)
        self._is_kept = self._is_closed = False

    def promise(self, more: int) -> None:
        """Promise room for more bytes than those of the upload.

        Raises:
            Refused: `full`.
        """
        self.store.promise(self.token, more)

    def keep(self) -> None:
        """Keep the results but not the uploads.

        Raises:
            OSError: If an upload cannot be deleted; the results are not kept then.
        """
        for path in self.folder.glob(".upload*"):
            path.unlink()
        remove_folder(self.folder / "images")
        self.store.finish(self.token)
        self._is_kept = True

    def close(self) -> None:
        """Delete everything unless it is kept."""
        if self._is_closed:
            return
        self._is_closed = True
        if not self._is_kept:
            self.store.drop(self.token)
        self._ended()


class Told(StreamingResponse):
    """Streams a job's output as lines of JSON (`{"html": ...}`), and closes the job at the end.

    If the client disconnects, the job stops at its next step.

    Args:
        request: The request to answer.
        steps: The job's output, as HTML.
        job: Closed at the end, whatever happens.
    """

    def __init__(self, request: Request, steps: Generator[str, None, None], job: Job) -> None:
        self._steps, self._job = steps, job
        super().__init__(self._lines(request), media_type="application/x-ndjson")

    async def _lines(self, request: Request) -> AsyncIterator[str]:
        while (said := await run_in_threadpool(next, self._steps, None)) is not None:
            if await request.is_disconnected():
                return
            yield json.dumps({"html": said}, ensure_ascii=False) + "\n"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send the response."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await run_in_threadpool(self._close)

    def _close(self) -> None:
        try:
            self._steps.close()
        finally:
            self._job.close()
