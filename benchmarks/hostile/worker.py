"""The process that tries hostile videos and zips one after another; any of them may end it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from machine import peak_mb

from hostile import inputs

Attempt = tuple[int, bool, str, int]
"""Number, whether it gave a result, unexpected exception or an empty string, files left."""


def work_through(kind: str, seed: int, first: int, count: int, place: Path) -> None:
    """Try files one after another, printing a JSON line about each."""
    attempts = {"videos": _videos, "zips": _zips}[kind](seed, range(first, count), place)
    for number, answered, error, left in attempts:
        told = {"number": number, "answered": answered, "error": error, "left": left}
        print(json.dumps({**told, "peak_mb": peak_mb()}), flush=True)


def _videos(seed: int, numbers: range, place: Path) -> Iterator[Attempt]:
    from builder_tools import Inference

    folder = place / "videos"
    folder.mkdir()
    with Inference(inference_mode="video", show_state_mode="none", workers=1) as inference:
        for number in numbers:
            name, data = inputs.video(seed, number)
            (folder / name).write_bytes(data)
            answered, error = False, ""
            try:
                with inference.run(folder / name, max_frames=50) as results:
                    answered = sum(1 for _ in results) > 0
            except (OSError, ValueError):
                pass  # refused with a message
            except Exception as other:
                error = f"{type(other).__name__}: {other}"
            (folder / name).unlink()
            yield number, answered, error, _left(place, folder)


def _zips(seed: int, numbers: range, place: Path) -> Iterator[Attempt]:
    from builder_tools.media import IMAGE_ERRORS, read_image
    from builder_tools.web.limits import Limits, Refused
    from builder_tools.web.zips import unpack_images

    folder, out = place / "zips", place / "zips" / "out"
    folder.mkdir()
    for number in numbers:
        name, data = inputs.archive(seed, number)
        (folder / name).write_bytes(data)
        out.mkdir()
        answered, error = False, ""
        try:
            found = unpack_images(folder / name, out, Limits(max_unpacked_mb=20))
            for path in found.paths.values():
                try:
                    read_image(path)
                except IMAGE_ERRORS:
                    continue
            answered = True
        except Refused:
            pass
        except Exception as other:
            error = f"{type(other).__name__}: {other}"
        for path in out.iterdir():
            path.unlink()
        out.rmdir()
        (folder / name).unlink()
        yield number, answered, error, _left(place, folder)


def _left(place: Path, own: Path) -> int:
    """Return how many paths remain in the temporary folder and in the worker's own folder."""
    return len([path for path in place.rglob("*") if path != own])
