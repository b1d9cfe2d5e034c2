"""What works on this machine and what does not: versions, extras, files, camera, screen, speed.

`CHECKS` run in order and yield findings. Nothing is downloaded, and no camera is opened.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

from builder_tools import __version__
from builder_tools.assets import list_assets
from builder_tools.cards import (
    DEFAULT_MODEL,
    MODEL_ROOTS,
    ModelCard,
    model_folders,
    verify_files,
)
from builder_tools.detectors.full_range import FULL_RANGE
from builder_tools.detectors.short_range import SHORT_RANGE
from builder_tools.detectors.yunet import FILE as YUNET
from builder_tools.inference import Inference
from builder_tools.machine import describe_machine
from builder_tools.media import read_image
from builder_tools.media.window import check_display
from builder_tools.timing import time_images, time_models

OK, ABSENT, BROKEN = "ok", "absent", "broken"
PACKAGE = "builder-tools"
EXAMPLES = Path(__file__).parent / "web" / "examples"
OPENCV = tuple(
    f"opencv-{kind}"
    for kind in ("python", "python-headless", "contrib-python", "contrib-python-headless")
)
"""Distributions that all install the same `cv2`, overwriting one another."""
WITHOUT = {
    SHORT_RANGE: "the default detector finds nothing",
    YUNET: "the default detector searches in tiles, and finds fewer faces",
    FULL_RANGE: "the default detector cannot search in tiles",
}
"""File -> what happens if it is missing."""


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Args:
        check: One of `CHECKS`.
        state: "ok", "absent" (something optional is missing) or "broken" (something required is
            missing or fails).
        what: What was found, in words.
        advice: What to do; empty if there is nothing to do.
    """

    check: str
    state: str
    what: str
    advice: str = ""


def examine() -> Iterator[Finding]:
    """Run all checks and yield their findings as they come in.

    An error that a check does not expect is a finding, too, so the others still run.
    """
    for name, check in CHECKS.items():
        try:
            yield from check()
        except Exception as error:
            yield Finding(name, BROKEN, f"{type(error).__name__}: {error}")


def requirements(extra: str = "") -> list[str]:
    """Return the names of the distributions that an extra, or the base install (""), needs.

    Raises:
        PackageNotFoundError: If the package runs from a folder without being installed.
    """
    found = []
    for line in distribution(PACKAGE).requires or []:
        name = re.match(r"[\w.-]+", line)
        of = re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", line)
        if name and name[0] != PACKAGE and (of[1] if of else "") == extra:
            found.append(name[0])
    return found


def missing(names: list[str]) -> list[str]:
    """Return the given distributions that are not installed."""
    return [name for name in names if not _version(name)]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _is_here(name: str) -> bool:
    return any(status.path for status in list_assets() if status.asset.name == name)


def _versions() -> Iterator[Finding]:
    yield Finding("versions", OK, f"builder_tools {__version__}; {describe_machine()}")
    linux = sys.platform.startswith("linux")
    if not linux:
        yield Finding("versions", ABSENT, f"{sys.platform}: tested on Linux only")
    try:
        needed = requirements()
    except PackageNotFoundError:
        advice = "pip install -e . in the clone"
        yield Finding("versions", ABSENT, "runs from a folder, not installed", advice)
        return
    told = ", ".join(f"{name} {_version(name)}" for name in needed if _version(name))
    yield Finding("versions", OK, told)
    if lacking := missing(needed):
        advice = f"pip install {' '.join(lacking)}"
        yield Finding("versions", BROKEN, f"not installed: {', '.join(lacking)}", advice)
    twice = [name for name in OPENCV if _version(name)]
    if len(twice) > 1:
        yield Finding(
            "versions",
            BROKEN,
            f"{len(twice)} OpenCVs overwrite one another: {', '.join(twice)}",
            f"pip uninstall {' '.join(twice)}; pip install 'opencv-contrib-python>=4.14,<5'",
        )


