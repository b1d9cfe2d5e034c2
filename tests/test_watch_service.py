"""The service: several cameras into one database, ended and killed in the middle."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from made_videos import BrightFaceDetector

pytest.importorskip("sqlalchemy")
pytest.importorskip("alembic")

from builder_tools.cli import main
from builder_tools.media import Frame, VideoWriter
from builder_tools.watch.config import Camera
from builder_tools.watch.database import Database
from builder_tools.watch.report import figures
from builder_tools.watch.service import Watched
from builder_tools.watch.visits import VisitKeeper

FPS = 10


def film(path: Path, astronaut: np.ndarray, seconds: float, *, away=(0.0, 0.0)) -> Path:
    """Film the astronaut, who is out of sight between two moments."""
    empty = np.full_like(astronaut, 90)
    with VideoWriter(path, FPS, astronaut.shape[1::-1]) as writer:
        for number in range(int(seconds * FPS)):
            hidden = away[0] <= number / FPS < away[1]
            writer.write(empty if hidden else astronaut)
    return path


def write_site(folder: Path, films: dict[str, Path], **more) -> Path:
    lines = [f"{name} = {json.dumps(value)}" for name, value in more.items()]
    for name, path in films.items():
        lines += [
            "[[camera]]",
            f'name = "{name}"',
            f'exhibit = "room {name}"',
            f'source = "{path}"',
        ]
    path = folder / "show.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def rows(folder: Path) -> list[dict]:
    import sqlalchemy as sa

    from builder_tools.watch.tables import VISITS

    database = Database(str(folder / "visits.db"), ZoneInfo("UTC"))
    found = database.read(sa.select(VISITS).order_by(VISITS.c.camera, VISITS.c.id))
    database.close()
    return [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]


@pytest.fixture
def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def portrait(astronaut):
    return np.ascontiguousarray(astronaut[:320, 60:380])


def test_visits_of_two_cameras(tmp_path, portrait, capsys):
    films = {
        "a": film(tmp_path / "a.mp4", portrait, 5.0, away=(2.0, 3.5)),
        "b": film(tmp_path / "b.mp4", portrait, 6.0, away=(1.0, 4.5)),
    }
    config = write_site(tmp_path, films, gap_s=2.5, minimum_dwell_s=0.3, minimum_group=2)
    assert main(["watch", str(config)]) == 0
    found = rows(tmp_path)
    assert [(row["camera"], row["exhibit"]) for row in found] == [
        ("a", "room a"),
        ("b", "room b"),
        ("b", "room b"),
    ]
    assert [row["dwell"] / 100 for row in found] == pytest.approx([4.8, 0.9, 1.4], abs=0.9)
    assert not any(row["is_open"] for row in found)
    assert all(row["share_happy"] > 5000 and row["valence"] > 0 for row in found)
    capsys.readouterr()
    assert main(["watch", str(config), "--report"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("exhibit,visits,dwell,dwell_low") and len(printed) == 2
    assert printed[1].startswith("room b,2,"), "one visit is no group"


def start(config: Path, *more: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "builder_tools", "watch", str(config), *more]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def wait_for(true: Callable[[], Any]) -> Any:
    """Return what it says once that is no longer nothing."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        if found := true():
            return found
        time.sleep(0.2)
    raise AssertionError("waited in vain")


def wait_for_open(folder: Path) -> list[dict]:
    return wait_for(lambda: (folder / "visits.db").exists() and rows(folder))


def test_killed_and_begun_again_no_visit_is_counted_twice(tmp_path, portrait):
    films = {"a": film(tmp_path / "a.mp4", portrait, 60.0)}
    config = write_site(tmp_path, films, gap_s=60.0, minimum_dwell_s=0.3, minimum_group=2)
    first = start(config)
    (row,) = wait_for_open(tmp_path)
    assert row["is_open"]
    first.kill()
    first.communicate(timeout=60)
    second = start(config)
    deadline = time.monotonic() + 90
    while rows(tmp_path)[0]["sights"] <= row["sights"] and time.monotonic() < deadline:
        time.sleep(0.2)
    second.send_signal(signal.SIGTERM)
    _, words = second.communicate(timeout=60)
    assert second.returncode == 143, words
    (after,) = rows(tmp_path)
    assert after["id"] == row["id"] and not after["is_open"]
    assert after["dwell"] > row["dwell"]
    database = Database(str(tmp_path / "visits.db"), ZoneInfo("UTC"))
    (counted,) = figures(database, minimum_group=1)
    assert counted.visits == 1
    database.close()


