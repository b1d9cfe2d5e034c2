"""Data sets read into one table: images in files or in memory, labels, splits, votes.

`DATASETS[name](source)` returns an `ImageTable` with every split filled. If a data set has no
splits of its own, they are seeded, stratified, and keep near-duplicates on one side.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from builder_tools.datasets.table import ImageTable

SPLITS = ("train", "valid", "test")
"""Names of the parts of a data set."""


def _ferplus(source: str | Path | None = None, **options: Any) -> ImageTable:
    from builder_tools.datasets.ferplus import ferplus_table

    if options:
        raise ValueError(
            f"Expected no {sorted(options)} with FER+, which has its classes and splits. Write it "
            "as class folders (data folders ferplus) and use these, or leave them out."
        )
    return ferplus_table(source)


def _folders(source: str | Path | None = None, **options: Any) -> ImageTable:
    from builder_tools.datasets.labelled import load_labelled

    layout = "root/<emotion>/*.jpg, a table of labels, or a zip of these"
    return load_labelled(_named("folders", source, layout), **options)


def _competition(source: str | Path | None = None, **options: Any) -> ImageTable:
    from builder_tools.datasets.competition import load_competition

    source = _named("competition", source, "train.csv and train/")
    if {"classes", "columns"} & set(options):
        raise ValueError(
            "Expected no classes or columns with the competition, which has its own. Read its "
            "table as any other: --data folders --source train.csv."
        )
    return load_competition(source, **options)


def _named(name: str, source: str | Path | None, layout: str) -> str | Path:
    if source is None:
        raise ValueError(
            f"Expected the folder of the data set {name!r} ({layout}). None was named: "
            "say where it is with --source."
        )
    return source


DATASETS: dict[str, Callable[..., ImageTable]] = {
    "ferplus": _ferplus,
    "folders": _folders,
    "competition": _competition,
}
"""Loaders by name. `source` is a folder (or FER+'s zip); only FER+ has a default location. Options,
if a data set takes them: `classes`, `columns`, `valid`, `test`, `seed` (`load_labelled`)."""
