"""The exhibits' report: a single self-contained HTML page."""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from builder_tools.emotions import EmotionSet
from builder_tools.media.partial import replacing
from builder_tools.timeline.exhibits import (
    MEASURES,
    Estimate,
    ExhibitResult,
    too_few,
)
from builder_tools.timeline.exhibits_config import ExhibitConfig

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE_START = (
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width">'
)
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 62rem; margin: 2rem auto;
  padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; }
th, td { border-bottom: 1px solid #ddd; padding: .35rem .6rem; text-align: right; }
th:first-child, td:first-child, th:nth-child(2), td:nth-child(2) { text-align: left; }
td.note { color: #666; text-align: left; }
th, small { white-space: nowrap; }
small { color: #666; display: block; }
div { overflow-x: auto; }
img { max-width: 100%; }
"""
_TITLES = {
    "dwell_s": "dwell, s",
    "intensity": "intensity",
    "valence": "valence",
    "arousal": "arousal",
    "turned_away": "time turned away",
    "not_seen": "time in profile or hidden",
    "eyes_closed": "time with eyes closed",
}


MOST_DRAWN = 24
"""With more results than this no figure is drawn, as it would be unreadable."""


def write_report(
    path: Path,
    results: Sequence[ExhibitResult],
    config: ExhibitConfig,
    paragraphs: Sequence[str] | None = None,
) -> Path:
    """Write the page; it names no visitor, shows no face and loads nothing from elsewhere.

    Args:
        path: Path of the page.
        results: The results to show.
        config: Gives the title, and the measure that results are ranked by.
        paragraphs: Introduction; None explains how recordings were evaluated.
    """
    shown = [result for result in results if result.rank]
    shown = shown if len(shown) <= MOST_DRAWN else []
    measure = _TITLES.get(config.rank_by, f"the share of {config.rank_by}").removesuffix(", s")
    paragraphs = paragraphs or [
        f"Exhibits by {measure}, highest first. Small figures are 95 % intervals (bootstrap over "
        f"visits, {config.resamples} resamples). A visit is one stay of at least "
        f"{config.minimum_dwell_s:g} s; somebody who comes back is counted again, since nobody is "
        f"recognised. Exhibits with fewer than {config.minimum_group} visits are not shown. "
        "Emotions are what a model reads from faces, which is not always what people feel."
    ]
    parts = [
        f"<h1>{html.escape(config.title)}</h1>",
        *(f"<p>{html.escape(text)}</p>" for text in paragraphs),
        _table(results, config),
    ]
    parts += [_image(*figure) for figure in _figures(shown)]
    page = (
        f"{PAGE_START}<title>{html.escape(config.title)}</title><style>{_STYLE}</style></head>\n"
        f"<body>\n{chr(10).join(parts)}\n</body></html>\n"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        partial.write_text(page, encoding="utf-8")
    return path


def _table(results: Sequence[ExhibitResult], config: ExhibitConfig) -> str:
    known = next((result.estimates for result in results if result.rank), {})
    columns = [name for name in MEASURES if name in known]
    columns += [config.rank_by] if config.rank_by not in columns else []
    heads = ["rank", "exhibit", "visits", *(_TITLES.get(name, name) for name in columns)]
    heads.append("most shown")
    rows = []
    for result in results:
        name = f"<td>{html.escape(result.title)}</td>"
        if not result.rank:
            note = html.escape(too_few(config))
            across = f'class="note" colspan="{len(columns) + 2}"'
            rows.append(f"<tr><td></td>{name}<td {across}>{note}</td></tr>")
            continue
        cells = "".join(f"<td>{_cell(result.estimates[column])}</td>" for column in columns)
        shares = {k: v.value for k, v in result.estimates.items() if k not in MEASURES}
        top = sorted(shares, key=lambda emotion: -shares[emotion])[:3]
        most = html.escape(", ".join(f"{emotion} {shares[emotion]:.0%}" for emotion in top))
        rows.append(
            f"<tr><td>{result.rank}</td>{name}<td>{result.visits}</td>{cells}<td>{most}</td></tr>"
        )
    head = "".join(f"<th>{html.escape(name)}</th>" for name in heads)
    body = chr(10).join(rows)
    return (
        f'<div tabindex="0"><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>{body}</tbody></table></div>"
    )


def _cell(estimate: Estimate) -> str:
    if math.isnan(estimate.value):
        return "&ndash;"
    interval = f"{estimate.low:.2f} &hellip; {estimate.high:.2f}"
    return f"{estimate.value:.2f}<small>{interval}</small>"


def _figures(shown: Sequence[ExhibitResult]) -> list[tuple[str, Figure]]:
    if not shown:
        return []
    from builder_tools.plots.timeline import plot_places, plot_shares

    emotions = [name for name in shown[0].estimates if name not in MEASURES]
    triples = [
        {key: (e.value, e.low, e.high) for key, e in result.estimates.items()} for result in shown
    ]
    names = [result.title for result in shown]
    shares = [{emotion: triple[emotion] for emotion in emotions} for triple in triples]
    figures = [("Share of each emotion", plot_shares(names, shares).figure)]
    placed = {
        name: (triple["valence"], triple["arousal"])
        for name, triple in zip(names, triples, strict=True)
        if not math.isnan(triple["valence"][0])
    }
    if placed:
        figures.append(("Valence and arousal", plot_places(placed, EmotionSet(emotions)).figure))
    return figures


def _image(title: str, figure: Figure) -> str:
    import matplotlib.pyplot as plt

    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110)
    plt.close(figure)
    code = base64.b64encode(data.getvalue()).decode()
    text = html.escape(title)
    return f'<h2>{text}</h2>\n<img alt="{text}" src="data:image/png;base64,{code}">'
