"""The page's texts in one language, with facts filled in."""

from __future__ import annotations

from typing import Any

from builder_tools.languages import LANGUAGES, emotion_word, texts
from builder_tools.web.limits import Refused

__all__ = ["LANGUAGES", "Words"]


class Words:
    """The texts of one language.

    Args:
        language: One of `LANGUAGES`.

    Raises:
        ValueError: If there is no such language.
    """

    def __init__(self, language: str) -> None:
        self._texts = texts(language)["page"]
        self.language = language

    def __call__(self, key: str, **facts: Any) -> str:
        """Return a text with its facts filled in."""
        return self._texts[key].format(**facts)

    def raw(self, key: str) -> str:
        """Return a text with its placeholders, for the page's scripts to fill in."""
        return self._texts[key]

    def emotion(self, name: str) -> str:
        """Return an emotion's name in this language; names that mean none of the nine are kept."""
        return emotion_word(name, self.language)

    def refusal(self, error: Refused) -> str:
        """Return why an upload was refused."""
        return self(f"refused.{error.code}", **error.facts)

    def group(self, prefix: str) -> dict[str, str]:
        """Return the raw texts under a prefix, by the rest of their key; for the page's scripts."""
        return {
            key.removeprefix(prefix): text
            for key, text in self._texts.items()
            if key.startswith(prefix)
        }