def _extras() -> Iterator[Finding]:
    try:
        offered = distribution(PACKAGE).metadata.get_all("Provides-Extra") or []
    except PackageNotFoundError:
        return
    for extra in sorted(set(offered) - {"all"}):
        lacking = missing(requirements(extra))
        if lacking:
            said = f"[{extra}] lacks {', '.join(lacking)}"
            yield Finding("extras", ABSENT, said, f"pip install '{PACKAGE}[{extra}]'")
        else:
            yield Finding("extras", OK, f"[{extra}]")


def _files() -> Iterator[Finding]:
    for status in list_assets():
        name = status.asset.name
        if status.path:
            yield Finding("files", OK, f"{name}: {status.path}")
        elif not status.asset.extra:
            without = WITHOUT.get(name, "its detector cannot be used")
            state = BROKEN if name == SHORT_RANGE else ABSENT
            yield Finding(
                "files", state, f"{name} is not here: {without}", f"builder-tools assets {name}"
            )
    for name, folder in sorted(model_folders().items()):
        try:
            card = ModelCard.read(folder)
            verify_files(folder, card, [card.file])
        except (ValueError, OSError) as error:
            shipped = folder.parent in MODEL_ROOTS
            yield Finding(
                "files",
                BROKEN if name == DEFAULT_MODEL else ABSENT,
                f"model {name} in {folder}: {error}",
                "install the package anew" if shipped else "export it again, or remove its folder",
            )
        else:
            yield Finding("files", OK, f"model {name}, {card.input_size} px")


def _answer() -> Iterator[Finding]:
    """Analyse a photograph whose face and emotion are known."""
    if not _is_here(SHORT_RANGE):
        yield Finding("answer", ABSENT, f"not tried: {SHORT_RANGE} is not here")
        return
    try:
        with Inference(show_state_mode="none") as inference:
            faces = inference.analyse(read_image(EXAMPLES / "astronaut.jpg"))
    except (ImportError, OSError, ValueError, RuntimeError) as error:
        yield Finding("answer", BROKEN, f"a photograph could not be looked at: {error}")
        return
    said = ", ".join(f"{face.emotion} {face.probability:.0%}" for face in faces) or "no face"
    right = [face.emotion for face in faces] == ["happy"]
    yield Finding("answer", OK if right else BROKEN, f"a photograph of one happy face: {said}")


def _video() -> Iterator[Finding]:
    try:
        import av

        with av.open(str(EXAMPLES / "film.mp4")) as film:
            next(film.decode(video=0))
        av.codec.Codec("libx264", "w")
    except (ImportError, OSError, ValueError, StopIteration) as error:
        yield Finding("video", BROKEN, f"no H.264: {error}", "pip install av")
    else:
        yield Finding("video", OK, f"H.264 is read and written (PyAV {av.__version__})")


def _camera() -> Iterator[Finding]:
    cameras = sorted(map(str, Path("/dev").glob("video*")))
    advice = "" if cameras else "online --camera http://... watches a network camera"
    yield Finding("camera", OK if cameras else ABSENT, " ".join(cameras) or "none", advice)


def _screen() -> Iterator[Finding]:
    try:
        check_display()
    except RuntimeError as error:
        yield Finding("screen", ABSENT, str(error))
    else:
        yield Finding("screen", OK, "a window can be opened")


def _speed() -> Iterator[Finding]:
    if not _is_here(SHORT_RANGE):
        yield Finding("speed", ABSENT, f"not measured: {SHORT_RANGE} is not here")
        return
    (model,) = time_models([DEFAULT_MODEL], repeats=50)
    photo = str(EXAMPLES / "astronaut.jpg")
    (image,) = time_images([photo], detectors=["mediapipe"], models=[DEFAULT_MODEL], repeats=20)
    yield Finding(
        "speed",
        OK,
        f"{DEFAULT_MODEL}: {model.median_ms:.1f} ms a face; a photo of 512x512 "
        f"{image.median_ms:.1f} ms",
    )


CHECKS: dict[str, Callable[[], Iterator[Finding]]] = {
    "versions": _versions,
    "extras": _extras,
    "files": _files,
    "answer": _answer,
    "video": _video,
    "camera": _camera,
    "screen": _screen,
    "speed": _speed,
}
