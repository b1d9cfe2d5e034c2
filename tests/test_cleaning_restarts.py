"""Runs of cleaning that start over: the earlier result stays until the new one is complete."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cleaning_folders import PLAIN, class_folders, clean, files, folder_hash
from fakes import FakeDetector

from builder_tools.cleaning import CleaningConfig
from builder_tools.results import Face

SMALL = replace(PLAIN, size_px=32)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return class_folders(tmp_path / "raw")


def refusal(root: Path, out: Path, config: CleaningConfig = SMALL, **options) -> str:
    with pytest.raises(BlockingIOError) as refused:
        clean(root, out, config, **options)
    return str(refused.value)


def stop_after(images: int, patch: pytest.MonkeyPatch) -> None:
    """Lets so many images be examined before Ctrl-C."""
    find, seen = FakeDetector.detect, []

    def detect(self, image: np.ndarray) -> list[Face]:
        seen.append(1)
        if len(seen) > images:
            raise KeyboardInterrupt
        return find(self, image)

    patch.setattr(FakeDetector, "detect", detect)


@pytest.mark.parametrize("restart", [True, False])
@pytest.mark.parametrize("finished_before", [True, False])
def test_a_run_in_progress_is_left_alone(
    finished_before: bool, restart: bool, root: Path, tmp_path: Path
) -> None:
    """At its first image, and when it writes its result."""
    out, refused = tmp_path / "out", []
    if finished_before:
        clean(root, out, replace(PLAIN, size_px=48))
    find, to_csv = FakeDetector.detect, pd.DataFrame.to_csv

    def in_between(function):
        def called(*arguments, **options):
            if len(refused) < (1 if function is find else 2):
                refused.append("")  # the second run calls this, too
                refused[-1] = refusal(root, out, replace(PLAIN, size_px=48), restart=restart)
            return function(*arguments, **options)

        return called

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeDetector, "detect", in_between(find))
        patch.setattr(pd.DataFrame, "to_csv", in_between(to_csv))
        clean(root, out, SMALL, restart=True)
    assert len(refused) == 2
    for said in refused:
        assert said.startswith("Expected to be the only one to write ")
        assert "Another process is at it" in said and "room" not in said and ".." not in said
    assert files(out) == files(clean(root, tmp_path / "whole", SMALL).out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "raw", "whole"]


def test_a_result_is_not_reported_while_it_is_replaced(root: Path, tmp_path: Path) -> None:
    out, refused = clean(root, tmp_path / "out").out, []
    find = FakeDetector.detect

    def detect(self, image: np.ndarray) -> list[Face]:
        if not refused:
            refused.append(refusal(root, out, PLAIN))
        return find(self, image)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeDetector, "detect", detect)
        clean(root, out, SMALL, restart=True)
    assert refused and files(out) == files(clean(root, tmp_path / "whole", SMALL).out)


def result_in(out: Path) -> dict[str, bytes]:
    return {name: content for name, content in files(out).items() if name[0] != "."}


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"detector": "yunet", "detector_options": {"min_score": 7}}, ValueError),
        ({"detector": "yunet", "detector_options": {"nonsense": 7}}, TypeError),
        ({"config": CleaningConfig(surround=False, min_face_px=4000), "max_dropped": 0.2}, None),
        ({"workers": 0}, ValueError),
        ({"preview": True}, None),
    ],
)
def test_a_restart_that_writes_no_result_leaves_the_earlier_one(
    options: dict, error: type[Exception] | None, root: Path, tmp_path: Path
) -> None:
    out = clean(root, tmp_path / "out").out
    before = files(out)
    if options.get("preview"):
        clean(root, out, restart=True, **options)
    else:
        with pytest.raises(error or ValueError):
            clean(root, out, restart=True, **options)
    assert result_in(out) == before
    assert clean(root, out).num_kept == 8 and files(out) == before


@pytest.mark.parametrize("name", ["notes.txt", "happy/notes.txt", ".DS_Store", "sad/new/"])
def test_files_of_others_stop_a_restart_before_anything_is_removed(
    name: str, root: Path, tmp_path: Path
) -> None:
    out = clean(root, tmp_path / "out").out
    if name[-1] == "/":
        (out / name).mkdir()
    else:
        (out / name).write_text("mine")
    before = folder_hash(out)
    with pytest.raises(FileExistsError, match=rf"1 file.*'{name.rstrip('/')}'"):
        clean(root, out, SMALL, restart=True)
    assert folder_hash(out) == before


def test_an_interrupted_restart_goes_on_without_it(root: Path, tmp_path: Path, caplog) -> None:
    out = clean(root, tmp_path / "out").out
    before = files(out)
    with pytest.MonkeyPatch.context() as patch:
        stop_after(5, patch)
        with pytest.raises(KeyboardInterrupt):
            clean(root, out, SMALL, restart=True)
    assert result_in(out) == before
    assert "5 of 8 images are done." in caplog.text and "without --restart" in caplog.text
    with pytest.MonkeyPatch.context() as patch:
        stop_after(3, patch)
        clean(root, out, SMALL)
    assert files(out) == files(clean(root, tmp_path / "whole", SMALL).out)


@pytest.mark.parametrize("again", [True, False])
@pytest.mark.parametrize("steps", range(5))
def test_stopped_while_the_result_is_replaced(
    steps: int, again: bool, root: Path, tmp_path: Path
) -> None:
    out = clean(root, tmp_path / "out", PLAIN).out
    replace_file, unlink, done = os.replace, Path.unlink, []

    def or_stop(function, in_out):
        def called(path, *arguments, **options):
            target = Path(arguments[0] if arguments else path)
            if in_out(target.relative_to(tmp_path).parts):
                done.append(target)
                if len(done) > 3 * steps:
                    raise KeyboardInterrupt
            return function(path, *arguments, **options)

        return called

    with pytest.MonkeyPatch.context() as patch:
        visible = lambda parts: parts[0] == "out" and parts[1][0] != "."  # noqa: E731
        patch.setattr(os, "replace", or_stop(replace_file, visible))
        patch.setattr(Path, "unlink", or_stop(unlink, visible))
        with pytest.raises(KeyboardInterrupt):
            clean(root, out, SMALL, restart=True)
    clean(root, out, SMALL, restart=again)
    assert files(out) == files(clean(root, tmp_path / "whole", SMALL).out)


def test_a_manifest_that_names_files_outside_removes_none_of_them(root, tmp_path):
    out, own = tmp_path / "out", tmp_path / "own.png"
    clean(root, out, SMALL)
    own.write_bytes(b"mine")
    manifest = pd.read_csv(out / "manifest.csv", keep_default_na=False)
    kept = manifest.index[manifest["out_path"] != ""]
    manifest.loc[kept[0], "out_path"] = "../own.png"
    manifest.to_csv(out / "manifest.csv", index=False)
    with pytest.raises(FileExistsError, match="besides an earlier result"):
        clean(root, out, replace(PLAIN, size_px=48), restart=True)
    assert own.read_bytes() == b"mine"


def test_a_file_that_came_meanwhile_stays_beside_the_new_result(root, tmp_path, monkeypatch):
    out = tmp_path / "out"
    clean(root, out, SMALL)
    folder = next(path for path in out.iterdir() if path.is_dir())
    find = FakeDetector.detect

    def detect(self, image):
        (folder / "note.txt").write_text("mine")
        return find(self, image)

    monkeypatch.setattr(FakeDetector, "detect", detect)
    report = clean(root, out, replace(PLAIN, size_px=48), restart=True)
    assert (folder / "note.txt").read_text() == "mine"
    kept = [name for name in report.manifest["out_path"] if name]
    assert kept and all((out / name).is_file() for name in kept)


def test_a_folder_that_others_filled_meanwhile_is_refused(root, tmp_path, monkeypatch):
    """An interrupted run waits beside the folder, which was not there yet."""
    out = tmp_path / "out"
    with pytest.MonkeyPatch.context() as patch:
        stop_after(2, patch)
        with pytest.raises(KeyboardInterrupt):
            clean(root, out, SMALL)
    assert (tmp_path / "out.unfinished").is_dir() and not out.exists()
    out.mkdir()
    (out / "note.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="new or empty"):
        clean(root, out, SMALL)
    (out / "note.txt").unlink()
    clean(root, out, SMALL)
