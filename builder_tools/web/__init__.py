"""The web page and its HTTP API, served from this machine, and only to it unless configured.

FastAPI serves both; the page is a template and two small scripts (`docs/explanation/page.md`
explains why it does not use Gradio). The logic is kept apart from the HTTP layer:

- `limits`, `film_header`, `zips`: what is refused before it is decoded
- `texts`: every text of the page, in its language
- `engine`: the loaded models and detectors that all requests share
- `photos`, `videos`, `batches`, `camera`: what happens to an upload
- `uploads`, `jobs`, `result_store`: receiving uploads, running jobs, keeping and deleting results
- `templating`, `markup`, `video_markup`, `batch_markup`, `curves`, `model_table`, `camera_facts`:
  answers as HTML
- `live`: the live page of a site that `builder-tools watch` watches
- `api`, `api_jobs`, `documents`, `page`, `guard`, `server`: the HTTP layer

Import the modules by name; `server.serve` is what `builder-tools web` calls.
"""

from __future__ import annotations

from importlib.util import find_spec

NEEDED = ("fastapi", "jinja2", "pandas", "python_multipart", "scipy", "uvicorn", "websockets")
"""Import names of the packages that the `[web]` extra installs."""


def need_web() -> None:
    """Fail early, in one sentence, if the page's packages are not installed.

    Raises:
        ImportError: Names what is missing and what to install.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ImportError(
            f"The web page needs {', '.join(missing)}: pip install 'builder-tools[web]'."
        )
