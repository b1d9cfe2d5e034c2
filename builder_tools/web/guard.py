"""Checks every request first: who sends it, which page it comes from, how large it is.

Plain ASGI middleware, so that it applies to the page, the API and the camera's WebSocket alike.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import ipaddress
import json
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from contextlib import suppress
from typing import Any

from starlette.requests import ClientDisconnect

from builder_tools.web.limits import MEGABYTE

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOCAL_NAMES = ("127.0.0.1", "localhost", "::1")
OPEN_PATHS = ("/health",)
"""Paths that need no password."""
BODY_S, STALL_S = 30.0, 30.0
"""Time limits for a request's body, plus a second per `SLOWEST_BYTES`, and between its parts."""
SLOWEST_BYTES = 10_000
MOST_HEADER_BYTES = 32_768
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; "
    "img-src 'self' data:; media-src 'self' blob:; connect-src 'self'; manifest-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
"""Tells browsers to load nothing from elsewhere, and to run no scripts but those in `static/`."""
HEADERS = {
    "content-security-policy": CONTENT_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "cross-origin-resource-policy": "same-origin",
}
_HOST_HEADERS = (b"host", b"x-forwarded-host")
_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[\w.\-]+)(?::(\d{1,5}))?", re.ASCII)
_TOO_SLOW = "The request took too long to come."


