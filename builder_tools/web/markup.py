"""Answers as HTML: images inside it, nothing stored. Whatever comes from outside is escaped."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from builder_tools.drawing import DrawBox, ink_on
from builder_tools.emotions import EmotionSet
from builder_tools.results import FaceEmotion, FrameResult
from builder_tools.web.batches import CSV_NAME, LOG_NAME, BatchAnswer
from builder_tools.web.curves import curves_svg
from builder_tools.web.limits import Refused
from builder_tools.web.texts import Words
from builder_tools.web.videos import FILES, VideoAnswer, VideoProgress

MOST_FACES = 12
MOST_ROWS = 200
MOST_PEOPLE = 8
SHOWN_PX = 1280
"""Longer side of an image that is shown."""
DIAL_PX = 132


def notice(text: str, kind: str = "info") -> str:
    """Return a sentence that screen readers say at once; `kind` is info, busy or error."""
    role = "alert" if kind == "error" else "status"
    return f'<p class="bt-note bt-{kind}" role="{role}">{html.escape(text)}</p>'


def refusal(error: Refused, words: Words) -> str:
    """Return why an upload was not taken."""
    return notice(words.refusal(error), "error")


def photo_html(result: FrameResult, words: Words, *, blurred: bool = False) -> str:
    """Return a photo with boxes, and each face's bars and dial under the number it has there.

    Args:
        result: What was found, with the image as it came.
        words: The language.
        blurred: Make the faces unknowable.
    """
    name, count = html.escape(result.source), len(result.faces)
    said = words("photo.found" if count else "photo.no_face", name=name, count=count)
    shown, faces = _shown(result)
    drawer = DrawBox(emotions=_emotions(faces), language=words.language, blur_faces=blurred)
    drawn = drawer.draw(shown, faces)
    alt = html.escape(words("photo.alt", count=count))
    numbered = list(enumerate(faces[:MOST_FACES], start=1))
    line = json.dumps(result.to_dict(), ensure_ascii=False) + "\n"
    address = f"data:application/json;base64,{base64.b64encode(line.encode()).decode()}"
    stem = html.escape(Path(result.source).stem)
    parts = [
        f'<p class="bt-note bt-info" role="status">{said}</p><div class="bt-photo">',
        f'<div class="bt-marked"><img alt="{alt}" src="{_data_address(drawn)}">',
        *(_box(face, number, shown) for number, face in numbered),
        '</div><ul class="bt-files">',
        f'<li><a class="bt-save" href="#" download="{stem}_marked.jpg">'
        f"{words('photo.save')}</a></li>",
        f'<li><a href="{address}" download="{stem}.json">JSON</a></li></ul>',
        '<ol class="bt-faces">',
        *(face_html(face, number, words) for number, face in numbered),
        "</ol></div>",
    ]
    if count > MOST_FACES:
        parts.append(f"<p>{html.escape(words('photo.more', count=MOST_FACES))}</p>")
    return "".join(parts)


def _box(face: FaceEmotion, number: int, image: np.ndarray) -> str:
    """Return what lies over a face and shows, pointed at, which card is its own."""
    height, width = image.shape[:2]
    box = face.face.box.clip(width, height)
    sides = (box.x1 / width, box.y1 / height, box.width / width, box.height / height)
    names = ("left", "top", "width", "height")
    style = ";".join(f"{name}:{share:.2%}" for name, share in zip(names, sides, strict=True))
    return f'<span class="bt-box" data-face="{number}" style="{style}"></span>'


def face_html(face: FaceEmotion, number: int, words: Words) -> str:
    """Return one face's emotion, its bars and its dial."""
    doubt = f' <small class="bt-doubt">{words("photo.doubtful")}</small>' if face.doubtful else ""
    score = words("face.score", score=f"{face.face.score:.2f}")
    return (
        f'<li class="bt-face" tabindex="0" data-face="{number}" '
        f'data-emotion="{html.escape(face.emotion)}">'
        f"<h3>{words('face.title', number=number)}: {_emotion(face.emotion, words)} "
        f"{face.probability:.0%}{doubt}<small>{score}</small></h3>"
        f'<div class="bt-face-body">{_bars(face, words)}{dial_svg(face, words)}</div></li>'
    )


