"""The HTTP API: the same answers for other programs, documented at `/docs`."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, FastAPI, Query, Request, WebSocket
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from builder_tools import __version__
from builder_tools.web.camera import Cameras
from builder_tools.web.documents import camera_page, documentation_page
from builder_tools.web.engine import Choice, Engine
from builder_tools.web.limits import Limits, Refused, check_size, clean_name
from builder_tools.web.photos import answer_photo
from builder_tools.web.result_store import ResultStore
from builder_tools.web.texts import LANGUAGES, Words


def add_api(
    app: FastAPI, engine: Engine, store: ResultStore, limits: Limits, language: str
) -> None:
    """Add the API, the camera's page and its socket, and the files to be fetched."""
    router = APIRouter()
    _add_answers(router, engine, limits)
    _add_files(router, store)
    _add_pages(router, engine, limits, language)
    _add_camera(router, Cameras(engine))
    app.include_router(router)
    app.add_exception_handler(Refused, _say_refused)


def _add_answers(router: APIRouter, engine: Engine, limits: Limits) -> None:
    @router.get("/health")
    def health() -> dict[str, Any]:
        return {
            "status": "ok",
            "version": __version__,
            "model": engine.default.model,
            "detector": engine.default.detector,
        }

    @router.get("/api/models")
    def models() -> dict[str, Any]:
        return {
            "models": [
                {"name": name, "emotions": list(card.emotions), "input_size": card.input_size}
                for name, card in engine.models.items()
            ],
            "detectors": engine.detectors,
        }

    @router.post("/api/photo")
    async def photo(
        request: Request,
        model: str | None = Query(None),
        detector: str | None = Query(None),
        name: str | None = Query(None),
    ) -> Response:
        data, called = await _read_upload(request, limits)
        called = clean_name(name or called)
        choice = Choice(model, detector)
        answer = await run_in_threadpool(answer_photo, data, called, engine, limits, choice)
        line = json.dumps(answer.to_dict(), ensure_ascii=False)
        return Response(f"{line}\n", media_type="application/json")


async def _read_upload(request: Request, limits: Limits) -> tuple[bytes, str | None]:
    """Return the bytes of an image and its name, sent as a form's `file` or as the whole body."""
    kind = request.headers.get("content-type", "")
    if kind.startswith("multipart/form-data"):
        async with request.form(max_files=1, max_fields=8) as form:
            file = next((v for v in form.values() if not isinstance(v, str)), None)
            if file is None:
                raise Refused("empty")
            check_size(file.size or 0, limits.photo_bytes)
            return await file.read(), file.filename
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        check_size(max(len(data), 1), limits.photo_bytes)
    return bytes(data), None


def _add_files(router: APIRouter, store: ResultStore) -> None:
    @router.get("/results/{token}/{name}", include_in_schema=False)
    def fetch(token: str, name: str) -> FileResponse:
        path = store.find(token, name)
        return FileResponse(path, headers={"cache-control": "no-store"})

    @router.delete("/results/{token}", include_in_schema=False)
    def delete(token: str) -> dict[str, bool]:
        return {"deleted": store.delete(token)}


def _add_pages(router: APIRouter, engine: Engine, limits: Limits, language: str) -> None:
    @router.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(documentation_page(engine, limits))

    @router.get("/camera", include_in_schema=False)
    def camera(lang: str = language) -> HTMLResponse:
        return HTMLResponse(camera_page(_words(lang, language)))


def _add_camera(router: APIRouter, cameras: Cameras) -> None:
    @router.websocket("/api/camera")
    async def camera(socket: WebSocket) -> None:
        asked = socket.query_params
        choice = Choice(asked.get("model") or None, asked.get("detector") or None)
        await cameras.serve(socket, choice, _words(asked.get("lang", "en"), "en"))


def _words(language: str, otherwise: str) -> Words:
    return Words(language if language in LANGUAGES else otherwise)


def _say_refused(request: Request, error: Exception) -> JSONResponse:
    """Return why, in the language asked for by `Accept-Language` where it is one of ours."""
    assert isinstance(error, Refused)
    wanted = request.headers.get("accept-language", "en")[:2].lower()
    said = {"error": error.code, "message": _words(wanted, "en").refusal(error)}
    return JSONResponse(said, status_code=error.status)
