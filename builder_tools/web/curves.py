"""A video's emotions over time as SVG: sharp at any size, with text for readers without colour."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from builder_tools.web.templating import colour_of
from builder_tools.web.texts import Words
from builder_tools.web.videos import Curves

WIDTH, HEIGHT, LEFT, BOTTOM = 800, 220, 56, 34
AFFECT_HEIGHT = 110
VALENCE_COLOUR, AROUSAL_COLOUR = "var(--bt-valence)", "var(--bt-arousal)"
DASHES = {"valence": "", "arousal": ' stroke-dasharray="6 3"'}
LEAST_SHARE = 0.005
"""Emotions below this mean are left out of the legend."""


def curves_svg(curves: Curves, highlights: Sequence, words: Words) -> str:
    """Return charts of stacked probabilities and of valence and arousal, highlights marked.

    Each has a line (`bt-cursor`) that the page's script moves to the moment it describes.

    Args:
        curves: What to draw.
        highlights: Objects with `start_s`, `end_s` and `rank`.
        words: Texts of the page's language.
    """
    ground = _Ground(curves, highlights)
    return (
        f"<h2>{words('video.timeline')}</h2>{_emotions(curves, ground, words)}"
        f"<h2>{words('video.affect')}</h2>{_affect(curves, ground, words)}"
    )


def curves_values(curves: Curves) -> str:
    """Return the values that the page's script shows for a moment, as JSON.

    These are times in seconds, emotions in per cent, valence and arousal; null if nobody was seen.
    """
    told = {
        "left": LEFT,
        "right": WIDTH,
        "across": WIDTH + 14,
        "duration": round(curves.duration_s, 3),
        "times": _rounded(curves.times_s, 2),
        "emotions": {name: _rounded(100 * one, 0) for name, one in curves.emotions.items()},
        "valence": _rounded(curves.valence, 2),
        "arousal": _rounded(curves.arousal, 2),
    }
    return json.dumps(told)


def _rounded(values: np.ndarray, places: int) -> list[float | None]:
    return [round(one, places) if np.isfinite(one) else None for one in values.tolist()]


def _emotions(curves: Curves, ground: _Ground, words: Words) -> str:
    colours = {name: colour_of(name, curves.emotions) for name in curves.emotions}
    shares = {
        name: float(np.nanmean(values)) if np.isfinite(values).any() else 0.0
        for name, values in curves.emotions.items()
    }
    ranked = sorted(shares, key=lambda name: -shares[name])
    said = {name: f"{words.emotion(name)} {shares[name]:.0%}" for name in ranked}
    values = np.array(list(curves.emotions.values()))
    tops = np.nancumsum(values, axis=0)
    runs = _runs(np.isfinite(values[0]))  # no band where nobody was seen
    bands = ""
    for row, name in enumerate(curves.emotions):
        low, high = tops[row - 1] if row else np.zeros(len(curves.times_s)), tops[row]
        path = "".join(_band(curves, low, high, run) for run in runs)
        bands += f'<path d="{path}" fill="{colours[name]}"/>'
    alt = words("video.timeline_alt", shares=", ".join(said[name] for name in ranked[:3]))
    chart = ground.chart(bands, HEIGHT, ("0", "0.5", "1"), alt)
    shown = [name for name in ranked if shares[name] >= LEAST_SHARE]
    return chart + _legend([(colours[name], said[name]) for name in shown])


def _band(curves: Curves, low: np.ndarray, high: np.ndarray, run: range) -> str:
    """Return the outline of the band between two heights in a run of moments, as a path."""
    half_s = (curves.times_s[1] - curves.times_s[0]) / 2 if len(curves.times_s) > 1 else 0.5
    ends = ((index, sign) for index in run for sign in (-1, 1))
    there = [(_x(curves, curves.times_s[i] + sign * half_s), i) for i, sign in ends]
    upper = [f"{x:.1f} {HEIGHT * (1 - min(high[i], 1)):.1f}" for x, i in there]
    lower = [f"{x:.1f} {HEIGHT * (1 - min(low[i], 1)):.1f}" for x, i in reversed(there)]
    return f"M{'L'.join(upper + lower)}Z"


def _affect(curves: Curves, ground: _Ground, words: Words) -> str:
    drawn = (
        ("valence", curves.valence, VALENCE_COLOUR),
        ("arousal", curves.arousal, AROUSAL_COLOUR),
    )
    zero = f'<path d="M{LEFT} {AFFECT_HEIGHT / 2}H{WIDTH}" class="bt-axis"/>'
    lines = ""
    for name, values, colour in drawn:
        path, heights = "", (values + 1) / 2
        for run in _runs(np.isfinite(heights)):  # broken where nobody was seen
            points = [
                f"{_x(curves, curves.times_s[i]):.1f} {AFFECT_HEIGHT * (1 - heights[i]):.1f}"
                for i in run
            ]
            path += "M" + "L".join(points if len(points) > 1 else points * 2)
        style = f'style="stroke:{colour}" stroke-width="2.5"{DASHES[name]}'
        lines += f'<path d="{path}" fill="none" {style}/>'
    chart = ground.chart(zero + lines, AFFECT_HEIGHT, ("-1", "0", "+1"), words("video.affect"))
    return chart + _legend([(colour, words(name)) for name, _, colour in drawn])


def _legend(entries: Sequence[tuple[str, str]]) -> str:
    lines = "".join(
        f'<li><span style="background:{colour}"></span>{html.escape(text)}</li>'
        for colour, text in entries
    )
    return f'<ul class="bt-legend">{lines}</ul>'


@dataclass(frozen=True)
class _Ground:
    """Axes and highlights around a chart."""

    curves: Curves
    highlights: Sequence

    def chart(self, inside: str, height: int, marks: tuple[str, str, str], alt: str) -> str:
        """Return the image; `marks` label the bottom, the middle and the top."""
        label = html.escape(alt)
        moments = ""
        for one in self.highlights:
            start, end = (_x(self.curves, time_s) for time_s in (one.start_s, one.end_s))
            place = f'x="{start:.1f}" y="0" width="{max(end - start, 1):.1f}" height="{height}"'
            moments += (
                f'<rect {place} fill="none" stroke="#000" stroke-width="4"/>'
                f'<rect {place} fill="none" stroke="#fff" stroke-width="2" stroke-dasharray="7 5"/>'
                f'<text x="{(start + end) / 2:.1f}" y="20" class="bt-rank" text-anchor="middle">'
                f"{one.rank}</text>"
            )
        steps = [1e-1, 2e-1, 5e-1, 1, 2, 5, 10, 20, 30, 60, 120, 300]
        duration_s = self.curves.duration_s
        step = next((step for step in steps if duration_s / step <= 8), 600)
        ticks = [round(index * step, 2) for index in range(int(duration_s / step + 1e-9) + 1)]
        times = "".join(
            f'<text x="{_x(self.curves, time_s):.0f}" y="{height + 26}" text-anchor="middle">'
            f"{time_s:g}</text>"
            for time_s in ticks
        )
        scale = "".join(
            f'<text x="{LEFT - 6}" y="{height * (1 - share) + 5:.0f}" text-anchor="end">{text}'
            "</text>"
            for share, text in zip((0.0, 0.5, 1.0), marks, strict=True)
        )
        return (
            f'<svg class="bt-chart" viewBox="0 -14 {WIDTH + 14} {height + BOTTOM + 14}" role="img" '
            f'aria-label="{label}"><rect x="{LEFT}" y="0" width="{WIDTH - LEFT}" '
            f'height="{height}" class="bt-ground"/>{inside}{moments}{times}{scale}'
            f'<path class="bt-cursor" d="M{LEFT} 0V{height}" hidden=""/></svg>'
        )


def _runs(known: np.ndarray) -> list[range]:
    """Return the runs of consecutive true values."""
    groups = groupby(enumerate(known), key=lambda pair: bool(pair[1]))
    stretches = [[index for index, _ in group] for is_known, group in groups if is_known]
    return [range(stretch[0], stretch[-1] + 1) for stretch in stretches]


def _x(curves: Curves, time_s: float) -> float:
    share = min(max(time_s / max(curves.duration_s, 1e-6), 0.0), 1.0)
    return LEFT + share * (WIDTH - LEFT)