def dial_svg(face: FaceEmotion, words: Words) -> str:
    """Return the circumplex with the anchors and the face's place; nothing without one."""
    if face.valence is None or face.arousal is None:
        return ""
    place = f"{face.valence:+.2f}", f"{face.arousal:+.2f}"
    alt = html.escape(words("dial.alt", valence=place[0], arousal=place[1]))
    emotions = _emotions([face])
    dots = "".join(
        f'<circle cx="{100 * x:.0f}" cy="{-100 * y:.0f}" r="5" fill="{_hex(emotions, name)}" '
        'stroke="#555" stroke-width="1"/>'
        for name, (x, y) in zip(emotions, emotions.anchors, strict=True)
        if np.isfinite(x)
    )
    x, y = 100 * face.valence, -100 * face.arousal
    return (
        f'<svg class="bt-dial" viewBox="-120 -144 240 264" width="{DIAL_PX}" role="img" '
        f'aria-label="{alt}"><circle r="112" class="bt-disc"/>'
        '<path d="M-112 0H112M0-112V112" class="bt-axis"/>'
        f'<text x="108" y="-5" text-anchor="end">{words("valence")}</text>'
        f'<text x="0" y="-122" text-anchor="middle">{words("arousal")}</text>{dots}'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="11" fill="{_hex(emotions, face.emotion)}" '
        'stroke="#000" stroke-width="3"/></svg>'
    )


def progress_html(progress: VideoProgress, words: Words) -> str:
    """Return how far a video is."""
    fps = f"{progress.fps:.0f}"
    if progress.total is None:
        said, bar = words("video.progress_open", frame=progress.frame, fps=fps), "<progress>"
    else:
        left = "?" if progress.left_s is None else f"{progress.left_s:.0f}"
        facts = {"frame": progress.frame, "total": progress.total, "fps": fps, "left": left}
        if progress.frame == 0:
            said = words("video.begin")
        elif progress.frame >= progress.total:
            said = words("video.finishing")
        else:
            said = words("video.progress", **facts)
        bar = f'<progress max="{max(progress.total, 1)}" value="{progress.frame}">'
    return f"{notice(said, 'busy')}{_labelled(bar, said)}"


def count_html(done: int, total: int, words: Words) -> str:
    """Return how far a batch is."""
    said = words("batch.progress", done=done, total=total)
    bar = f'<progress max="{max(total, 1)}" value="{done}">'
    return f"{notice(said, 'busy')}{_labelled(bar, said)}"


def video_html(answer: VideoAnswer, name: str, token: str, words: Words, keep_s: float) -> str:
    """Return a video's player, timeline, highlights, people and files."""
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
    source = f"results/{token}/{FILES['video']}"
    parts = [notice(said)]
    if answer.warning:
        parts.append(notice(words("video.cut_short", warning=answer.warning)))
    parts.append(
        f'<div class="bt-result" data-token="{token}"><video controls preload="metadata" '
        f'playsinline src="/{source}" aria-label="{words("video.annotated")}"></video>'
    )
    if answer.curves is not None:
        parts.append(curves_svg(answer.curves, answer.highlights, words))
        parts += [_highlights(answer, words), _people(answer, words)]
    parts.append(_downloads(token, FILES, words, keep_s))
    return "".join([*parts, "</div>"])


def batch_html(answer: BatchAnswer, token: str, words: Words, keep_s: float) -> str:
    """Return the rows of a batch and its files."""
    statuses = [row.status for row in answer.rows]
    counts = ", ".join(
        f"{words(f'status.{status}')} {statuses.count(status)}"
        for status in ("ok", "multi_face", "no_face", "unreadable")
        if status in statuses
    )
    parts = [notice(words("batch.done", total=len(statuses), counts=counts))]
    if answer.ignored:
        parts.append(notice(words("batch.ignored", count=answer.ignored)))
    if answer.renamed:
        old, new = next(iter(answer.renamed.items()))
        said = words("batch.renamed", count=len(answer.renamed), example=f"{old}: {new}")
        parts.append(notice(said))
    files = {"submission": CSV_NAME, "log": LOG_NAME}
    parts.append(f'<div class="bt-result" data-token="{token}">')
    parts.append(_downloads(token, files, words, keep_s))
    rows = [
        (
            html.escape(row.image_path),
            _emotion(row.emotion, words),
            "" if row.probability is None else f"{row.probability:.0%}",
            words(f"status.{row.status}"),
        )
        for row in answer.rows[:MOST_ROWS]
    ]
    parts.append(_table(("image_path", "emotion", "%", ""), rows))
    if len(answer.rows) > MOST_ROWS:
        parts.append(f"<p>{words('batch.shown', count=MOST_ROWS)}</p>")
    return "".join([*parts, "</div>"])


