"""Gradio's first HTML, made to speak the page's language and to name no other server.

Gradio's own few words follow the browser's language, and its HTML names images elsewhere for
previews in social networks. Neither can be set, so both are changed in the HTML on its way out.
"""

from __future__ import annotations

import re

from builder_tools.web.guard import App, Message, Receive, Scope, Send
from builder_tools.web.texts import LANGUAGES

_PREVIEWS = re.compile(rb'<meta\s+(?:property|name)="(?:og|twitter):[^>]*>', re.DOTALL)
_HEAD = """<head><script>
Object.defineProperty(navigator, "language", {{get: () => "{language}"}});
Object.defineProperty(navigator, "languages", {{get: () => ["{language}"]}});
</script><link rel="stylesheet" href="/static/page.css"><link rel="icon" href="/static/icon.svg">
<meta name="color-scheme" content="light dark"><script src="/static/page.js" defer></script>"""


class Rewriting:
    """Changes the first HTML of Gradio's pages (`/en/`, `/ru/`); everything else passes.

    Args:
        app: What serves them.
    """

    def __init__(self, app: App) -> None:
        self.app = app
        self._languages = {f"/{language}/": language for language in LANGUAGES}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        language = self._languages.get(scope.get("path", ""))
        if scope["type"] != "http" or language is None:
            await self.app(scope, receive, send)
            return
        plain = [pair for pair in scope["headers"] if pair[0].lower() != b"accept-encoding"]
        start: Message = {}
        body = bytearray()

        async def gather(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
                return
            body.extend(message.get("body", b""))
            if not message.get("more_body"):
                whole = rewritten(bytes(body), language)
                kept = [pair for pair in start["headers"] if pair[0].lower() != b"content-length"]
                start["headers"] = [*kept, (b"content-length", str(len(whole)).encode())]
                await send(start)
                await send({"type": "http.response.body", "body": whole})

        await self.app({**scope, "headers": plain}, receive, gather)


def rewritten(page: bytes, language: str) -> bytes:
    """Return the HTML in its language, with our style and script, without addresses elsewhere.

    Args:
        page: Gradio's HTML.
        language: One of `LANGUAGES`.
    """
    page = _PREVIEWS.sub(b"", page)
    page = page.replace(b'lang="en"', f'lang="{language}"'.encode(), 1)
    return page.replace(b"<head>", _HEAD.format(language=language).encode(), 1)
