"""The page itself: one HTML page per language, and the answers that its script inserts.

Answers are HTML with embedded images. Those to a photo come at once and nothing is stored; those
to videos and batches come line by line (`jobs.Told`), and their files are kept for a while.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Query, Request, WebSocket
from fastapi.responses import HTMLResponse, Response
from starlette.concurrency import run_in_threadpool

from builder_tools.decisions import DECISIONS
from builder_tools.drawing import DrawBox
from builder_tools.languages import LANGUAGES
from builder_tools.media import IMAGE_SUFFIXES
from builder_tools.web import markup
from builder_tools.web.batch_markup import batch_html
from builder_tools.web.batches import BatchAnswer, classify_uploads
from builder_tools.web.camera import Cameras
from builder_tools.web.camera_facts import camera_facts
from builder_tools.web.engine import Choice, Engine
from builder_tools.web.jobs import Job, Jobs, Told
from builder_tools.web.limits import Limits, Refused, clean_name
from builder_tools.web.model_table import model_rows
from builder_tools.web.photos import answer_photo
from builder_tools.web.templating import render
from builder_tools.web.texts import Words
from builder_tools.web.uploads import (
    coming_bytes,
    read_image_upload,
    save_upload,
    save_uploads,
)
from builder_tools.web.video_markup import progress_html, video_html
from builder_tools.web.videos import VideoAnswer, watch_video

VIDEO_TYPES = (".mp4", ".mov", ".m4v", ".webm", ".mkv", ".avi", ".gif", ".mpg", ".ts", ".wmv")
PHOTO_TYPES = tuple(sorted(IMAGE_SUFFIXES))
TABS = ("photo", "camera", "video", "batch", "models")
SAID_BY_SCRIPT = (
    *("refused.empty", "refused.full", "refused.internal", "refused.too_big"),
    *("refused.too_many_files", "video.stopped", "video.none", "batch.none"),
)
"""Texts that the script needs besides its own, `script.*`."""
WAIT_S = 0.5

_logger = logging.getLogger(__name__)


def chosen(
    model: str | None = Query(None),
    detector: str | None = Query(None),
    decision: str | None = Query(None),
) -> Choice:
    """Return the choice in a request's address."""
    return Choice(model or None, detector or None, decision or None)


Chosen = Annotated[Choice, Depends(chosen)]


def add_pages(
    app: FastAPI,
    engine: Engine,
    jobs: Jobs,
    limits: Limits,
    cameras: Cameras,
    *,
    has_live: bool = False,
) -> None:
    """Add the page in each language; `has_live` links the live page of a watched site."""
    for language in LANGUAGES:
        page = Page(engine, jobs, limits, Words(language), has_live=has_live)
        app.include_router(page.router())
        _add_camera(app, cameras, page.words)


def _add_camera(app: FastAPI, cameras: Cameras, words: Words) -> None:
    """Add the camera's WebSocket below the page.

    Browsers send a password unasked only to addresses below the one that asked for it.
    """

    @app.websocket(f"/{words.language}/camera")
    async def camera(socket: WebSocket, choice: Chosen) -> None:
        await cameras.serve(socket, choice, words)