def _highlights(answer: VideoAnswer, words: Words) -> str:
    head = f"<h3>{words('video.highlights')}</h3>"
    if not answer.highlights:
        return f"{head}<p>{words('video.no_highlights')}</p>"
    columns = [words(f"video.column.{key}") for key in ("rank", "from", "to", "peak", "score")]
    rows = [
        (
            f'<button type="button" class="bt-seek" data-seek="{one.start_s:.2f}" '
            f'title="{words("video.seek")}">▶ {one.rank}</button>',
            *(f"{value:.1f}" for value in (one.start_s, one.end_s, one.peak_s, one.score)),
        )
        for one in answer.highlights
    ]
    return f"{head}<p>{words('video.highlights_how')}</p>{_table(columns, rows)}"


def _people(answer: VideoAnswer, words: Words) -> str:
    columns = [words(f"video.column.{key}") for key in ("person", "seen", "emotion")]
    rows = []
    for person in answer.people[:MOST_PEOPLE]:
        ranked = sorted(person.probabilities.items(), key=lambda pair: -pair[1])[:2]
        mostly = ", ".join(f"{_emotion(name, words)} {share:.0%}" for name, share in ranked)
        rows.append((str(person.track), f"{person.seen_s:.1f}", mostly))
    return f"<h3>{words('video.people')}</h3>{_table(columns, rows)}"


def _downloads(token: str, files: dict[str, str], words: Words, keep_s: float) -> str:
    links = "".join(
        f'<li><a href="/results/{token}/{name}" download="{name}">'
        f"{words('download')}: {words(f'file.{key}')}</a></li>"
        for key, name in files.items()
    )
    kept = words("download.kept", minutes=round(keep_s / 60))
    return (
        f'<ul class="bt-files">{links}</ul><p class="bt-kept">{kept} '
        f'<button type="button" class="bt-delete" data-said="{words("download.deleted")}">'
        f"{words('download.delete')}</button></p>"
    )


def _bars(face: FaceEmotion, words: Words) -> str:
    emotions = _emotions([face])
    rows = "".join(
        f"<tr><th scope=row>{html.escape(words.emotion(name))}</th>"
        f'<td><span class="bt-bar" style="width:{100 * value:.1f}%;'
        f'background:{_hex(emotions, name)}"></span></td><td>{value:.0%}</td></tr>'
        for name, value in face.probabilities.items()
    )
    return f'<table class="bt-bars"><tbody>{rows}</tbody></table>'


def _emotion(name: str, words: Words) -> str:
    """Return an emotion's name on its own colour, in black or white, whichever is readable."""
    emotions = EmotionSet((name,))
    ink = "#{:02x}{:02x}{:02x}".format(*ink_on(emotions.colour_rgb(name)))
    return (
        f'<span class="bt-tag" style="background:{_hex(emotions, name)};color:{ink}">'
        f"{html.escape(words.emotion(name))}</span>"
    )


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th scope=col>{column}</th>" for column in columns)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f'<div class="bt-scroll"><table class="bt-table"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _labelled(bar: str, said: str) -> str:
    return f'{bar[:-1]} class="bt-progress" aria-label="{html.escape(said)}"></progress>'


def _shown(result: FrameResult) -> tuple[np.ndarray, list[FaceEmotion]]:
    """Return an image small enough to be sent, and its faces where they then are."""
    from dataclasses import replace

    from builder_tools.detectors.base import shrink

    small, factor = shrink(result.image, SHOWN_PX)
    if factor == 1.0:
        return small, list(result.faces)
    faces = []
    for one in result.faces:
        box = one.face.box
        moved = type(box)(*(value * factor for value in box.xyxy))
        faces.append(replace(one, face=replace(one.face, box=moved, keypoints=None)))
    return small, faces


def _data_address(image_rgb: np.ndarray) -> str:
    import cv2

    _, jpeg = cv2.imencode(".jpg", image_rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def _emotions(faces: Sequence[FaceEmotion]) -> EmotionSet | None:
    return EmotionSet(tuple(faces[0].probabilities)) if faces else None


def _hex(emotions: EmotionSet, name: str) -> str:
    return "#{:02x}{:02x}{:02x}".format(*emotions.colour_rgb(name))
