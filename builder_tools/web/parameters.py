"""What may stand in the address of a request to the API; anything else is refused by FastAPI.

A misspelt name that was left out would give the default model's answer for another's.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from builder_tools.web.engine import Choice


class Asked(BaseModel, extra="forbid"):
    """A choice of model, detector and decision; none, or an empty one, means the default."""

    model: str | None = None
    detector: str | None = None
    decision: str | None = None

    def choice(self) -> Choice:
        """Return what was chosen."""
        return Choice(self.model or None, self.detector or None, self.decision or None)


class AskedOfPhoto(Asked):
    """`name` is what `source` in the answer shall say."""

    name: str | None = None


class AskedOfVideo(Asked):
    """`give` is the file to return."""

    give: Literal["json", "csv", "highlights", "video"] = "json"


class AskedOfBatch(Asked):
    """`give` is the file to return."""

    give: Literal["csv", "log"] = "csv"


class AskedOfCamera(Asked):
    """`lang` is the language of refusals; English where it is none of ours."""

    lang: str = "en"
