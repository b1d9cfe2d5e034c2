"""Templates of the page: HTML in which untrusted text is escaped."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from builder_tools.drawing import ink_on
from builder_tools.emotions import EmotionSet
from builder_tools.web.texts import Words

FOLDER = Path(__file__).parent / "templates"
JPEG_QUALITY = 90


def render(name: str, words: Words, **values: Any) -> str:
    """Return a template of `templates/` as HTML.

    Args:
        name: Name of the template, without `.html`.
        words: Texts of the page's language.
        **values: Variables of the template.
    """
    made = _environment().get_template(f"{name}.html").render(words=words, **values)
    return made.encode("utf-8", "replace").decode()  # file names may be invalid text


@cache
def _environment() -> Environment:
    found = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {
        "percent": lambda share: f"{share:.0%}",
        "signed": lambda value: f"{value:+.2f}",
        "colour": colour_of,
        "ink": lambda name, emotions=(): _hex(ink_on(_colour_rgb(name, emotions))),
        "jpeg": jpeg_address,
    }
    return found


def colour_of(name: str, emotions: Iterable[str] = ()) -> str:
    """Return an emotion's colour among those of its model, if these are known, as `#rrggbb`."""
    return _hex(_colour_rgb(name, emotions))


def _colour_rgb(name: str, emotions: Iterable[str]) -> tuple[int, int, int]:
    return EmotionSet(tuple(emotions) or (name,)).colour_rgb(name)


def jpeg_address(image_rgb: np.ndarray) -> str:
    """Return `(H, W, 3)` uint8 RGB as a JPEG in a data URL."""
    import cv2

    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    _, jpeg = cv2.imencode(".jpg", np.ascontiguousarray(image_rgb[..., ::-1]), quality)
    return text_address(jpeg.tobytes(), "image/jpeg")


def text_address(data: bytes | str, kind: str) -> str:
    """Return a data URL, for links and images.

    Args:
        data: Its contents; text is encoded as UTF-8.
        kind: The media type.
    """
    held = data.encode() if isinstance(data, str) else data
    return f"data:{kind};base64,{base64.b64encode(held).decode()}"


def places_of(emotions: EmotionSet) -> Mapping[str, tuple[float, float]]:
    """Return the known anchors of the emotions on the valence-arousal plane."""
    pairs = zip(emotions, emotions.anchors.tolist(), strict=True)
    return {name: tuple(place) for name, place in pairs if np.isfinite(place).all()}


def _hex(colour_rgb: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour_rgb)
