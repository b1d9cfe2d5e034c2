"""Runs of cleaning that are interrupted, killed, out of space, finished or other than before."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cleaning_folders import (
    PLAIN,
    class_folders,
    clean,
    files,
    folder_hash,
    made_image,
    mixed_folders,
)
from fakes import FakeDetector

from builder_tools.media import write_image
from builder_tools.results import Face


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    return mixed_folders(tmp_path / "raw")


def test_interrupted_run_goes_on_and_ends_the_same(mixed: Path, tmp_path: Path) -> None:
    whole = clean(mixed, tmp_path / "whole")
    find = FakeDetector().detect
    seen = []

    def until_the_sixth(image: np.ndarray) -> list[Face]:
        seen.append(1)
        if len(seen) == 6:
            raise KeyboardInterrupt
        return find(image)

    out = tmp_path / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeDetector, "detect", lambda self, image: until_the_sixth(image))
        with pytest.raises(KeyboardInterrupt):
            clean(mixed, out)
    assert not out.exists()
    calls = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeDetector, "detect", lambda self, im: calls.append(1) or find(im))
        report = clean(mixed, out)
    assert len(calls) == 11 - 5  # of 13 images two cannot be read
    assert files(report.out) == files(whole.out)


_SLOW_RUN = """
import sys, time
sys.path.insert(0, {tests!r})
from cleaning_folders import PLAIN, FakeDetector, clean_folder
class FakeDetector(FakeDetector):
    def detect(self, image):
        time.sleep(0.03)
        return super().detect(image)
