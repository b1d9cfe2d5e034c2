"""Answers to videos as HTML: their progress, then what they show."""

from __future__ import annotations

from collections.abc import Mapping

from builder_tools.web.curves import curves_svg, curves_values
from builder_tools.web.templating import render
from builder_tools.web.texts import Words
from builder_tools.web.videos import FILES, MOST_PEOPLE, VideoAnswer, VideoProgress


def progress_html(progress: VideoProgress, words: Words) -> str:
    """Return the progress of a video."""
    frame, total, fps = progress.frame, progress.total, f"{progress.fps:.0f}"
    if total is None:
        said = words("video.progress_open", frame=frame, fps=fps)
    elif frame == 0:
        said = words("video.begin")
    elif frame >= total:
        said = words("video.finishing")
    else:
        left = "?" if progress.left_s is None else f"{progress.left_s:.0f}"
        said = words("video.progress", frame=frame, total=total, fps=fps, left=left)
    return render("progress", words, said=said, most=total and max(total, 1), done=frame)


def video_html(answer: VideoAnswer, name: str, token: str, words: Words, keep_s: float) -> str:
    """Return a video's summary, files, player, timeline, highlights and people.

    Args:
        answer: The answer.
        name: Name of the upload.
        token: Token under which its files are kept.
        words: Texts of the page's language.
        keep_s: How long they are kept, in seconds.
    """
    share = answer.with_face / answer.frames if answer.frames else 0.0
    said = words(
        "video.done",
        name=name,
        frames=answer.frames,
        seconds=f"{answer.duration_s:.1f}",
        share=f"{share:.0%}",
        people=len(answer.people),
    )
    if answer.left_out:
        said += words("video.left_out", count=answer.left_out)
    everybody = {"all": answer.curves} if answer.curves else {}
    curves = {**everybody, **{str(track): one for track, one in answer.curves_by_person.items()}}
    return render(
        "video",
        words,
        answer=answer,
        said=said,
        token=token,
        files=FILES,
        minutes=round(keep_s / 60),
        mostly=_mostly(answer),
        curves=[
            (who, {"svg": curves_svg(one, answer.highlights, words), "moments": curves_values(one)})
            for who, one in curves.items()
        ],
        people=[
            (person, _first_two(person.probabilities)) for person in answer.people[:MOST_PEOPLE]
        ],
    )


def _first_two(shares: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(shares.items(), key=lambda pair: -pair[1])[:2]


def _mostly(answer: VideoAnswer) -> list[tuple[str, float]]:
    """Return the two emotions shown most, over all people weighted by their time in view."""
    whole = sum(person.seen_s for person in answer.people)
    if not whole:
        return []
    names = answer.people[0].probabilities
    shares = {
        name: sum(one.seen_s * one.probabilities[name] for one in answer.people) / whole
        for name in names
    }
    return _first_two(shares)
