"""The page itself, in Gradio: tabs, uploads, buttons. It only calls what stands beside it.

Answers are HTML with their images inside, so Gradio keeps no copy of a face; uploads lie in its
folder until they are used (`results.ResultStore`).
"""

from __future__ import annotations

import html
import logging
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import gradio as gr

from builder_tools.card_text import card_markdown
from builder_tools.drawing import DrawBox
from builder_tools.media import IMAGE_SUFFIXES
from builder_tools.web import markup
from builder_tools.web.batches import BatchAnswer, classify_uploads
from builder_tools.web.engine import Choice, Engine
from builder_tools.web.limits import Limits, Refused, clean_name
from builder_tools.web.photos import answer_photo
from builder_tools.web.result_store import ResultStore
from builder_tools.web.texts import Words
from builder_tools.web.videos import VideoAnswer, watch_video

VIDEO_TYPES = [".mp4", ".mov", ".m4v", ".webm", ".mkv", ".avi", ".gif", ".mpg", ".ts", ".wmv"]
PHOTO_TYPES = sorted(IMAGE_SUFFIXES)
PHOTOS_AT_ONCE, LONG_AT_ONCE = 8, 8
MOST_QUEUED = 200
"""Calls that wait for their turn; more are refused."""
WAIT_S = 0.5
EMPTIED = None
"""What an upload field is given when its file was taken."""

_logger = logging.getLogger(__name__)


def make_theme() -> gr.themes.Base:
    """Return the looks: fonts of the system only, so that nothing is fetched."""
    fonts = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "DejaVu Sans", "sans-serif")
    return gr.themes.Default(
        primary_hue=gr.themes.colors.sky,
        font=fonts,
        font_mono=("ui-monospace", "DejaVu Sans Mono", "monospace"),
    ).set(
        button_primary_background_fill="#005a8c",
        button_primary_background_fill_hover="#00466e",
        button_primary_background_fill_dark="#7cc4f2",
        button_primary_background_fill_hover_dark="#a5d8f7",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#0b1a24",
        block_label_text_color="#1a1a1a",
        block_label_text_color_dark="#f2f2f2",
        body_text_color_subdued="#4a4a4a",
        body_text_color_subdued_dark="#c4c8cf",
    )


