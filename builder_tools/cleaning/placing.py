"""The result of a cleaning run in its folder: which files it has, and how a new one replaces it."""

from __future__ import annotations

import os
from pathlib import Path

from builder_tools.cleaning.manifest import read_manifest

MANIFEST, RECORD = "manifest.csv", "cleaning.json"
"""What names the images of a result, and what is there only if all of it is."""


def result_files(out: Path) -> list[Path]:
    """Return the files of the result in a folder, complete or not: record first, manifest last."""
    manifest = out / MANIFEST
    if not manifest.is_file():
        return []
    named = [Path(image) for image in read_manifest(manifest)["out_path"] if image]
    images = [out / image for image in named if not image.is_absolute() and ".." not in image.parts]
    return [out / RECORD, *images, manifest]


def put_in_place(made: Path, out: Path) -> None:
    """Move a complete result to its folder, in place of an earlier one.

    If this was interrupted, the next call goes on. The manifest is moved first, so that it always
    names what is there, and the record last.

    Args:
        made: The folder with the new result; on the same disk.
        out: Where it belongs; if it is there, it holds nothing but an earlier result.

    Raises:
        OSError: If a file cannot be moved.
    """
    if not out.is_dir():
        os.replace(made, out)
        return
    if (made / MANIFEST).is_file():
        _forget_result(out)
        os.replace(made / MANIFEST, out / MANIFEST)
    images = [path for path in made.rglob("*") if path.is_file() and path != made / RECORD]
    for path in (*images, made / RECORD):
        place = out / path.relative_to(made)
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, place)


def _forget_result(out: Path) -> None:
    """Remove the files of a result and the folders that are empty then, but nothing else."""
    files = result_files(out)
    for path in files[:-1]:
        path.unlink(missing_ok=True)
    folders = {folder for path in files for folder in path.parents if out in folder.parents}
    for folder in sorted(folders, reverse=True):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    for manifest in files[-1:]:
        manifest.unlink()
