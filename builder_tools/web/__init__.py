"""The web page and its HTTP API, on this machine and for this machine unless told otherwise.

Gradio draws the page; it brings FastAPI, which serves the API beside it. The camera has a page of
its own over a WebSocket, because Gradio's streaming keeps files of the images and shows 20 a
second where ours shows 30 (`reports/web.md`). Pure parts stand apart from the doors:

- `limits`: what is refused, before it is decoded
- `texts`: every word of the page, in English and Russian
- `engine`: the loaded models and detectors that all requests share
- `photos`, `videos`, `batches`, `camera`: what happens to an upload
- `results`: files to be fetched, and their end
- `markup`, `curves`: answers as HTML and SVG
- `api`, `api_jobs`, `documents`, `page`, `rewriting`, `guard`, `server`: the doors

Import the modules by name; `server.serve` is what `builder-tools web` calls.
"""

from __future__ import annotations

from importlib.util import find_spec

NEEDED = ("gradio", "scipy", "websockets")
"""What the `[web]` extra installs, by the names they are imported by."""


def need_web() -> None:
    """Refuse early, in one sentence, where the page's packages are not installed.

    Raises:
        ImportError: Names what is missing and what to install.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ImportError(
            f"The web page needs {', '.join(missing)}: pip install 'builder-tools[web]'."
        )
