"""Pages of our own beside Gradio's: the camera and the API's documentation, from `static/`."""

from __future__ import annotations

import html
import json
from pathlib import Path
from string import Template

from builder_tools.emotions import (
    ANCHORS_VALENCE_AROUSAL,
    NINE_EMOTIONS,
    OTHER_WORDS,
    EmotionSet,
)
from builder_tools.web.engine import Engine
from builder_tools.web.limits import STATUS_OF, Limits
from builder_tools.web.texts import Words

STATIC = Path(__file__).parent / "static"


def camera_page(words: Words) -> str:
    """Return the page of the live camera, in one language."""
    known = EmotionSet((*NINE_EMOTIONS, *OTHER_WORDS))
    facts = {
        "language": words.language,
        "words": words.group("camera."),
        "emotions": {name: words.emotion(name) for name in known},
        "colours": {name: "rgb({},{},{})".format(*known.colour_rgb(name)) for name in known},
        "anchors": ANCHORS_VALENCE_AROUSAL,
        "dial": words.raw("dial.alt"),
    }
    texts = {key: html.escape(text) for key, text in words.group("camera.").items()}
    return _page(
        "camera.html",
        language=words.language,
        title=html.escape(words("tab.camera")),
        valence=html.escape(words("valence")),
        arousal=html.escape(words("arousal")),
        facts=json.dumps(facts, ensure_ascii=False).replace("<", "\\u003c"),
        **texts,
    )


def documentation_page(engine: Engine, limits: Limits) -> str:
    """Return the API's documentation."""
    refusals = "".join(
        f"<tr><td><code>{code}</code></td><td>{status}</td>"
        f"<td>{html.escape(_plain(Words('en'), code))}</td></tr>"
        for code, status in STATUS_OF.items()
    )
    return _page(
        "docs.html",
        model=html.escape(str(engine.default.model)),
        models=html.escape(", ".join(engine.models)),
        detectors=html.escape(", ".join(engine.detectors)),
        photo_mb=f"{limits.photo_bytes / 1e6:g}",
        pixels_mp=f"{limits.max_pixels / 1e6:g}",
        upload_mb=f"{limits.max_upload_mb:g}",
        video_s=f"{limits.max_video_s:g}",
        images=str(limits.max_images),
        refusals=refusals,
    )


def _plain(words: Words, code: str) -> str:
    return words.group("refused.")[code].replace("{", "").replace("}", "")


def _page(name: str, **values: str) -> str:
    return Template((STATIC / name).read_text(encoding="utf-8")).substitute(values)
