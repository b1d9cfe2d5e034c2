"""Data sets read into one table: pictures in files or in memory, labels, splits, votes.

`DATASETS[name](source)` gives a `PictureTable` with every split filled. Where a data set has no
splits of its own they are seeded, stratified, and keep near-duplicates on one side.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from builder_tools.datasets.table import PictureTable


def _ferplus(source: str | Path | None = None) -> PictureTable:
    from builder_tools.datasets.ferplus import ferplus_table

    return ferplus_table(source)


def _folders(source: str | Path | None = None) -> PictureTable:
    from builder_tools.datasets.class_folders import load_class_folders

    return load_class_folders(_named("folders", source, "root/<emotion>/*.jpg"))


def _competition(source: str | Path | None = None) -> PictureTable:
    from builder_tools.datasets.competition import load_competition

    return load_competition(_named("competition", source, "train.csv and train/"))


def _named(name: str, source: str | Path | None, layout: str) -> str | Path:
    if source is None:
        raise ValueError(
            f"Expected the folder of the data set {name!r} ({layout}). None was named: "
            "say where it is with --source."
        )
    return source


DATASETS: dict[str, Callable[[str | Path | None], PictureTable]] = {
    "ferplus": _ferplus,
    "folders": _folders,
    "competition": _competition,
}
"""Loaders by name. `source` is a folder (or FER+'s zip); only FER+ has a usual place."""
