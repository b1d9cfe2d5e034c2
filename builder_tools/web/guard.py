"""What stands before every request: whose it is, where it comes from, how large it may be.

Plain ASGI middleware, so that it holds for the page, the API and the camera's WebSocket alike.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import secrets
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from builder_tools.web.limits import MEGABYTE

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOCAL_NAMES = ("127.0.0.1", "localhost", "::1")
OPEN_PATHS = ("/health",)
"""Paths that need no password."""
KEPT_PATHS = ("/upload", "/api/video", "/api/batch")
"""Ends of paths whose requests end up on the disk: Gradio's uploads, and the API's jobs."""
WRONG_PASSWORD_WAIT_S = 0.5
CONTENT_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "font-src 'self' data:; connect-src 'self' data: blob: ws: wss:; worker-src 'self' blob:; "
    "frame-ancestors 'self'; object-src 'none'; base-uri 'self'; form-action 'self'"
)
"""Nothing is loaded from elsewhere, and browsers are told so. Gradio needs inline scripts."""
HEADERS = {
    "content-security-policy": CONTENT_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "SAMEORIGIN",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
}
_TOO_BIG = "too_big"
_FULL = "full: the server holds as many files as it may. Try again in some minutes."


class Guard:
    """Lets through what may pass.

    Args:
        app: What it stands before.
        password: Asked for by HTTP Basic authentication, with any user name; None asks nothing.
        hosts: Names this server is called by, beside this machine's own; `None` takes any (a
            server for a network). Another name is refused: else a page elsewhere whose name is
            made to point here could read the answers.
        max_bytes: Size of any request.
        has_room: Says whether so many bytes more may come; None takes them always.
    """

    def __init__(
        self,
        app: App,
        *,
        password: str | None,
        hosts: Iterable[str] | None,
        max_bytes: int,
        has_room: Callable[[int], bool] | None = None,
    ) -> None:
        self.app, self.max_bytes, self._has_room = app, max_bytes, has_room
        self._password = password.encode() if password else None
        self._hosts = None if hosts is None else {*LOCAL_NAMES, *hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {key.lower(): value for key, value in scope["headers"]}
        if not self._is_for_us(headers):
            await _refuse(scope, send, 400, "This server is not called by that name.")
        elif not _is_own_origin(scope, headers):
            await _refuse(scope, send, 403, "Requests from other pages are not taken.")
        elif not self._may_pass(scope, headers):
            await asyncio.sleep(WRONG_PASSWORD_WAIT_S if b"authorization" in headers else 0)
            ask = [(b"www-authenticate", b'Basic realm="builder-tools", charset="UTF-8"')]
            await _refuse(scope, send, 401, "A password is needed.", ask)
        elif _length(headers) > self.max_bytes:
            await _refuse(scope, send, 413, self._too_big())
        elif not await self._fits(scope, headers):
            await _refuse(scope, send, 503, _FULL, [(b"retry-after", b"60")])
        else:
            await self._pass(scope, receive, send)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Counts the bytes that come, and adds the headers that go."""
        came, begun, is_over = 0, False, False

        async def counted() -> Message:
            nonlocal came, is_over
            message = await receive()
            came += len(message.get("body") or b"")
            if scope["type"] == "http" and came > self.max_bytes:
                is_over = True
                raise _TooBig
            return message

        async def marked(message: Message) -> None:
            nonlocal begun
            if is_over and not begun:
                return  # what the app says of the interruption
            if message["type"] == "http.response.start":
                begun = True
                message["headers"] = [*message.get("headers", []), *_own_headers(message)]
            await send(message)

        with suppress(_TooBig):
            await self.app(scope, counted, marked)
        if is_over and not begun:
            await _refuse(scope, send, 413, self._too_big())

    def _is_for_us(self, headers: dict[bytes, bytes]) -> bool:
        name = urlsplit(f"//{headers.get(b'host', b'').decode('latin-1')}").hostname
        return self._hosts is None or name in self._hosts

    def _may_pass(self, scope: Scope, headers: dict[bytes, bytes]) -> bool:
        if self._password is None or scope["path"] in OPEN_PATHS:
            return True
        kind, _, code = headers.get(b"authorization", b"").partition(b" ")
        try:
            given = base64.b64decode(code, validate=True).partition(b":")[2]
        except binascii.Error:
            return False
        return kind.lower() == b"basic" and secrets.compare_digest(given, self._password)

    async def _fits(self, scope: Scope, headers: dict[bytes, bytes]) -> bool:
        """Says whether there is room for what a request brings; the store looks at the disk."""
        keeps = scope.get("method") == "POST" and scope["path"].endswith(KEPT_PATHS)
        if self._has_room is None or not keeps:
            return True
        coming = _length(headers) if b"content-length" in headers else self.max_bytes
        return await asyncio.to_thread(self._has_room, coming)

    def _too_big(self) -> str:
        return f"{_TOO_BIG}: at most {self.max_bytes / MEGABYTE:g} MB are taken."


class _TooBig(Exception):
    """A request that goes on past the limit."""


def _is_own_origin(scope: Scope, headers: dict[bytes, bytes]) -> bool:
    """Says whether a request that may do something comes from this page, or from no page."""
    origin = headers.get(b"origin")
    if origin is None or scope.get("method") in ("GET", "HEAD"):
        return True
    return urlsplit(origin.decode("latin-1")).netloc == headers.get(b"host", b"").decode("latin-1")


def _length(headers: dict[bytes, bytes]) -> int:
    told = headers.get(b"content-length", b"0")
    return int(told) if told.isdigit() else 0


def _own_headers(message: Message) -> list[tuple[bytes, bytes]]:
    there = {key.lower() for key, _ in message.get("headers", [])}
    pairs = ((key.encode(), value.encode()) for key, value in HEADERS.items())
    return [(key, value) for key, value in pairs if key not in there]


async def _refuse(
    scope: Scope,
    send: Send,
    status: int,
    text: str,
    headers: list[tuple[bytes, bytes]] | None = None,
) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": text})
        return
    body = json.dumps({"error": text.partition(":")[0], "message": text}).encode()
    start = [(b"content-type", b"application/json"), *(headers or [])]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})
