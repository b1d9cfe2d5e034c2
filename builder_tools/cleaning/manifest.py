"""The report and its manifest: one row per raw image, with what it shows and what became of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from builder_tools.cleaning.config import STATUSES
from builder_tools.cleaning.judging import Fault, Look
from builder_tools.cleaning.sources import RawImage
from builder_tools.csv_files import any_name_in_tables, write_table
from builder_tools.datasets.made_images import ORIGIN_COLUMNS
from builder_tools.detectors import DETECTOR_FAILED
from builder_tools.media.images import can_be_read

_logger = logging.getLogger(__name__)

NUMBER_COLUMNS = ("detection_score", "x1", "y1", "x2", "y2", "face_px", "sharpness", "roll_deg")
COLUMNS = (
    "image_path",
    "emotion",
    "split",
    "status",
    "kept",
    "reason",
    "num_faces",
    *NUMBER_COLUMNS,
    "duplicate_of",
    "out_path",
    "error",
)
"""Columns of the manifest; followed by `ORIGIN_COLUMNS`, if balancing made any of the images."""


@dataclass(frozen=True)
class CleaningReport:
    """The result of a cleaning run.

    Args:
        out: The cleaned folder; for a preview, the folder of its contact sheets.
        manifest: One row per raw image; see `COLUMNS`.
    """

    out: Path
    manifest: pd.DataFrame = field(repr=False)

    @property
    def counts(self) -> dict[str, int]:
        """Number of images by status, for all of `STATUSES` in that order."""
        found = self.manifest["status"].value_counts()
        return {status: int(found.get(status, 0)) for status in STATUSES}

    @property
    def num_kept(self) -> int:
        return int(self.manifest["kept"].sum())

    @property
    def num_dropped(self) -> int:
        return len(self.manifest) - self.num_kept

    @property
    def emptied(self) -> list[str]:
        """The classes of which no image was kept."""
        kept = self.manifest.groupby("emotion")["kept"].any()
        return sorted(kept.index[~kept])

    def with_status(self, status: str) -> pd.DataFrame:
        """Return the rows with one status.

        Raises:
            ValueError: If there is no such status.
        """
        if status not in STATUSES:
            raise ValueError(f"Expected one of {list(STATUSES)}. Received: status={status!r}.")
        return self.manifest[self.manifest["status"] == status].reset_index(drop=True)


def tell_what_can_be_read_by_now(images: Sequence[RawImage], report: CleaningReport) -> None:
    """Log how many images that could not be read in a finished run can be by now, if any.

    Those at which the detector failed could be read all along.
    """
    rows = report.with_status("unreadable")
    failed = {
        name
        for name, error in zip(rows["image_path"], rows["error"], strict=True)
        if not error.startswith(DETECTOR_FAILED)
    }
    count = sum(image.name in failed and can_be_read(image.path) for image in images)
    if count:
        _logger.warning(
            "%d image%s that could not be read can be read by now: start anew with --restart.",
            *(count, "" if count == 1 else "s"),
        )


def make_manifest(
    images: Sequence[RawImage],
    looks: Sequence[Look],
    verdicts: Sequence[Fault],
    outputs: Sequence[str],
) -> pd.DataFrame:
    """Return the manifest.

    Args:
        images: All images of the run.
        looks: What each image shows.
        verdicts: The decisive fault of each image.
        outputs: Where each image goes if it is kept.

    Returns:
        One row per image, with the columns `COLUMNS`; unknown values are NaN or "".
    """
    rows = []
    for image, look, fault, out in zip(images, looks, verdicts, outputs, strict=True):
        corners = look.box or (None,) * 4
        row = {
            "image_path": image.name,
            "emotion": image.emotion,
            "split": image.split,
            "status": fault.status,
            "kept": not fault.drops,
            "reason": "; ".join(filter(None, (fault.reason, look.note))),
            "num_faces": look.num_faces,
            "detection_score": look.score,
            **dict(zip(("x1", "y1", "x2", "y2"), corners, strict=True)),
            "face_px": look.face_px,
            "sharpness": look.sharpness,
            "roll_deg": look.roll_deg,
            "duplicate_of": "" if fault.repeats is None else images[fault.repeats].name,
            "out_path": "" if fault.drops else out,
            "error": look.error,
        }
        rows.append(row)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def write_manifest(path: Path, manifest: pd.DataFrame) -> None:
    """Write a manifest as CSV; file names that are not UTF-8 keep their bytes."""
    write_table(path, manifest)


@any_name_in_tables()
def read_manifest(path: str | Path) -> pd.DataFrame:
    """Read a manifest as returned by `make_manifest`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a manifest.
    """
    columns = (*COLUMNS, *ORIGIN_COLUMNS)
    texts = {name: str for name in columns if name not in (*NUMBER_COLUMNS, "kept", "num_faces")}
    manifest = pd.read_csv(
        path,
        dtype={**texts, **dict.fromkeys(NUMBER_COLUMNS, float), "kept": bool, "num_faces": int},
        keep_default_na=False,
        na_values={name: [""] for name in NUMBER_COLUMNS},
        encoding_errors="surrogateescape",
    )
    if tuple(manifest) not in (COLUMNS, columns):
        raise ValueError(f"Expected the columns {list(COLUMNS)} in {path}. Got: {list(manifest)}.")
    return manifest