class Guard:
    """Middleware that passes on only permitted requests.

    Args:
        app: The app that it protects.
        password: Asked for by HTTP Basic authentication, with any user name; None asks for none.
        hosts: Names of this server, besides `LOCAL_NAMES`. Requests to any other name are refused;
            otherwise a page elsewhere whose name is pointed at this server could read the answers.
        addresses: Whether to accept any IP address, too (a server for a network), since an
            address cannot be made to point elsewhere.
        max_bytes: Largest size of a request.
    """

    def __init__(
        self,
        app: App,
        *,
        password: str | None,
        hosts: Iterable[str],
        max_bytes: int,
        addresses: bool = False,
    ) -> None:
        self.app, self.max_bytes = app, max_bytes
        self._password = password.encode() if password else None
        self._hosts = {*LOCAL_NAMES, *(host.lower() for host in hosts)}
        self._addresses = addresses
        self._guesses = Guesses()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {key.lower(): value for key, value in scope["headers"]}
        guesses = self._password is not None and b"authorization" in headers
        wait_s = self._guesses.wait_s(_client(scope)) if guesses else 0.0
        if not self._is_for_us(scope):
            await answer_refusal(
                scope, send, 400, "other_name", "This server is not called by that name."
            )
        elif sum(len(key) + len(value) for key, value in scope["headers"]) > MOST_HEADER_BYTES:
            await answer_refusal(scope, send, 431, "long_headers", "The headers are too long.")
        elif not _is_own_page(headers):
            await answer_refusal(
                scope, send, 403, "other_page", "Requests from other pages are not taken."
            )
        elif wait_s:
            after = [(b"retry-after", str(round(wait_s + 0.5)).encode())]
            said = "Too many wrong passwords. Wait."
            await answer_refusal(scope, send, 429, "wait", said, after)
        elif not self._may_pass(scope, headers):
            ask = [(b"www-authenticate", b'Basic realm="builder-tools", charset="UTF-8"')]
            await answer_refusal(scope, send, 401, "password", "A password is needed.", ask)
        elif _length(headers) > self.max_bytes:
            await answer_refusal(scope, send, 413, "too_big", self._too_big())
        else:
            await self._pass(scope, receive, send)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count the incoming bytes, and add the outgoing headers."""
        came, begun, broken = 0, False, None
        begin_s, is_whole = time.monotonic(), False

        async def counted() -> Message:
            nonlocal came, broken, is_whole
            if scope["type"] != "http" or is_whole:
                return await receive()
            left_s = begin_s + BODY_S + came / SLOWEST_BYTES - time.monotonic()
            try:
                message = await asyncio.wait_for(receive(), max(min(left_s, STALL_S), 0.001))
            except TimeoutError:
                broken = (408, "too_slow", _TOO_SLOW)
                raise _Broken from None
            is_whole = not message.get("more_body")
            came += len(message.get("body") or b"")
            if came > self.max_bytes:
                broken = (413, "too_big", self._too_big())
                raise _Broken
            return message

        async def marked(message: Message) -> None:
            nonlocal begun
            if broken and not begun:
                return  # the app's own answer to the interruption
            if message["type"] == "http.response.start":
                begun = True
                told = message.get("headers", [])
                kept = [p for p in told if not p[0].lower().startswith(b"access-control-")]
                there = {key.lower() for key, _ in kept}
                own = ((key.encode(), value.encode()) for key, value in HEADERS.items())
                message["headers"] = [*kept, *(pair for pair in own if pair[0] not in there)]
            await send(message)

        # Whoever asks for headers alone, such as a monitor, gets those of GET; the server that runs
        # the app leaves out the body.
        asked = {**scope, "method": "GET"} if scope.get("method") == "HEAD" else scope
        with suppress(_Broken, ClientDisconnect):  # a client that hung up needs no answer
            await self.app(asked, counted, marked)
        if broken and not begun:
            await answer_refusal(scope, send, *broken, [(b"connection", b"close")])

    def _is_for_us(self, scope: Scope) -> bool:
        """Return whether every name by which a request calls this server is one of its names.

        `X-Forwarded-Host`, which proxies set, counts like `Host`.
        """
        told = [value for key, value in scope["headers"] if key.lower() in _HOST_HEADERS]
        called = [name.strip() for value in told for name in value.split(b",")]
        matches = [_HOST.fullmatch(host) for host in called]
        names = {found[1].decode().strip("[]").lower() if found else "" for found in matches}
        others = names - self._hosts
        try:
            for name in others:
                ipaddress.ip_address(name)
        except ValueError:
            return False
        return bool(names) and (self._addresses or not others)

    def _may_pass(self, scope: Scope, headers: dict[bytes, bytes]) -> bool:
        if self._password is None or scope["path"] in OPEN_PATHS:
            return True
        if b"authorization" not in headers:
            return False
        kind, _, code = headers[b"authorization"].partition(b" ")
        try:
            given = base64.b64decode(code, validate=True).partition(b":")[2]
        except binascii.Error:
            given = b""
        is_right = kind.lower() == b"basic" and secrets.compare_digest(given, self._password)
        if not is_right:
            self._guesses.wrong(_client(scope))
        return is_right

    def _too_big(self) -> str:
        return f"At most {self.max_bytes / MEGABYTE:g} MB are taken."


class Guesses:
    """Wrong passwords by client: after the first few, each doubles the wait before the next try.

    During the wait all of the client's passwords are rejected, right or wrong, so sending many at
    once over several connections does not help.
    """

    FREE = 5
    LONGEST_S = 60.0
    FORGOTTEN_S = 900.0
    MOST_CLIENTS = 10_000

    def __init__(self) -> None:
        self._wrong: dict[str, tuple[int, float]] = {}

    def wait_s(self, client: str) -> float:
        """Return how long a client still has to wait, in seconds."""
        count, last_s = self._wrong.get(client, (0, 0.0))
        if count < self.FREE:
            return 0.0
        wait_s = min(2.0 ** (count - self.FREE), self.LONGEST_S)
        return max(last_s + wait_s - time.monotonic(), 0.0)

    def wrong(self, client: str) -> None:
        """Count a wrong password."""
        now = time.monotonic()
        if len(self._wrong) >= self.MOST_CLIENTS:
            self._wrong = {
                key: told for key, told in self._wrong.items() if now - told[1] < self.LONGEST_S
            }
        count, last_s = self._wrong.pop(client, (0, now))
        self._wrong[client] = (1 if now - last_s > self.FORGOTTEN_S else count + 1, now)


def _client(scope: Scope) -> str:
    """Return the client of a request: its IPv4 address, or the network half of its IPv6 address."""
    host = (scope.get("client") or ("",))[0]
    return ":".join(host.split(":")[:4]) if ":" in host and "." not in host else host


class _Broken(Exception):
    """Raised if a request exceeds a limit while it arrives."""


def _is_own_page(headers: dict[bytes, bytes]) -> bool:
    """Return whether a request comes from this page or from no page, or follows a link to it.

    Browsers name the page in `Origin`, or use `Sec-Fetch-Site` if they omit the former.
    """
    origin = headers.get(b"origin")
    ours = [headers.get(name) for name in _HOST_HEADERS]
    if origin is not None and origin.partition(b"://")[2] not in ours:
        return False
    site = headers.get(b"sec-fetch-site", b"none")
    follows_link = headers.get(b"sec-fetch-mode") == b"navigate" and (
        headers.get(b"sec-fetch-dest") == b"document"
    )
    return site in (b"none", b"same-origin") or follows_link


def _length(headers: dict[bytes, bytes]) -> int:
    told = headers.get(b"content-length", b"0")
    return int(told) if told.isdigit() else 0


async def answer_refusal(
    scope: Scope,
    send: Send,
    status: int,
    code: str,
    text: str,
    headers: list[tuple[bytes, bytes]] | None = None,
) -> None:
    """Answer a request with the reason for its refusal; close a WebSocket."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": text})
        return
    body = json.dumps({"error": code, "message": text}).encode()
    length = str(len(body)).encode()
    start = [(b"content-type", b"application/json"), (b"content-length", length), *(headers or [])]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})
