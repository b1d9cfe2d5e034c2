"""The API's documentation, from `static/`, and the paths of the page's files."""

from __future__ import annotations

import html
from pathlib import Path
from string import Template

from builder_tools.decisions import DECISIONS
from builder_tools.web.engine import Engine
from builder_tools.web.jobs import MOST_JOBS
from builder_tools.web.limits import STATUS_OF, Limits
from builder_tools.web.texts import Words

STATIC = Path(__file__).parent / "static"
EXAMPLES = Path(__file__).parent / "examples"
"""Examples that the page offers to try; made by `benchmarks/example_media.py`."""


def documentation_page(engine: Engine, limits: Limits) -> str:
    """Return the API's documentation."""
    said = Words("en").group("refused.")
    refusals = "".join(
        f"<tr><td><code>{code}</code></td><td>{status}</td>"
        f"<td>{html.escape(said[code].replace('{', '').replace('}', ''))}</td></tr>"
        for code, status in STATUS_OF.items()
    )
    text = (STATIC / "docs.html").read_text(encoding="utf-8")
    return Template(text).substitute(
        model=html.escape(str(engine.default.model)),
        models=html.escape(", ".join(engine.models)),
        detectors=html.escape(", ".join(engine.detectors)),
        decisions=" or ".join(DECISIONS),
        photo_mb=f"{limits.photo_bytes / 1e6:g}",
        pixels_mp=f"{limits.max_pixels / 1e6:g}",
        upload_mb=f"{limits.max_upload_mb:g}",
        video_s=f"{limits.max_video_s:g}",
        images=str(limits.max_images),
        jobs=str(MOST_JOBS),
        refusals=refusals,
    )
