"""Answers to batches as HTML: a chart of the emotions, the files, the rows with thumbnails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from builder_tools.detectors.base import shrink
from builder_tools.inference import BatchRow
from builder_tools.media import IMAGE_ERRORS, read_image
from builder_tools.web.batches import CSV_NAME, LOG_NAME, BatchAnswer
from builder_tools.web.limits import Limits
from builder_tools.web.templating import render
from builder_tools.web.texts import Words

MOST_ROWS, MOST_THUMBNAILS = 200, 60
THUMBNAIL_PX = 64
STATUSES = ("ok", "multi_face", "no_face", "unreadable")


def batch_html(answer: BatchAnswer, token: str, words: Words, keep_s: float, limits: Limits) -> str:
    """Return a batch's summary, chart, files and rows.

    Args:
        answer: The answer; its images must still exist.
        token: Token under which its files are kept.
        words: Texts of the page's language.
        keep_s: How long they are kept, in seconds.
        limits: Limits on images decoded for thumbnails.
    """
    statuses = Counter(row.status for row in answer.rows)
    counts = ", ".join(
        f"{words(f'status.{status}')} {statuses[status]}" for status in STATUSES if statuses[status]
    )
    renamed = ""
    if answer.renamed:
        old, new = next(iter(answer.renamed.items()))
        count = len(answer.renamed)
        renamed = words("batch.renamed", count=count, example=f"{old}: {new}")
    found = Counter(row.emotion for row in answer.rows if row.status != "unreadable")
    most = max(found.values(), default=1)
    return render(
        "batch",
        words,
        said=words("batch.done", total=len(answer.rows), counts=counts),
        ignored=answer.ignored,
        renamed=renamed,
        token=token,
        files={"submission": CSV_NAME, "log": LOG_NAME},
        minutes=round(keep_s / 60),
        emotions=sorted({row.emotion for row in answer.rows}),
        counts=[(name, count / most, str(count)) for name, count in found.most_common()],
        rows=[
            (row, _thumbnail(row, at, answer.paths, limits))
            for at, row in enumerate(answer.rows[:MOST_ROWS])
        ],
        total=len(answer.rows),
    )


def _thumbnail(
    row: BatchRow, at: int, paths: Mapping[str, Path], limits: Limits
) -> np.ndarray | None:
    """Return a row's thumbnail; None if the image is unreadable or not among the first rows."""
    if at >= MOST_THUMBNAILS or row.status == "unreadable":
        return None
    try:
        image = read_image(
            paths[row.image_path], max_pixels=limits.max_pixels, max_side=limits.max_side
        )
    except IMAGE_ERRORS:
        return None
    return shrink(image, THUMBNAIL_PX)[0]
