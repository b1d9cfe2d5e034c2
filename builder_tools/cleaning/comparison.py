"""Several detectors on the same images: how much each finds, how fast, and how far they agree."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from builder_tools.cleaning.looking import find_faces
from builder_tools.datasets.table import ImageTable
from builder_tools.detectors import DETECTOR_ERRORS, DETECTORS, FaceDetector, make_detector
from builder_tools.media import IMAGE_ERRORS, read_image
from builder_tools.results import Box

SAME_FACE_IOU = 0.3
COLUMNS = ("detector", "images", "found", "many", "ms_median", "ms_p95", "agreement")

Source = ImageTable | Sequence[str | Path | np.ndarray]


@dataclass(frozen=True)
class _Finding:
    """A detector's result for one image: largest face, number of faces and time."""

    box: Box | None
    num_faces: int
    taken_ms: float


def compare_detectors(
    source: Source,
    detectors: Sequence[str] | Mapping[str, FaceDetector] = tuple(DETECTORS),
    *,
    reference: str | None = None,
    limits: Mapping[str, int] | None = None,
    surround: bool = True,
) -> pd.DataFrame:
    """Return one row per detector: shares of images with faces, milliseconds and agreement.

    Times cover detection only, not reading, one image at a time, after a warm-up. Images that
    cannot be read are left out.

    Args:
        source: Images: a table, or paths or `(H, W, 3)` uint8 RGB arrays.
        detectors: Names in `DETECTORS`, or detectors under any names; the latter stay open.
        reference: The detector that the others are compared with; None for the first.
        limits: For slow detectors, the number of (first) images to use.
        surround: As in `find_faces`.

    Returns:
        Columns `detector`, `images` (number examined), `found` (share with a face), `many`
        (share with several), `ms_median`, `ms_p95`, and `agreement`: the share of images in which
        both detector and reference find no face, or their largest faces have an IoU above 0.3.

    Raises:
        ValueError: If there is nothing to compare, or the reference is not among the detectors.
        ImportError: If a detector's back end is not installed.
        RuntimeError: If a limit in the environment is wrong.
    """
    names = list(detectors)
    reference = reference or (names[0] if names else "")
    if isinstance(source, ImageTable):
        rows = zip(source.table["path"], source.table["index"], strict=True)
        images = [path if index < 0 else source.images[index] for path, index in rows]
    else:
        images = list(source)
    if reference not in names or not images:
        raise ValueError(
            "Expected images, and detectors with the reference among them. Received: "
            f"{len(images)} images, detectors={names}, reference={reference!r}."
        )
    found: dict[str, dict[int, _Finding]] = {}
    for name in names:
        limit = (limits or {}).get(name, len(images))
        is_given = isinstance(detectors, Mapping)
        with nullcontext(detectors[name]) if is_given else closing(make_detector(name)) as detector:
            found[name] = dict(_find_all(detector, images[:limit], name, surround))
    rows = [_row(name, found[name], found[reference]) for name in names]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _find_all(
    detector: FaceDetector, images: Sequence, name: str, surround: bool
) -> Iterator[tuple[int, _Finding]]:
    from tqdm import tqdm

    warm = False
    watched = tqdm(images, name, unit=" images", disable=None, delay=2, file=sys.stderr)
    for index, source in enumerate(watched):
        try:
            image = read_image(source)
        except IMAGE_ERRORS:
            continue
        try:
            if not warm:
                find_faces(detector, image, surround=surround)
                warm = True
            start = time.perf_counter()
            faces = find_faces(detector, image, surround=surround)
            taken_ms = (time.perf_counter() - start) * 1e3
        except DETECTOR_ERRORS:
            continue
        yield index, _Finding(faces[0].box if faces else None, len(faces), taken_ms)


def _row(name: str, own: dict[int, _Finding], reference: dict[int, _Finding]) -> tuple:
    if not own:
        return (name, 0, *[np.nan] * 5)
    counts = np.array([finding.num_faces for finding in own.values()])
    times_ms = np.array([finding.taken_ms for finding in own.values()])
    pairs = [(own[index].box, reference[index].box) for index in own if index in reference]
    both = [
        one is other if one is None or other is None else one.iou(other) > SAME_FACE_IOU
        for one, other in pairs
    ]
    return (
        name,
        len(own),
        float((counts > 0).mean()),
        float((counts > 1).mean()),
        float(np.median(times_ms)),
        float(np.percentile(times_ms, 95)),
        float(np.mean(both)) if both else np.nan,
    )
