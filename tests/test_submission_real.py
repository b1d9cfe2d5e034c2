"""The Kaggle csv by the shipped model and the real command, killed for real."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections import Counter

import cv2
import numpy as np
import pytest
from fakes import files_of

from builder_tools.cli import main
from builder_tools.emotions import NINE_EMOTIONS
from builder_tools.inference import batch
from builder_tools.media import write_image
from builder_tools.submission import log_path, validate_submission

NUM_REAL = 300


@pytest.fixture(scope="module")
def real_folder(tmp_path_factory, astronaut):
    """Three hundred photographs of one face in changing light and place, and some bad files."""
    folder = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for number in range(NUM_REAL):
        x, y = rng.integers(0, 60, 2)
        part = astronaut[y : y + 240, 90 + x : 330 + x]
        part = cv2.convertScaleAbs(part, alpha=rng.uniform(0.5, 1.2))
        write_image(folder / f"{number}.jpg", part)
    (folder / "20.jpg").write_bytes(b"")
    (folder / "200.jpg").write_bytes(b"broken" * 99)
    write_image(folder / "210.jpg", np.full((90, 90, 3), 90, np.uint8))
    return folder


@pytest.mark.slow
def test_a_killed_command_goes_on_and_ends_with_the_same_bytes(real_folder, tmp_path, monkeypatch):
    assert main(["img-batch", str(real_folder), "--csv", str(tmp_path / "whole.csv")]) == 1
    csv_path, partial = tmp_path / "killed.csv", tmp_path / "killed.partial.jsonl"
    command = [
        *(sys.executable, "-m", "builder_tools", "img-batch", str(real_folder)),
        *("--csv", str(csv_path), "--workers", "1", "--batch-size", "8"),
    ]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        _wait_for_lines(partial, 60, process)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL and not csv_path.exists()
    done = partial.read_text().splitlines()[1:]
    assert 50 < len(done) < NUM_REAL
    prepared = []
    open_image = batch.open_image
    monkeypatch.setattr(
        batch,
        "open_image",
        lambda path, *more, **options: (
            prepared.append(path.name) or open_image(path, *more, **options)
        ),
    )
    assert main(["img-batch", str(real_folder), "--csv", str(csv_path), "--workers", "2"]) == 1
    whole_lines = [json.loads(line)["row"]["image_path"] for line in done if line.endswith("}")]
    assert len(prepared) == NUM_REAL - len(whole_lines)
    assert not set(prepared) & set(whole_lines)
    assert files_of(csv_path) == files_of(tmp_path / "whole.csv")


def _wait_for_lines(path, count, process):
    deadline_s = time.monotonic() + 120
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert process.poll() is None and time.monotonic() < deadline_s
        time.sleep(0.005)


@pytest.mark.slow
def test_the_shipped_model_gives_the_same_bytes_whatever_the_batch(real_folder, tmp_path):
    found = []
    for batch_size, workers in ((1, 2), (7, 1), (32, 4)):
        csv_path = tmp_path / f"{batch_size}.csv"
        sizes = ["--batch-size", str(batch_size), "--workers", str(workers)]
        assert main(["img-batch", str(real_folder), "--csv", str(csv_path), *sizes]) == 1
        found.append(files_of(csv_path))
    assert found[0] == found[1] == found[2]
    statuses = Counter(row["status"] for row in csv.DictReader(found[0][1].decode().splitlines()))
    assert statuses["unreadable"] == 2 and statuses["no_face"] >= 1
    assert sum(statuses.values()) == NUM_REAL


NUM_FER = int(os.environ.get("BUILDER_TOOLS_TEST_FACES", 500))
"""How many of the 3,573 test faces the suite takes; set to 3573 for all."""


@pytest.mark.slow
def test_the_test_faces_of_ferplus(data_dir, tmp_path):
    """Grey, 48x48, all face: a row each, in order, faster than the time a coffee takes."""
    images = tmp_path / "faces"
    images.mkdir()
    with zipfile.ZipFile(data_dir / "ferplus.zip") as archive:
        inside = [n for n in archive.namelist() if n.startswith("FER2013Test/") and "png" in n]
        for name in sorted(inside)[:NUM_FER]:
            (images / name.split("/")[1]).write_bytes(archive.read(name))
    names = sorted(path.name for path in images.iterdir())
    assert len(names) == NUM_FER
    assert main(["img-batch", str(images), "--csv", str(tmp_path / "s.csv")]) == 0
    with open(log_path(tmp_path / "s.csv"), newline="") as file:
        log = list(csv.DictReader(file))
    validate_submission(tmp_path / "s.csv", names, tuple(NINE_EMOTIONS))
    statuses = Counter(row["status"] for row in log)
    print(statuses)
    assert statuses["unreadable"] == 0 and statuses["ok"] > 0.7 * NUM_FER
    assert len({row["emotion"] for row in log}) >= 6
