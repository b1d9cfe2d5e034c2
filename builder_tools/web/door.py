"""What Gradio is asked, and nothing else: the routes our page uses, and what they take.

Gradio serves far more than a page needs: files of the machine, other servers' answers, functions of
its components, recordings. Whatever is not named here is not there. A call of a function is read,
checked and written anew: the only objects in its data are uploads of this server, by their paths.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlette.exceptions import HTTPException

from builder_tools.web.guard import App, Message, Receive, Scope, Send, answer_refusal
from builder_tools.web.texts import LANGUAGES

MOST_BODY = 1_000_000
"""Bytes of a call: some thousand uploads are named."""
MOST_TEXT = 200
_READ = re.compile(
    r"(?:|config|theme\.css|(?:assets|static|svelte)/[\w\-./@+]+"
    r"|gradio_api/(?:info|theme\.css|startup-events|upload_progress|queue/data|heartbeat/\w+))"
)
_CALLED = ("gradio_api/queue/join", "gradio_api/cancel", "gradio_api/reset")
_UPLOAD = "gradio_api/upload"
_QUERY_OF = ("gradio_api/upload", "gradio_api/upload_progress", "gradio_api/queue/data")
"""Routes whose questions (after `?`) are of use; those of others are left out."""
_TOKEN = re.compile(r"[\w\-]{1,80}", re.ASCII)
_UNKNOWN_HEADERS = re.compile(rb"x-(?:gradio-.*|original-.*|rewrite-url|http-method-override)")
_KEPT_OF_FILE = {"orig_name": str, "size": int, "mime_type": str}


class NotTaken(ValueError):
    """A call that is not one of our page's; says why."""


class Door:
    """Lets through to Gradio what our page asks of it.

    Args:
        app: The whole app; only paths below a language's (`/en/`) are looked at.
        functions: What each function of the page takes, by its number: `file`, `files`, `text`,
            `flag`.
        is_upload: Says whether a path is that of a file uploaded to this server.
    """

    def __init__(
        self, app: App, functions: Mapping[int, Sequence[str]], is_upload: Callable[[str], bool]
    ) -> None:
        self.app, self._functions, self._is_upload = app, functions, is_upload
        self._page = re.compile(rf"/(?:{'|'.join(LANGUAGES)})/(.*)", re.DOTALL)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._page.fullmatch(scope.get("path", ""))
        if found is None:
            await self.app(scope, receive, send)
            return
        rest, method = found[1], scope.get("method")
        is_read = method in ("GET", "HEAD") and _READ.fullmatch(rest) and ".." not in rest
        is_call = method == "POST" and rest in _CALLED
        if not (is_read or is_call or (method == "POST" and rest == _UPLOAD)):
            await answer_refusal(scope, send, 404, "There is nothing here.")
            return
        scope = _plain_scope(scope, rest)
        if not is_call:
            await self._answer(scope, receive, send)
            return
        try:
            body = self._checked(rest, await _read(receive))
        except NotTaken as error:
            await answer_refusal(scope, send, 422, str(error))
            return
        await self.app(_with_body(scope, body), _once(body, receive), send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.app(scope, receive, send)
        except RuntimeError as error:
            if not isinstance(error.__cause__, HTTPException):
                raise
            # Gradio ends the news of a session that somebody else has ended by an answer, in the
            # midst of another one; the connection is closed, and that is all.

    def _checked(self, rest: str, body: bytes) -> bytes:
        """Return the body of a call, written anew."""
        try:
            told = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise NotTaken("Expected JSON.") from error
        if not isinstance(told, dict):
            raise NotTaken("Expected a JSON object.")
        named = {key: told[key] for key in ("session_hash", "event_id") if told.get(key)}
        if not all(isinstance(value, str) and _TOKEN.fullmatch(value) for value in named.values()):
            raise NotTaken("Expected session_hash and event_id to be letters and digits.")
        numbers = {key: told[key] for key in ("fn_index", "trigger_id") if key in told}
        if not all(value is None or type(value) is int for value in numbers.values()):
            raise NotTaken("Expected fn_index and trigger_id to be numbers.")
        if rest != "gradio_api/queue/join":
            return json.dumps({**named, **numbers}).encode()
        wanted, data = self._functions.get(numbers.get("fn_index")), told.get("data")
        if wanted is None or "session_hash" not in named:
            raise NotTaken("Expected session_hash and the fn_index of a function of the page.")
        if not isinstance(data, list) or len(data) != len(wanted):
            raise NotTaken(f"Expected data to be a list of {len(wanted)}.")
        named.pop("event_id", None)
        data = [self._plain(value, kind) for value, kind in zip(data, wanted, strict=True)]
        return json.dumps({**named, **numbers, "data": data, "event_data": None}).encode()

    def _plain(self, value: Any, kind: str) -> Any:
        """Return an input of a function: nothing, a flag, a text, an upload or several."""
        if value is None or (kind == "flag" and isinstance(value, bool)):
            return value
        if kind == "text" and isinstance(value, str) and len(value) <= MOST_TEXT:
            return value
        if kind == "file" and isinstance(value, dict):
            return self._file(value)
        if kind == "files" and isinstance(value, list):
            return [self._file(one) for one in value]
        raise NotTaken(f"Expected a {kind}. Received: a {type(value).__name__}.")

    def _file(self, told: Any) -> dict[str, Any]:
        path = told.get("path") if isinstance(told, dict) else None
        if not isinstance(path, str) or not self._is_upload(path):
            raise NotTaken("Expected a file that was uploaded here. Upload it again.")
        kept = {
            key: told[key] for key, kind in _KEPT_OF_FILE.items() if isinstance(told.get(key), kind)
        }
        return {"path": path, **kept, "meta": {"_type": "gradio.FileData"}}


def _plain_scope(scope: Scope, rest: str) -> Scope:
    headers = [pair for pair in scope["headers"] if not _UNKNOWN_HEADERS.fullmatch(pair[0].lower())]
    query = scope.get("query_string", b"") if rest in _QUERY_OF else b""
    return {**scope, "headers": headers, "query_string": query}


async def _read(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise NotTaken("The request broke off.")
        body += message.get("body") or b""
        if len(body) > MOST_BODY:
            raise NotTaken(f"Expected at most {MOST_BODY} bytes.")
        if not message.get("more_body"):
            return bytes(body)


def _with_body(scope: Scope, body: bytes) -> Scope:
    own = (b"content-length", b"content-type", b"transfer-encoding", b"content-encoding")
    headers = [pair for pair in scope["headers"] if pair[0].lower() not in own]
    length = str(len(body)).encode()
    headers += [(b"content-length", length), (b"content-type", b"application/json")]
    return {**scope, "headers": headers}


def _once(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives the body, and then what comes after it."""
    left = [body]

    async def given() -> Message:
        if left:
            return {"type": "http.request", "body": left.pop(), "more_body": False}
        return await receive()

    return given
