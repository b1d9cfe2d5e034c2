"""The long jobs of the HTTP API: a video or zip is uploaded, a file returned, nothing kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool

from builder_tools.web.batches import CSV_NAME, LOG_NAME, classify_uploads
from builder_tools.web.engine import Engine
from builder_tools.web.jobs import Job, Jobs
from builder_tools.web.limits import Limits, Refused
from builder_tools.web.parameters import AskedOfBatch, AskedOfVideo
from builder_tools.web.uploads import coming_bytes, is_form, save_upload
from builder_tools.web.videos import FILES, watch_video

LONGEST_WAIT_S = 30.0
"""How long to wait for the turn of long jobs before asking the client to retry later."""
WAIT_S = 0.2
MEDIA_TYPES = {
    ".csv": "text/csv",
    ".jsonl": "application/x-ndjson",
    ".mp4": "video/mp4",
}


def add_jobs(app: FastAPI, engine: Engine, jobs: Jobs, limits: Limits) -> None:
    """Add `POST /api/video` and `POST /api/batch`."""
    runner = _Runner(engine, jobs, limits)

    @app.post("/api/video")
    async def video(request: Request, asked: Annotated[AskedOfVideo, Query()]) -> FileResponse:
        choice = asked.choice()

        def watch(upload: Path, job: Job) -> Iterator[Any]:
            return watch_video(upload, job.folder, engine, limits, choice)

        return await runner.answer(request, watch, FILES[asked.give])

    @app.post("/api/batch")
    async def batch(request: Request, asked: Annotated[AskedOfBatch, Query()]) -> FileResponse:
        choice = asked.choice()

        def classify(upload: Path, job: Job) -> Iterator[Any]:
            uploads = [(upload, "upload.zip")]
            return classify_uploads(uploads, job.folder, engine, limits, choice, job.promise)

        name = {"csv": CSV_NAME, "log": LOG_NAME}[asked.give]
        return await runner.answer(request, classify, name)


class _Runner:
    """Runs long jobs step by step, one at a time, as long as the client stays connected."""

    def __init__(self, engine: Engine, jobs: Jobs, limits: Limits) -> None:
        self.engine, self.jobs, self.limits = engine, jobs, limits

    async def answer(
        self, request: Request, begin: Callable[[Path, Job], Iterator[Any]], name: str
    ) -> FileResponse:
        """Return a file of the job; its folder is deleted once the file is sent.

        If the client never takes the file, it is deleted like the results of the page.

        Raises:
            HTTPException: If the upload is in a form.
        """
        if is_form(request):
            told = (
                "Expected the file itself as the body (curl --data-binary @FILE). Received: a form."
            )
            raise HTTPException(415, told)
        job = await run_in_threadpool(self.jobs.begin, coming_bytes(request, self.limits))
        try:
            upload = job.folder / ".upload"
            await save_upload(request.stream(), upload, self.limits)
            end_s = time.monotonic() + LONGEST_WAIT_S
            while not await run_in_threadpool(self.engine.take_long_turn, WAIT_S):
                if time.monotonic() > end_s or await request.is_disconnected():
                    raise Refused("busy")
            try:
                await _run(request, begin(upload, job))
            finally:
                self.engine.end_long_turn()
            await run_in_threadpool(job.keep)
        finally:
            job.close()
        path = job.folder / name
        gone = BackgroundTask(job.store.drop, job.token)
        return FileResponse(
            path, media_type=MEDIA_TYPES[path.suffix], filename=name, background=gone
        )


async def _run(request: Request, steps: Iterator[Any]) -> None:
    """Run a job to its end, or until the client disconnects."""
    with closing(steps):
        while await run_in_threadpool(next, steps, None) is not None:
            if await request.is_disconnected():
                raise Refused("gone")
