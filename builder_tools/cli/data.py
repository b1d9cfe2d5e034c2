"""The verb `data`."""

from __future__ import annotations

from builder_tools.cli.verb import Verb

VERBS: dict[str, Verb] = {}