class Page:
    """The page in one language.

    Args:
        engine: The models.
        store: Where uploads and results lie.
        limits: What is taken.
        words: The language.

    Attributes:
        blocks: Gradio's app, to be mounted.
    """

    def __init__(self, engine: Engine, store: ResultStore, limits: Limits, words: Words) -> None:
        self.engine, self.store, self.limits, self.words = engine, store, limits, words
        # By browser; the jobs hold them, and with the last job they go.
        self._stops: WeakValueDictionary[str, threading.Event] = WeakValueDictionary()
        self.blocks = gr.Blocks(title=words("title"), analytics_enabled=False, fill_width=False)
        with self.blocks:
            self._build()
        self.blocks.queue(max_size=MOST_QUEUED)

    def _build(self) -> None:
        words, limits = self.words, self.limits
        gr.HTML(_header(words))
        with gr.Tabs():
            with gr.Tab(words("tab.photo"), id="photo"):
                photo = self._build_photo()
            with gr.Tab(words("tab.camera"), id="camera"):
                gr.HTML(_camera_frame(words))
            with gr.Tab(words("tab.video"), id="video"):
                video_blur = self._build_blur("video")
                facts = {
                    "limit_mb": f"{limits.max_upload_mb:g}",
                    "limit_s": f"{limits.max_video_s:g}",
                }
                drop = words("video.drop", **facts)
                video = self._build_long("video", VIDEO_TYPES, "single", drop)
            with gr.Tab(words("tab.batch"), id="batch"):
                types = [*PHOTO_TYPES, ".zip"]
                facts = {"limit": limits.max_images, "limit_mb": f"{limits.max_upload_mb:g}"}
                drop = words("batch.drop", **facts)
                batch = self._build_long("batch", types, "multiple", drop)
            with gr.Tab(words("tab.models"), id="models"):
                choice = self._build_models()
        gr.HTML(f'<p class="bt-foot">{html.escape(words("caution"))}</p>')
        self._wire_photo(*photo, choice)
        self._wire_long(*video, (*choice, video_blur), self.on_video)
        self._wire_long(*batch, choice, self.on_batch)

    def _build_blur(self, kind: str) -> gr.Checkbox:
        return gr.Checkbox(False, label=self.words("blur"), elem_id=f"bt-{kind}-blur")

    def _build_photo(self) -> tuple[gr.Checkbox, gr.File, gr.HTML]:
        blur = self._build_blur("photo")
        label = self.words("photo.drop", limit_mb=f"{self.limits.photo_bytes / 1e6:g}")
        upload = gr.File(
            label=label, file_types=PHOTO_TYPES, height=170, elem_id="bt-photo", type="filepath"
        )
        empty = markup.notice(self.words("photo.empty"))
        return blur, upload, gr.HTML(empty, elem_id="bt-photo-result")

    def _build_long(self, kind: str, types: list[str], count: str, label: str) -> tuple:
        upload = gr.File(
            label=label, file_types=types, file_count=count, height=170, elem_id=f"bt-{kind}"
        )
        with gr.Row():
            start = gr.Button(
                self.words(f"{kind}.start"), variant="primary", elem_id=f"bt-{kind}-start"
            )
            cancel = gr.Button(self.words("video.cancel"), elem_id=f"bt-{kind}-stop")
        empty = markup.notice(self.words(f"{kind}.empty"))
        return upload, start, cancel, gr.HTML(empty, elem_id=f"bt-{kind}-result")

    def _build_models(self) -> tuple[gr.Dropdown, gr.Dropdown]:
        models = self.engine.models
        with gr.Row():
            model = gr.Dropdown(
                list(models),
                value=next(iter(models)),
                label=self.words("models.model"),
                elem_id="bt-model",
            )
            detector = gr.Dropdown(
                self.engine.detectors,
                value=self.engine.detectors[0],
                label=self.words("models.detector"),
                elem_id="bt-detector",
            )
        said = f"{self.words('models.how')} {self.words('models.card_language')}"
        gr.HTML(markup.notice(said.strip()))
        warning = gr.HTML("")
        card = gr.Markdown(self._card(next(iter(models))), elem_id="bt-card")
        told = "(model, detector) => window.builderToolsChoice(model, detector)"
        both = [model, detector]
        _event(model.change, self._card, model, card)
        _event(detector.change, self.on_detector, both, warning)
        for one in both:
            _event(one.change, None, both, None, js=told)
        return model, detector

    def _wire_photo(
        self, blur: gr.Checkbox, upload: gr.File, result: gr.HTML, choice: tuple
    ) -> None:
        _event(
            upload.upload,
            self.on_photo,
            [upload, *choice, blur],
            [upload, result],
            concurrency_limit=PHOTOS_AT_ONCE,
        )

    def _wire_long(
        self,
        upload: gr.File,
        start: gr.Button,
        cancel: gr.Button,
        result: gr.HTML,
        choice: tuple,
        run: Callable,
    ) -> None:
        _event(
            start.click,
            run,
            [upload, *choice],
            [upload, result],
            concurrency_limit=LONG_AT_ONCE,
            show_progress="hidden",
        )
        _event(cancel.click, self.on_stop, None, None, show_progress="hidden")

    def on_photo(
        self, upload: str | None, model: str, detector: str, blur: bool | None = False
    ) -> tuple[Any, str]:
        """Return what a photo shows, and an emptied upload field."""
        if upload is None:
            return EMPTIED, markup.notice(self.words("photo.empty"))
        return EMPTIED, self._told(lambda: self._photo(upload, Choice(model, detector), blur))

    def _photo(self, upload: str, choice: Choice, blur: bool | None) -> str:
        data = self.store.read(upload, self.limits.photo_bytes)
        name = clean_name(Path(upload).name)
        result = answer_photo(data, name, self.engine, self.limits, choice)
        return markup.photo_html(result, self.words, blurred=bool(blur))

    def on_stop(self, request: gr.Request | None = None) -> None:
        """Stop what this browser has begun, at its next step."""
        stop = self._stops.get(_session(request))
        if stop is not None:
            stop.set()

    def on_video(
        self,
        upload: str | None,
        model: str,
        detector: str,
        request: gr.Request | None = None,
        blur: bool | None = False,
    ) -> Iterator[tuple]:
        """Yield how far a video is, and at the end what it shows."""
        if upload is None:
            yield EMPTIED, markup.notice(self.words("video.none"), "error")
            return
        yield from self._long_told(self._video(upload, Choice(model, detector), blur), request)

    def _video(self, upload: str, choice: Choice, blur: bool | None) -> Iterator[str]:
        drawer = DrawBox(language=self.words.language, blur_faces=bool(blur))
        name = clean_name(Path(upload).name)
        with closing(_Job(self.store, [upload])) as job:
            yield from self._turn()
            try:
                found = watch_video(
                    job.paths[0], job.folder, self.engine, self.limits, choice, drawer
                )
                with closing(found):
                    for step in found:
                        if isinstance(step, VideoAnswer):
                            job.keep()
                            yield markup.video_html(
                                step, name, job.token, self.words, self.store.keep_s
                            )
                        else:
                            yield markup.progress_html(step, self.words)
            finally:
                self.engine.end_long_turn()

    def on_batch(
        self,
        uploads: list[str] | None,
        model: str,
        detector: str,
        request: gr.Request | None = None,
    ) -> Iterator[tuple]:
        """Yield how far a batch is, and at the end its rows."""
        if not uploads:
            yield EMPTIED, markup.notice(self.words("batch.none"), "error")
            return
        yield from self._long_told(self._batch(uploads, Choice(model, detector)), request)

    def _batch(self, uploads: list[str], choice: Choice) -> Iterator[str]:
        names = [Path(upload).name for upload in uploads]
        with closing(_Job(self.store, uploads)) as job:
            yield from self._turn()
            try:
                files = list(zip(job.paths, names, strict=True))
                found = classify_uploads(files, job.folder, self.engine, self.limits, choice)
                with closing(found):
                    for step in found:
                        if isinstance(step, BatchAnswer):
                            job.keep()
                            yield markup.batch_html(step, job.token, self.words, self.store.keep_s)
                        else:
                            yield markup.count_html(step.done, step.total, self.words)
            finally:
                self.engine.end_long_turn()

    def on_detector(self, model: str, detector: str) -> str:
        """Raise at once if a detector cannot be used here."""
        return self._told(lambda: self.engine.check(Choice(model, detector)) or "")

    def _card(self, model: str) -> str:
        models = self.engine.models
        return card_markdown(models[model]) if model in models else ""

    def _turn(self) -> Iterator[str]:
        """Wait for the turn of long jobs; say so while it takes."""
        while not self.engine.take_long_turn(WAIT_S):
            yield markup.notice(self.words("video.waiting"), "busy")

    def _told(self, answer: Callable[[], str]) -> str:
        """Return an answer, or why there is none."""
        try:
            return answer()
        except Refused as error:
            return markup.refusal(error, self.words)
        except Exception:  # the page goes on, whatever happens inside
            _logger.exception("a request failed")
            return markup.notice(self.words("refused.internal"), "error")

    def _long_told(self, answers: Iterator[str], request: gr.Request | None) -> Iterator[tuple]:
        """Yield answers with an emptied upload field, and in the end why there is none; or that
        it was stopped."""
        stop = self._stops.setdefault(_session(request), threading.Event())
        stop.clear()
        with closing(answers):
            while said := self._told(lambda: next(answers, "")):
                yield EMPTIED, said
                if stop.is_set():
                    break
        if stop.is_set():
            yield EMPTIED, markup.notice(self.words("video.stopped"))


