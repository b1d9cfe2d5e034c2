"""The HTTP API: the same answers for other programs, documented at `/docs`."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Request, WebSocket
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from builder_tools import __version__
from builder_tools.decisions import DECISIONS
from builder_tools.web.camera import Cameras
from builder_tools.web.documents import documentation_page
from builder_tools.web.engine import Engine
from builder_tools.web.limits import Limits, Refused, clean_name
from builder_tools.web.parameters import AskedOfCamera, AskedOfPhoto
from builder_tools.web.photos import answer_photo
from builder_tools.web.result_store import ResultStore
from builder_tools.web.texts import LANGUAGES, Words
from builder_tools.web.uploads import read_image_upload

RETRY_S = "60"
"""How long to wait before sending a file again to a full server, in seconds."""

_INTERNAL = Refused("internal")


def add_api(
    app: FastAPI, engine: Engine, store: ResultStore, limits: Limits, cameras: Cameras
) -> None:
    """Add the API, the camera's WebSocket and the downloads."""
    router = APIRouter()
    _add_answers(router, engine, limits)

    @router.get("/results/{token}/{name}", include_in_schema=False)
    def fetch(token: str, name: str) -> FileResponse:
        path = store.find(token, name)
        return FileResponse(path, headers={"cache-control": "no-store"})

    @router.delete("/results/{token}", include_in_schema=False)
    def delete(token: str) -> dict[str, bool]:
        return {"deleted": store.delete(token)}

    @router.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(documentation_page(engine, limits))

    @router.websocket("/api/camera")
    async def camera(socket: WebSocket, asked: Annotated[AskedOfCamera, Query()]) -> None:
        await cameras.serve(socket, asked.choice(), _words(asked.lang, "en"))

    app.include_router(router)
    app.add_exception_handler(Refused, _say_refused)
    app.add_exception_handler(Exception, lambda request, _: _say_refused(request, _INTERNAL))


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
            "decisions": list(DECISIONS),
        }

    @router.post("/api/photo")
    async def photo(request: Request, asked: Annotated[AskedOfPhoto, Query()]) -> Response:
        data, called = await read_image_upload(request, limits)
        called = clean_name(asked.name or called)
        choice = asked.choice()

        def answer() -> dict[str, Any]:
            with engine.turn(choice):
                return answer_photo(data, called, engine, limits, choice).to_dict()

        line = json.dumps(await run_in_threadpool(answer), ensure_ascii=False)
        return Response(f"{line}\n", media_type="application/json")


def _words(language: str, otherwise: str) -> Words:
    return Words(language if language in LANGUAGES else otherwise)


def _say_refused(request: Request, error: Exception) -> JSONResponse:
    """Return the reason, in the language of `Accept-Language` if it is one of ours."""
    assert isinstance(error, Refused)
    wanted = request.headers.get("accept-language", "en")[:2].lower()
    said = {"error": error.code, "message": _words(wanted, "en").refusal(error)}
    wait = {"retry-after": RETRY_S} if error.code == "full" else None
    return JSONResponse(said, status_code=error.status, headers=wait)