class Page:
    """The page in one language.

    Args:
        engine: The models and detectors.
        jobs: Creates the jobs of videos and batches.
        limits: What is accepted.
        words: Texts of the page's language.
        has_live: Whether there is a live page to link to.
    """

    def __init__(
        self,
        engine: Engine,
        jobs: Jobs,
        limits: Limits,
        words: Words,
        *,
        has_live: bool = False,
    ) -> None:
        self.engine, self.jobs, self.limits, self.words = engine, jobs, limits, words
        self.has_live = has_live

    def router(self) -> APIRouter:
        """Return the routes, under the language's name."""
        router = APIRouter(prefix=f"/{self.words.language}", include_in_schema=False)
        router.add_api_route("/", self.show, response_class=HTMLResponse)
        router.add_api_route("/photo", self.on_photo, methods=["POST"])
        router.add_api_route("/video", self.on_video, methods=["POST"])
        router.add_api_route("/batch", self.on_batch, methods=["POST"])
        return router

    def show(self) -> HTMLResponse:
        """Return the page."""
        words, limits = self.words, self.limits
        texts = {key: words.raw(key) for key in SAID_BY_SCRIPT}
        texts |= {"script." + key: text for key, text in words.group("script.").items()}
        facts = {
            **camera_facts(words, self.engine.models),
            "page": texts,
            "photo_bytes": limits.photo_bytes,
            "upload_bytes": limits.upload_bytes,
            "images": limits.max_images,
        }
        return HTMLResponse(
            render(
                "page",
                words,
                other_language=next(one for one in LANGUAGES if one != words.language),
                tabs=TABS,
                models=self.engine.models,
                detectors=self.engine.detectors,
                decisions=DECISIONS,
                rows=model_rows(self.engine.models, words),
                photo_types=",".join(PHOTO_TYPES),
                video_types=",".join(VIDEO_TYPES),
                photo_mb=f"{limits.photo_bytes / 1e6:g}",
                limits=limits,
                facts=facts,
                has_live=self.has_live,
            )
        )

    async def on_photo(
        self, request: Request, choice: Chosen, name: str = "", blur: bool = False
    ) -> Response:
        """Answer a photo, sent as the body of the request."""
        data, _ = await read_image_upload(request, self.limits)
        told = await run_in_threadpool(self.photo_html, data, name, choice, blur=blur)
        return HTMLResponse(told)

    def photo_html(self, data: bytes, name: str, choice: Choice, *, blur: bool = False) -> str:
        """Return the answer to a photo, or why there is none."""

        def answer() -> str:
            with self.engine.turn(choice):
                result = answer_photo(data, clean_name(name), self.engine, self.limits, choice)
                return markup.photo_html(result, self.words, blurred=blur)

        return self._told(answer)

    async def on_video(
        self, request: Request, choice: Chosen, name: str = "", blur: bool = False
    ) -> Response:
        """Answer a video, sent as the body of the request, step by step."""
        job = await run_in_threadpool(self.jobs.begin, coming_bytes(request, self.limits))
        try:
            await save_upload(request.stream(), job.folder / ".upload", self.limits)
        except BaseException:
            job.close()
            raise
        return Told(request, self.video_steps(job, name, choice, blur=blur), job)

    def video_steps(
        self, job: Job, name: str, choice: Choice, *, blur: bool = False
    ) -> Iterator[str]:
        """Yield the progress of a job's video, and at the end its answer."""
        drawer = DrawBox(language=self.words.language, blur_faces=blur)

        def steps() -> Iterator[str]:
            upload = job.folder / ".upload"
            found = watch_video(upload, job.folder, self.engine, self.limits, choice, drawer)
            with closing(found):
                for step in found:
                    if isinstance(step, VideoAnswer):
                        job.keep()
                        keep_s = job.store.keep_s
                        yield video_html(step, clean_name(name), job.token, self.words, keep_s)
                    else:
                        yield progress_html(step, self.words)

        yield from self._in_turn(steps)

    async def on_batch(self, request: Request, choice: Chosen) -> Response:
        """Answer several images or a zip, in the form of `save_uploads`, step by step."""
        job = await run_in_threadpool(self.jobs.begin, coming_bytes(request, self.limits))
        try:
            files = await save_uploads(request.stream(), job.folder, self.limits)
        except BaseException:
            job.close()
            raise
        return Told(request, self.batch_steps(job, files, choice), job)

    def batch_steps(self, job: Job, files: list[tuple[Path, str]], choice: Choice) -> Iterator[str]:
        """Yield the progress of a job's batch, and at the end its rows."""

        def steps() -> Iterator[str]:
            found = classify_uploads(
                files, job.folder, self.engine, self.limits, choice, job.promise
            )
            with closing(found):
                for step in found:
                    if isinstance(step, BatchAnswer):
                        keep_s = job.store.keep_s
                        told = batch_html(step, job.token, self.words, keep_s, self.limits)
                        job.keep()
                        yield told
                    else:
                        yield markup.count_html(step.done, step.total, self.words)

        yield from self._in_turn(steps)

    def _in_turn(self, steps: Callable[[], Iterator[str]]) -> Iterator[str]:
        """Yield the steps of a long job once its turn comes, then why it failed, if it did."""
        while not self.engine.take_long_turn(WAIT_S):
            yield markup.notice(self.words("video.waiting"), self.words, "busy")
        try:
            with closing(steps()) as told:
                while said := self._told(lambda: next(told, "")):
                    yield said
        finally:
            self.engine.end_long_turn()

    def _told(self, answer: Callable[[], str]) -> str:
        """Return an answer, or why there is none."""
        try:
            return answer()
        except Refused as error:
            return markup.refusal(error, self.words)
        except Exception:  # the page keeps working, whatever happens inside
            _logger.exception("a request failed")
            return markup.notice(self.words("refused.internal"), self.words, "error")