class _Job:
    """A folder of results with the uploads moved into it; deleted unless it is kept."""

    def __init__(self, store: ResultStore, uploads: list[str]) -> None:
        self.store = store
        self.token, self.folder = store.new()
        try:
            self.paths = [store.take(upload, self.folder) for upload in uploads]
        except BaseException:
            store.delete(self.token)
            raise
        self._is_kept = False

    def keep(self) -> None:
        """Keep the results, not the uploads."""
        for path in self.paths:
            path.unlink(missing_ok=True)
        shutil.rmtree(self.folder / "images", ignore_errors=True)
        self.store.finish(self.token)
        self._is_kept = True

    def close(self) -> None:
        """Delete everything unless it is kept."""
        if not self._is_kept:
            self.store.delete(self.token)


def _event(listen: Callable, run: Callable | None, inputs, outputs, **options):
    """Wire an event that is no endpoint of Gradio's own API."""
    return listen(run, inputs, outputs, api_visibility="private", **options)


def _session(request: gr.Request | None) -> str:
    return (request.session_hash if request is not None else None) or ""


def _header(words: Words) -> str:
    other = "ru" if words.language == "en" else "en"
    return (
        f'<header class="bt-head"><h1>{html.escape(words("title"))}</h1><nav>'
        f'<a href="/{other}/" lang="{other}">{words("other_language")}</a>'
        f'<a href="/docs">{words("api_link")}</a></nav>'
        f"<p>{html.escape(words('intro'))}</p></header>"
    )


def _camera_frame(words: Words) -> str:
    return (
        f'<iframe id="bt-camera-frame" class="bt-frame" allow="camera" '
        f'title="{html.escape(words("tab.camera"))}" src="/camera?lang={words.language}"></iframe>'
    )
