"""Names of files that would steer a terminal or break lines, as the command line prints them."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest

from builder_tools.media import VideoWriter, write_image

EVIL = "a\x1b[31m\nb\x9b5m\r"
TOLD = r"a\x1b[31m\nb\x9b5m\r"


@pytest.fixture
def photos(astronaut, tmp_path):
    """A photo, one with its end missing, one that is damaged, and what is left out."""
    folder = tmp_path / "photos"
    whole = write_image(folder / f"{EVIL}.jpg", astronaut)
    (folder / f"{EVIL} cut.jpg").write_bytes(whole.read_bytes()[:-2000])
    (folder / f"{EVIL} damaged.jpg").write_bytes(b"damaged")
    (folder / f"{EVIL}.txt").touch()
    return folder


def run(*words):
    command = [sys.executable, "-m", "builder_tools", *map(str, words)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    return done.returncode, done.stdout, done.stderr


def lines_of(text):
    assert not {"\x1b", "\x9b", "\r"} & set(text)
    return text.splitlines()


def test_img(photos):
    named = [photos / f"{EVIL}{rest}" for rest in (".jpg", " cut.jpg", " damaged.jpg", " gone.jpg")]
    code, out, err = run("img", *named)
    assert code == 1
    assert [line.partition(": ")[0] for line in lines_of(out)] == [
        f"{photos}/{TOLD}.jpg",
        f"{photos}/{TOLD} cut.jpg",
    ]
    warned, damaged, gone = lines_of(err)
    assert f"{TOLD} cut.jpg: " in warned
    assert f"{TOLD} damaged.jpg: Cannot read" in damaged and f"{TOLD} gone.jpg: No image" in gone


def test_img_batch(photos, tmp_path):
    out = tmp_path / "drawn"
    write_image(out / f"{EVIL}.jpg", np.zeros((9, 9, 3), np.uint8))
    code, _, err = run("img-batch", photos, "--csv", tmp_path / "a.csv", "--out", out)
    assert code == 1
    lines = lines_of(err)
    assert any(line.startswith(f"unreadable: {TOLD} damaged.jpg: ") for line in lines)
    assert any(f"{TOLD}.jpg is there already" in line for line in lines)


def test_video(astronaut, tmp_path):
    film = tmp_path / "film.mp4"
    with VideoWriter(film, 25, astronaut.shape[1::-1]) as writer:
        for shift in range(20):
            writer.write(np.roll(astronaut, 9 * shift, 1))
    cut = tmp_path / f"{EVIL}.mp4"
    cut.write_bytes(film.read_bytes()[:-3000])
    code, out, err = run("video", cut)
    (warned,) = lines_of(err)
    assert code == 1 and lines_of(out)
    assert re.match(
        rf".*{re.escape(TOLD)}\.mp4: \d+ images .* its header promises 20 images", warned
    )
    code, out, err = run("video", missing := tmp_path / f"{EVIL}.png")
    (refused,) = lines_of(err)
    assert (code, out) == (2, "") and repr(str(missing)) in refused


def test_highlights(astronaut, tmp_path):
    viewers = tmp_path / "viewers"
    viewers.mkdir()
    for name in ("ann", "bob"):
        with VideoWriter(viewers / f"{name}.mp4", 5, astronaut.shape[1::-1]) as writer:
            for shift in range(20):
                writer.write(np.roll(astronaut, 9 * shift, 1))
    (viewers / f"{EVIL} damaged.mp4").write_bytes(b"damaged")
    *_, err = run("highlights", *sorted(viewers.iterdir()), "--out", tmp_path / "found")
    lines = lines_of(err)
    assert any(line.startswith(f"{TOLD} damaged: ") for line in lines)


def test_clean(photos, tmp_path):
    code, out, err = run("clean", photos, "--out", tmp_path / "clean", "--max-dropped", 1)
    assert code == 0 and lines_of(out)
    assert any(line.startswith(f"unreadable: {TOLD} damaged.jpg: ") for line in lines_of(err))


def test_archive(photos, tmp_path):
    code, _, err = run("archive", photos, "--out", tmp_path / "archive")
    assert code == 1
    lines = lines_of(err)
    assert any(line.startswith("failed: ") and f"{TOLD} damaged.jpg" in line for line in lines)
