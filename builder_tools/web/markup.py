"""Answers as HTML with embedded images, nothing stored. Templates escape untrusted text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from builder_tools.detectors.base import shrink
from builder_tools.drawing import DrawBox
from builder_tools.emotions import EmotionSet
from builder_tools.inference import BatchRow
from builder_tools.results import FaceEmotion, FrameResult
from builder_tools.submission.faces_csv import faces_text
from builder_tools.web.limits import Refused
from builder_tools.web.templating import jpeg_address, places_of, render, text_address
from builder_tools.web.texts import Words

MOST_FACES = 12
SHOWN_PX = 1280
"""Longer side of the images shown."""


def notice(text: str, words: Words, kind: str = "info") -> str:
    """Return a sentence that screen readers announce at once; `kind` is info, busy or error."""
    return render("notice", words, text=text, kind=kind)


def refusal(error: Refused, words: Words) -> str:
    """Return why an upload was refused."""
    return notice(words.refusal(error), words, "error")


def photo_html(result: FrameResult, words: Words, *, blurred: bool = False) -> str:
    """Return a photo with numbered boxes, and the bars and dial of each face by its number.

    Args:
        result: The faces found, with the original image.
        words: Texts of the page's language.
        blurred: Whether to make the faces unrecognisable.
    """
    count = len(result.faces)
    shown, faces = _shown(result)
    emotions = EmotionSet(tuple(faces[0].probabilities)) if faces else None
    drawer = DrawBox(emotions=emotions, language=words.language, blur_faces=blurred)
    line = result.to_dict()
    tables = {"json": text_address(json.dumps(line, ensure_ascii=False) + "\n", "application/json")}
    if count:
        row = BatchRow(result.source, "", "", None, len(line["faces"]), "", tuple(line["faces"]))
        text = faces_text(row, tuple(result.faces[0].probabilities))
        tables["csv"] = text_address(text, "text/csv")
    numbered = list(enumerate(faces[:MOST_FACES], start=1))
    height, width = shown.shape[:2]
    boxes = []
    for number, face in numbered:
        box = face.face.box.clip(width, height)
        sides = (box.x1 / width, box.y1 / height, box.width / width, box.height / height)
        names = ("left", "top", "width", "height")
        place = ";".join(f"{name}:{share:.2%}" for name, share in zip(names, sides, strict=True))
        boxes.append((number, place))
    return render(
        "photo",
        words,
        said=words("photo.found" if count else "photo.no_face", name=result.source, count=count),
        stem=Path(result.source).stem,
        image=jpeg_address(drawer.draw(shown, faces)),
        tables=tables,
        boxes=boxes,
        faces=numbered,
        count=count,
        places=places_of(emotions) if emotions else {},
        rows_of=lambda face: [(n, p, f"{p:.0%}") for n, p in face.probabilities.items()],
    )


def count_html(done: int, total: int, words: Words) -> str:
    """Return the progress of a batch."""
    said = words("batch.progress", done=done, total=total)
    return render("progress", words, said=said, most=max(total, 1), done=done)


def _shown(result: FrameResult) -> tuple[np.ndarray, Sequence[FaceEmotion]]:
    """Return the image shrunk for sending, and its faces scaled to match."""
    small, factor = shrink(result.image, SHOWN_PX)
    if factor == 1.0:
        return small, result.faces
    faces = []
    for one in result.faces:
        box = one.face.box
        moved = type(box)(*(value * factor for value in box.xyxy))
        faces.append(replace(one, face=replace(one.face, box=moved, keypoints=None)))
    return small, faces
