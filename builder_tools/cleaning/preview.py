"""Contact sheets: small images in rows, for inspection before anything is dropped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from builder_tools.cleaning.sources import RawImage
from builder_tools.media import read_image, write_image

SHOWN = ("no_face", "multi_face", "too_small", "blurred", "duplicate")
"""Statuses that get a sheet; unreadable images cannot be shown."""
MOST = 200
"""Most images on a sheet, spread evenly over those with the status."""
SIDE_PX, CAPTION_PX, COLUMNS = 112, 14, 10
UNREADABLE_GREY = 200
DROPPED_RGB, KEPT_RGB, TEXT_RGB = (213, 94, 0), (0, 158, 115), (0, 0, 0)


def write_preview(folder: Path, images: Sequence[RawImage], manifest: pd.DataFrame) -> None:
    """Write `<status>.png` for each status in `SHOWN` that occurs.

    Each image is shown with its row in the manifest above it (counted as in a spreadsheet, where
    the header is row 1) and the box of its largest face; orange if it would be dropped, green if
    it stays. A duplicate is shown next to the image it repeats.
    """
    row_of = {name: row for row, name in enumerate(manifest["image_path"])}
    for status in SHOWN:
        rows = np.flatnonzero(manifest["status"] == status)
        if len(rows) > MOST:
            rows = rows[np.unique(np.linspace(0, len(rows) - 1, MOST).round().astype(int))]
        if status == "duplicate":
            originals = [row_of[name] for name in manifest["duplicate_of"].iloc[rows]]
            rows = np.stack([rows, originals], axis=1).ravel()
        if len(rows):
            shown = [_with_box(images[row].path, manifest.iloc[row]) for row in rows]
            write_image(folder / f"{status}.png", contact_sheet(shown, [f"{r + 2}" for r in rows]))


def contact_sheet(
    images: Sequence[str | Path | np.ndarray],
    captions: Sequence[str] = (),
    *,
    columns: int = COLUMNS,
    size_px: int = SIDE_PX,
    gap_px: int = CAPTION_PX,
) -> np.ndarray:
    """Return small images arranged in rows, `(H, W, 3)` uint8 RGB.

    Args:
        images: Paths or `(H, W, 3)` uint8 RGB arrays; each is fitted into a white square, and one
            that cannot be read becomes a grey square.
        captions: Short ASCII texts written above the images, one per image, or none.
        columns: Number of images in a row.
        size_px: Side of a square.
        gap_px: Height of the gap above each row.
    """
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    size = (rows * (size_px + gap_px), columns * (size_px + 2), 3)
    sheet = np.full(size, 255, np.uint8)
    for place, image in enumerate(images):
        top, left = place // columns * (size_px + gap_px) + gap_px, place % columns * (size_px + 2)
        sheet[top : top + size_px, left : left + size_px] = _fitted(image, size_px)
        if len(captions):
            cv2.putText(sheet, captions[place], (left, top - 3), 0, 0.35, TEXT_RGB, 1, cv2.LINE_AA)
    return sheet


def _with_box(path: Path, row: pd.Series) -> Path | np.ndarray:
    """Return the image with its face's box and a frame that shows whether it is kept."""
    try:
        image = read_image(path).copy()
    except (OSError, ValueError):
        return path
    colour = KEPT_RGB if row["kept"] else DROPPED_RGB
    height, width = image.shape[:2]
    thick = max(round(max(height, width) / SIDE_PX * 2), 1)
    cv2.rectangle(image, (0, 0), (width - 1, height - 1), colour, thick)
    if pd.notna(row["x1"]):
        corners = [round(float(row[name])) for name in ("x1", "y1", "x2", "y2")]
        cv2.rectangle(image, corners[:2], corners[2:], colour, max(thick // 2, 1))
    return image


def _fitted(source: str | Path | np.ndarray, size_px: int) -> np.ndarray:
    """Return a source fitted into a white square with its aspect ratio kept."""
    square = np.full((size_px, size_px, 3), 255, np.uint8)
    try:
        image = read_image(source)
    except (OSError, ValueError):
        square[:] = UNREADABLE_GREY
        return square
    factor = size_px / max(image.shape[:2])
    height, width = (max(round(side * factor), 1) for side in image.shape[:2])
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    top, left = (size_px - height) // 2, (size_px - width) // 2
    square[top : top + height, left : left + width] = small
    return square
