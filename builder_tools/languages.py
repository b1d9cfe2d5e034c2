"""Words that users see in images, in figures and on the page, in each language.

They are stored in `locales/<language>.json`: `emotion` (the nine), `drawn` (in images and figures)
and `page`. A text may have placeholders in braces (`{count}`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from builder_tools.emotions import own_word

LANGUAGES = ("en", "ru")
_FOLDER = Path(__file__).parent / "locales"


def check_language(language: str) -> str:
    """Return the language after checking that it is known.

    Raises:
        ValueError: If it is not in `LANGUAGES`.
    """
    if language not in LANGUAGES:
        raise ValueError(f"Expected one of {list(LANGUAGES)}. Received: language={language!r}.")
    return language


@cache
def texts(language: str) -> Mapping[str, Mapping[str, str]]:
    """Return all texts of a language by section and key; the file is read only once.

    Raises:
        ValueError: If the language is unknown.
    """
    path = _FOLDER / f"{check_language(language)}.json"
    return json.loads(path.read_text(encoding="utf-8"))


def said(key: str, language: str, **facts: object) -> str:
    """Return a text for drawing with its placeholders filled in."""
    return texts(language)["drawn"][key].format(**facts)


def emotion_word(name: str, language: str) -> str:
    """Return an emotion's name in a language.

    English names, and names that mean none of the nine emotions, are returned unchanged.
    """
    if language == "en":
        return name
    return texts(language)["emotion"].get(own_word(name), name)
