"""The server: one FastAPI app with the page, the API, the camera and their guard."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles

from builder_tools import __version__
from builder_tools.detectors import DEFAULT_DETECTOR
from builder_tools.fields import check_types
from builder_tools.media.limits import image_limits
from builder_tools.web import need_web
from builder_tools.web.api import add_api
from builder_tools.web.api_jobs import add_jobs
from builder_tools.web.camera import Cameras
from builder_tools.web.documents import EXAMPLES, STATIC
from builder_tools.web.engine import MOST_WAITING, Engine
from builder_tools.web.guard import LOCAL_NAMES, MOST_HEADER_BYTES, Guard
from builder_tools.web.jobs import MOST_JOBS, Jobs
from builder_tools.web.limits import Limits
from builder_tools.web.page import add_pages
from builder_tools.web.result_store import ResultStore, is_own_folder, remove_or_warn
from builder_tools.web.texts import LANGUAGES, Words

STAY_OPEN_S = 5
ACCEPTED_AT_ONCE = 100
"""Connections accepted at once; more could use up all file handles before they are counted."""
THREADS = MOST_WAITING + MOST_JOBS + 40
"""One for each image or job that may wait for its turn, and some for whatever else is asked."""
FOLDER_PREFIX = "builder_tools_web_"


@dataclass(frozen=True)
class WebSettings:
    """How to serve the page.

    Args:
        host: Address to listen on; by default reachable only from this machine.
        port: Port to listen on; 0 picks a free one.
        model: Default model: a name, or a folder with a card.
        detector: Default detector.
        password: Asked of everybody; None or empty asks for none.
        no_password: Serve a network without a password, on purpose.
        names: Names of this server besides its host's; a server for a network also answers to any
            IP address.
        language: Language of `/` if the browser does not ask for one of ours.
        limits: What is accepted.
        keep_s: How long results of videos and batches are kept, in seconds.
        watch: A site's TOML file or its database's address, for the live page; None for none.

    Raises:
        ValueError: If the port, the language, `keep_s` or a limit is out of range; if a server for
            a network has no password and `no_password` is not set.
    """

    host: str = "127.0.0.1"
    port: int = 7860
    model: str | None = None
    detector: str = DEFAULT_DETECTOR
    password: str | None = None
    no_password: bool = False
    names: tuple[str, ...] = ()
    language: str | None = None
    limits: Limits = field(default_factory=Limits)
    keep_s: float = 900.0
    watch: str | None = None

    def __post_init__(self) -> None:
        check_types(self)
        if not isinstance(self.limits, Limits):
            raise ValueError(f"Expected limits as Limits. Received: {self.limits!r}.")
        if not 0 <= self.port <= 65535:
            raise ValueError(f"Expected a port of 0...65535. Received: port={self.port}.")
        if not self.keep_s > 0:
            raise ValueError(f"Expected keep_s (--keep-minutes) > 0. Received: {self.keep_s}.")
        if self.language is not None:
            Words(self.language)
        if self.no_password and self.password:
            raise ValueError("Expected a password or no_password. Received: both.")
        if not (self.is_local or self.password or self.no_password):
            raise ValueError(
                f"Everybody who reaches {self.host or 'this machine'} could use the page. Try "
                "--password, or --no-password if that is meant."
            )

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the server."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host in LOCAL_NAMES


@contextmanager
def private_folder() -> Iterator[Path]:
    """Yield a folder that only this user can read, for all uploads and results; delete it after."""
    for left in Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*_*"):
        number = left.name.removeprefix(FOLDER_PREFIX).partition("_")[0]
        if number.isdecimal() and not _runs(int(number)) and is_own_folder(left):
            remove_or_warn(left)  # its process was killed
    folder = Path(tempfile.mkdtemp(prefix=f"{FOLDER_PREFIX}{os.getpid()}_"))
    try:
        yield folder
    finally:
        remove_or_warn(folder)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # another user's process
    return True


def create_app(settings: WebSettings, folder: Path, engine: Engine | None = None) -> Any:
    """Yield the whole app, to be run by an ASGI server; closing it deletes all uploads.

    Args:
        settings: How to serve it.
        folder: From `private_folder`, inside its `with` block.
        engine: The models and detectors; created from the settings if None.

    Raises:
        ImportError: If the page's packages are not installed.
        ValueError, FileNotFoundError: If the model, the detector or the site cannot be loaded.
        OSError: If the site's database cannot be used.
        RuntimeError: If a limit in the environment is wrong.
    """
    need_web()
    image_limits()  # A wrong one in the environment would fail every batch.
    live = None
    if settings.watch is not None:
        from builder_tools.web.live import Live, add_live, open_site

        live = Live(open_site(settings.watch))
    engine = engine or Engine(settings.model, settings.detector)
    store = ResultStore(folder, settings.keep_s, settings.limits.stored_bytes)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        store.start()
        current_default_thread_limiter().total_tokens = THREADS
        yield
        store.stop()
        engine.close()
        if live is not None:
            live.close()

    app = FastAPI(
        title="builder_tools",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    cameras = Cameras(engine)
    add_api(app, engine, store, settings.limits, cameras)
    jobs = Jobs(store)
    add_jobs(app, engine, jobs, settings.limits)
    add_pages(app, engine, jobs, settings.limits, cameras, has_live=live is not None)
    if live is not None:
        add_live(app, live)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.mount("/examples", StaticFiles(directory=EXAMPLES), name="examples")
    _add_first_page(app, settings)
    return Guard(
        app,
        password=settings.password,
        hosts=_names(settings),
        addresses=not settings.is_local,
        max_bytes=settings.limits.upload_bytes + 100_000,
    )


def _names(settings: WebSettings) -> list[str]:
    """Return the names of this server; BUILDER_TOOLS_WEB_HOSTS adds more, separated by commas."""
    named = os.environ.get("BUILDER_TOOLS_WEB_HOSTS", "").split(",")
    machine = socket.gethostname()
    own = [] if settings.is_local else [machine, f"{machine}.local"]
    return [settings.host, *own, *settings.names, *(name.strip() for name in named if name)]


def _add_first_page(app: FastAPI, settings: WebSettings) -> None:
    @app.get("/", include_in_schema=False)
    def first(request: Request) -> RedirectResponse:
        asked = request.headers.get("accept-language", "")[:2].lower()
        language = settings.language or (asked if asked in LANGUAGES else "en")
        return RedirectResponse(f"/{language}/")

    @app.get("/favicon.ico", include_in_schema=False)
    def favicon() -> FileResponse:
        return FileResponse(STATIC / "icon.svg")


def listen(settings: WebSettings) -> socket.socket:
    """Bind the address to listen on.

    Raises:
        OSError: If that fails; says what to try.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # With the protocol named, asyncio sends at once; otherwise every answer takes 40 ms.
    listening = socket.socket(family, proto=socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
        listening.listen()
    except OSError as error:
        listening.close()
        raise OSError(
            f"Cannot listen at {settings.host}, port {settings.port}: {error.strerror}. Try "
            "another --port, or --host 127.0.0.1."
        ) from error
    return listening


def serve(settings: WebSettings, listening: socket.socket) -> None:
    """Serve the page until it is interrupted.

    Args:
        settings: How to serve it.
        listening: From `listen`; closed at the end.

    Raises:
        ImportError, ValueError, FileNotFoundError: If it cannot start; says why.
    """
    import uvicorn

    with private_folder() as folder, listening:
        config = server_config(create_app(settings, folder))
        # Connections still open at the end are dropped, which is not an error.
        logging.getLogger("uvicorn.error").addFilter(_is_no_break)
        uvicorn.Server(config).run(sockets=[listening])


def _is_no_break(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


def server_config(app: Any, **options: Any) -> Any:
    """Return uvicorn's settings for the app of `create_app`: mainly its time limits.

    Args:
        app: The app.
        **options: Further arguments of `uvicorn.Config`.
    """
    import uvicorn

    from builder_tools.web.connections import ImpatientProtocol

    settings = {
        "http": ImpatientProtocol,
        "h11_max_incomplete_event_size": MOST_HEADER_BYTES,
        "backlog": ACCEPTED_AT_ONCE,
        "log_level": "warning",
        "timeout_graceful_shutdown": STAY_OPEN_S,
        "ws_max_size": 8_000_000,
        "server_header": False,
        "lifespan": "on",
    }
    return uvicorn.Config(app, **{**settings, **options})
