"""The long jobs of the HTTP API: a video or zip is uploaded, a file returned, nothing kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

from fastapi import FastAPI, Query, Request
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool

from builder_tools.web.batches import CSV_NAME, LOG_NAME, classify_uploads
from builder_tools.web.engine import Choice, Engine
from builder_tools.web.limits import Limits, Refused
from builder_tools.web.result_store import ResultStore
from builder_tools.web.uploads import save_upload
from builder_tools.web.videos import FILES, watch_video

LONGEST_WAIT_S = 30.0
"""How long to wait for the turn of long jobs before asking the client to retry later."""
WAIT_S = 0.2
MEDIA_TYPES = {
    ".csv": "text/csv",
    ".jsonl": "application/x-ndjson",
    ".mp4": "video/mp4",
}


def add_jobs(app: FastAPI, engine: Engine, store: ResultStore, limits: Limits) -> None:
    """Add `POST /api/video` and `POST /api/batch`."""
    jobs = _Jobs(engine, store, limits)

    @app.post("/api/video")
    async def video(
        request: Request,
        model: str | None = Query(None),
        detector: str | None = Query(None),
        decision: str | None = Query(None),
        give: Literal["json", "csv", "highlights", "video"] = Query("json"),
    ) -> FileResponse:
        choice = Choice(model, detector, decision)

        def watch(upload: Path, folder: Path) -> Iterator[Any]:
            return watch_video(upload, folder, engine, limits, choice)

        return await jobs.answer(request, watch, FILES[give])

    @app.post("/api/batch")
    async def batch(
        request: Request,
        model: str | None = Query(None),
        detector: str | None = Query(None),
        decision: str | None = Query(None),
        give: Literal["csv", "log"] = Query("csv"),
    ) -> FileResponse:
        choice = Choice(model, detector, decision)

        def classify(upload: Path, folder: Path) -> Iterator[Any]:
            uploads = [(upload, "upload.zip")]
            return classify_uploads(uploads, folder, engine, limits, choice)

        return await jobs.answer(request, classify, {"csv": CSV_NAME, "log": LOG_NAME}[give])


class _Jobs:
    """Runs long jobs step by step, one at a time, as long as the client stays connected."""

    def __init__(self, engine: Engine, store: ResultStore, limits: Limits) -> None:
        self.engine, self.store, self.limits = engine, store, limits

    async def answer(
        self, request: Request, begin: Callable[[Path, Path], Iterator[Any]], name: str
    ) -> FileResponse:
        """Return a file of the job; its folder is deleted once the file is sent."""
        token, folder = self.store.new()
        try:
            upload = folder / ".upload"
            await save_upload(request.stream(), upload, self.limits)
            end_s = time.monotonic() + LONGEST_WAIT_S
            while not await run_in_threadpool(self.engine.take_long_turn, WAIT_S):
                if time.monotonic() > end_s or await request.is_disconnected():
                    raise Refused("busy")
            try:
                await _run(request, begin(upload, folder))
            finally:
                self.engine.end_long_turn()
        except BaseException:
            self.store.delete(token)
            raise
        path = folder / name
        gone = BackgroundTask(self.store.delete, token)
        return FileResponse(
            path, media_type=MEDIA_TYPES[path.suffix], filename=name, background=gone
        )


async def _run(request: Request, steps: Iterator[Any]) -> None:
    """Run a job to its end, or until the client disconnects."""
    with closing(steps):
        while await run_in_threadpool(next, steps, None) is not None:
            if await request.is_disconnected():
                raise Refused("gone")
