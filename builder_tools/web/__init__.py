"""The web page and its HTTP API, on this machine and for this machine unless told otherwise.

FastAPI serves both; the page is a template and two small scripts (`docs/explanation/page.md`
says why it is not Gradio's). Pure parts stand apart from the doors:

- `limits`: what is refused, before it is decoded
- `texts`: every word of the page, in its language
- `engine`: the loaded models and detectors that all requests share
- `photos`, `videos`, `batches`, `camera`: what happens to an upload
- `uploads`, `jobs`, `result_store`: what comes, what is worked on, what may be fetched and its end
- `templating`, `markup`, `video_markup`, `batch_markup`, `curves`, `model_table`, `camera_facts`:
  answers as HTML
- `live`: the live page of a site that `builder-tools watch` watches
- `api`, `api_jobs`, `documents`, `page`, `guard`, `server`: the doors

Import the modules by name; `server.serve` is what `builder-tools web` calls.
"""

from __future__ import annotations

from importlib.util import find_spec

NEEDED = ("fastapi", "jinja2", "pandas", "python_multipart", "scipy", "uvicorn", "websockets")
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
