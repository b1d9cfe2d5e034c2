"""Highlights as files for editing programs: CSV, CMX3600 EDL, ffconcat."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from builder_tools.media.partial import replacing
from builder_tools.timeline.highlights import Highlight

_PARTS_A_SECOND = 25
HIGHLIGHT_COLUMNS = tuple(Highlight.__dataclass_fields__)


@dataclass(frozen=True)
class Cut:
    """A section of the film in whole frames.

    Args:
        first: Index of the first frame.
        count: Number of frames.
    """

    first: int
    count: int

    def start_s(self, fps: float) -> float:
        """Return when its first frame is shown."""
        return self.first / fps

    def end_s(self, fps: float) -> float:
        """Return when the frame after its last one is shown."""
        return (self.first + self.count) / fps


def cuts_of(highlights: Sequence[Highlight], fps: float, offset_s: float = 0.0) -> list[Cut]:
    """Return the segments in whole frames, in the order of the film.

    Args:
        highlights: The segments.
        fps: Frames per second of what is cut.
        offset_s: When that began, in seconds of the film: 0 for the film itself.
    """
    return [
        Cut(round((h.start_s - offset_s) * fps), max(round((h.end_s - h.start_s) * fps), 1))
        for h in sorted(highlights, key=lambda highlight: highlight.start_s)
    ]


def write_highlights(path: Path, highlights: Sequence[Highlight], measure: str) -> Path:
    """Write `highlights.csv`, best first; only the header if there are no highlights."""
    table = pd.DataFrame([asdict(h) for h in highlights], columns=HIGHLIGHT_COLUMNS)
    table["measure"] = measure
    with replacing(path) as partial:
        table.round(4).to_csv(partial, index=False)
    return path


def write_edl(path: Path, film: Path, cuts: Sequence[Cut], fps: float, *, sound: bool) -> Path:
    """Write an edit decision list (CMX3600).

    Timecodes are non-drop-frame, at the whole number of frames per second nearest to `fps`, so
    they are exact frames at 29.97, too. A film of less than one frame per second, which no editing
    program supports, is counted in units of 1/25 s.
    """
    part = 1.0 if fps >= 1 else _PARTS_A_SECOND / fps
    rate, at = round(fps) if fps >= 1 else _PARTS_A_SECOND, 0
    lines = [f"TITLE: {_edl_name(film.stem)}", "FCM: NON-DROP FRAME", ""]
    for number, cut in enumerate(cuts, start=1):
        places = (cut.first, cut.first + cut.count, at, at + cut.count)
        codes = " ".join(_timecode(round(place * part), rate) for place in places)
        lines.append(f"{number:03d}  AX       {'B' if sound else 'V'}     C        {codes}")
        lines.append(f"* FROM CLIP NAME: {_edl_name(film.name)}")
        at += cut.count
    return _write_text(path, lines)


def write_ffconcat(
    path: Path, film: Path, cuts: Sequence[Cut], fps: float, start_s: float = 0.0
) -> Path:
    """Write a list for `ffmpeg -f concat -safe 0 -i FILE`; the film's path is relative to it.

    Args:
        path: File to write.
        film: The film.
        cuts: Cuts in the wanted order.
        fps: Frames per second of the film.
        start_s: When its first image is shown on its own clock (`VideoReader.start_s`), by which
            FFmpeg counts.
    """
    place = Path(os.path.relpath(film.resolve(), path.parent.resolve())).as_posix()
    quoted = place.replace("'", "'\\''")
    lines = ["ffconcat version 1.0"]
    for cut in cuts:
        lines += [
            f"file '{quoted}'",
            f"inpoint {start_s + cut.start_s(fps):.6f}",
            f"outpoint {start_s + cut.end_s(fps):.6f}",
        ]
    return _write_text(path, lines)


def _edl_name(text: str) -> str:
    """Return a name as one line of ASCII, which is all that an EDL supports."""
    return " ".join(text.encode("ascii", "replace").decode().split())


def _timecode(frame: int, rate: int) -> str:
    seconds, frames = divmod(frame, rate)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}:{frames:02d}"


def _write_text(path: Path, lines: Sequence[str]) -> Path:
    with replacing(path) as partial:
        text = "\n".join(lines) + "\n"
        partial.write_text(text, encoding="utf-8", errors="surrogateescape")
    return path
