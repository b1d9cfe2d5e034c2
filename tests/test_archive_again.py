"""Archives that are run again: what failed is tried again, and no file is kept twice."""

from __future__ import annotations

import pytest

pytest.importorskip("pyarrow")
pytest.importorskip("pandas")

import numpy as np
import pandas as pd

from builder_tools.archive import Settings, archive
from builder_tools.media import write_image


def grey(path, side=64):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, np.full((side, side, 3), 90, np.uint8))
    return path


def test_images_that_failed_are_tried_again(tmp_path, monkeypatch):
    root, out = tmp_path / "photos", tmp_path / "out"
    grey(root / "small.png")
    grey(root / "large.png", 1100)
    monkeypatch.setenv("BUILDER_TOOLS_MAX_MEGAPIXELS", "1")
    for _ in range(2):
        report = archive([root], out, Settings())
        assert [one["source"] for one in report.failed] == ["large.png"]
        assert report.files == 1
    monkeypatch.delenv("BUILDER_TOOLS_MAX_MEGAPIXELS")
    report = archive([root], out, Settings())
    assert (report.files, report.made, report.failed) == (2, 1, ())
    assert len(pd.read_csv(out / "errors.csv")) == 0
    assert archive([root], out, Settings()).made == 0


def test_a_part_without_what_is_told_of_its_files_is_made_again(tmp_path):
    image, out = grey(tmp_path / "a.png"), tmp_path / "out"
    assert archive([image], out, Settings()).made == 1
    (part,) = (out / "parts").glob("*.parquet")
    part.write_bytes(part.read_bytes()[:-8] + b"\0\0\0\0PAR1")
    report = archive([image], out, Settings())
    assert (report.made, report.files) == (1, 1)
