"""Reports on the recordings of a film's viewers: when each began, whom it shows, what is wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pandas as pd

from builder_tools.timeline.reading import length_s
from builder_tools.timeline.recordings import ASSUMED, GIVEN, Viewer


@dataclass(frozen=True)
class ViewerReport:
    """A report on one recording.

    Args:
        viewer: Name of the viewer.
        offset_s: When the recording began, in seconds of the film.
        offset_from: `given`, `sound`, or `assumed` (to begin with the film).
        clarity: How clear the match of the sound was, in sigmas; None if there was none.
        seconds: Length of the recording.
        face_share: Share of its frames with a face.
        people: How many viewers it shows; at most 1 if only the largest face counts, 0 if it is
            left out.
        problem: What was wrong with it, or empty.
    """

    viewer: str
    offset_s: float
    offset_from: str
    clarity: float | None
    seconds: float
    face_share: float
    people: int
    problem: str

    @property
    def end_s(self) -> float:
        """When the recording ended, in seconds of the film."""
        return self.offset_s + self.seconds

    @property
    def is_before_film(self) -> bool:
        """Whether it ended before the film began."""
        return self.offset_s < 0 and self.end_s <= 0


def report_of(viewer: Viewer, table: pd.DataFrame | None, problem: str) -> ViewerReport:
    """Return the report on a recording that has no place in the film yet.

    Args:
        viewer: The viewer.
        table: The timeline of the recording; None if it cannot be read.
        problem: What was wrong with it, or empty.
    """
    report = ViewerReport(
        viewer=viewer.name,
        offset_s=viewer.offset_s or 0.0,
        offset_from=ASSUMED if viewer.offset_s is None else GIVEN,
        clarity=None,
        seconds=0.0,
        face_share=0.0,
        people=0,
        problem=problem,
    )
    if table is None or table.empty:
        return report
    share = float((table.groupby("frame")["face_px"].count() > 0).mean())
    return replace(report, seconds=length_s(table), face_share=share)


def placed_report(
    report: ViewerReport,
    offset: tuple[float, str, float | None, str],
    people: int,
    film_s: float | None,
) -> ViewerReport:
    """Return the report with when the recording began, and whether its people count as viewers.

    Args:
        report: From `report_of`.
        offset: From `find_offsets`.
        people: How many viewers the recording shows during the film.
        film_s: Duration of the film; None if it is unknown.
    """
    seconds, source, clarity, doubt = offset
    placed = replace(report, offset_s=seconds, offset_from=source, clarity=clarity)
    unseen = ""
    if not report.face_share:
        unseen = "no face was found in it; it is left out"
    elif placed.is_before_film or (film_s is not None and seconds >= film_s):
        unseen = "none of it lies in the film, given when it began; it is left out"
    elif not people:
        unseen = "nobody is seen in it during the film for long or surely enough; it is left out"
    notes = [report.problem, doubt, unseen]
    problem = "; ".join(note for note in notes if note)
    return replace(placed, people=0 if unseen else people, problem=problem)