def test_health_and_status_tell_of_a_camera_that_is_lost(tmp_path, portrait, free_port, capsys):
    films = {"good": film(tmp_path / "a.mp4", portrait, 60.0), "gone": tmp_path / "b.mp4"}
    films["gone"].write_bytes(b"this is no film")
    config = write_site(tmp_path, films, minimum_dwell_s=0.3)

    def both_are_told() -> bool:
        is_wrong = main(["watch", str(config), "--status"]) == 1
        lines = capsys.readouterr().out
        return is_wrong and "good: watching" in lines and "gone: lost" in lines

    service = start(config, "--health-port", str(free_port))
    try:
        wait_for_open(tmp_path)
        wait_for(both_are_told)
        with pytest.raises(urllib.error.HTTPError) as told:
            urllib.request.urlopen(f"http://127.0.0.1:{free_port}/health", timeout=30)
        assert told.value.code == 503
        health = json.loads(told.value.read())
        states = {one["camera"]: one["state"] for one in health["cameras"]}
        assert states == {"good": "watching", "gone": "lost"} and health["database"] == "ok"
    finally:
        service.terminate()
        service.communicate(timeout=60)
    assert service.returncode == 143


def test_a_port_that_cannot_be_had_is_a_sentence(tmp_path, free_port, capsys):
    config = tmp_path / "show.toml"
    config.write_text('[[camera]]\nname="a"\nexhibit="b"\nsource=0\n')
    with pytest.raises(SystemExit, match="2"):
        main(["watch", str(config), "--health-port", "99999"])
    assert "expected a port of 1...65535" in capsys.readouterr().err
    with socket.create_server(("127.0.0.1", free_port)):
        assert main(["watch", str(config), "--health-port", str(free_port)]) == 2
    assert f"at port {free_port}: " in capsys.readouterr().err


def test_the_example_is_printed_and_a_missing_configuration_told(tmp_path, capsys):
    assert main(["watch", "--example"]) == 0
    assert "[[camera]]" in capsys.readouterr().out
    assert main(["watch"]) == 2
    assert main(["watch", str(tmp_path / "none.toml")]) == 2
    assert "No configuration" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["watch", "--by", "hour"], "of --report"),
        (["watch", "--since", "2026-11-01"], "of --report"),
        (["watch", "--status", "--until", "2026-11-01"], "of --report"),
        (["watch", "--status", "--report"], "both"),
        (["exhibits", "--out", "report", "--geometry"], "of recordings"),
    ],
)
def test_options_that_would_be_ignored_are_refused(tmp_path, capsys, command, words):
    """A report that lacks --report would start the cameras."""
    config = tmp_path / "show.toml"
    config.write_text('[[camera]]\nname="a"\nexhibit="b"\nsource="film.mp4"\n')
    (tmp_path / "film.mp4").write_bytes(b"")
    verb, *options = command
    assert main([verb, str(config), *options]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "visits.db").exists()


def test_most_images_of_a_slow_service_are_not_searched_in_whole():
    class Detector(BrightFaceDetector):
        def __init__(self) -> None:
            self.asked = ""

        def detect(self, image_rgb):
            self.asked += "W"
            return super().detect(image_rgb)

        def follow(self, image_rgb, faces):
            self.asked += "f"
            return faces

    detector, camera = Detector(), Watched(Camera("a", "A", 0), None, VisitKeeper(10.0))
    for number in range(7):  # each is another, and later than a search of the whole is due
        image = np.full((48, 48, 3), 100 + 12 * number, np.uint8)
        assert len(camera.find(detector, Frame(number, 0.4 * number, image))) == 1
    assert detector.asked == "WWffWff", "again after the first, for a face has come"
    camera.find(detector, Frame(0, 0.0, image // 2))  # connected again, to another scene
    assert detector.asked[-1] == "W"
