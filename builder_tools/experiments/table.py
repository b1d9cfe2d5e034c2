"""The table of experiments: a csv to which rows are added, atomically; nothing is taken away."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from builder_tools.media import replacing


def read_rows(path: Path) -> list[dict[str, str]]:
    """Gives the rows of a csv as text, none if there is no such file."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def add_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Adds rows. Earlier rows keep every column they have; new columns come last."""
    together = [*read_rows(path), *rows]
    columns = list(dict.fromkeys(column for row in together for column in row))
    with replacing(path) as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=columns, lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows(together)