clean_folder({source!r}, {out!r}, detector=FakeDetector(), config=PLAIN, workers=2)
"""


def test_killed_process_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "raw", images=40)
    whole = clean(root, tmp_path / "whole")
    out = tmp_path / "out"
    code = _SLOW_RUN.format(tests=str(Path(__file__).parent), source=str(root), out=str(out))
    process = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[1])
    journal = tmp_path / "out.unfinished" / "journal.jsonl"
    deadline_s = time.monotonic() + 120
    while not (journal.is_file() and len(journal.read_bytes().splitlines()) > 10):
        assert process.poll() is None and time.monotonic() < deadline_s
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not out.exists()
    done = len(journal.read_bytes().splitlines()) - 1
    assert 10 <= done < 80
    with open(journal, "ab") as file:
        file.write(b'{"number": 9')  # a line that broke off
    report = clean(root, out, workers=2)
    assert files(report.out) == files(whole.out)


@pytest.mark.parametrize("there_before", [False, True])
def test_killed_at_the_last_step_no_folder_is_half_made(there_before: bool, tmp_path: Path) -> None:
    """A folder that is there before may be another disk: then only within it can files wait."""
    root, out = class_folders(tmp_path / "raw"), tmp_path / "out"
    if there_before:
        out.mkdir()
    replace_file, moved = os.replace, []

    def stop_in_the_middle(source, target) -> None:
        moved.append(target)
        if Path(target).suffix == ".png" and "happy" in str(target):
            raise KeyboardInterrupt
        replace_file(source, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", stop_in_the_middle)
        with pytest.raises(KeyboardInterrupt):
            clean(root, out)
    assert out.exists() == there_before
    assert set(files(out)) <= {f".cleaning/{name}" for name in _work_files(8)}
    report = clean(root, out)
    assert files(report.out) == files(clean(root, tmp_path / "whole").out)
    assert not (tmp_path / "out.unfinished").exists()


def _work_files(count: int) -> set[str]:
    return {"journal.jsonl", "manifest.csv", *(f"{n:07d}.png" for n in range(count))}


def test_what_can_be_read_by_now_is_read_or_told(tmp_path: Path, monkeypatch, caplog) -> None:
    root, out = class_folders(tmp_path / "raw"), tmp_path / "out"
    image = min(root.rglob("*.png"))
    write_image(image, made_image(1, 20, size=1100))
    monkeypatch.setenv("BUILDER_TOOLS_MAX_MEGAPIXELS", "1")
    assert clean(root, out, preview=True).counts["unreadable"] == 1
    monkeypatch.delenv("BUILDER_TOOLS_MAX_MEGAPIXELS")
    assert clean(root, out, preview=True).counts["unreadable"] == 0
    monkeypatch.setenv("BUILDER_TOOLS_MAX_MEGAPIXELS", "1")
    assert clean(root, out, restart=True).counts["unreadable"] == 1
    assert clean(root, out).counts["unreadable"] == 1 and "by now" not in caplog.text
    monkeypatch.delenv("BUILDER_TOOLS_MAX_MEGAPIXELS")
    assert clean(root, out).counts["unreadable"] == 1
    assert "1 image that could not be read can be read by now" in caplog.text
    assert clean(root, out, restart=True).counts["unreadable"] == 0


def test_finished_run_is_not_done_again(mixed: Path, tmp_path: Path) -> None:
    first = clean(mixed, tmp_path / "out")
    before = folder_hash(first.out)
    again = clean(mixed, tmp_path / "out")
    pd.testing.assert_frame_equal(first.manifest, again.manifest)
    assert folder_hash(first.out) == before


@pytest.mark.parametrize("finished", [True, False])
def test_run_of_other_settings_is_refused_and_can_be_replaced(
    finished: bool, tmp_path: Path
) -> None:
    root, out = class_folders(tmp_path / "raw"), tmp_path / "out"
    if finished:
        clean(root, out)
    else:
        with pytest.raises(OSError), pytest.MonkeyPatch.context() as patch:
            _fill_disk(patch, writes=3)
            clean(root, out)
    other = replace(PLAIN, size_px=32, format="jpg")
    before = files(tmp_path)
    with pytest.raises(ValueError, match="--restart"):
        clean(root, out, other)
    assert files(tmp_path) == before
    report = clean(root, out, other, restart=True)
    assert sorted(files(out)) == sorted(
        ["cleaning.json", "manifest.csv", *report.manifest["out_path"]]
    )


def test_changed_source_is_another_run(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "raw")
    clean(root, tmp_path / "out")
    write_image(root / "happy" / "new.png", made_image(1, 77))
    with pytest.raises(ValueError, match="images_sha256"):
        clean(root, tmp_path / "out")


def _fill_disk(patch: pytest.MonkeyPatch, *, writes: int) -> None:
    """Lets so many images be written; then half of one, and the disk is full."""
    write_bytes, done = Path.write_bytes, []

    def full(path: Path, data: bytes) -> int:
        if data[:4] == b"\x89PNG":
            done.append(path)
        if len(done) > writes:
            write_bytes(path, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return write_bytes(path, data)

    patch.setattr(Path, "write_bytes", full)


def test_full_disk_ends_in_a_clear_error_and_can_be_gone_on_with(tmp_path: Path) -> None:
    root, out = class_folders(tmp_path / "raw"), tmp_path / "out"
    with pytest.MonkeyPatch.context() as patch:
        _fill_disk(patch, writes=5)
        with pytest.raises(OSError, match=r"No space left on device\. 5 of 8 images") as caught:
            clean(root, out)
    assert caught.value.errno == errno.ENOSPC
    left = set(files(tmp_path / "out.unfinished"))
    assert left == {"journal.jsonl", *(f"{n:07d}.png" for n in range(5))}
    report = clean(root, out)
    assert files(report.out) == files(clean(root, tmp_path / "whole").out)


def test_no_thread_works_on_when_a_run_has_ended(tmp_path: Path) -> None:
    """Else detectors are closed in use, and the process aborts at its exit."""
    at_work = []

    class SlowDetector(FakeDetector):
        def detect(self, image: np.ndarray) -> list[Face]:
            at_work.append(1)
            time.sleep(0.2 * len(at_work))
            found = super().detect(image)
            at_work.pop()
            return found

    class_folders(tmp_path / "raw")
    with pytest.MonkeyPatch.context() as patch:
        _fill_disk(patch, writes=0)
        with pytest.raises(OSError, match="No space left"):
            clean(tmp_path / "raw", tmp_path / "out", detector=SlowDetector(), workers=4)
    assert not at_work


def test_full_disk_at_the_manifest(tmp_path: Path) -> None:
    root, out = class_folders(tmp_path / "raw"), tmp_path / "out"

    def full(*args: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pd.DataFrame, "to_csv", full)
        with pytest.raises(OSError, match="8 of 8 images"):
            clean(root, out)
    assert not out.exists()
    report = clean(root, out)
    assert files(report.out) == files(clean(root, tmp_path / "whole").out)


def test_a_link_leads_to_the_folder_that_is_written(mixed: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "large", target_is_directory=True)
    clean(mixed, tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "large" / "manifest.csv").is_file()
